"""Whether the files of a checkpoint are what was written: hashes beside them, so that a flipped byte or a lost file is
found by name.

OUT/hashes/
  <n>.json       of the files of steps/<n>
  files.json     of what every step needs: the tokenizer, the vocabulary, a frozen base
"""

import json
from collections.abc import Sequence
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.provenance import sha256

FOLDER, FILES = "hashes", "files"


def record(out: Path, name: str, folders: Sequence[Path]) -> None:
    """Writes the hashes of all files in folders of `out`, under a name."""
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.is_file())
    found = {p.relative_to(out).as_posix(): sha256(p) for p in files}
    path = out / FOLDER / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(found, indent=1))
    new.replace(path)


def recorded(out: Path, name: str) -> bool:
    """Whether hashes were written under a name."""
    return (out / FOLDER / f"{name}.json").is_file()


def damage(out: Path, name: str) -> str:
    """What is wrong with the first file that is not as it was written; empty where all are, or none was recorded.

    A process that is killed between writing a step and its hashes leaves a whole step without them.
    """
    if not recorded(out, name):
        return ""
    try:
        known = json.loads((out / FOLDER / f"{name}.json").read_text())
        for file, digest in known.items():
            if not (out / file).is_file():
                return f"{out / file} is missing"
            if sha256(out / file) != digest:
                return f"{out / file} is not as it was written"
    except (ValueError, AttributeError):
        return f"{out / FOLDER / name}.json is not as it was written"
    return ""


def check(out: Path, name: str) -> None:
    """Raises InputError: as `damage`."""
    if reason := damage(out, name):
        raise InputError(f"{out}: damaged: {reason}. The training command, run again, goes on from what is whole")


def forget(out: Path, kept: Sequence[str]) -> None:
    """Removes the hashes of all but these names."""
    for file in (out / FOLDER).glob("*.json"):
        if file.stem not in kept:
            file.unlink()

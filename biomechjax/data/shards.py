"""Shards: ArrayRecord files that are whole or not there, each with its hash beside it, written by one process or many.

The name of a shard says which it is of how many: `train-00000-of-00007.arrayrecord`.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from rich.console import Console

from biomechjax.errors import InputError, Stopped
from biomechjax.provenance import sha256

ENDING = ".arrayrecord"
HASH = ".sha256"  # as sha256sum writes it and checks it
LOOK_EVERY_S = 1.0
TELL_EVERY_S = 60.0
PATIENCE_S = 1800.0  # without anything new from the other processes


def shard_names(split: str, count: int) -> list[str]:
    """The files of a split of so many shards."""
    return [f"{split}-{i:05d}-of-{count:05d}{ENDING}" for i in range(count)]


def write_shard(path: Path, records: Iterable[bytes]) -> str:
    """Writes a shard with its hash beside it, over one that may be there; returns the hash."""
    # Of this call alone: another process may be writing the same shard.
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        file, beside = Path(folder, path.name), Path(folder, path.name + HASH)
        writer = ArrayRecordWriter(str(file), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()
        digest = sha256(file)
        beside.write_text(f"{digest}  {path.name}\n")
        for written in (file, beside):
            written.replace(path.parent / written.name)
    return digest


def whole_hash(path: Path) -> str | None:
    """The hash of a shard, if it is the one that its file of that says; else it has to be written (again)."""
    try:
        said = Path(f"{path}{HASH}").read_text().partition(" ")[0]
        return said if said == sha256(path) else None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def read_shard(path: Path) -> list[bytes]:
    """Its records, in order.

    Raises:
        InputError: it is no shard, or a damaged one.
    """
    try:
        reader = ArrayRecordReader(str(path))
        try:
            return reader.read_all()
        finally:
            reader.close()
    # The library raises whatever a damaged file leads it into.
    except Exception as e:
        raise InputError(f"{path}: not readable as a shard ({e}); run tokenize_data.py again") from e


def wait_for(missing: Callable[[], list[str]]) -> None:
    """Returns when nothing is missing any more of what other processes write; says meanwhile what is.

    Raises:
        Stopped: the same was missing for half an hour.
    """
    last: list[str] = []
    since = told = -float("inf")
    while names := missing():
        now = time.monotonic()
        if names != last:
            last, since = names, now
        what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        if now - since > PATIENCE_S:
            raise Stopped(
                f"waited {PATIENCE_S / 60:.0f} minutes for {what}, which another process was to write; run the same "
                "command again in every process: they go on with the shards that are whole"
            )
        if now - told >= TELL_EVERY_S:
            told = now
            Console(highlight=False).print(f"waiting for other processes to write {what}", soft_wrap=True)
        time.sleep(LOOK_EVERY_S)

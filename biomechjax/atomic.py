"""Folders that are either whole or not there."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from biomechjax.errors import InputError


@contextlib.contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that takes its name when the block ends, and vanishes if it fails.

    Raises:
        InputError: `path` exists already; nothing of an earlier run is ever overwritten.
    """
    path = _free(path)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    work.chmod(0o755)
    try:
        yield work
        work.rename(path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


@contextlib.contextmanager
def resumed_folder(path: Path | str, key: str, finish: bool = True) -> Iterator[Path]:
    """As `new_folder`, but what is in the temporary folder stays when the block fails or the process dies, and the next
    block with the same key goes on with it.

    Several processes may fill one folder; all but one do not `finish`, which leaves it to that one to give the name.

    Raises:
        InputError: `path` exists already.
    """
    path = _free(path)
    work = path.with_name(f".{path.name}.unfinished-{key}")
    work.mkdir(exist_ok=True)
    yield work
    if finish:
        work.rename(path)


def _free(path: Path | str) -> Path:
    """`path` if nothing is there yet, with its parent made."""
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: exists already; remove it or choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

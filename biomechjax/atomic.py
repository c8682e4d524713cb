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
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: exists already; remove it or choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    work.chmod(0o755)
    try:
        yield work
        work.rename(path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise

"""Recordings from files of other programs, by the ending of their name."""

from collections.abc import Callable
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.motion.opensim import read_opensim
from biomechjax.motion.recording import Recording

READERS: dict[str, Callable[[Path], Recording]] = {".mot": read_opensim, ".sto": read_opensim}
"""Ending of the file name, in lower case, to its reader."""


def read_recording(path: Path | str) -> Recording:
    """The recording in a file of any readable kind.

    Raises:
        InputError: no such file, no reader for its ending, or the reader refuses it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() not in READERS:
        raise InputError(f"{path}: no reader for {path.suffix or 'a name without ending'!r}; readable: {list(READERS)}")
    return READERS[path.suffix.lower()](path)

"""Recordings from files of other programs, by the ending of their name."""

from collections.abc import Callable
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.motion.bvh import read_bvh
from biomechjax.motion.c3d import read_c3d
from biomechjax.motion.opensim import read_opensim
from biomechjax.motion.recording import Recording
from biomechjax.motion.trc import read_trc

READERS: dict[str, Callable[[Path], Recording]] = {
    ".mot": read_opensim,
    ".sto": read_opensim,
    ".trc": read_trc,
    ".c3d": read_c3d,
    ".bvh": read_bvh,
}
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

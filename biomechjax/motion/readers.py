"""Recordings from files of other programs, by the ending of their name."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.motion import bids_motion, ui_prmd
from biomechjax.motion.arrays import read_npz
from biomechjax.motion.bvh import read_bvh
from biomechjax.motion.c3d import read_c3d
from biomechjax.motion.cycle_time import check_time_is_seconds
from biomechjax.motion.deepmimic import read_deepmimic
from biomechjax.motion.gaitkit import read_gaitkit
from biomechjax.motion.matlab import read_mat
from biomechjax.motion.opensim import read_opensim
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording
from biomechjax.motion.table import read_parquet, read_text_table
from biomechjax.motion.trc import read_trc


@dataclasses.dataclass(frozen=True)
class Reader:
    """How files of one ending are read.

    Attributes:
        read: (path, options) to a recording.
        uses: the fields of `ReadOptions` that it takes; another one is refused.
    """

    read: Callable[[Path, ReadOptions], Recording]
    uses: tuple[str, ...] = ()


_TABLE = ("format", "rate_hz", "unit", "unit_m")
READERS: dict[str, Reader] = {
    ".mot": Reader(read_opensim, ("format",)),
    ".sto": Reader(read_opensim, ("format",)),
    ".npz": Reader(read_npz, ("array", *_TABLE)),
    bids_motion.ENDING: Reader(bids_motion.read_bids_file, ("format",)),
    ".csv": Reader(read_text_table, _TABLE),
    ".tsv": Reader(read_text_table, _TABLE),
    ".parquet": Reader(read_parquet, _TABLE),
    ".mat": Reader(read_mat, ("format", "array")),
    **{ending: Reader(lambda path, options: ui_prmd.read_ui_prmd(path)) for ending in ui_prmd.ENDINGS},
    ".txt": Reader(read_deepmimic),
    ".json": Reader(read_gaitkit),
    ".trc": Reader(lambda path, options: read_trc(path)),
    ".c3d": Reader(lambda path, options: read_c3d(path)),
    ".bvh": Reader(lambda path, options: read_bvh(path)),
}
"""Ending of the file name, in lower case, to its reader; the first that fits reads a file."""


def read_recording(path: Path | str, options: ReadOptions = ReadOptions()) -> Recording:
    """The recording in a file of any readable kind.

    With `options.duration_s` the frames are spread evenly over these seconds, whatever time the file has.

    Raises:
        InputError: no such file, no reader for its ending, an option that the reader has no use for, a file whose time
            seems to be scaled to a cycle without `duration_s`, or the reader refuses it.
    """
    path = Path(path)
    if not os.path.isfile(path):  # of a name that no file can have, Path.is_file raises
        raise InputError(f"{path}: no such file")
    reader = next((r for ending, r in READERS.items() if path.name.lower().endswith(ending)), None)
    if reader is None:
        raise InputError(f"{path}: no reader for {path.suffix or 'a name without ending'!r}; readable: {list(READERS)}")
    options.refuse_all_but((*reader.uses, "duration_s"), path)
    recording = reader.read(path, options)
    if options.duration_s is None:
        check_time_is_seconds(recording)
        return recording
    return recording.lasting(options.duration_s)

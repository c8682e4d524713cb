"""OpenSim coordinates (`.mot`, `.sto`) as recordings, of the canonical format or of that of another model."""

from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording
from biomechjax.motion.storage import read_storage


def read_opensim(path: Path, options: ReadOptions) -> Recording:
    """A recording from a coordinate or state file of OpenSim.

    Columns are matched by coordinate name; `/jointset/hip_r/hip_flexion_r/value` is `hip_flexion_r`. See `read_storage`
    for the unit that a file is in, and `assemble` for what is done with the columns.

    Raises:
        InputError: as `read_storage` and `assemble`, or a column stands twice.
    """
    format, storage = load_format(options.format or CANONICAL), read_storage(path)
    coordinates = [_coordinate(label) for label in storage.labels]
    columns: dict[str, np.ndarray] = {}
    for label, coordinate, values in zip(storage.labels, coordinates, storage.values.T, strict=True):
        name = coordinate if coordinate in format.indices else label
        if name in columns:
            raise InputError(f"{path}: column {label!r}: {name} stands twice; keep one of them")
        columns[name] = values
    unit = ReadOptions(unit="deg" if storage.in_degrees else "rad")
    return assemble(format, columns, storage.time_s, unit, path, storage.notes, tuple(coordinates))


def _coordinate(label: str) -> str:
    """The coordinate whose position a column holds: `a/b/NAME/value` is NAME; speeds keep their whole path."""
    return label.removesuffix("/value").rpartition("/")[2] if label.endswith("/value") else label

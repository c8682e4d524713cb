"""One movement of a BIDS folder with the Motion extension: `*_motion.tsv` with `*_channels.tsv` and `*_motion.json`.

Channels are found in a format by `name`, else by `tracked_point.component` or `tracked_point_component`; their units
may be rad, deg, m, cm or mm (BIDS 1.9, Jeung et al. 2024, Sci Data 11:716). A cell n/a is a gap.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.files import read_object, repeated
from biomechjax.motion.format import CANONICAL, MotionFormat, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import HIGHEST_RATE_HZ, Recording
from biomechjax.motion.tsv import ABSENT, parse_matrix, read_lines, read_table

ENDING = "_motion.tsv"
FORMAT = "motion_format.json"
"""At the root of the cohort folders that biomechjax writes: the motion format of all movements in it."""
SIMULATED = "The people in its folder are simulated; no person was recorded."
"""The note on a movement of a folder whose dataset_description.json says so."""
UNITS = {"rad": ("rad", 1.0), "deg": ("rad", math.pi / 180), "m": ("m", 1.0), "cm": ("m", 0.01), "mm": ("m", 0.001)}
"""A unit of channels.tsv to the unit of a format and the factor to it."""


def read_bids_file(path: Path, options: ReadOptions) -> Recording:
    """A movement where it lies in its folder, `sub-XX/[ses-XX/]motion/`.

    Its format is that of the folder's motion_format.json, else `options.format`, else canonical. A note says where the
    folder is one of simulated people.

    Raises:
        InputError: as `read_bids_motion`, or a format is given for a folder that says its own.
    """
    own, about = _above(path, FORMAT), _above(path, "dataset_description.json")
    if own is None:
        recording = read_bids_motion(path, load_format(options.format or CANONICAL), turn_knees=True)
    elif options.format is not None:
        raise InputError(f"{path}: format is given, but {own} says it; leave it out")
    else:
        recording = read_bids_motion(path, MotionFormat.from_dict(read_object(own), str(own)), turn_knees=False)
    simulated = about is not None and bool(read_object(about).get("Simulated", False))
    return dataclasses.replace(recording, notes=(*(SIMULATED,) * simulated, *recording.notes))


def _above(path: Path, name: str) -> Path | None:
    """The file of a name in one of the folders in which the movement's own may lie."""
    return next((f for f in (above / name for above in path.absolute().parents[1:4]) if f.is_file()), None)


def read_bids_motion(path: Path, format: MotionFormat, turn_knees: bool) -> Recording:
    """A movement as one of `format`; see `assemble` for what is done with the columns.

    Raises:
        InputError: one of the three files is unreadable, the sampling frequency is not positive, a row has another
            number of cells or a cell that is no number (with its line), a channel stands twice or has a unit that does
            not fit, or what `assemble` refuses.
    """
    stem = str(path).removesuffix(ENDING)
    sidecar, table = Path(f"{stem}_motion.json"), Path(f"{stem}_channels.tsv")
    if not table.is_file() or not sidecar.is_file():
        missing = " and ".join(p.name for p in (table, sidecar) if not p.is_file())
        raise InputError(
            f"{path}: {missing} is not beside it, as BIDS has it; copy that too, or rename the file if its first line "
            "names its columns"
        )
    rate_hz = sampling_frequency(sidecar)
    rows = read_table(table, ("name", "units"))
    names = [_channel(row, format) for row in rows]
    if twice := repeated(names):
        raise InputError(f"{table}: channel {twice[0]} stands twice")
    lines = [line.replace(ABSENT, "nan") for line in read_lines(path)]
    values = parse_matrix(lines, len(names), "\t", path)
    columns = {}
    for name, row, column in zip(names, rows, values.T, strict=True):
        unit, factor = UNITS.get(row["units"], (row["units"], 1.0))
        if name in format.indices and unit != (expected := format.channels[format.indices[name]].unit):
            units = [u for u, (to, _) in UNITS.items() if to == expected]
            raise InputError(f"{table}: channel {name} is in {row['units']!r}; expected one of {', '.join(units)}")
        columns[name] = column * factor
    return assemble(format, columns, rate_hz, ReadOptions(unit="rad"), path, turn_knees=turn_knees)


def sampling_frequency(sidecar: Path) -> float:
    """Hertz, of a `*_motion.json`.

    Raises:
        InputError: it says none, or one that no recording has.
    """
    rate = read_object(sidecar).get("SamplingFrequency")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{sidecar}: SamplingFrequency is {rate!r}; expected hertz above 0, at most {HIGHEST_RATE_HZ:.0f}"
        )
    return float(rate)


def _channel(row: Mapping[str, str], format: MotionFormat) -> str:
    """The name of a channel in the format, or its own if the format has none."""
    point, part = row.get("tracked_point", ABSENT), row.get("component", ABSENT)
    names = (row["name"], f"{point}.{part}", f"{point}_{part}")
    return next((n for n in names if n in format.indices), row["name"])

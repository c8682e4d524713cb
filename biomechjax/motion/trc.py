"""Marker positions of Motion Analysis and OpenSim (`.trc`).

    PathFileType  4  (X/Y/Z)  walk.trc
    DataRate  CameraRate  NumFrames  NumMarkers  Units  OrigDataRate  OrigDataStartFrame  OrigNumFrames
    100  100  238  41  mm  100  1  238
    Frame#  Time  R.ASIS          L.ASIS          ...
                  X1    Y1    Z1  X2    Y2    Z2  ...

    1       0.00  -567.0  1021.1  -129.9  ...

Cells stand between tabs, and an empty one is a marker that was not seen. Source: OpenSim's own reader, TRCFileAdapter
of opensim-core, and its page on marker files.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.files import read_text
from biomechjax.motion.format import Channel, MotionFormat
from biomechjax.motion.gaps import METRES, fill_gaps
from biomechjax.motion.recording import Recording, to_float32
from biomechjax.motion.sides import partners
from biomechjax.motion.timing import UNEVEN, check_increases, even_steps

MARKERS = "markers"
HEADER_LINES = 5
KEYS = ("DataRate", "NumFrames", "NumMarkers", "Units")


def marker_format(names: Sequence[str]) -> MotionFormat:
    """Format `markers` of the given names: NAME.x, NAME.y, NAME.z in metres, in OpenSim's axes (z to the right).

    If any name has a partner on the other side, a mirror swaps those and turns z over, and the other markers lie on the
    midline; if none has, the sides are unknown and so are the mirror signs.
    """
    partner = partners(names)
    sided = any(a != b for a, b in partner.items())
    signs = {"x": 1, "y": 1, "z": -1} if sided else dict.fromkeys("xyz", 0)
    channels = [Channel(f"{n}.{axis}", "m", f"{partner[n]}.{axis}", signs[axis]) for n in names for axis in "xyz"]
    return MotionFormat(MARKERS, f"{len(names)} markers", tuple(channels))


def marker_recording(
    path: Path, names: Sequence[str], rate_hz: float, points: np.ndarray, notes: Sequence[str]
) -> Recording:
    """A recording of `marker_format(names)` from points [F, N, 3] in metres, NaN where a marker was not seen.

    Raises:
        InputError: a name stands twice, or as `Recording`.
    """
    if len(set(names)) != len(names):
        twice = sorted({a for a, b in zip(sorted(names), sorted(names)[1:], strict=False) if a == b})
        raise InputError(f"{path}: marker {twice[0]!r} stands twice; keep one of them")
    format = marker_format(names)
    filled, seen, gap_notes = fill_gaps(points, rate_hz, names)
    values = to_float32(filled.reshape(len(points), -1), format.names, path)
    return Recording(format, rate_hz, values, np.repeat(seen, 3), str(path), (*notes, *gap_notes))


def read_trc(path: Path | str) -> Recording:
    """A recording of format `markers`, built from the names in the file; metres, axes as in the file.

    OpenSim's axes are x forward, y up, z to the right. The rate is that of the column Time; steps that are not all the
    same are interpolated linearly onto as many even ones. Gaps are treated as in `fill_gaps`.

    Raises:
        InputError: the file is unreadable, empty, too large or cut off, its header lacks a key or contradicts its
            columns, time does not increase, a cell is neither empty nor a finite number (with line and column), or no
            marker was seen without long gaps.
    """
    path = Path(path)
    text = read_text(path)
    lines = text.rstrip("\n").split("\n")
    if len(lines) < HEADER_LINES or not lines[0].startswith("PathFileType"):
        raise InputError(f"{path}: line 1: {lines[0][:40]!r}; expected a .trc file, which starts with PathFileType")
    header = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    missing = [key for key in KEYS if key not in header]
    if missing:
        raise InputError(f"{path}: line 2: no value for {', '.join(missing)}; export the trial again")
    # A prefix, as in Ann:LASI, is whose marker it is, and no part of its name.
    names = [cell.strip().rpartition(":")[2] for cell in lines[3].split("\t")[2:] if cell.strip()]
    if header["NumMarkers"] != str(len(names)) or not names:
        raise InputError(f"{path}: line 4: {len(names)} marker names; the header says {header['NumMarkers']}")
    if header["Units"].lower() not in METRES:
        raise InputError(f"{path}: line 3: Units is {header['Units']!r}; expected one of {list(METRES)}")
    rows = [(i, line) for i, line in enumerate(lines[HEADER_LINES:], start=HEADER_LINES + 1) if line.strip()]
    notes = _check_count(header["NumFrames"], rows, cut=not text.endswith("\n"), path=path)
    # Rows may leave empty cells out at their end, but a few bytes must not ask for gigabytes.
    if 3 * len(rows) * len(names) > 10**6 + len(text):
        raise InputError(f"{path}: {len(rows)} frames of {len(names)} markers are not in {len(text)} characters")
    table = _parse(rows, names, path)
    rate_hz, points, time_notes = _in_time(table, rows, header["DataRate"], path)
    points = points.reshape(len(rows), -1, 3) * METRES[header["Units"].lower()]
    return marker_recording(path, names, rate_hz, points, (*notes, *time_notes))


def _check_count(declared: str, rows: list[tuple[int, str]], cut: bool, path: Path) -> list[str]:
    if len(rows) < 2:
        raise InputError(f"{path}: {len(rows)} frames after the header; expected at least 2")
    if not declared.isdecimal():
        raise InputError(f"{path}: line 3: NumFrames is {declared!r}; expected a whole number")
    if int(declared[:12]) == len(rows):
        return []
    if cut:
        raise InputError(
            f"{path}: line {rows[-1][0]}: the file is cut off in frame {len(rows)} of {declared[:12]}; export it again"
        )
    return [f"The header says {declared[:12]} frames, the file has {len(rows)}; all of these are read."]


def _parse(rows: list[tuple[int, str]], names: list[str], path: Path) -> np.ndarray:
    """float64 [F, 2 + 3 N], NaN where a cell is empty."""
    width = 2 + 3 * len(names)
    try:
        lines = ("\t".join(c.strip() or "nan" for c in _cells(line, width)) for _, line in rows)
        table = np.loadtxt(lines, delimiter="\t", ndmin=2, comments=None)
    except ValueError:
        raise _bad_cell(rows, names, path) from None  # the slow look for it, only if there is one
    if np.isinf(table).any() or np.isnan(table[:, :2]).any():
        raise _bad_cell(rows, names, path)
    return table


def _cells(line: str, width: int) -> list[str]:
    """`width` cells; those left out at the end are empty."""
    cells = line.rstrip().split("\t")
    if len(cells) > width or len(cells) % 3 != 2:
        raise ValueError(f"{len(cells)} cells; expected {width}, 3 per marker; the file may be cut off")
    return cells + [""] * (width - len(cells))


def _bad_cell(rows: list[tuple[int, str]], names: list[str], path: Path) -> InputError:
    columns = ["Frame#", "Time", *(f"{n}.{axis}" for n in names for axis in "xyz")]
    for number, line in rows:
        try:
            cells = _cells(line, len(columns))
        except ValueError as e:
            return InputError(f"{path}: line {number}: {e}")
        for i, cell in enumerate(cells):
            try:
                value = float(cell.strip() or "nan")
            except ValueError:
                value = np.inf
            if np.isinf(value) or (i < 2 and np.isnan(value)):
                return InputError(
                    f"{path}: line {number}, column {columns[i]}: {cell.strip()[:40]!r} is not a finite number"
                )
    return InputError(f"{path}: the rows after the header are not {len(columns)} columns of numbers")


def _in_time(
    table: np.ndarray, rows: list[tuple[int, str]], declared: str, path: Path
) -> tuple[float, np.ndarray, list[str]]:
    """Rate in hertz, columns [F, 3 N] in even steps of time, and notes."""
    time = table[:, 1]
    check_increases(time, path, [number for number, _ in rows])
    rate_hz, values, notes = even_steps(time, table[:, 2:])
    try:
        said = float(declared)
    except ValueError:
        raise InputError(f"{path}: line 3: DataRate is {declared!r}; expected a number, in hertz") from None
    if not abs(said - rate_hz) <= UNEVEN * rate_hz:
        notes.append(f"The header says {said:g} Hz, the column Time goes at {rate_hz:.4g} Hz, which is taken.")
    return rate_hz, values, notes

"""OpenSim storage files (`.mot`, `.sto`) as a table of numbers, before any column has a meaning.

    Coordinates            a name, then keys in any order, then free text
    version=1
    nRows=151
    nColumns=11
    inDegrees=yes
    endheader
    time    pelvis_tilt    ...
    0.0     10.33          ...

Source: OpenSim's own reader, Storage.cpp of opensim-core.
"""

import dataclasses
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.files import read_text
from biomechjax.motion.timing import check_increases

# OpenSim writes the first of each and reads all three.
_ROW_KEYS = ("nRows", "nr", "datarows")
_COLUMN_KEYS = ("nColumns", "nc", "datacolumns")


@dataclasses.dataclass(frozen=True)
class Storage:
    """What a storage file holds.

    Attributes:
        labels: the column names after `time`.
        time_s: float64 [F], increasing.
        values: float64 [F, number of labels]; NaN where the file says nan, a gap.
        in_degrees: whether rotations are in degrees.
        notes: what the reader had to decide, one sentence each.
    """

    labels: tuple[str, ...]
    time_s: np.ndarray
    values: np.ndarray
    in_degrees: bool
    notes: tuple[str, ...]


def read_storage(path: Path) -> Storage:
    """Reads a storage file.

    Rotations are in degrees where the header says `inDegrees=yes`. Without that key they are in radians, except in a
    `.mot` without a `version`, which is a SIMM motion and in degrees (OpenSim's rule); a note says which it was.

    A file whose header promises more rows than there are is refused if it ends in the middle of a line, and gets a note
    otherwise: OpenSim's own example files promise too many.

    Raises:
        InputError: the file is unreadable, empty or too large, has no `endheader` or no rows, its header
            contradicts its columns, its first column is not an increasing `time`, it is cut off, or a cell is neither a
            finite number nor nan (with line and column).
    """
    text = read_text(path)
    lines = text.rstrip("\n").split("\n")
    try:
        end = next(i for i, line in enumerate(lines) if line.strip() == "endheader")
    except StopIteration:
        raise InputError(
            f"{path}: no line 'endheader'; expected an OpenSim storage file: header, endheader, column names, rows"
        ) from None
    header = _read_header(lines[:end])
    numbered = [(i, line) for i, line in enumerate(lines[end + 1 :], start=end + 2) if line.strip()]
    if len(numbered) < 3:
        raise InputError(
            f"{path}: line {len(lines)}: the file ends with {max(0, len(numbered) - 1)} rows after the header; "
            "expected column names and at least 2 rows; export the trial again"
        )
    (label_line, label_text), rows = numbered[0], numbered[1:]
    labels = label_text.split()
    declared = _count(header, _COLUMN_KEYS, path)
    if declared is not None and declared != len(labels):
        raise InputError(f"{path}: line {label_line}: {len(labels)} column names; the header says nColumns={declared}")
    if labels[0].lower() != "time":
        raise InputError(f"{path}: line {label_line}: the first column is {labels[0]!r}; expected 'time', in seconds")
    notes = _check_rows(_count(header, _ROW_KEYS, path), rows, cut=not text.endswith("\n"), path=path)
    values = parse_rows(rows, labels, path)
    check_increases(values[:, 0], path, [number for number, _ in rows])
    in_degrees, unit_notes = _in_degrees(header, path)
    return Storage(tuple(labels[1:]), values[:, 0], values[:, 1:], in_degrees, notes + unit_notes)


def _read_header(lines: list[str]) -> dict[str, tuple[int, str]]:
    """Line number and value of every `key=value` or `key value`; free text becomes keys that nobody asks for."""
    header = {}
    for number, line in enumerate(lines, start=1):
        key, _, value = line.strip().replace("=", " ", 1).partition(" ")
        header[key] = number, value.strip()
    return header


def _count(header: dict[str, tuple[int, str]], keys: tuple[str, ...], path: Path) -> int | None:
    """The number under the first of `keys` that the header has."""
    for key in keys:
        if key in header:
            line, value = header[key]
            if not value.isdecimal():
                raise InputError(f"{path}: line {line}: {key} is {value!r}; expected a whole number")
            return int(value)
    return None


def _in_degrees(header: dict[str, tuple[int, str]], path: Path) -> tuple[bool, tuple[str, ...]]:
    if "inDegrees" in header:
        line, value = header["inDegrees"]
        if value.lower() not in ("yes", "y", "no", "n"):
            raise InputError(f"{path}: line {line}: inDegrees is {value!r}; expected yes or no")
        return value.lower() in ("yes", "y"), ()
    simm = path.suffix.lower() == ".mot" and header.get("version", (0, "0"))[1] == "0"
    unit = "degrees" if simm else "radians"
    return simm, (f"The header has no inDegrees; angles are taken as {unit}, as OpenSim does.",)


def _check_rows(declared: int | None, rows: list[tuple[int, str]], cut: bool, path: Path) -> tuple[str, ...]:
    if declared is None or declared == len(rows):
        return ()
    if len(rows) < declared and cut:
        raise InputError(
            f"{path}: line {rows[-1][0]}: the file is cut off in row {len(rows)} of {declared}; copy or export it again"
        )
    return (f"The header says {declared} rows, the file has {len(rows)}; all of these are read.",)


def parse_rows(rows: list[tuple[int, str]], labels: list[str], path: Path) -> np.ndarray:
    """Numbered lines of numbers as float64 [F, number of labels], NaN where a cell says nan.

    Raises:
        InputError: a line has another number of cells, or a cell is neither a finite number nor nan (with line and
            column).
    """
    try:
        values = np.loadtxt([line for _, line in rows], ndmin=2, comments=None)
    except ValueError:
        raise _bad_cell(rows, labels, path) from None  # the slow look for it, only if there is one
    if values.shape[1] != len(labels) or np.isinf(values).any():
        raise _bad_cell(rows, labels, path)
    return values


def _bad_cell(rows: list[tuple[int, str]], labels: list[str], path: Path) -> InputError:
    for number, line in rows:
        # Cells are told apart by white space, except that an empty one shows only between tabs.
        cells = line.split("\t") if line.count("\t") == len(labels) - 1 else line.split()
        if len(cells) != len(labels):
            return InputError(
                f"{path}: line {number}: {len(cells)} cells; expected {len(labels)}, one per column name; "
                "the file may be cut off"
            )
        for label, cell in zip(labels, cells, strict=True):
            try:
                finite = not np.isinf(float(cell))
            except ValueError:
                finite = False
            if not finite:
                return InputError(
                    f"{path}: line {number}, column {label}: {cell.strip()!r} is not a finite number; "
                    "write nan where there is none"
                )
    return InputError(f"{path}: the rows after the header are not {len(labels)} columns of numbers")

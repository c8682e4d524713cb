"""Reading tab-separated text: tables with a header, and bare matrices of numbers."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.files import MAX_BYTES

ABSENT = "n/a"  # how BIDS writes a value that is missing or does not apply


def read_table(path: Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a tab-separated table with a header, every cell as text.

    Raises:
        InputError: the file is missing or not UTF-8 text, a required column is missing, or a row has another number of
            cells than the header (with its line).
    """
    lines = read_lines(path)
    header = lines[0].split("\t") if lines else []
    missing = [c for c in required if c not in header]
    if missing:
        raise InputError(f"{path}: line 1: column {missing[0]!r} is missing; found {header}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise InputError(f"{path}: line {number}: {len(cells)} cells; the header has {len(header)}")
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def read_matrix(path: Path, size: int) -> np.ndarray:
    """Reads float64 [F, size] tab-separated numbers without a header.

    Raises:
        InputError: the file is missing or empty, or a row has another number of cells or one that is no number (with
            its line).
    """
    return parse_matrix(read_lines(path), size, "\t", path)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, gzipped where its name ends in .gz.

    Raises:
        InputError: the file is missing, larger than MAX_BYTES when unpacked, or not UTF-8 text.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path}: more than {MAX_BYTES / 1e6:.0f} MB; cut the trial")
        return raw.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise InputError(f"{path}: not readable: {e}") from e


def parse_matrix(lines: Sequence[str], size: int, delimiter: str | None, source: Path) -> np.ndarray:
    """Float64 [F, size] of lines of numbers; `delimiter` None means any white space, `source` is for messages.

    Raises:
        InputError: as `read_matrix`.
    """
    if not any(lines):
        raise InputError(f"{source}: empty; expected rows of {size} numbers")
    try:
        values = np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError as e:
        raise InputError(_first_bad_row(lines, size, delimiter, source) or f"{source}: {e}") from e
    if values.shape[1] != size:
        raise InputError(f"{source}: line 1: {values.shape[1]} columns; expected {size}")
    return values


def _first_bad_row(lines: Sequence[str], size: int, delimiter: str | None, source: Path) -> str | None:
    """The message for the first row that is not `size` numbers; None if every row is."""
    for number, line in enumerate(lines, start=1):
        cells = line.split(delimiter)
        if not line.strip():
            continue
        if len(cells) != size:
            return f"{source}: line {number}: {len(cells)} columns; expected {size}; the file may be cut off"
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                return f"{source}: line {number}, column {column}: {cell!r} is not a number"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

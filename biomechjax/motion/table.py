"""Tables with a header of channel names (`.csv`, `.tsv`, `.parquet`)."""

import csv
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.files import check_size
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording

MAX_CELLS = 2**27  # 1 GiB of float64
TIME = ("time", "time_s", "t")
EMPTY = ("", "nan", "n/a", "na")


def read_text_table(path: Path, options: ReadOptions) -> Recording:
    """A recording from a .csv or .tsv file, its columns named after the channels of a format (canonical by default).

    Time is in a column `time`, `time_s` or `t` in seconds, or `options.rate_hz` is given. Empty cells and nan are gaps.

    Raises:
        InputError: empty or too large, not text, a row of another length or a cell that is no number (with its
            line), both or neither of time and rate, or what `assemble` refuses.
    """
    check_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = [c.strip() for c in next(rows, [])]
            numbers = [_numbers(row, header, rows.line_num, path) for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: not readable as a table: {e}") from e
    _check_header(header, path)
    values = np.array(numbers, np.float64).reshape(-1, len(header))
    return _recording(dict(zip(header, values.T, strict=True)), options, path)


def read_parquet(path: Path, options: ReadOptions) -> Recording:
    """As `read_text_table`, from a Parquet file; nulls are gaps.

    Raises:
        InputError: pyarrow is not installed, or as `read_text_table`.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as e:
        raise InputError(f"{path}: reading Parquet needs pyarrow; pip install 'biomechjax[parquet]'") from e
    check_size(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows * file.metadata.num_columns > MAX_CELLS:
                raise InputError(f"{path}: {file.metadata.num_rows} rows; expected at most {MAX_CELLS} numbers in all")
            _check_header(list(file.schema_arrow.names), path)
            columns = {}
            for field in file.schema_arrow:
                if not (pyarrow.types.is_floating(field.type) or pyarrow.types.is_integer(field.type)):
                    raise InputError(f"{path}: column {field.name!r} holds {field.type}; expected numbers")
                column = file.read([field.name]).column(field.name).cast(pyarrow.float64())
                columns[field.name] = column.to_numpy().astype(np.float64)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as e:  # names of columns in a damaged file
        raise InputError(f"{path}: not readable as Parquet: {e}") from e
    return _recording(columns, options, path)


def _recording(columns: dict[str, np.ndarray], options: ReadOptions, path: Path) -> Recording:
    times = [n for n in columns if n.lower() in TIME]
    if len(times) > 1 or bool(times) == (options.rate_hz is not None):
        found = f"columns {', '.join(times)}" if times else "no column of time"
        given = f" and a rate of {options.rate_hz:g} Hz" if options.rate_hz else ""
        raise InputError(f"{path}: {found}{given}; expected one column of {', '.join(TIME)}, or else the rate")
    timing = options.rate_hz or columns.pop(times[0])
    return assemble(load_format(options.format or CANONICAL), columns, timing, options, path)


def _check_header(header: list[str], path: Path) -> None:
    if not header or "" in header or len(set(header)) != len(header):
        twice = sorted({n for n in header if header.count(n) > 1})
        raise InputError(f"{path}: line 1: expected a name for each column, once; twice or empty: {twice or header}")


def _numbers(row: list[str], header: list[str], line: int, path: Path) -> list[float]:
    if len(row) != len(header):
        raise InputError(f"{path}: line {line}: {len(row)} cells; the header has {len(header)}")
    try:
        return [float(cell) if cell.strip().lower() not in EMPTY else np.nan for cell in row]
    except ValueError:
        name, cell = next((n, c) for n, c in zip(header, row, strict=True) if not _is_number(c))
        raise InputError(f"{path}: line {line}, column {name}: {cell.strip()!r} is not a number") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip() or "nan")
    except ValueError:
        return cell.strip().lower() in EMPTY
    return True

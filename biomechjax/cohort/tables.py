"""Writing tab-separated text, and what the cells of label tables mean; `motion/tsv.py` reads it."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from biomechjax.motion.tsv import ABSENT


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes a table with a header; a value a row lacks, or None, is written as n/a."""
    lines = ["\t".join(columns)]
    for row in rows:
        values = (row.get(c) for c in columns)
        lines.append("\t".join(ABSENT if v is None else str(v) for v in values))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def number_columns(rows: Sequence[Mapping[str, str]]) -> set[str]:
    """The columns whose every cell that is not n/a is a finite number, and that have such a cell."""
    columns = {c for row in rows for c in row}
    return {c for c in columns if _all_numbers([row[c] for row in rows if row.get(c, ABSENT) != ABSENT])}


def _all_numbers(cells: Sequence[str]) -> bool:
    with contextlib.suppress(ValueError):
        return bool(cells) and bool(np.isfinite([float(c) for c in cells]).all())
    return False


def typed(row: Mapping[str, str], numbers: set[str]) -> dict[str, str | float]:
    """The cells of a row without the n/a ones; those of number columns as float."""
    return {c: float(v) if c in numbers else v for c, v in row.items() if v != ABSENT}


def write_matrix(path: Path, values: np.ndarray, decimals: int = 4) -> None:
    """Writes [F, C] numbers, one row a frame, without a header (BIDS Motion).

    One format call over the whole matrix: about five times faster than `np.savetxt`.
    """
    frames, size = values.shape
    line = "\t".join([f"%.{decimals}f"] * size) + "\n"
    path.write_text(line * frames % tuple(values.ravel().tolist()), encoding="ascii")

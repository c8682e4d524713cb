"""The time of frames: it increases, and where its steps are uneven the frames are interpolated onto even ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError

UNEVEN = 0.01  # steps of time that differ by more than this share of their mean are not one rate


def check_increases(time_s: np.ndarray, path: Path, lines: Sequence[int] | None = None) -> None:
    """Nothing, for two or more frames whose time [F] increases.

    Args:
        lines: of the file, one a frame, to name; without them rows are counted from 1.

    Raises:
        InputError: fewer frames, or a time that is not finite or not after the one before.
    """
    if len(time_s) < 2:
        raise InputError(f"{path}: {len(time_s)} rows; expected at least 2")
    wrong = ~np.isfinite(time_s) | np.append(False, time_s[1:] <= time_s[:-1])
    if wrong.any():
        at = int(wrong.argmax())
        where = f"line {lines[at]}" if lines else f"row {at + 1}"
        after = f" after {time_s[at - 1]:g} s" if at else ""
        raise InputError(
            f"{path}: {where}: time {time_s[at]:g} s{after}; expected increasing time; sort the rows or take out what "
            "stands twice"
        )


def even_steps(time_s: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray, list[str]]:
    """Rate in hertz, values [F, C] in even steps of time, and a note where they were interpolated, linearly.

    `time_s` [F] increases (`check_increases`). Steps may differ by UNEVEN from their mean.
    """
    steps = np.diff(time_s)
    rate_hz = float((len(time_s) - 1) / (time_s[-1] - time_s[0]))
    if np.abs(steps * rate_hz - 1).max() <= UNEVEN:
        return rate_hz, values, []
    grid = np.linspace(time_s[0], time_s[-1], len(time_s))
    values = np.stack([np.interp(grid, time_s, column) for column in values.T], axis=1)
    note = f"Time goes on in steps of {steps.min():.4g} to {steps.max():.4g} s; interpolated to {rate_hz:.4g} Hz."
    return rate_hz, values, [note]

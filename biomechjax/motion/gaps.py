"""Points and channels that were not seen in some frames; the same rule for every kind of file.

A gap of up to a fifth of a second is filled, by a cubic spline through the frames around it or, at the ends of a trial,
with the nearest value; what has a longer one counts as not observed. Both are told.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import interpolate

from biomechjax.motion.recording import to_float32

LONGEST_S = 0.2  # a fifth of a stride; a cubic through what lies around it says little about a longer one
METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "meters": 1.0}
"""Units of length that laboratory files name, in lower case, in metres."""


def fill_gaps(
    points: np.ndarray, rate_hz: float, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Points [F, N, K], NaN where not seen, as (points without NaN, seen bool [N], notes); K is 3, or 1 for channels.

    Gaps of up to LONGEST_S are filled by a cubic spline through the frames where the point was seen; at the ends of the
    trial, where there is nothing to interpolate, its nearest position is held. A point with a longer gap, or with
    fewer than four frames, counts as not seen and is 0. Angles must not jump by a turn (`unwrap_seen`).
    """
    missing = np.isnan(points).any(axis=2)
    filled, seen = points.copy(), np.ones(len(names), bool)
    frames = np.arange(len(points))
    short, long = [], []
    for n in map(int, np.flatnonzero(missing.any(axis=0))):
        gap = missing[:, n]
        run = _longest_run(gap)
        if (~gap).sum() < 4 or run > LONGEST_S * rate_hz:
            seen[n], filled[:, n] = False, 0.0
            long.append(f"{names[n]} ({gap.sum()})")
            continue
        first, last = frames[~gap][[0, -1]]
        filled[gap, n] = interpolate.CubicSpline(frames[~gap], points[~gap, n])(frames[gap].clip(first, last))
        short.append(f"{names[n]} ({gap.sum()})")
    notes = []
    if short:
        notes.append(f"Gaps of up to {LONGEST_S} s were filled; frames filled: {', '.join(short)}.")
    if long:
        notes.append(f"Not observed, since a gap is longer than {LONGEST_S} s; frames missing: {', '.join(long)}.")
    return filled, seen, tuple(notes)


def fill_channels(
    values: np.ndarray, rate_hz: float, names: Sequence[str], path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """`fill_gaps` for channels [F, C], radians and metres; as float32.

    Raises:
        InputError: a number is out of bounds (`to_float32`), perhaps one that was filled in.
    """
    to_float32(values, names, path)  # before one that is spreads over a gap
    filled, seen, notes = fill_gaps(values[:, :, None], rate_hz, names)
    return to_float32(filled[:, :, 0], names, path), seen, notes


def unwrap_seen(angles: np.ndarray) -> np.ndarray:
    """Angles [F, C] in radians without jumps by a turn, also across frames where one of them is NaN."""
    out, seen = angles.copy(), np.isfinite(angles).all(axis=1)
    if (np.abs(np.diff(angles[seen], axis=0)) > np.pi).any():  # otherwise not a bit changes, a -0.0 neither
        out[seen] = np.unwrap(angles[seen], axis=0)
    return out


def _longest_run(flags: np.ndarray) -> int:
    """The most True in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))

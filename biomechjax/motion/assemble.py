"""Named columns of numbers, from whatever file, put together as a recording of one format."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat
from biomechjax.motion.knees import bend_knees_negative
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording

UNEVEN = 0.01  # steps of time that differ by more than this share of their mean are not one rate


def assemble(
    format: MotionFormat,
    columns: Mapping[str, np.ndarray],
    rate_hz: float,
    options: ReadOptions,
    path: Path,
    notes: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
) -> Recording:
    """A recording from columns [F] by channel name.

    Columns that are no channel of the format are dropped, those without a single number are not observed, and a
    heading that jumps by a turn goes on; each is noted. Canonical knees are turned to bend negative.

    Args:
        columns: numbers as the file has them; angles in `options.unit`, lengths in `options.unit_m`.
        labels: names of everything in the file, for telling its model; the columns if empty.

    Raises:
        InputError: no column is a channel, the unit of angles is not given, angles said to be in radians are whole
            turns, or what `Recording` checks.
    """
    said = list(notes)
    if dropped := [n for n in columns if n not in format.indices]:
        said.append(f"{len(dropped)} columns are no channel of format {format.name}; dropped: {_list(dropped)}.")
    found = {n: v for n, v in columns.items() if n in format.indices}
    if not found:
        raise InputError(
            f"{path}: no column is a channel of format {format.name} (such as {format.names[0]}); "
            f"found {_list(list(columns))}; give its format"
        )
    if empty := [n for n, v in found.items() if np.isnan(v).all()]:
        said.append(f"{len(empty)} channels are empty and count as not observed: {_list(empty)}.")
    values = np.zeros((len(next(iter(found.values()))), format.size))
    observed = np.zeros(format.size, bool)
    for name, column in found.items():
        if name in empty:
            continue
        index = format.indices[name]
        angle = format.channels[index].unit == "rad"
        values[:, index] = _in_radians(column, name, options, path) if angle else column * _metres(options)
        observed[index] = True
    if format.root and observed[heading := format.indices[format.root.heading]]:
        # A gap is left as it is, for the recording to tell.
        if np.isfinite(values[:, heading]).all():
            values[:, heading] = np.unwrap(values[:, heading])
    if format.name == CANONICAL and np.isfinite(values).all():
        said += bend_knees_negative(format, values, labels or tuple(columns))
    return Recording(format, rate_hz, values.astype(np.float32), observed, str(path), tuple(said))


def even_steps(
    time_s: np.ndarray, columns: dict[str, np.ndarray], path: Path
) -> tuple[float, dict[str, np.ndarray], tuple[str, ...]]:
    """Rate in hertz and the columns in even steps of time, interpolated linearly with a note where they were not.

    Raises:
        InputError: fewer than two frames, or time is not finite and increasing (with the row, from 1).
    """
    if len(time_s) < 2:
        raise InputError(f"{path}: {len(time_s)} rows; expected at least 2")
    wrong = ~(np.isfinite(time_s) & np.append(True, np.diff(time_s) > 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{path}: row {row + 1}: time is {time_s[row]:g}; expected seconds that increase")
    steps = np.diff(time_s)
    rate_hz = (len(time_s) - 1) / (time_s[-1] - time_s[0])
    if np.abs(steps * rate_hz - 1).max() <= UNEVEN:
        return rate_hz, columns, ()
    grid = np.linspace(time_s[0], time_s[-1], len(time_s))
    even = {name: np.interp(grid, time_s, column) for name, column in columns.items()}
    note = f"Time goes on in steps of {steps.min():.4g} to {steps.max():.4g} s; interpolated to {rate_hz:.4g} Hz."
    return rate_hz, even, (note,)


def _metres(options: ReadOptions) -> float:
    return 1.0 if options.unit_m is None else options.unit_m


def _in_radians(angle: np.ndarray, name: str, options: ReadOptions, path: Path) -> np.ndarray:
    if options.unit is None:
        raise InputError(f"{path}: the file does not say the unit of its angles ({name}); give the unit, deg or rad")
    if options.unit == "deg":
        return np.deg2rad(angle)
    # No joint spends half a trial beyond a full turn.
    if (median := np.nanmedian(np.abs(angle))) > 2 * np.pi:
        raise InputError(f"{path}: {name} is beyond {median:.0f} rad half of the time; give the unit deg if it is")
    return angle


def _list(names: list[str]) -> str:
    return ", ".join(names)

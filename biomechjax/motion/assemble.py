"""Named columns of numbers, from whatever file, put together as a recording of one format."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat
from biomechjax.motion.gaps import fill_channels, unwrap_seen
from biomechjax.motion.knees import bend_knees_negative
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording
from biomechjax.motion.timing import check_increases, even_steps

GIVE_DEGREES = "give the unit deg (in the header of a .mot or .sto, inDegrees=yes)"
GIVE_RADIANS = "give the unit rad (in the header of a .mot or .sto, inDegrees=no)"


def assemble(
    format: MotionFormat,
    columns: Mapping[str, np.ndarray],
    timing: float | np.ndarray,
    options: ReadOptions,
    path: Path,
    notes: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    turn_knees: bool = True,
) -> Recording:
    """A recording from columns [F] by channel name, NaN where there is no number.

    Columns that are no channel of the format are dropped, those without a single number are not observed, and a
    heading that jumps by a turn goes on. Gaps are treated as in `fill_gaps`. Canonical knees are turned to bend
    negative. What was done is noted.

    Args:
        columns: numbers as the file has them; angles in `options.unit`, lengths in `options.unit_m`.
        timing: frames per second, or the time of each frame in seconds [F]. Uneven steps are interpolated linearly onto
            as many even ones, with a note.
        labels: names of everything in the file, for telling its model; the columns if empty.
        turn_knees: False for what is known to be canonical, knees included.

    Raises:
        InputError: no column is a channel, the unit of angles is not given, angles said to be in radians are whole
            turns, time is not finite and increasing (with the row, from 1), or what `fill_channels` and `Recording`
            check.
    """
    said = list(notes)
    if dropped := [n for n in columns if n not in format.indices]:
        said.append(f"{len(dropped)} columns are no channel of format {format.name}; dropped: {', '.join(dropped)}.")
    found = {n: v for n, v in columns.items() if n in format.indices}
    if not found:
        raise InputError(
            f"{path}: no column is a channel of format {format.name} (such as {format.names[0]}); "
            f"found {', '.join(columns)}; give its format"
        )
    if empty := [n for n, v in found.items() if np.isnan(v).all()]:
        said.append(f"{len(empty)} channels are empty and count as not observed: {', '.join(empty)}.")
    values = np.zeros((len(next(iter(found.values()))), format.size))
    observed = np.array([n in found and n not in empty for n in format.names])
    for index in np.flatnonzero(observed):
        name, column = format.names[index], found[format.names[index]]
        angle = format.channels[index].unit == "rad"
        values[:, index] = _in_radians(column, name, options, path) if angle else column * (options.unit_m or 1.0)
    _check_unit(format, values, options, path, said)
    if format.root:
        heading = [format.indices[format.root.heading]]
        values[:, heading] = unwrap_seen(values[:, heading])
    if isinstance(timing, np.ndarray):
        check_increases(timing, path)
        timing, values, uneven = even_steps(timing, values)
        said += uneven
    values, seen, gap_notes = fill_channels(values, timing, format.names, path)
    said += gap_notes
    if turn_knees and format.name == CANONICAL:
        said += bend_knees_negative(format, values, labels or tuple(columns))
    return Recording(format, timing, values, observed & seen, str(path), tuple(said))


def _in_radians(angle: np.ndarray, name: str, options: ReadOptions, path: Path) -> np.ndarray:
    if options.unit is None:
        raise InputError(f"{path}: the file does not say the unit of its angles ({name}); give the unit, deg or rad")
    return np.deg2rad(angle) if options.unit == "deg" else angle


def _check_unit(format: MotionFormat, values: np.ndarray, options: ReadOptions, path: Path, said: list[str]) -> None:
    """Refuses degrees that are called radians, and notes what may be the opposite."""
    if not format.angles.any() or np.isnan(values).all():
        return
    if options.unit == "deg":
        largest = np.rad2deg(np.nanmax(np.abs(values[:, format.angles])))
        if 0 < largest < 2 * np.pi:
            said.append(f"No angle is beyond {largest:.1f} degrees; if they are radians, {GIVE_RADIANS}.")
        return
    # No joint spends half a trial beyond a full turn.
    median = np.nanmedian(np.abs(values), axis=0) * format.angles
    if median.max() > 2 * np.pi:
        raise InputError(
            f"{path}: {format.names[int(median.argmax())]} is beyond {median.max():.0f} rad half of the time; "
            f"{GIVE_DEGREES} if it is"
        )

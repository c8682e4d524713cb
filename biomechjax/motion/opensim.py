"""OpenSim coordinates (`.mot`, `.sto`) as recordings of the canonical format."""

from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat, load_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.storage import read_storage, to_float32

UNEVEN = 0.01  # steps of time that differ by more than this share of their mean are not one rate
KNEES = ("knee_angle_r", "knee_angle_l")


def read_opensim(path: Path | str) -> Recording:
    """A recording of format `canonical` from a coordinate or state file of OpenSim.

    Columns are matched by coordinate name; `/jointset/hip_r/hip_flexion_r/value` is `hip_flexion_r`. Columns that are
    no canonical channel are dropped and listed in the notes; canonical channels that the file lacks are unobserved.
    Angles become radians (see `read_storage` for which unit a file is in), and a heading that jumps by a turn goes on.

    Canonical knees bend negative, as in gait2392, gait2354, gait10dof and Hamner's model; those of Rajagopal's, which
    OpenCap uses, bend positive and are turned over. A coupled `knee_angle_r_beta` or `_l_beta` marks Rajagopal's
    family; in other files the direction in which the knees move further decides. A note says which it was.

    Time steps that are not all the same are interpolated linearly onto as many even ones, with a note.

    Raises:
        InputError: as `read_storage`; no column is a canonical channel, a channel stands twice, angles said to be in
            radians are whole turns, or a number is no movement's.
    """
    path, format = Path(path), load_format("canonical")
    storage = read_storage(path)
    columns = {}
    dropped = []
    for column, label in enumerate(storage.labels):
        name = _coordinate(label)
        if name not in format.indices:
            dropped.append(label)
        elif name in columns:
            raise InputError(f"{path}: column {label!r}: {name} stands twice; keep one of them")
        else:
            columns[name] = column
    if not columns:
        raise InputError(
            f"{path}: no column is a coordinate of format {format.name} (such as hip_flexion_r); "
            f"found {', '.join(storage.labels)}"
        )
    notes = [*storage.notes]
    if dropped:
        notes.append(f"{len(dropped)} columns are no canonical channel and were dropped: {', '.join(dropped)}.")
    values = np.zeros((len(storage.values), format.size))
    observed = np.zeros(format.size, bool)
    for name, column in columns.items():
        index = format.indices[name]
        turn = storage.in_degrees and format.channels[index].unit == "rad"
        values[:, index] = np.deg2rad(storage.values[:, column]) if turn else storage.values[:, column]
        observed[index] = True
    if not storage.in_degrees:
        _check_radians(format, values, path)
    assert format.root is not None
    heading = format.indices[format.root.heading]
    values[:, heading] = np.unwrap(values[:, heading])
    rate_hz, values, time_notes = even(storage.time_s, values)
    notes += [*time_notes, *_bend_knees_negative(format, values, storage.labels)]
    return Recording(format, rate_hz, to_float32(values, format.names, path), observed, str(path), tuple(notes))


def _coordinate(label: str) -> str:
    """The coordinate whose position a column holds: `a/b/NAME/value` is NAME; speeds keep their whole path."""
    return label.removesuffix("/value").rpartition("/")[2] if label.endswith("/value") else label


def even(time: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray, list[str]]:
    """Rate in hertz, values [F, C] in even steps of time, and a note where they had to be made even.

    `time` is in seconds and increases. Steps may differ by UNEVEN from their mean.
    """
    steps = np.diff(time)
    rate_hz = (len(time) - 1) / (time[-1] - time[0])
    if np.abs(steps * rate_hz - 1).max() <= UNEVEN:
        return rate_hz, values, []
    grid = np.linspace(time[0], time[-1], len(time))
    values = np.stack([np.interp(grid, time, column) for column in values.T], axis=1)
    note = f"Time goes on in steps of {steps.min():.4g} to {steps.max():.4g} s; interpolated to {rate_hz:.4g} Hz."
    return rate_hz, values, [note]


def _check_radians(format: MotionFormat, values: np.ndarray, path: Path) -> None:
    """No joint spends half a trial beyond a full turn; such angles are degrees in a header that forgot to say so."""
    for channel, angle in zip(format.channels, np.median(np.abs(values), axis=0), strict=True):
        if np.isfinite(channel.upper) and angle > 2 * np.pi:
            raise InputError(
                f"{path}: {channel.name} is beyond {angle:.0f} rad half of the time; "
                "if the angles are degrees, write inDegrees=yes in the header"
            )


def _bend_knees_negative(format: MotionFormat, values: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    """Turns knees that bend positive over, in place, and says what was found."""
    columns = [format.indices[n] for n in KNEES]
    knees = values[:, columns]
    if not knees.any():
        return []
    low, high = np.percentile(knees, (5, 95))
    couplers = [n for n in labels if _coordinate(n) in tuple(f"{k}_beta" for k in KNEES)]
    if couplers:
        positive, reason = True, f"column {couplers[0]} is of the Rajagopal and OpenCap models"
    else:
        positive = abs(high) > abs(low)
        reason = f"knee angles lie between {np.rad2deg(low):.0f} and {np.rad2deg(high):.0f} degrees"
    if positive:
        values[:, columns] = -knees
    found = "positive in the file, turned to negative" if positive else "negative, as in the canonical format"
    return [f"Knee flexion is {found}: {reason}."]

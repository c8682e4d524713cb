"""Invertible features that do not depend on where a person stands or which way they face.

For a format with a root, the planar position becomes a velocity in the heading frame and the heading a yaw rate; every
other channel stays as it is, so there are as many features as channels and column i describes channel i:

    forward  [t] = (dx cos h - dz sin h) * rate     metres per second, h the heading at frame t - 1
    lateral  [t] = (dx sin h + dz cos h) * rate     metres per second, positive to the right
    heading  [t] = dh * rate                        radians per second, positive to the left

Where the root names tilt and list, which OpenSim turns about axes of the room, they and the heading are taken with the
heading first (`pelvis`), in which order they mean the same whichever way a person faces; tilt and heading never jump.
Frame 0 repeats frame 1. Where the format's reference is "start", the posture of the trial's first tenth of a second is
subtracted from every other channel.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from biomechjax.motion.format import MotionFormat
from biomechjax.motion.pelvis import heading_first, opensim_order

START_S = 0.1


@dataclasses.dataclass(frozen=True)
class Placement:
    """What features leave out: where the first frame stands, and the reference posture.

    Attributes:
        x, z, heading: metres and radians, the heading as in the features; the default is the origin, facing +x.
        posture: [C] what was subtracted, or 0.
    """

    x: float = 0.0
    z: float = 0.0
    heading: float = 0.0
    posture: np.ndarray | float = 0.0


def to_features(format: MotionFormat, rate_hz: float, values: np.ndarray) -> tuple[np.ndarray, Placement]:
    """Channels [F, C] to features [F, C], and the placement that `from_features` needs to undo it."""
    posture: np.ndarray | float = 0.0
    values = with_heading_first(format, values)
    if format.reference == "start":
        posture = values[: max(1, round(START_S * rate_hz))].mean(axis=0)
    if format.root is None:
        return values - posture, Placement(posture=posture)
    forward, lateral, heading = _root_columns(format)
    x, z, h = (values[:, i].astype(np.float64) for i in (forward, lateral, heading))
    dx, dz, dh = np.diff(x), np.diff(z), np.diff(h)
    cos, sin = np.cos(h[:-1]), np.sin(h[:-1])
    out = values - posture
    for column, rate in ((forward, dx * cos - dz * sin), (lateral, dx * sin + dz * cos), (heading, dh)):
        out[1:, column] = rate * rate_hz
        out[0, column] = out[1, column]
    return out, Placement(x[0], z[0], h[0], posture)


def from_features(
    format: MotionFormat, rate_hz: float, features: np.ndarray, placement: Placement = Placement()
) -> np.ndarray:
    """Features [F, C] back to channels [F, C], starting at `placement`."""
    if format.root is None:
        return features + placement.posture
    forward, lateral, heading = _root_columns(format)
    f, s, w = (features[1:, i].astype(np.float64) / rate_hz for i in (forward, lateral, heading))
    h = placement.heading + np.concatenate([[0.0], np.cumsum(w)])
    cos, sin = np.cos(h[:-1]), np.sin(h[:-1])
    out = features + placement.posture
    out[:, heading] = h
    out[:, forward] = placement.x + np.concatenate([[0.0], np.cumsum(f * cos + s * sin)])
    out[:, lateral] = placement.z + np.concatenate([[0.0], np.cumsum(s * cos - f * sin)])
    return with_heading_last(format, out)


def with_heading_first(format: MotionFormat, values: np.ndarray) -> np.ndarray:
    """Channels [F, C] with the pelvis's angles in the order in which features have them, if the root names them."""
    return _reordered(format, values, heading_first)


def with_heading_last(format: MotionFormat, values: np.ndarray) -> np.ndarray:
    """Undoes `with_heading_first`."""
    return _reordered(format, values, opensim_order)


def _reordered(format: MotionFormat, values: np.ndarray, order: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if format.root is None or format.root.tilt is None or format.root.list is None:
        return values
    columns = [format.indices[n] for n in (format.root.tilt, format.root.list, format.root.heading)]
    angles = order(values[:, columns])
    angles[:, [0, 2]] = np.unwrap(angles[:, [0, 2]], axis=0)
    out = values.copy()
    out[:, columns] = angles
    return out


def _root_columns(format: MotionFormat) -> tuple[int, int, int]:
    assert format.root is not None
    return tuple(format.indices[n] for n in format.root.place)  # type: ignore[return-value]

"""Feet that stand: which of their points rest on the floor, and how fast those slide over it.

For NumPy arrays and JAX's alike. The four points of the feet are heel right and left, ball right and left.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from biomechjax.motion.body import skeleton
from biomechjax.motion.kinematics import Pose

Array = Any  # NumPy's or JAX's
POINTS = ("heel_r", "heel_l", "ball_r", "ball_l")
# Chosen here, so that feet are seen to stand through the wavering of markerless capture (3 degrees a joint) on a body
# of another height than the person's. A swinging foot reaches metres a second.
SMOOTHING_S = 0.1
FLOOR_M = 0.07
STILL_M_S = 0.3


def foot_points(pose: Pose) -> Array:
    """[..., F, 4, 3] of a pose, in the order of `POINTS`."""
    return _numpy_of(pose.heels).concatenate([pose.heels, pose.balls], axis=-2)


def placed(observed: Array) -> Array:
    """1 for each point that observed angles alone place, else 0: observed [..., C] of 0 and 1 to [..., 4]."""
    needed = np.stack([skeleton().turning[skeleton().points[name][0]] for name in POINTS])
    return 1.0 * ((1 - observed) @ needed.T == 0)


def horizontal_speed(points: Array, rate_hz: float) -> Array:
    """Metres per second [..., F-1, 4] of points [..., F, 4, 3] from frame to frame."""
    return length((points[..., 1:, :, :] - points[..., :-1, :, :])[..., ::2]) * rate_hz


def length(vectors: Array) -> Array:
    """Euclidean length [...] of [..., n]; with a derivative, 0, where it is 0."""
    square, where = (vectors**2).sum(-1), _numpy_of(vectors).where
    return where(square > 0, where(square > 0, square, 1) ** 0.5, 0)


def standing(points: Array, rate_hz: float, valid: Array) -> Array:
    """Where a point stands from a frame to the next: [..., F-1, 4] of 0 and 1 for points [..., F, 4, 3].

    Smoothed over `SMOOTHING_S` (standard deviation of a Gaussian), it is slower than `STILL_M_S` and within `FLOOR_M`
    of the lowest point in the frames that `valid` [..., F] marks with 1. On a floor that is not level only points at
    its lowest place stand.
    """
    smoothed = _smoothed(points, SMOOTHING_S * rate_hz, valid[..., None, None])
    height = smoothed[..., 1]
    floor = (height + 1e6 * (1 - valid[..., None])).min((-2, -1))
    low = (height - floor[..., None, None] < FLOOR_M) * valid[..., None]
    return low[..., 1:, :] * low[..., :-1, :] * (horizontal_speed(smoothed, rate_hz) < STILL_M_S)


def _smoothed(points: Array, sigma: float, valid: Array) -> Array:
    """Points [..., F, 4, 3] over the frames that are valid [..., F, 1, 1]."""
    reach = int(np.ceil(3 * sigma))
    frames = points.shape[-3]

    def spread(x: Array) -> Array:
        wide = _numpy_of(x).pad(x, [(0, 0)] * (x.ndim - 3) + [(reach, reach), (0, 0), (0, 0)])
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        return sum(float(w) * wide[..., k : k + frames, :, :] for k, w in enumerate(weights))

    return spread(points * valid) / (spread(valid) + (1 - valid))  # padding is divided by something


def _numpy_of(x: Array) -> Any:
    return np if isinstance(x, np.ndarray) else jnp

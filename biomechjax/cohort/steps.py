"""Where and when each foot stands, and the way of the feet between, from a pattern of movement that carries the pelvis.

A pattern of joint angles on a travelling pelvis lets feet slide: no table fits every pace, turn and posture. Here each
stance gets one place, where the pattern's foot is while it moves least, and between two stances the foot follows the
pattern with an offset that goes smoothly from the one to the other (Kovar et al. 2002, Footskate cleanup for motion
capture editing). Heel and ball are planted one by one: the heel from the strike until it rises, the ball from foot flat
until toe-off.
"""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d

from biomechjax.cohort.signals import RATE_HZ, ramp

HEEL, BALL = 0, 1
HEEL_RISE = 0.24  # of the cycle before toe-off (Perry & Burnfield 2010: heel off at 31 to 35 %, toe-off at 60)
BALL_RISE = 0.04  # when only the toes are left on the floor (chosen here)
FOOT_FLAT = 0.07  # of the cycle after the strike (Perry & Burnfield 2010)
CLEARANCE_M = 0.016  # of the foot over the floor in mid-swing (Winter 1992, Phys Ther 72:45)
SLOW_M_S = 0.05  # a foot this slow stands
SOFT_M = 0.004


@dataclasses.dataclass(frozen=True)
class Timing:
    """When a foot stands: from phase `start` of the cycle on, for the share `stance` of it."""

    start: float
    stance: float


def planted(phase: np.ndarray, moving: np.ndarray, timing: Timing) -> np.ndarray:
    """Whether heel and ball [F, 2] of a foot stay in place, by phase [F] and whether the feet step at all [F]."""
    own = (phase - timing.start) % 1
    heel, ball = own < timing.stance - HEEL_RISE, (own >= FOOT_FLAT) & (own < timing.stance - BALL_RISE)
    return np.stack([heel, ball], axis=1) | ~moving[:, None]


def support(phase: np.ndarray, moving: np.ndarray, timing: Timing) -> np.ndarray:
    """Say [F] of a leg in how high the pelvis is: none in swing, soon all after the strike, when a leg is straight, and
    fading as the heel rises, since a bent trailing leg gives way."""
    own = (phase - timing.start) % 1
    load = np.clip(np.minimum(own / 0.03, (timing.stance - own) / HEEL_RISE), 0, 1)
    return gaussian_filter1d(np.where(moving, load, 1.0), 1.0, mode="nearest")


def footsteps(feet: np.ndarray, stays: np.ndarray, length: float) -> np.ndarray:
    """Ways [F, 2, 3] of heel and ball of one foot that stand on the floor where and while they are planted.

    Args:
        feet: [F, 2, 3] the pattern's heel and ball in metres in the room.
        stays: bool [F, 2] whether each is planted.
        length: metres from heel to ball.
    """
    offset = np.zeros_like(feet)
    velocity = np.gradient(feet[:, BALL, [0, 2]], 1 / RATE_HZ, axis=0)
    still = 1 / ((velocity**2).sum(axis=1) + SLOW_M_S**2)
    for first, last in runs(np.any(stays, axis=1)):
        stance = np.arange(first, last)
        flat = stays[stance].all(axis=1)
        of = stance[flat] if flat.any() else stance
        weight = still[of] / still[of].sum()
        ball = weight @ feet[of, BALL]
        along = weight @ (feet[of, BALL] - feet[of, HEEL])
        ball[1] = along[1] = 0.0
        along *= length / np.linalg.norm(along)
        offset[stance] = np.stack([ball - along, ball]) - feet[stance]
    out = feet.copy()
    for point in (HEEL, BALL):
        moving = [(a, b) for a, b in runs(~stays[:, point])]
        for first, last in moving:
            _bridge(offset[:, point], first, last)
        out[:, point] = feet[:, point] + offset[:, point]
    low = clearance(stays)[:, None]
    out[..., 1] = low + SOFT_M * np.logaddexp(0, (out[..., 1] - low) / SOFT_M) * ~stays
    _keep_length(out, stays, length)
    return gaussian_filter1d(out, 0.8, axis=0, mode="nearest")


def clearance(stays: np.ndarray) -> np.ndarray:
    """Least height [F] in metres of a foot whose heel and ball are planted [F, 2]: 0, but for the middle of a swing."""
    low = np.zeros(len(stays))
    for first, last in runs(~np.any(stays, axis=1)):
        low[first:last] = CLEARANCE_M * np.sin(np.pi * (np.arange(first, last) - first + 1) / (last - first + 1)) ** 2
    return low


def _keep_length(ways: np.ndarray, stays: np.ndarray, length: float) -> None:
    """Moves heel and ball [F, 2, 3] apart or together along the floor, in place, until `length` is between them; one
    that is planted stays, and of two in the air each goes half the way."""
    between = ways[:, BALL] - ways[:, HEEL]
    flat = np.hypot(between[:, 0], between[:, 2])
    wanted = np.sqrt(np.maximum(length**2 - between[:, 1] ** 2, (0.3 * length) ** 2))
    missing = (wanted / np.maximum(flat, 0.1 * length) - 1)[:, None] * between[:, [0, 2]]
    free = (~stays).astype(float)
    share = np.where(free.any(axis=1), free[:, HEEL] / np.maximum(free.sum(axis=1), 1), 0.5)[:, None]
    ways[:, HEEL, ::2] -= share * missing
    ways[:, BALL, ::2] += (1 - share) * missing


def runs(true: np.ndarray) -> list[tuple[int, int]]:
    """(first, one past the last) frame of each run of true frames."""
    edges = np.flatnonzero(np.diff(np.pad(true, 1).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bridge(offset: np.ndarray, first: int, last: int) -> None:
    """Fills frames `first` to `last` of an offset [F, 3] from the one before to the one after, in place."""
    before, after = offset[max(first - 1, 0)], offset[min(last, len(offset) - 1)]
    if first == 0:
        before = after
    if last == len(offset):
        after = before
    part = ramp(np.arange(first, last, dtype=float), first - 1, last)[:, None]
    offset[first:last] = (1 - part) * before + part * after

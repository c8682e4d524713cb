"""When the feet touch and leave the ground, from joint angles alone.

After Zeni et al. 2008 (Gait & Posture 27:710): seen from the pelvis, a foot is furthest ahead shortly before it strikes
and furthest behind shortly after it has left. Between those turning points it goes backwards with the ground, as fast
as the person walks, on a treadmill as in a room. Zeni takes the turning points themselves; here the foot counts as on
the ground while it goes back with at least half of that speed, which is later for strikes and earlier for offs: against
the labelled events of 12 children who walk straight ahead (biomechZoo), strikes are early by 19 ms (median) instead of
40 ms, offs by 7 ms instead of late by 13 ms.

Steps are found where the feet pass each other (the distance between them, whose maxima and minima alternate), so that
sitting down, where both feet move together, is no step.
"""

import dataclasses

import numpy as np
from jax import Array
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from biomechjax.errors import InputError
from biomechjax.motion.body import DEFAULT_HEIGHT_M, skeleton
from biomechjax.motion.kinematics import Pose, recorded_pose
from biomechjax.motion.recording import Recording

RIGHT, LEFT = 0, 1
SIDES = ("r", "l")
# Shorter steps, as a share of body height, are not told from the wavering of markerless capture (3 degrees a joint).
SHORTEST_STEP = 0.12
FEWEST_STEPS = 3
SHORT_S = 2.0  # a recording up to this long may show no more than two steps
LONGEST_STEP_S = 2.0
# Facing is averaged over about a stride, so that the pelvis's swing is no turn.
FACING_HZ = 0.35
NEEDED = ("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l")


@dataclasses.dataclass(frozen=True, eq=False)
class Feet:
    """The feet as seen from the pelvis.

    Attributes:
        rate_hz: frames per second.
        height_m: of the body that the angles were put on.
        pose: where everything is.
        facing: [F] direction of the pelvis from above in radians, positive to the left, smoothed over about a stride.
        heels, balls: [F, 2] how far they are ahead of the pelvis in metres; right, left.
    """

    rate_hz: float
    height_m: float
    pose: Pose
    facing: np.ndarray
    heels: np.ndarray
    balls: np.ndarray

    def frame(self, time: float) -> int:
        """The frame nearest to a moment in seconds."""
        return min(round(time * self.rate_hz), len(self.facing) - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class GaitEvents:
    """Moments in seconds from the first frame, ascending; right, left.

    Attributes:
        strikes, offs: when the foot touches and leaves the ground.
        passings: when the foot swings past the other. Feet are fastest there, so that a joint angle that is off by some
            degrees moves a passing by little: the rhythm of the steps is seen best in these.
        walks: (first, last) moment of each run of steps, at which one foot is furthest ahead of the other.
        step_s: the typical time from step to step; nan where there are none.
        reason: why there are no events; empty where there are some.
    """

    strikes: tuple[np.ndarray, np.ndarray]
    offs: tuple[np.ndarray, np.ndarray]
    passings: tuple[np.ndarray, np.ndarray]
    walks: tuple[tuple[float, float], ...]
    step_s: float
    reason: str = ""


def observe_feet(recording: Recording, height_m: float = DEFAULT_HEIGHT_M) -> Feet:
    """Puts the recorded angles on a body of a height and looks at its feet.

    Raises:
        InputError: another format than "canonical", or flexion of a hip or knee was not recorded.
    """
    pose = recorded_pose(recording, height_m)
    missing = [n for n in NEEDED if not recording.observed[recording.format.indices[n]]]
    if missing:
        raise InputError(f"{recording.source}: steps are seen from hips and knees; not recorded: {', '.join(missing)}")
    facing = smooth(heading(pose), FACING_HZ, recording.rate_hz)
    heels, balls = (
        ahead(places - pose.joints[:, :1], facing[:, None]).astype(float) for places in (pose.heels, pose.balls)
    )
    return Feet(recording.rate_hz, height_m, pose, facing, heels, balls)


def heading(pose: Pose) -> np.ndarray:
    """Direction [F] of the pelvis from above in radians, positive to the left, without jumps: square to its hips."""
    index = skeleton().index
    across = pose.joints[:, index("femur_r")] - pose.joints[:, index("femur_l")]
    return np.unwrap(np.arctan2(across[:, 0], across[:, 2]).astype(float))


def ahead(places: Array | np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Component [...] of [..., 3] in the direction faced."""
    return np.asarray(places[..., 0] * np.cos(facing) - places[..., 2] * np.sin(facing))


def smooth(x: np.ndarray, cutoff_hz: float, rate_hz: float) -> np.ndarray:
    """Gaussian low-pass along frames [F, ...], half the power left at the cutoff; no lag, for any length."""
    sigma = np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz) * rate_hz
    return gaussian_filter1d(x, sigma, axis=0, mode="nearest")


def gait_events(feet: Feet) -> GaitEvents:
    """Foot strikes and foot offs between frames; without steps a reason."""
    leads = _leads(feet, 3.0)
    if len(leads) < 2:
        return _nothing()
    frames = np.array([at for at, _ in leads])
    # Over strides, since sides may differ.
    step = float(np.median((frames[2:] - frames[:-2]) / 2 if len(frames) > 2 else np.diff(frames)))
    cutoff = float(np.clip(3 / step * feet.rate_hz, 2.5, 7.0))  # six times the stride frequency
    fewest = FEWEST_STEPS if len(feet.facing) > SHORT_S * feet.rate_hz else 2
    runs = _runs(_leads(feet, cutoff), min(1.75 * step, LONGEST_STEP_S * feet.rate_hz), fewest)
    if not runs:
        return _nothing()
    leads = [lead for run in runs for lead in run]
    heels, balls = (smooth(x, cutoff, feet.rate_hz) for x in (feet.heels, feet.balls))
    first, last = leads[0][0], leads[-1][0]
    speed = -float(np.median(np.gradient(balls, axis=0)[first:last].min(axis=1)))  # metres per frame
    strikes: tuple[list[float], list[float]] = ([], [])
    offs: tuple[list[float], list[float]] = ([], [])
    for at, side in leads:
        strike = _turns_back(heels[:, side], at, step, speed)
        # Reversed in time and direction, a foot that leaves the ground is one that touches it.
        off = _turns_back(-balls[::-1, 1 - side], len(balls) - 1 - at, step, speed)
        if strike is not None:
            strikes[side].append(strike / feet.rate_hz)
        if off is not None:
            offs[1 - side].append((len(balls) - 1 - off) / feet.rate_hz)
    found = [tuple(np.unique(times) for times in both) for both in (strikes, offs)]
    walks = tuple((run[0][0] / feet.rate_hz, run[-1][0] / feet.rate_hz) for run in runs)
    passings = _passings(heels + balls, feet.rate_hz)
    return GaitEvents(found[0], found[1], passings, walks, step / feet.rate_hz)  # type: ignore[arg-type]


def _nothing() -> GaitEvents:
    reason = f"no {FEWEST_STEPS} steps in a row of at least {SHORTEST_STEP:.0%} of body height: standing, or too short"
    nothing = (np.zeros(0), np.zeros(0))
    return GaitEvents(nothing, nothing, nothing, (), np.nan, reason)


def _leads(feet: Feet, cutoff_hz: float) -> list[tuple[int, int]]:
    """Frames at which a foot is furthest ahead of the other, and which foot."""
    apart = smooth(feet.balls[:, RIGHT] - feet.balls[:, LEFT], cutoff_hz, feet.rate_hz)
    low, high = np.percentile(apart, (5, 95))
    prominence = max(0.35 * (high - low), 2 * SHORTEST_STEP * feet.height_m)
    found = []
    for side, sign in ((RIGHT, 1), (LEFT, -1)):
        # Mirrored at both ends, so that a peak near an end is judged by its other flank.
        mirrored = np.pad(sign * apart, len(apart) - 1, mode="reflect")
        peaks = find_peaks(mirrored, prominence=prominence)[0] - (len(apart) - 1)
        found += [(int(p), side) for p in peaks if 0 < p < len(apart) - 1]
    return sorted(found)


def _passings(ahead_m: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds at which the right and the left foot get past the other, from how far they are ahead [F, 2]."""
    lead = ahead_m[:, RIGHT] - ahead_m[:, LEFT]
    n = np.flatnonzero((lead[:-1] < 0) != (lead[1:] < 0))
    times = (n + lead[n] / (lead[n] - lead[n + 1])) / rate_hz
    return times[lead[n] < 0], times[lead[n] >= 0]


def _runs(leads: list[tuple[int, int]], longest: float, fewest: int) -> list[list[tuple[int, int]]]:
    """Leads of one side after the other with no more than `longest` frames between two, at least `fewest` in a run."""
    runs: list[list[tuple[int, int]]] = []
    for lead in leads:
        if runs and lead[1] != runs[-1][-1][1] and lead[0] - runs[-1][-1][0] <= longest:
            runs[-1].append(lead)
        else:
            runs.append([lead])
    return [run for run in runs if len(run) >= fewest]


def _turns_back(x: np.ndarray, at: int, step: float, speed: float) -> float | None:
    """Where [F] falls at half of `speed` a frame after its highest point about half a step around frame `at`.

    A foot that is never that fast within the next step counts from half of its own highest speed.
    """
    first, last = max(0, round(at - 0.5 * step)), min(len(x), round(at + 0.5 * step) + 1)
    top = first + int(np.argmax(x[first:last]))
    while 0 < top and x[top - 1] > x[top]:  # it was highest before, and falls already
        top -= 1
    if top in (0, len(x) - 1):
        return None
    velocity = np.diff(x[top - 1 : round(top + step) + 2])  # the first upwards, between frames top - 1 and top
    threshold = -0.5 * min(speed, -velocity.min())
    n = int(np.argmax(velocity <= threshold))
    return top - 1.5 + n + (velocity[n - 1] - threshold) / (velocity[n - 1] - velocity[n])

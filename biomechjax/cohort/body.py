"""From what a person is to do, frame by frame, to the 40 channels of the body that does it."""

import dataclasses
import functools

import numpy as np
from scipy.ndimage import gaussian_filter1d

from biomechjax.cohort.cycle import PHASES, SUFFIX, canonical, cycle_table, timings
from biomechjax.cohort.legs import lengths
from biomechjax.cohort.pattern import Pattern
from biomechjax.cohort.people import Person
from biomechjax.cohort.posture import postures
from biomechjax.cohort.signals import RATE_HZ, limit_softly, smooth_noise
from biomechjax.cohort.stance import Contact, stand
from biomechjax.cohort.steps import Timing, runs
from biomechjax.motion.pelvis import opensim_order

# Step length over leg length at which the feet of the cycle table go as fast as the floor (fitted to its curves).
NORMAL_STEP = 0.74


@dataclasses.dataclass
class Plan:
    """What to do in each of F frames (arrays [F]).

    Attributes:
        forward, lateral: velocity of the body in metres per second, lateral positive to the right.
        heading: direction faced in radians, positive to the left.
        cycle_rate: gait cycles per second; 0 when the feet stand, negative when stepping backwards, which is close to
            stepping forwards in reversed time (Thorstensson 1986, Exp Brain Res 61:664).
        sitting: 0 standing to 1 seated.
        leaning: 0 to 1, the trunk bent forward to stand up or sit down.
        narrow_deg: hip adduction beyond the person's own, for heel-to-toe walking.
        arms_out_deg: arm abduction beyond the person's own, for balance.
    """

    forward: np.ndarray
    lateral: np.ndarray
    heading: np.ndarray
    cycle_rate: np.ndarray
    sitting: np.ndarray
    leaning: np.ndarray
    narrow_deg: float = 0.0
    arms_out_deg: float = 0.0

    @classmethod
    def still(cls, frames: int) -> "Plan":
        """Standing at heading 0."""
        return cls(*np.zeros((6, frames)))

    @property
    def time(self) -> np.ndarray:
        """Seconds from the first frame."""
        return np.arange(len(self.forward)) / RATE_HZ


@dataclasses.dataclass(frozen=True)
class Movement:
    """A true movement, before any capture error.

    Attributes:
        values: [F, C] of the canonical format.
        speed_m_s: mean forward speed.
        cadence_steps_min: mean step rate.
    """

    values: np.ndarray
    speed_m_s: float
    cadence_steps_min: float


def perform(person: Person, plan: Plan, rng: np.random.Generator) -> Movement:
    """Lets a person carry out a plan, starting at a random place of the room with a random foot."""
    pattern, frames = person.pattern, len(plan.forward)
    fastest = float(np.abs(plan.forward).max())
    feet = timings(pattern, fastest)
    phase, uneven = _phase(plan.cycle_rate, pattern.step_time_cv, feet, rng)
    forward = plan.forward * (1 + 0.5 * uneven)
    swing, lift, sideways = _amplitudes(plan, forward, person.height_m)

    table = cycle_table(pattern, fastest)
    gait = _look_up(table, phase)
    values = _posture(pattern, plan)
    values += gait * _per_channel(swing, lift) * (1 + uneven)[:, None]
    values += np.deg2rad(pattern.wobble_deg) * _wobbling() * smooth_noise(rng, frames, values.shape[1], 1.0)
    _clear_the_floor(values, phase, swing, lift, sideways)

    values = limit_softly(values, canonical())
    _place(values, plan, forward, pattern, person.height_m, rng)
    stand(
        values, [Contact.of(phase, plan.cycle_rate != 0, timing) for timing in feet], pattern.push_off, person.height_m
    )
    turned = [canonical().indices[n] for n in ("pelvis_tilt", "pelvis_list", "pelvis_rotation")]
    values[:, turned] = opensim_order(values[:, turned])
    cadence = 120 * (phase[-1] - phase[0]) * RATE_HZ / (frames - 1)
    return Movement(values, float(forward[1:].mean()), float(cadence))


def _phase(
    rate: np.ndarray, cv: float, feet: tuple[Timing, Timing], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Phase [F] in cycles of the right foot, and the relative length [F] of the current step minus 1.

    Who starts from standing has both feet on the ground, and who stops puts both there: such a stretch has whole steps.
    """
    done = 2 * np.concatenate([[0.0], np.cumsum(np.abs(rate[1:]))]) / RATE_HZ  # steps, in either direction
    deviation = np.clip(rng.normal(0, cv, int(done[-1]) + 3), -0.4, 0.4)
    uneven = np.interp(done, np.arange(len(deviation)), deviation)
    paced = rate / (1 + uneven)
    right, left = feet
    doubles = (left.start + right.stance) / 2, (left.start + left.stance - 1) / 2  # the middles of double support
    start = rng.random() if rate[0] else doubles[rng.integers(2)]
    for first, last in runs(rate != 0):
        if first > 0 and last < len(rate):
            cycles = np.abs(paced[first:last]).sum() / RATE_HZ
            paced[first:last] *= max(1, round(2 * cycles)) / 2 / cycles
    return start + np.concatenate([[0.0], np.cumsum(paced[1:])]) / RATE_HZ, uneven


def _amplitudes(plan: Plan, forward: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitudes [F] relative to normal walking: leg swing, lift of the foot, steps to the side."""
    leg = sum(lengths()) * height
    steps = np.maximum(2 * np.abs(plan.cycle_rate), 0.5)  # per second; the floor only keeps the quotient finite
    smooth = functools.partial(gaussian_filter1d, sigma=0.12 * RATE_HZ, mode="nearest")
    stepping = smooth((plan.cycle_rate != 0).astype(float))
    swing = smooth(np.abs(forward) / steps / (NORMAL_STEP * leg)) * stepping
    sideways = np.abs(smooth(plan.lateral / steps / (NORMAL_STEP * leg))) * stepping
    lift = stepping * (0.45 + 0.55 * swing)
    return swing, lift, sideways


def _look_up(table: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Rows [F, C] of a periodic table at any phase, linear between rows."""
    at = (phase % 1) * PHASES
    low = at.astype(int) % PHASES
    part = (at - np.floor(at))[:, None]
    return (1 - part) * table[low] + part * table[(low + 1) % PHASES]


@functools.cache
def _kind() -> np.ndarray:
    """For each channel what its excursion follows: 0 the swing of the legs, 1 the lift of the feet."""
    swinging = ("hip_flexion", "pelvis_rotation", "lumbar_rotation", "neck_rotation", "arm", "elbow")
    return np.array([0 if name.startswith(swinging) else 1 for name in canonical().names])


def _per_channel(swing: np.ndarray, lift: np.ndarray) -> np.ndarray:
    return np.stack([swing, lift], axis=1)[:, _kind()]


@functools.cache
def _wobbling() -> np.ndarray:
    """1 for each joint angle, less for pelvis and head, 0 for the root's position and heading."""
    less = {"pelvis_tilt": 0.4, "pelvis_list": 0.4, "pelvis_rotation": 0.4, "neck_bending": 0.7}
    return np.array([0.0 if c.unit == "m" else less.get(c.name, 1.0) for c in canonical().channels])


def _posture(p: Pattern, plan: Plan) -> np.ndarray:
    """Angles [F, C] of the posture without stepping: standing, seated or between."""
    standing, seated, leaning = postures(p)
    for s in SUFFIX:
        standing[canonical().indices[f"hip_adduction{s}"]] += np.deg2rad(plan.narrow_deg)
        standing[canonical().indices[f"arm_add{s}"]] -= np.deg2rad(plan.arms_out_deg)
    sitting = plan.sitting[:, None]
    return (1 - sitting) * standing + sitting * seated + plan.leaning[:, None] * leaning


def _clear_the_floor(
    values: np.ndarray, phase: np.ndarray, swing: np.ndarray, lift: np.ndarray, sideways: np.ndarray
) -> None:
    """Adds the hip flexion of stepping on the spot and the abduction of a step to the side (sizes chosen here)."""
    for side, s in enumerate(SUFFIX):
        foot = (phase + 0.5 * side) % 1
        bell = np.exp(-0.5 * ((foot - 0.80) / 0.09) ** 2)
        values[:, canonical().indices[f"hip_flexion{s}"]] += np.deg2rad(28) * bell * np.maximum(lift - swing, 0)
        values[:, canonical().indices[f"hip_adduction{s}"]] -= np.deg2rad(20) * bell * sideways


def _place(
    values: np.ndarray, plan: Plan, forward: np.ndarray, p: Pattern, height: float, rng: np.random.Generator
) -> None:
    """Puts the pelvis into the room, but for its height: travel, oscillation, sway; angles with the heading first."""
    columns, frames = canonical().indices, len(values)
    # Body sway in standing, root mean square 4 mm forward and 2.5 mm sideways in healthy adults (chosen here).
    sway = p.sway**2 * np.array([0.004, 0.0025]) * smooth_noise(rng, frames, 2, 0.35)
    # Seated, the pelvis is a thigh's length behind the feet.
    ahead = values[:, columns["pelvis_tx"]] + sway[:, 0] - 0.9 * lengths()[0] * height * plan.sitting
    right = values[:, columns["pelvis_tz"]] + sway[:, 1]
    heading = rng.uniform(-np.pi, np.pi) + plan.heading
    cos, sin = np.cos(heading), np.sin(heading)
    travelled = [
        np.concatenate([[0.0], np.cumsum(v[1:])]) / RATE_HZ
        for v in (forward * cos + plan.lateral * sin, plan.lateral * cos - forward * sin)
    ]
    start = rng.uniform(-2, 2, 2)
    values[:, columns["pelvis_tx"]] = start[0] + travelled[0] + ahead * cos + right * sin
    values[:, columns["pelvis_tz"]] = start[1] + travelled[1] + right * cos - ahead * sin
    values[:, columns["pelvis_rotation"]] += heading

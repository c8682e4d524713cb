"""One gait cycle of a person: how each channel departs from standing as a function of phase.

The normal curves are read off the plates of Perry & Burnfield (Gait Analysis: Normal and Pathological Function, 2010)
and Winter (The Biomechanics and Motor Control of Human Gait, 1991) at a few phases; those of hip, knee and ankle are
moved by some degrees towards measured ones (`motion/normative.toml`), so that together they leave the foot flat in
mid-stance; arm swing, trunk and forefoot are chosen here to agree with the ranges given there. Phase runs from a heel
strike (0) to the next of the same foot (1), with toe-off at 0.6. Curves are kept to their first harmonics, as joint
angles of gait have next to no content above 6 Hz (Winter 1991).
"""

import functools

import numpy as np
from scipy.interpolate import CubicSpline

from biomechjax.cohort.pattern import LEFT, RIGHT, Pattern
from biomechjax.cohort.steps import Timing
from biomechjax.motion.format import MotionFormat, load_format

PHASES = 128
HARMONICS = 6
TOE_OFF = 0.60
SUFFIX = ("_r", "_l")

# (phase in percent, degrees) in OpenSim signs, except that knee flexion is positive here.
NORMAL_DEG = {
    "hip_flexion": (
        (0, 32.5),
        (6, 32.5),
        (12, 28.5),
        (30, 9.5),
        (50, -8.5),
        (62, 2.5),
        (75, 26.5),
        (87, 35.5),
        (95, 34.5),
    ),
    "hip_adduction": ((0, 0), (15, 6), (40, 4), (55, 0), (65, -5), (80, -3)),
    "hip_rotation": ((0, -1), (15, 3), (50, 0), (70, -4)),
    "knee": (
        (0, 2),
        (7, 11),
        (14, 16),
        (25, 10),
        (38, 4),
        (47, 5),
        (54, 16),
        (62, 39),
        (72, 61),
        (80, 51),
        (90, 15),
        (96, 2),
    ),
    "ankle": (
        (0, -1),
        (6, -5),
        (14, 1),
        (24, 6),
        (36, 9),
        (46, 11),
        (51, 8),
        (57, -6),
        (63, -19),
        (72, -10),
        (82, -1),
        (90, 1),
    ),
    "subtalar": ((0, 2), (15, -4), (45, -1), (60, 4), (80, 2)),
    "mtp": ((0, 6), (15, 0), (42, 5), (58, 26), (72, 5), (88, 9)),
    "arm_flex": ((0, -17), (25, -5), (50, 12), (75, -2)),
    "elbow": ((0, -7), (25, -3), (50, 9), (75, 2)),
}
STANDING_HIP_DEG = 10.0  # pelvis tilted forward as much, so that the thigh is upright
STANDING_KNEE_DEG = 3.0

GRID = np.arange(PHASES) / PHASES


@functools.cache
def canonical() -> MotionFormat:
    """The format of every simulated recording."""
    return load_format("canonical")


@functools.cache
def _normal(joint: str) -> CubicSpline:
    phase, value = np.array(NORMAL_DEG[joint], float).T
    return CubicSpline(np.append(phase, 100) / 100, np.append(value, value[0]), bc_type="periodic")


def _bump(phase: np.ndarray, centre: float, width: float) -> np.ndarray:
    """A periodic bell of height 1."""
    distance = (phase - centre + 0.5) % 1 - 0.5
    return np.exp(-0.5 * (distance / width) ** 2)


def stance_fraction(speed_m_s: float) -> float:
    """Share of the cycle on the ground: 0.62 at 1.3 m/s, longer when slow (Perry & Burnfield 2010)."""
    return float(np.clip(0.62 + 0.06 * (1.3 - speed_m_s), 0.57, 0.74))


def timings(pattern: Pattern, speed_m_s: float) -> tuple[Timing, Timing]:
    """When the right and the left foot stand."""
    stances = np.clip(stance_fraction(speed_m_s) + pattern.stance_shift, 0.5, 0.85)
    return Timing(0.0, float(stances[RIGHT])), Timing(0.5 + pattern.step_shift, float(stances[LEFT]))


def cycle_table(pattern: Pattern, speed_m_s: float) -> np.ndarray:
    """Departure from standing [PHASES, C] over one cycle of the right foot, radians; at amplitude 1.

    The columns pelvis_tx and pelvis_tz hold the pelvis's oscillation forward and to the right in metres.
    """
    format = canonical()
    table = np.zeros((PHASES, format.size))
    for side, timing in enumerate(timings(pattern, speed_m_s)):
        phase = _warp((GRID - timing.start) % 1, timing.stance)
        for name, curve in _side_curves(pattern, side, phase).items():
            table[:, format.indices[name]] += np.deg2rad(curve)
    for name, curve in _midline_curves(pattern).items():
        table[:, format.indices[name]] += np.deg2rad(curve)
    table[:, format.indices["pelvis_tx"]] = 0.010 * np.sin(4 * np.pi * GRID)
    table[:, format.indices["pelvis_tz"]] = 0.018 * pattern.sway * np.cos(2 * np.pi * (GRID - 0.30))
    spectrum = np.fft.rfft(table, axis=0)
    spectrum[HARMONICS + 1 :] = 0
    return np.fft.irfft(spectrum, PHASES, axis=0)


def _warp(phase: np.ndarray, stance: float) -> np.ndarray:
    """Phase of a foot that stands for `stance` of its cycle to the phase of the normal curves."""
    standing = phase / stance * TOE_OFF
    swinging = TOE_OFF + (phase - stance) / (1 - stance) * (1 - TOE_OFF)
    return np.where(phase < stance, standing, swinging)


def _side_curves(p: Pattern, side: int, phase: np.ndarray) -> dict[str, np.ndarray]:
    """Degrees over the cycle for the channels of one side, and what that side's leg does to pelvis and trunk."""
    knee = _normal("knee")(phase) - STANDING_KNEE_DEG
    knee += (p.knee_loading[side] - 1) * 13 * _bump(phase, 0.14, 0.06)
    knee -= p.knee_swing_loss_deg[side] * _bump(phase, 0.73, 0.09)
    ankle = _normal("ankle")(phase)
    ankle += (1 - p.push_off[side]) * (18 * _bump(phase, 0.62, 0.05) - 5 * _bump(phase, 0.44, 0.08))
    ankle -= p.foot_drop_deg[side] * _bump(phase, 0.88, 0.10)
    swing, mid_stance = _bump(phase, 0.80, 0.10), _bump(phase, 0.28, 0.13)
    hip = p.hip_excursion[side] * (_normal("hip_flexion")(phase) - STANDING_HIP_DEG)
    outward = 1 if side == RIGHT else -1  # list and bending are positive towards the right side down
    s = SUFFIX[side]
    return {
        f"hip_flexion{s}": hip,
        f"hip_adduction{s}": _normal("hip_adduction")(phase) - p.circumduction_deg[side] * swing,
        f"hip_rotation{s}": _normal("hip_rotation")(phase),
        f"knee_angle{s}": -knee,
        f"ankle_angle{s}": ankle,
        f"subtalar_angle{s}": _normal("subtalar")(phase),
        f"mtp_angle{s}": _normal("mtp")(phase) * (0.4 + 0.6 * p.push_off[side]),
        f"arm_flex{s}": p.arm_swing[side] * _normal("arm_flex")(phase),
        f"elbow_flex{s}": p.arm_swing[side] * _normal("elbow")(phase),
        "pelvis_list": -outward * p.hip_hike_deg[side] * swing,
        "lumbar_bending": outward * (p.trunk_sway_deg[side] * mid_stance + 0.6 * p.hip_hike_deg[side] * swing),
    }


def _midline_curves(p: Pattern) -> dict[str, np.ndarray]:
    """Degrees over the cycle for pelvis, trunk and neck."""
    drop = -4 * p.pelvic_list * np.sin(2 * np.pi * (GRID + 0.07))  # the swinging side hangs lower
    turn = 4.5 * p.pelvic_rotation * np.cos(2 * np.pi * GRID)  # forward with the leg
    nod = np.cos(4 * np.pi * (GRID - 0.05))
    shoulders = -3.5 * float(p.arm_swing.mean()) * np.cos(2 * np.pi * GRID)
    return {
        "pelvis_tilt": 1.0 * nod,
        "pelvis_list": drop,
        "pelvis_rotation": turn,
        "lumbar_extension": -1.5 * nod,
        "lumbar_bending": -0.9 * drop,
        "lumbar_rotation": shoulders - turn,
        "neck_extension": 0.8 * nod,
        "neck_bending": 0.3 * drop,
        "neck_rotation": -shoulders,
    }

"""The postures between which a person moves: standing, seated, and leaning forward to change from one to the other.

Angles are chosen here to agree with each other: the thigh is upright in standing and level in sitting.
"""

from collections.abc import Mapping

import numpy as np

from biomechjax.cohort.cycle import STANDING_HIP_DEG, STANDING_KNEE_DEG, SUFFIX, canonical
from biomechjax.cohort.pattern import Pattern


def postures(p: Pattern) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles [C] in radians of standing and of sitting, and what leaning forward adds to either."""
    neck = -2 - p.neck_flexion_deg + 0.4 * p.trunk_flexion_deg
    standing = {
        "pelvis_tilt": -STANDING_HIP_DEG - p.pelvic_tilt_deg,
        "lumbar_extension": 6 + p.pelvic_tilt_deg - p.trunk_flexion_deg,
        "neck_extension": neck,
    }
    seated = {"pelvis_tilt": 6, "lumbar_extension": -10 - p.trunk_flexion_deg, "neck_extension": neck}
    leaning = {"pelvis_tilt": -20, "lumbar_extension": -18, "neck_extension": 14}
    for side, s in enumerate(SUFFIX):
        either = {
            f"hip_adduction{s}": p.hip_adduction_deg[side],
            f"hip_rotation{s}": p.hip_rotation_deg[side],
            f"subtalar_angle{s}": p.subtalar_deg[side],
            f"mtp_angle{s}": 2,
            f"arm_add{s}": -9 - p.arm_abduction_deg[side],
            f"arm_rot{s}": 3 + 0.2 * p.pronation_deg[side],
            f"pro_sup{s}": 70 + p.pronation_deg[side],
            f"wrist_flex{s}": p.wrist_flexion_deg[side],
            f"wrist_dev{s}": 2 + 0.2 * p.wrist_flexion_deg[side],
        }
        bent = p.knee_flexion_deg[side]  # a knee that does not straighten takes hip and ankle along
        standing |= either | {
            f"hip_flexion{s}": STANDING_HIP_DEG + p.pelvic_tilt_deg + p.hip_flexion_deg[side] + 0.4 * bent,
            f"knee_angle{s}": -STANDING_KNEE_DEG - bent,
            f"ankle_angle{s}": p.ankle_deg[side] + 0.5 * bent,
            f"arm_flex{s}": p.arm_flexion_deg[side],
            f"elbow_flex{s}": 20 + p.elbow_flexion_deg[side],
        }
        seated |= either | {
            f"hip_flexion{s}": 82 + p.hip_flexion_deg[side],
            f"knee_angle{s}": -88,
            f"ankle_angle{s}": 3 + p.ankle_deg[side],
            f"arm_flex{s}": 22 + p.arm_flexion_deg[side],
            f"elbow_flex{s}": 50 + 0.6 * p.elbow_flexion_deg[side],
        }
        leaning |= {f"hip_flexion{s}": 22, f"ankle_angle{s}": 12, f"arm_flex{s}": 20}
    return _vector(standing), _vector(seated), _vector(leaning)


def _vector(degrees: Mapping[str, float]) -> np.ndarray:
    return np.deg2rad([degrees.get(name, 0.0) for name in canonical().names])

"""The error of markerless motion capture, added to a true movement.

Sizes follow the Portable Biomechanics Laboratory (arXiv:2507.08268): median absolute joint angle error about 2.8
degrees, worst at the ankle (5.4), elbow (4.2) and knee (4.1), best in arm adduction (1.3), lumbar bending (1.4) and hip
adduction (1.7). Channels the paper does not name are chosen here so that the median over joints fits.
"""

import functools

import numpy as np

from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.signals import limit_softly, smooth_noise
from biomechjax.motion.features import with_heading_first, with_heading_last

MEDIAN_ERROR_DEG = {
    "pelvis_tilt": 2.5,
    "pelvis_list": 1.5,
    "pelvis_rotation": 2.0,
    "hip_flexion": 3.2,
    "hip_adduction": 1.7,
    "hip_rotation": 3.2,
    "knee_angle": 4.1,
    "ankle_angle": 5.4,
    "subtalar_angle": 3.0,
    "mtp_angle": 2.0,
    "lumbar_extension": 3.0,
    "lumbar_bending": 1.4,
    "lumbar_rotation": 2.2,
    "neck_extension": 3.0,
    "neck_bending": 2.0,
    "neck_rotation": 2.4,
    "arm_flex": 2.8,
    "arm_add": 1.3,
    "arm_rot": 3.4,
    "elbow_flex": 4.2,
    "pro_sup": 4.0,
    "wrist_flex": 3.4,
    "wrist_dev": 2.2,
}
MEDIAN_OF_NORMAL = 0.6745  # median absolute value of a normal variable, in standard deviations
OFFSET_SHARE = 0.7  # of the error's variance that stays the same over a trial; chosen here
POSITION_ERROR_M = (0.02, 0.02, 0.01)  # standard deviation of pelvis_tx, pelvis_tz, pelvis_ty; chosen here, a few cm
POSITION_CUTOFF_HZ = 0.3  # slow and stationary, so that walking speed is kept


@functools.cache
def error_deviation() -> np.ndarray:
    """Standard deviation [C] of the error of each channel: radians for angles, 0 for positions."""
    medians = [MEDIAN_ERROR_DEG.get(c.name.removesuffix("_r").removesuffix("_l"), 0.0) for c in canonical().channels]
    return np.deg2rad(medians) / MEDIAN_OF_NORMAL


def capture(values: np.ndarray, rng: np.random.Generator, error: float = 1.0) -> np.ndarray:
    """The recorded float32 [F, C] of a true movement [F, C]: a constant and a smooth error (2 to 4 Hz) per channel.

    Args:
        error: what all errors are multiplied by, of angles and positions; the draws are the same.
    """
    frames, size = values.shape
    constant = np.sqrt(OFFSET_SHARE) * rng.standard_normal(size)
    smooth = np.sqrt(1 - OFFSET_SHARE) * smooth_noise(rng, frames, size, rng.uniform(2, 4))
    recorded = with_heading_first(canonical(), values) + error * error_deviation() * (constant + smooth)
    recorded = with_heading_last(canonical(), recorded)
    root = [canonical().indices[n] for n in ("pelvis_tx", "pelvis_tz", "pelvis_ty")]
    recorded[:, root] += error * np.array(POSITION_ERROR_M) * smooth_noise(rng, frames, 3, POSITION_CUTOFF_HZ)
    recorded[:, root] += error * 0.0015 * smooth_noise(rng, frames, 3, 3.0)  # jitter of a millimetre or two
    return limit_softly(recorded, canonical()).astype(np.float32)

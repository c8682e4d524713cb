"""The direction in which knees bend."""

import numpy as np

from biomechjax.motion.format import MotionFormat

# A knee that goes further that way is flexed. Standing children of biomechZoo's sample study reach 18 degrees.
MOST_OVERSTRETCHED_RAD = np.deg2rad(25.0)
KNEES = ("knee_angle_r", "knee_angle_l")


def bend_knees_negative(format: MotionFormat, values: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    """Turns knees of canonical `values` [F, C] that bend positive over, in place, and says what was found.

    Canonical knees bend negative, as in gait2392; those of Rajagopal's family bend positive. The direction in which the
    knees move further decides; where that is no further than a knee overstretches, a coupled `knee_angle_r_beta` or
    `_l_beta` coordinate among `labels`, which marks that family, does.
    """
    columns = [format.indices[n] for n in KNEES]
    knees = values[:, columns]
    if not knees.any():
        return []
    low, high = np.percentile(knees, (5, 95))
    couplers = [n for n in labels if n.startswith(tuple(f"{k}_beta" for k in KNEES))]
    positive = high > -low
    reason = f"knee angles lie between {np.rad2deg(low):.0f} and {np.rad2deg(high):.0f} degrees"
    if max(-low, high) < MOST_OVERSTRETCHED_RAD:
        positive = bool(couplers)
        reason += f", and {couplers[0]} is of the Rajagopal and OpenCap models" if couplers else ", hardly bent"
    if positive:
        values[:, columns] = -knees
    found = "positive in the file, turned to negative" if positive else "negative, as in the canonical format"
    return [f"Knee flexion is {found}: {reason}."]

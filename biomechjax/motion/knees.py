"""The direction in which knees bend."""

import numpy as np

from biomechjax.motion.format import MotionFormat

MOST_OVERSTRETCHED_RAD = np.deg2rad(15.0)  # a knee that goes further that way is flexed
KNEES = ("knee_angle_r", "knee_angle_l")


def bend_knees_negative(format: MotionFormat, values: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    """Turns knees of canonical `values` [F, C] that bend positive over, in place, and says what was found.

    Canonical knees bend negative, as in gait2392; those of Rajagopal's family bend positive. A coupled
    `knee_angle_r_beta` or `_l_beta` coordinate among `labels` marks that family; without one the direction in which
    the knees move further decides, unless they go no further than a knee that is overstretched.
    """
    columns = [format.indices[n] for n in KNEES]
    knees = values[:, columns]
    if not knees.any():
        return []
    low, high = np.percentile(knees, (5, 95))
    couplers = [n for n in labels if n.startswith(tuple(f"{k}_beta" for k in KNEES))]
    if couplers:
        positive, reason = True, f"{couplers[0]} is of the Rajagopal and OpenCap models"
    else:
        positive = high > max(-low, MOST_OVERSTRETCHED_RAD)
        reason = f"knee angles lie between {np.rad2deg(low):.0f} and {np.rad2deg(high):.0f} degrees"
    if positive:
        values[:, columns] = -knees
    found = "positive in the file, turned to negative" if positive else "negative, as in the canonical format"
    return [f"Knee flexion is {found}: {reason}."]

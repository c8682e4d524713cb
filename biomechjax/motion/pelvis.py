"""The pelvis's three angles in two orders of rotation.

OpenSim's models (Gait2392, Hamner, LocoMuJoCo) and `body.xml` turn the pelvis by tilt about z, list about x, rotation
about y, the first about an axis of the room: in somebody who has turned round by half a circle, a pelvis that tips
forward has the opposite sign. With the heading first, tilt and list mean the same whichever way a person faces (Baker
2001, Gait & Posture 13:1). At heading 0 both orders agree as long as either tilt or list is small.

Tilt and list that both have the opposite sign stay so in either order: that is the same turn seen by somebody who has
turned round by half a circle about the vertical, with which the heading commutes.
"""

import numpy as np
from scipy.spatial.transform import Rotation


def heading_first(angles: np.ndarray) -> np.ndarray:
    """(tilt, list, rotation) [F, 3] in radians in OpenSim's order to the same attitude with the rotation first.

    The rotation keeps its whole turns.
    """
    turned = Rotation.from_euler("ZXY", np.asarray(angles, float)).as_euler("YXZ")[:, ::-1]
    return _with_turns_of(angles, turned)


def opensim_order(angles: np.ndarray) -> np.ndarray:
    """Undoes `heading_first`."""
    turned = Rotation.from_euler("YXZ", np.asarray(angles, float)[:, ::-1]).as_euler("ZXY")
    return _with_turns_of(angles, turned)


def _with_turns_of(angles: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """`turned` with the rotation moved by whole turns next to that of `angles`."""
    out = turned.copy()
    out[:, 2] += 2 * np.pi * np.round((np.asarray(angles, float)[:, 2] - out[:, 2]) / (2 * np.pi))
    return out

"""A pattern of movement put on the ground: the pelvis as high as the legs carry it, the feet where they stay."""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from biomechjax.cohort import legs
from biomechjax.cohort.cycle import SUFFIX, canonical
from biomechjax.cohort.signals import RATE_HZ
from biomechjax.cohort.steps import BALL, HEEL, Timing, footsteps, planted, support
from biomechjax.motion.body import skeleton

STRETCHED = 0.9985  # hip to ankle over thigh and shank at the least bend of a standing knee, 6 degrees
RISEN = 0.065  # of body height that a raised heel puts between ankle and ball along the leg
FREE = 0.08  # weight of a foot in the air against one on the ground
FLOOR_SHARE = 1e-3  # of the load on any foot, so that somebody is always carried


@dataclasses.dataclass(frozen=True)
class Contact:
    """What one foot does in F frames: which of heel and ball stay in place (bool [F, 2]), and its load [F], 0 to 1."""

    stays: np.ndarray
    load: np.ndarray

    @classmethod
    def of(cls, phase: np.ndarray, moving: np.ndarray, timing: Timing) -> "Contact":
        """From phase [F] in cycles and whether the feet step at all [F]."""
        return cls(planted(phase, moving, timing), support(phase, moving, timing))


def stand(values: np.ndarray, contacts: list[Contact], height_m: float) -> None:
    """Sets the pelvis's height and both legs in channels [F, C], in place.

    The pelvis's angles are with the heading first; its height is ignored. Right and left foot have a contact each.
    """
    column = canonical().indices
    turned = values[:, [column[n] for n in ("pelvis_rotation", "pelvis_list", "pelvis_tilt")]]
    attitude = Rotation.from_euler("YXZ", turned).as_matrix()
    place = np.zeros((len(values), 3))
    place[:, [0, 2]] = values[:, [column["pelvis_tx"], column["pelvis_tz"]]]
    attitude = np.concatenate([attitude, legs.mirrored(attitude)])
    place = np.concatenate([place, legs.mirrored(place)])

    pattern = legs.both_legs(values)
    feet, _, _ = legs.place_feet(pattern, attitude, place, height_m)
    height = _carried(feet, contacts)
    feet[..., 1] += np.tile(height, 2)[:, None]
    length = np.linalg.norm(feet[0, BALL] - feet[0, HEEL])
    sides = zip(np.split(feet, 2), contacts, strict=True)
    ways = np.concatenate([footsteps(side, contact.stays, length) for side, contact in sides])
    height -= _too_high(ways, attitude, place, height, contacts, height_m)
    place[:, 1] = np.tile(height, 2)

    stays = np.concatenate([c.stays for c in contacts])
    weight = _smooth_sides(np.where(stays, 1.0, FREE), 0.7)
    angles = legs.reach(pattern, attitude, place, height_m, ways, weight)
    for columns, of_side in zip(legs.columns(), np.split(angles, 2), strict=True):
        values[:, columns] = of_side
    values[:, column["pelvis_ty"]] = height
    for s, side, contact in zip(SUFFIX, np.split(ways, 2), contacts, strict=True):
        _bend_toes(values[:, column[f"mtp_angle{s}"]], side, contact, length)


def _carried(feet: np.ndarray, contacts: list[Contact]) -> np.ndarray:
    """Height [F] at which the loaded feet of a pattern [2 F, 2, 3] with the pelvis at 0 touch the floor."""
    lowest = -feet[..., 1].min(axis=1).reshape(2, -1)
    load = np.stack([c.load for c in contacts]) + FLOOR_SHARE
    return gaussian_filter1d((lowest * load).sum(axis=0) / load.sum(axis=0), 0.05 * RATE_HZ, mode="nearest")


def _too_high(
    ways: np.ndarray,
    attitude: np.ndarray,
    place: np.ndarray,
    height: np.ndarray,
    contacts: list[Contact],
    height_m: float,
) -> np.ndarray:
    """Metres [F] by which the pelvis must come down so that legs reach the feet [2 F, 2, 3] that stand."""
    table = skeleton()
    thigh, shank, ankle_height = legs.lengths()
    heel_behind = -table.segments[table.index("calcn_r")].offset[0] - table.points["heel_r"][1][0]
    along = ways[:, BALL] - ways[:, HEEL]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0]) - along[:, 1:2] * along
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    ankle = ways[:, HEEL] + height_m * (heel_behind * along + ankle_height * up)
    hip = place + attitude @ (table.segments[table.index("femur_r")].offset * height_m)
    longest = STRETCHED * (thigh + shank) * height_m
    on_heel, on_ball = np.concatenate([c.stays for c in contacts]).T
    reach = np.stack(
        [
            np.where(on_heel, _above(ankle, hip, longest), np.inf),
            np.where(on_ball, _above(ways[:, BALL], hip, longest + RISEN * height_m), np.inf),
        ]
    )
    over = np.maximum(height - reach.reshape(4, -1), 0).max(axis=0)
    return gaussian_filter1d(maximum_filter1d(over, 3), 1.0, mode="nearest")


def _above(foot: np.ndarray, hip: np.ndarray, longest: float) -> np.ndarray:
    """How high [N] above its own place a hip may be that is no farther than `longest` from a foot [N, 3]."""
    apart = ((foot - hip)[:, [0, 2]] ** 2).sum(axis=1)
    return foot[:, 1] + np.sqrt(np.maximum(longest**2 - apart, (0.5 * longest) ** 2)) - hip[:, 1]


def _bend_toes(toes: np.ndarray, way: np.ndarray, contact: Contact, length: float) -> None:
    """Bends the toes [F] in place so that they stay on the floor while the heel rises over a planted ball."""
    pitch = np.arcsin(np.clip((way[:, HEEL, 1] - way[:, BALL, 1]) / length, -1, 1))
    across = skeleton().axes[canonical().indices["mtp_angle_r"]][2]  # the axis is oblique
    level = np.clip(pitch / across, None, np.deg2rad(55.0))
    planted_ball = gaussian_filter1d(contact.stays[:, BALL].astype(float), 1.0, mode="nearest")
    toes += planted_ball * np.maximum(level - toes, 0)


def _smooth_sides(x: np.ndarray, sigma: float) -> np.ndarray:
    """Smooths [2 F, n] along the frames of each side."""
    halves = [gaussian_filter1d(half, sigma, axis=0, mode="nearest") for half in np.split(x, 2)]
    return np.concatenate(halves)

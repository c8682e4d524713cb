"""A pattern of movement put on the ground: the pelvis as high as the legs carry it, the feet where they stay."""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from biomechjax.cohort import legs
from biomechjax.cohort.cycle import SUFFIX, canonical
from biomechjax.cohort.signals import RATE_HZ
from biomechjax.cohort.steps import BALL, HEEL, Timing, clearance, footsteps, planted, support
from biomechjax.motion.body import skeleton

# Metres of misplaced foot that weigh as much as a radian off the pattern, twice that for the ankle and up to six times
# for one that does not push off (chosen here).
STIFFNESS_M, WEAK_ANKLE = 0.012, 4.0
STRETCHED = 0.9995  # hip to ankle over thigh and shank at the least bend of a standing knee, 4 degrees
RISEN = 0.065  # of body height that a raised heel puts between ankle and ball along the leg
FREE = np.array([0.02, 1.0, 0.02])  # weight of a foot in the air against one on the ground: it must clear the floor
MOST_BENT = np.deg2rad(55.0)  # toes, upwards (chosen here)
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


def stand(values: np.ndarray, contacts: list[Contact], push_off: np.ndarray, height_m: float) -> None:
    """Sets the pelvis's height and both legs in channels [F, C], in place.

    The pelvis's angles are with the heading first; its height is ignored. Right and left foot have a contact
    each, and a share [2] of normal push-off: an ankle without keeps to its pattern, and hip and knee make up for it.
    """
    column = canonical().indices
    turned = values[:, [column[n] for n in ("pelvis_rotation", "pelvis_list", "pelvis_tilt")]]
    attitude = Rotation.from_euler("YXZ", turned).as_matrix()
    place = np.zeros((len(values), 3))
    place[:, [0, 2]] = values[:, [column["pelvis_tx"], column["pelvis_tz"]]]
    attitude = np.concatenate([attitude, legs.mirrored(attitude)])
    place = np.concatenate([place, legs.mirrored(place)])

    pattern = legs.both_legs(values)
    feet, _, hinges = legs.place_feet(pattern, attitude, place, height_m)
    hip, ankle = hinges[:, 0], hinges[:, 4]
    length = float(np.linalg.norm(feet[0, BALL] - feet[0, HEEL]))
    height = _shared(-feet[..., 1].min(axis=1), contacts)  # at which the pattern's feet touch the floor
    ways = _ways(feet, height, contacts, length)
    # The planned places are not the pattern's: carried as high as its legs are long, knees bend as they do there.
    height = _shared(_above(_ankles(ways, height_m), hip, np.linalg.norm(ankle - hip, axis=1)), contacts)
    ways = _ways(feet, height, contacts, length)
    height -= _too_high(ways, hip, height, contacts, height_m)
    place[:, 1] = np.tile(height, 2)

    stays = np.concatenate([c.stays for c in contacts])
    weight = _smooth_sides(np.where(stays[..., None], 1.0, FREE), 0.7)
    stiffness = np.full_like(pattern, STIFFNESS_M)
    weak = np.clip(1 - push_off, 0, 1).repeat(len(values))
    stiffness[:, legs.HINGES.index("ankle_angle")] *= 2 + WEAK_ANKLE * weak
    angles = legs.reach(pattern, attitude, place, height_m, ways, weight, stiffness)
    for columns, of_side in zip(legs.columns(), np.split(angles, 2), strict=True):
        values[:, columns] = of_side
    values[:, column["pelvis_ty"]] = height
    feet, _, _ = legs.place_feet(angles, attitude, place, height_m)
    for s, side, contact in zip(SUFFIX, np.split(feet, 2), contacts, strict=True):
        _bend_toes(values[:, column[f"mtp_angle{s}"]], side, contact, height_m)


def _shared(carried: np.ndarray, contacts: list[Contact]) -> np.ndarray:
    """Height [F] of the pelvis from that at which each leg [2 F] would carry it, by their loads."""
    load = np.stack([c.load for c in contacts]) + FLOOR_SHARE
    height = (carried.reshape(2, -1) * load).sum(axis=0) / load.sum(axis=0)
    return gaussian_filter1d(height, 0.05 * RATE_HZ, mode="nearest")


def _ways(feet: np.ndarray, height: np.ndarray, contacts: list[Contact], length: float) -> np.ndarray:
    """Ways [2 F, 2, 3] of the feet of a pattern whose pelvis is at a height [F]."""
    raised = feet + np.tile(height, 2)[:, None, None] * [0.0, 1.0, 0.0]
    sides = zip(np.split(raised, 2), contacts, strict=True)
    return np.concatenate([footsteps(side, contact.stays, length) for side, contact in sides])


def _ankles(ways: np.ndarray, height_m: float) -> np.ndarray:
    """Ankles [N, 3] of feet with heels and balls [N, 2, 3] there, not rolled to a side."""
    table = skeleton()
    behind, below, _ = -table.segments[table.index("calcn_r")].offset - table.points["heel_r"][1]
    along = ways[:, BALL] - ways[:, HEEL]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0]) - along[:, 1:2] * along
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    return ways[:, HEEL] + height_m * (behind * along + below * up)


def _too_high(
    ways: np.ndarray, hip: np.ndarray, height: np.ndarray, contacts: list[Contact], height_m: float
) -> np.ndarray:
    """Metres [F] by which the pelvis must come down so that legs reach the feet [2 F, 2, 3] that stand."""
    thigh, shank, _ = legs.lengths()
    longest = STRETCHED * (thigh + shank) * height_m
    on_heel, on_ball = np.concatenate([c.stays for c in contacts]).T
    reach = np.stack(
        [
            np.where(on_heel, _above(_ankles(ways, height_m), hip, longest), np.inf),
            np.where(on_ball, _above(ways[:, BALL], hip, longest + RISEN * height_m), np.inf),
        ]
    )
    over = np.maximum(height - reach.reshape(4, -1), 0).max(axis=0)
    return gaussian_filter1d(maximum_filter1d(over, 3), 1.0, mode="nearest")


def _above(foot: np.ndarray, hip: np.ndarray, longest: float | np.ndarray) -> np.ndarray:
    """How much higher [N] than it is a hip may be that is no farther than `longest` from a foot [N, 3]."""
    apart = ((foot - hip)[:, [0, 2]] ** 2).sum(axis=1)
    return foot[:, 1] + np.sqrt(np.maximum(longest**2 - apart, 0.25 * longest**2)) - hip[:, 1]


def _bend_toes(toes: np.ndarray, feet: np.ndarray, contact: Contact, height_m: float) -> None:
    """Bends the toes [F] up in place where their tips would be lower than a foot [F, 2, 3] may be: while the heel rises
    over a planted ball, and in the swing."""
    table = skeleton()
    tip, joint = table.points["toe_r"][1], table.segments[table.index("toes_r")].offset - table.points["ball_r"][1]
    reach, hangs = height_m * float(np.hypot(*tip[:2])), float(np.arctan2(-tip[1], tip[0]))
    along = feet[:, HEEL] - feet[:, BALL]
    pitch = np.arcsin(along[:, 1] / np.linalg.norm(along, axis=1))
    above = feet[:, BALL, 1] + joint[1] * height_m * np.cos(pitch) - clearance(contact.stays)
    steepest = np.arcsin(np.clip(above / reach, -1, 1)) - hangs  # of the toes, at which the tip is as low as it may be
    across = table.axes[canonical().indices["mtp_angle_r"]][2]  # the axis is oblique
    bent = np.clip((pitch - steepest) / across, None, MOST_BENT)
    toes += gaussian_filter1d(np.maximum(bent - toes, 0), 1.0, mode="nearest")


def _smooth_sides(x: np.ndarray, sigma: float) -> np.ndarray:
    """Smooths [2 F, ...] along the frames of each side."""
    halves = [gaussian_filter1d(half, sigma, axis=0, mode="nearest") for half in np.split(x, 2)]
    return np.concatenate(halves)

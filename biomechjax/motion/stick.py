"""Stick figures: points of a body that move, and the lines between them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

from biomechjax.errors import InputError
from biomechjax.motion.body import DEFAULT_HEIGHT_M, skeleton
from biomechjax.motion.events import heading
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.kinematics import Pose, recorded_pose
from biomechjax.motion.mapping import meanings, to_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.sides import partners
from biomechjax.motion.trc import MARKERS

SIDES = "rlm"  # right, left, midline
FLOOR_PERCENTILE = 5.0  # of the lowest point over time: flights and single bad frames are no floor
LONGEST_LINE_M = 0.8  # markers further apart are on no one segment of a person
MOST_MARKERS = 300
_TREE_FRAMES = 50
_LEG, _ARM = ("femur", "tibia", "talus", "heel", "ball", "toe"), ("humerus", "ulna", "hand", "fingertip")
_TRUNK = ("pelvis", "torso", "head", "vertex")
_LIMBS = (("pelvis", _LEG), ("head", _ARM))
POINTS = (*_TRUNK, *(f"{name}_{side}" for side in "rl" for name in (*_LEG, *_ARM)))
"""Names of the points of the body; those that are no joint are the points of `Pose`."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line through points of a figure.

    Attributes:
        points: their indices, two or more.
        side: "r", "l" or "m", right, left or the midline.
        recorded: False where no angle along it was recorded, so that it is drawn straight.
    """

    points: tuple[int, ...]
    side: str
    recorded: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class StickFigure:
    """Points that move over a floor at height 0.

    Attributes:
        rate_hz: frames per second.
        names: of the P points.
        places: float [F, P, 3] metres in the room (x forward, y up, z to the right).
        lines: drawn between the points.
        facing: radians, positive to the left: where the person faces most of the time; 0 is along x.
        notes: what is drawn otherwise than it was recorded, one sentence each.
    """

    rate_hz: float
    names: tuple[str, ...]
    places: np.ndarray
    lines: tuple[Line, ...]
    facing: float = 0.0
    notes: tuple[str, ...] = ()


def stick_figure(recording: Recording, height_m: float = DEFAULT_HEIGHT_M) -> StickFigure:
    """The figure of a recording: of joint angles the body of `body.xml` at a height, of markers the markers.

    Angles of a format that shares channels with the canonical one are taken as those. Where the height of the pelvis
    was not recorded, the body stands on the floor in every frame; otherwise, as with markers, the floor is where the
    lowest point mostly is.

    Raises:
        InputError: the recording has neither canonical angles nor markers, or `height_m` is no height in metres.
    """
    if recording.format.name == MARKERS:
        return _of_markers(recording)
    if not meanings(recording.format):
        raise InputError(
            f"{recording.source}: format {recording.format.name} has neither markers nor channels that mean canonical "
            "ones, so that nothing can be drawn of it"
        )
    return _of_angles(to_format(recording, load_format(CANONICAL)), height_m)


def body_places(pose: Pose) -> np.ndarray:
    """Where the points of the body are: [..., P, 3] in metres, in the order of POINTS."""
    joints = np.asarray(pose.joints)
    found = {s.name: joints[..., i, :] for i, s in enumerate(skeleton().segments)} | {"vertex": np.asarray(pose.head)}
    for name, places in (("heel", pose.heels), ("ball", pose.balls), ("toe", pose.toes), ("fingertip", pose.hands)):
        found |= {f"{name}_{side}": np.asarray(places)[..., i, :] for i, side in enumerate("rl")}
    return np.stack([found[name] for name in POINTS], axis=-2)


def body_lines(observed: np.ndarray) -> tuple[Line, ...]:
    """Legs and arms, left before right, and the trunk, between POINTS; `observed` bool [C], of canonical channels."""
    ways = [(side, (start, *(f"{n}_{side}" for n in limb))) for side in "lr" for start, limb in _LIMBS]
    lines = []
    for side, way in (*ways, ("m", _TRUNK)):
        hinges = [c for s in skeleton().segments if s.name in way[1:] for c in s.hinges]
        lines.append(Line(tuple(map(POINTS.index, way)), side, bool(observed[hinges].any())))
    return tuple(lines)


def _of_angles(recording: Recording, height_m: float) -> StickFigure:
    pose = recorded_pose(recording, height_m)
    places, lines = body_places(pose), body_lines(recording.observed)
    lowest, notes = places[..., 1].min(axis=1), []
    floor: np.ndarray | float = float(np.percentile(lowest, FLOOR_PERCENTILE))
    if not recording.observed[recording.format.indices["pelvis_ty"]]:
        floor = lowest[:, None]
        notes.append("The height of the pelvis was not recorded; the body is drawn standing on the floor.")
    if not recording.observed[[recording.format.indices[n] for n in ("pelvis_tx", "pelvis_tz")]].any():
        notes.append("Where the person went was not recorded; the body is drawn on the spot.")
    if not all(line.recorded for line in lines):
        notes.append("Limbs of which no angle was recorded are drawn straight and faint.")
    places[..., 1] -= floor
    return StickFigure(recording.rate_hz, POINTS, places, lines, float(np.median(heading(pose))), tuple(notes))


def _of_markers(recording: Recording) -> StickFigure:
    """Markers as points, those joined by lines that keep their distance.

    The lines are the spanning tree whose distances vary least over time, since markers of one rigid segment keep
    theirs (Kirk, O'Brien, Forsyth 2005, "Skeletal parameter estimation from optical motion capture data").
    """
    columns = np.flatnonzero(recording.observed[::3])
    if len(columns) > MOST_MARKERS:
        raise InputError(f"{recording.source}: {len(columns)} markers; at most {MOST_MARKERS} are drawn")
    names = [recording.format.names[3 * i].removesuffix(".x") for i in columns]
    places = recording.values.reshape(len(recording.values), -1, 3)[:, columns].astype(float)
    floor = float(np.percentile(places[..., 1].min(axis=1), FLOOR_PERCENTILE))
    places[..., 1] -= floor
    some = places[:: max(1, len(places) // _TREE_FRAMES)]
    apart = np.linalg.norm(some[:, :, None] - some[:, None], axis=-1)  # [frames, P, P]
    middle = np.median(apart, axis=0)
    # A little of the distance itself, so that of two rigid ways the shorter is taken.
    weight = np.where(middle < LONGEST_LINE_M, apart.std(axis=0) + 0.05 * middle + 1e-6, 0.0)
    np.fill_diagonal(weight, 0.0)
    sides = _sides(names)
    lines = []
    for a, b in zip(*map(np.ndarray.tolist, minimum_spanning_tree(weight).nonzero()), strict=True):
        lines.append(Line((a, b), sides[a] if sides[a] == sides[b] else "m"))
    gone = places[-1].mean(axis=0) - places[0].mean(axis=0)
    facing = float(np.arctan2(-gone[2], gone[0])) if np.hypot(gone[0], gone[2]) > 0.5 else 0.0
    notes = ("Lines join markers that keep their distance; they are no bones.",)
    return StickFigure(recording.rate_hz, tuple(names), places, tuple(lines), facing, notes)


def _sides(names: Sequence[str]) -> str:
    """A letter of SIDES for each name."""
    partner = partners(names)
    letters = []
    for name in names:
        pair = zip(name.lower(), partner[name].lower(), strict=False)
        mine = next((a for a, b in pair if a != b), "m")  # partners first differ in the letter of their side
        letters.append(mine if mine in SIDES else "m")
    return "".join(letters)

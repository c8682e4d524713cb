"""The body that the canonical channels move: a model for MuJoCo, and the same as a small table for forward kinematics.

`body.xml` describes a person of height 1 and mass 1 and names the sources of its numbers. A person is scaled uniformly,
so that everything here is one table times a height.
"""

import dataclasses
import functools
import math
from pathlib import Path

import mujoco
import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat, load_format

BODY_XML = Path(__file__).parent / "body.xml"
DEFAULT_HEIGHT_M = 1.7
DEFAULT_MASS_KG = 70.0


def body_model(height_m: float = DEFAULT_HEIGHT_M, mass_kg: float = DEFAULT_MASS_KG) -> mujoco.MjModel:
    """The MuJoCo model of a person; `qpos` is a row of a canonical recording, joint limits are the format's.

    The room is OpenSim's: x forward, y up, z to the right, gravity along -y.

    Raises:
        InputError: height or mass is not a positive number, or the height is not in metres.
    """
    check_height(height_m)
    if not 0 < mass_kg < math.inf:
        raise InputError(f"mass {mass_kg!r} kg; expected a positive number")
    spec = mujoco.MjSpec.from_file(str(BODY_XML))
    for body in spec.bodies[1:]:
        body.pos *= height_m
        body.ipos *= height_m
        body.mass *= mass_kg
        body.inertia *= mass_kg * height_m**2
    for geom in spec.geoms:
        geom.pos *= height_m
        geom.size *= height_m
        geom.fromto *= height_m
    for place in (*spec.sites, *spec.cameras):
        place.pos *= height_m
    channels = {c.name: c for c in _canonical().channels}
    for joint in spec.joints:
        lower, upper = channels[joint.name].lower, channels[joint.name].upper
        if math.isfinite(lower) and math.isfinite(upper):
            joint.range = [lower, upper]
    return spec.compile()


def check_height(height_m: float) -> None:
    """Raises InputError where a body height is no positive number of metres, or is one of centimetres."""
    if not 0 < height_m < 3:
        raise InputError(f"height {height_m!r} m; expected a body height in metres, such as 1.7")


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """One rigid body of the skeleton; lengths are fractions of body height.

    Attributes:
        name: as in `body.xml`.
        parent: index of the segment that carries it, always smaller than its own; -1 for the pelvis.
        offset: [3] place of its joint in the parent's frame.
        hinges: canonical columns of the hinges that turn it, outermost first.
        mass: fraction of body mass.
        centre: [3] its centre of mass in its own frame.
    """

    name: str
    parent: int
    offset: np.ndarray
    hinges: tuple[int, ...]
    mass: float
    centre: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
    """The table behind forward kinematics, for a person of height 1; J segments, parents before children.

    Attributes:
        segments: the J segments.
        axes: [C, 3] unit axis of every hinge in its own segment's frame, 0 for slides.
        slides: [C, 3] unit direction of every slide of the pelvis in the room, 0 for hinges.
        points: segment index and place [3] in its frame of each named point: heel_r, ball_r, toe_r, hand_r, their left
            partners, and head (the vertex).
    """

    segments: tuple[Segment, ...]
    axes: np.ndarray
    slides: np.ndarray
    points: dict[str, tuple[int, np.ndarray]]

    def index(self, name: str) -> int:
        """Index of a segment by name."""
        return [s.name for s in self.segments].index(name)

    @functools.cached_property
    def turning(self) -> np.ndarray:
        """bool [J, C], the hinges that turn each segment: its own and those of the segments that carry it."""
        table = np.zeros((len(self.segments), len(self.axes)), bool)
        for row, segment in zip(table, self.segments, strict=True):
            row[list(segment.hinges)] = True
            if segment.parent >= 0:
                row |= table[segment.parent]
        return table

    @functools.cached_property
    def placing(self) -> np.ndarray:
        """bool [J, C], the hinges that place the joint at each segment's origin, seen from the pelvis's origin: those
        of the segments that carry it, but for the heading, which turns all."""
        root = _canonical().root
        assert root is not None
        table = np.stack([self.turning[s.parent] & (s.parent >= 0) for s in self.segments])
        table[:, _canonical().indices[root.heading]] = False
        return table


@functools.cache
def skeleton() -> Skeleton:
    """The skeleton of `body.xml`, read once."""
    model = mujoco.MjModel.from_xml_path(str(BODY_XML))
    names = tuple(model.joint(i).name for i in range(model.njnt))
    assert names == _canonical().names, "body.xml lists its joints in the order of format canonical"
    hinge = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
    fixed = model.jnt_pos.any() or model.body_pos[1].any() or (model.body_quat != [1, 0, 0, 0]).any()
    assert not fixed, "the table has no place for a joint off its frame, a turned frame or a pelvis off the origin"
    segments = []
    for i in range(1, model.nbody):
        first = model.body_jntadr[i]
        columns = range(first, first + model.body_jntnum[i])
        hinges = tuple(c for c in columns if hinge[c])
        parent = int(model.body_parentid[i]) - 1
        mass = float(model.body_mass[i])
        segments.append(
            Segment(model.body(i).name, parent, model.body_pos[i].copy(), hinges, mass, model.body_ipos[i].copy())
        )
    points = {model.site(i).name: (int(model.site_bodyid[i]) - 1, model.site_pos[i].copy()) for i in range(model.nsite)}
    axes, slides = (np.where(of[:, None], model.jnt_axis, 0.0) for of in (hinge, ~hinge))
    return Skeleton(tuple(segments), axes, slides, points)


def _canonical() -> MotionFormat:
    return load_format("canonical")

"""Forward kinematics in JAX: where the joints, the feet and the centre of mass are, from canonical channels.

Pure and differentiable; frames and batch are leading axes, and the only loop goes over the 21 segments of the body.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from biomechjax.errors import InputError
from biomechjax.motion.body import DEFAULT_HEIGHT_M, check_height, skeleton
from biomechjax.motion.recording import Recording


@struct.dataclass
class Pose:
    """Places in metres in the room (x forward, y up, z to the right); sides are right, left.

    Attributes:
        joints: [..., J, 3] the origin of each segment in the order of `skeleton().segments`.
        heels, balls, toes: [..., 2, 3] lowest points of the feet: heel, ball under the toe joint, tip.
        hands: [..., 2, 3] fingertips.
        head: [..., 3] the vertex.
        centre_of_mass: [..., 3] of the whole body.
    """

    joints: Array
    heels: Array
    balls: Array
    toes: Array
    hands: Array
    head: Array
    centre_of_mass: Array


def forward_kinematics(values: Array, height_m: Array | float = DEFAULT_HEIGHT_M, heading_first: bool = False) -> Pose:
    """Where the body of `body.xml` is: canonical channels [..., 40] in radians and metres to places in metres.

    `height_m` is body height, one number or an array of shape [...]. The pelvis turns as in OpenSim's Gait2392: tilt
    about z, then list about x, then rotation about y, or with `heading_first` in the opposite order (see `pelvis`).
    Equals MuJoCo's `mj_kinematics` and `mj_comPos`.
    """
    table = skeleton()
    values = jnp.asarray(values)
    height = jnp.asarray(height_m, values.dtype)[..., None]
    turns = _rotations(jnp.asarray(table.axes, values.dtype), values)
    rotations: list[Array] = []
    origins: list[Array] = []
    for segment in table.segments:
        if segment.parent < 0:
            place = (values[..., None] * jnp.asarray(table.slides, values.dtype)).sum(-2)
            hinges = segment.hinges[::-1] if heading_first else segment.hinges
            rotation, *rest = (turns[..., c, :, :] for c in hinges)
        else:
            place = origins[segment.parent] + height * _turned(rotations[segment.parent], segment.offset)
            rotation, rest = rotations[segment.parent], [turns[..., c, :, :] for c in segment.hinges]
        for turn in rest:
            rotation = _product(rotation, turn)
        origins.append(place)
        rotations.append(rotation)
    point = {n: origins[i] + height * _turned(rotations[i], p) for n, (i, p) in table.points.items()}
    sides = {n: jnp.stack([point[f"{n}_r"], point[f"{n}_l"]], axis=-2) for n in ("heel", "ball", "toe", "hand")}
    weighted = [
        s.mass * (o + height * _turned(r, s.centre)) for s, o, r in zip(table.segments, origins, rotations, strict=True)
    ]
    return Pose(
        joints=jnp.stack(origins, axis=-2),
        heels=sides["heel"],
        balls=sides["ball"],
        toes=sides["toe"],
        hands=sides["hand"],
        head=point["head"],
        centre_of_mass=sum(weighted[1:], weighted[0]) / sum(s.mass for s in table.segments),
    )


def recorded_pose(recording: Recording, height_m: float = DEFAULT_HEIGHT_M) -> Pose:
    """`forward_kinematics` of a whole canonical recording as NumPy arrays with leading axis F.

    Channels that were not observed stand at 0: an unseen joint is straight, an unseen root stays at the origin.

    Raises:
        InputError: the recording is not in format "canonical", or `height_m` is no height in metres.
    """
    check_height(height_m)
    if recording.format.name != "canonical":
        raise InputError(
            f"{recording.source}: format {recording.format.name}; the body is that of format canonical, "
            "so that only its recordings have places"
        )
    frames = len(recording.values)
    padded = np.zeros((1 << (frames - 1).bit_length(), recording.format.size), np.float32)  # few shapes to compile
    padded[:frames] = recording.values
    return jax.tree.map(lambda x: np.asarray(x)[:frames], _compiled(padded, height_m))


_compiled = jax.jit(forward_kinematics)


def _rotations(axes: Array, angles: Array) -> Array:
    """Rotation matrices [..., C, 3, 3] about axes [C, 3] by angles [..., C] (Rodrigues' formula)."""
    x, y, z = axes.T
    zero = jnp.zeros_like(x)
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    sin, cos = jnp.sin(angles)[..., None, None], jnp.cos(angles)[..., None, None]
    return jnp.eye(3, dtype=axes.dtype) + sin * cross + (1 - cos) * _product(cross, cross)


def _product(a: Array, b: Array) -> Array:
    """a @ b for [..., 3, 3] in the arrays' own precision on every device (matrix units round to fewer bits)."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def _turned(rotation: Array, vector: np.ndarray) -> Array:
    """rotation [..., 3, 3] times a fixed vector [3]."""
    return (rotation * jnp.asarray(vector, rotation.dtype)).sum(-1)

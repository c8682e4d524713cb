"""Legs of `motion/body.xml` that reach with heel and ball to where the feet are wanted, close to a wanted pattern.

Both legs are solved at once: the left one is the right one of the person in a mirror. The inverse kinematics is damped
least squares (Nakamura & Hanafusa 1986, J Dyn Sys Meas Control 108:163) towards the pattern, all frames together.
"""

import functools

import numpy as np

from biomechjax.cohort.cycle import SUFFIX, canonical
from biomechjax.motion.body import skeleton

HINGES = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle")
SEGMENTS = ("femur_r", "tibia_r", "talus_r", "calcn_r")
ROUGH, ITERATIONS = 3, 7
# How far a leg may depart from the pattern to reach a place (chosen here): a foot turns under a body that turns.
FARTHEST = np.deg2rad([40.0, 25.0, 55.0, 45.0, 30.0, 20.0])
CAUTION_M = 0.03  # metres of misplaced foot that weigh as much as a radian in one iteration
START_KNEE = np.deg2rad(-20.0)
LONGEST_STEP_RAD = 0.35  # of an iteration
DONE_RAD = 3e-3  # a leg that moves less is there
MIRROR = np.array([1.0, 1.0, -1.0])


@functools.cache
def columns() -> np.ndarray:
    """[2, 6] canonical columns of the hinges of the right and the left leg."""
    return np.array([[canonical().indices[f"{name}{s}"] for name in HINGES] for s in SUFFIX])


@functools.cache
def limits() -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limit [6] of a leg's hinges, a little inside of those that hold for both sides."""
    both = [[canonical().channels[i] for i in pair] for pair in columns().T]
    inside = np.deg2rad(3.0)
    return (
        np.array([max(c.lower for c in pair) + inside for pair in both]),
        np.array([min(c.upper for c in pair) - inside for pair in both]),
    )


@functools.cache
def lengths() -> tuple[float, float, float]:
    """Hip to knee, knee to ankle and ankle to sole, as shares of body height."""
    table = skeleton()
    heel = table.segments[table.index("calcn_r")].offset + table.points["heel_r"][1]
    thigh, shank = (-float(table.segments[table.index(n)].offset[1]) for n in ("tibia_r", "talus_r"))
    return thigh, shank, -float(heel[1])


def both_legs(values: np.ndarray) -> np.ndarray:
    """Angles [2 F, 6] of the right leg and, after all of its frames, the left one, from channels [F, C]."""
    return np.concatenate([values[:, c] for c in columns()])


def mirrored(x: np.ndarray) -> np.ndarray:
    """Places [..., 3] or attitudes [..., 3, 3] as seen in the mirror between left and right."""
    return x * MIRROR if x.shape[-2:] != (3, 3) else x * MIRROR * MIRROR[:, None]


@functools.cache
def _chain() -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """For each hinge of the right leg its place in the frame before it and the matrices K, K K of its axis; and heel
    and ball [2, 3] in the heel bone's frame. For a person of height 1."""
    table = skeleton()
    hinges = []
    for name in SEGMENTS:
        segment = table.segments[table.index(name)]
        for n, column in enumerate(segment.hinges):
            x, y, z = table.axes[column]
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            hinges.append((segment.offset if n == 0 else np.zeros(3), cross, cross @ cross))
    return hinges, np.stack([table.points[n][1] for n in ("heel_r", "ball_r")])


def place_feet(
    angles: np.ndarray, attitude: np.ndarray, place: np.ndarray, height_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forward kinematics of right legs.

    Args:
        angles: [N, 6] of the hinges.
        attitude, place: [N, 3, 3] and [N, 3] of the pelvis.

    Returns:
        heel and ball [N, 2, 3]; axis and place [N, 6, 3] of each hinge, all in metres in the room.
    """
    hinges, sole = _chain()
    axes, origins = np.empty((2, len(angles), len(HINGES), 3))
    for i, (offset, cross, square) in enumerate(hinges):
        place = place + attitude @ (offset * height_m)
        axes[:, i] = attitude @ np.array([cross[2, 1], cross[0, 2], cross[1, 0]])
        origins[:, i] = place
        sin, cos = np.sin(angles[:, i, None, None]), np.cos(angles[:, i, None, None])
        rows = attitude.reshape(-1, 3)  # one product for all
        attitude = attitude + sin * (rows @ cross).reshape(-1, 3, 3) + (1 - cos) * (rows @ square).reshape(-1, 3, 3)
    return place[:, None] + (sole * height_m) @ attitude.transpose(0, 2, 1), axes, origins


def reach(
    pattern: np.ndarray,
    attitude: np.ndarray,
    place: np.ndarray,
    height_m: float,
    wanted: np.ndarray,
    weight: np.ndarray,
    stiffness_m: np.ndarray,
) -> np.ndarray:
    """Angles [N, 6] of right legs whose heels and balls are where they are wanted, as far as joint limits allow.

    Args:
        pattern: [N, 6] angles to stay close to.
        attitude, place: [N, 3, 3] and [N, 3] of the pelvis.
        wanted: [N, 2, 3] places of heel and ball.
        weight: [N, 2, 3] of each coordinate of them; 1 for what must hold.
        stiffness_m: [N, 6] of each hinge, the metres of misplaced foot that weigh as much as a radian off the pattern.
    """
    lower, upper = limits()
    lower = np.minimum(np.maximum(lower, pattern - FARTHEST), pattern)
    upper = np.maximum(np.minimum(upper, pattern + FARTHEST), pattern)
    knee = HINGES.index("knee_angle")
    upper[:, knee] = np.maximum(0.0, pattern[:, knee])  # no knee is stretched further than straight to reach a place
    angles = pattern.copy()
    angles[:, knee] = np.minimum(angles[:, knee], START_KNEE)  # a straight leg does not see which way it can bend
    live = np.arange(len(angles))
    for i in range(ITERATIONS):
        # Heel and ball alike at first: whoever only places the one may end with the foot tipped the wrong way.
        rough = i < ROUGH
        pull, normal = _equations(
            angles[live],
            place_feet(angles[live], attitude[live], place[live], height_m),
            wanted[live],
            np.ones_like(weight[live]) if rough else weight[live],
            stiffness_m[live] ** 2,
            pattern[live],
        )
        step = _within(pull, normal, lower[live] - angles[live], upper[live] - angles[live])
        angles[live] += np.clip(step, -LONGEST_STEP_RAD, LONGEST_STEP_RAD)
        if not rough:
            live = live[np.abs(step).max(axis=1) > DONE_RAD]
    return angles


def _equations(
    angles: np.ndarray,
    placed: tuple[np.ndarray, np.ndarray, np.ndarray],
    wanted: np.ndarray,
    weight: np.ndarray,
    stiffness: np.ndarray,
    pattern: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Right [N, 6] and left side [N, 6, 6] of the equations whose solution is the next step of the angles."""
    feet, axes, origins = placed
    arm = feet[:, :, None] - origins[:, None]
    x, y, z = np.moveaxis(axes, -1, 0)[:, :, None]
    moves = np.stack(
        [y * arm[..., 2] - z * arm[..., 1], z * arm[..., 0] - x * arm[..., 2], x * arm[..., 1] - y * arm[..., 0]],
        axis=-1,
    )  # [N, 2, 6, 3], of heel and ball by each hinge
    heavy = np.sqrt(weight)
    jacobian = (moves * heavy[:, :, None]).transpose(0, 2, 1, 3).reshape(-1, len(HINGES), 6)
    error = ((wanted - feet) * heavy).reshape(-1, 6, 1)
    normal = jacobian @ jacobian.transpose(0, 2, 1) + (stiffness + CAUTION_M**2)[:, None] * np.eye(len(HINGES))
    return (jacobian @ error)[..., 0] + stiffness * (pattern - angles), normal


def _within(pull: np.ndarray, normal: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Solves the equations for steps [N, 6] within bounds: a hinge that would pass its limit goes as far as that, and
    the others make up for it as far as they can."""
    step = np.linalg.solve(normal, pull[..., None])[..., 0]
    bound = np.clip(step, lowest, highest)
    some = (bound != step).any(axis=1)
    held, bound, normal = (bound != step)[some], bound[some], normal[some]
    rest = pull[some] - (normal @ np.where(held, bound, 0.0)[..., None])[..., 0]
    normal = normal * ~held[:, :, None] * ~held[:, None] + held[:, :, None] * np.eye(len(HINGES))
    step[some] = np.linalg.solve(normal, np.where(held, bound, rest)[..., None])[..., 0]
    return np.clip(step, lowest, highest)

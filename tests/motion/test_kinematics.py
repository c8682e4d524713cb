"""Forward kinematics is MuJoCo's, differentiable, and moves the body in the directions OpenSim's signs say."""

import time

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.body import body_model, skeleton
from biomechjax.motion.format import load_format
from biomechjax.motion.kinematics import Pose, forward_kinematics, recorded_pose
from biomechjax.motion.pelvis import heading_first, opensim_order
from biomechjax.motion.recording import Recording

CANONICAL = load_format("canonical")
COLUMN = CANONICAL.indices
X, Y, Z = 0, 1, 2
RIGHT, LEFT = 0, 1


def random_values(frames: int) -> np.ndarray:
    """Poses all over the joints' ranges, anywhere within 3 m, facing anywhere."""
    lower, upper = np.clip([(c.lower, c.upper) for c in CANONICAL.channels], -3, 3).T
    return np.random.default_rng(0).uniform(lower, upper, (frames, 40)).astype(np.float32)


def recording(values: np.ndarray) -> Recording:
    return Recording(CANONICAL, 30.0, np.asarray(values, np.float32), np.ones(40, bool))


def posed(**angles_deg: float) -> Pose:
    """A person of 1 m with the pelvis at the origin and some joints bent."""
    values = np.zeros(40, np.float32)
    for name, angle in angles_deg.items():
        values[COLUMN[name]] = np.deg2rad(angle)
    return jax.tree.map(np.asarray, jax.jit(forward_kinematics)(values, 1.0))


def joint(pose: Pose, name: str) -> np.ndarray:
    return np.asarray(pose.joints[skeleton().index(name)])


@pytest.mark.parametrize("height_m", [1.2, 1.7, 2.0])
def test_equals_mujoco(height_m: float):
    model = body_model(height_m, 60.0)
    data = mujoco.MjData(model)
    values = random_values(100)
    pose = recorded_pose(recording(values), height_m)
    points = {"heel": pose.heels, "ball": pose.balls, "toe": pose.toes, "hand": pose.hands}
    for frame, row in enumerate(values):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        np.testing.assert_allclose(pose.joints[frame], data.xpos[1:], atol=1e-5)
        np.testing.assert_allclose(pose.centre_of_mass[frame], data.subtree_com[0], atol=1e-5)
        np.testing.assert_allclose(pose.head[frame], data.site("head").xpos, atol=1e-5)
        for name, places in points.items():
            for side in (RIGHT, LEFT):
                np.testing.assert_allclose(places[frame, side], data.site(f"{name}_{'rl'[side]}").xpos, atol=1e-5)


def test_gradients_are_finite_and_those_of_differences():
    """In double precision, so that the differences say something; standing upright included (all angles 0)."""
    weights = np.random.default_rng(1).standard_normal(3)

    def place(row):
        pose = forward_kinematics(row, 1.7)
        return sum((x @ weights).sum() for x in jax.tree.leaves(pose))

    with jax.enable_x64(True):
        for row in (np.zeros(40), random_values(1)[0].astype(np.float64)):
            gradient = np.asarray(jax.jit(jax.grad(place))(jnp.asarray(row)))
            steps = np.concatenate([row + 1e-6 * np.eye(40), row - 1e-6 * np.eye(40)])
            up, down = np.asarray(jax.jit(jax.vmap(place))(jnp.asarray(steps))).reshape(2, 40)
            assert np.isfinite(gradient).all()
            np.testing.assert_allclose(gradient, (up - down) / 2e-6, atol=1e-6)


def test_batches_of_people_of_different_height():
    values = random_values(6).reshape(2, 3, 40)
    heights = np.array([[1.5], [1.9]], np.float32)
    kinematics = jax.jit(forward_kinematics)
    both = kinematics(values, heights)
    for person in range(2):
        alone = kinematics(values[person], float(heights[person, 0]))
        for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[person], b, atol=1e-6)


def test_upright_body_has_the_published_heights():
    pose = posed()
    floor = pose.heels[RIGHT, Y]
    np.testing.assert_allclose([*pose.heels[:, Y], *pose.balls[:, Y], *pose.toes[:, Y]], floor, atol=1e-6)
    heights = {"head": pose.head, "hip": joint(pose, "femur_r"), "knee": joint(pose, "tibia_l")}
    heights |= {"ankle": joint(pose, "talus_r"), "shoulder": joint(pose, "humerus_l")}
    expected = {"head": 1.0, "hip": 0.530, "knee": 0.285, "ankle": 0.039, "shoulder": 0.818}  # Winter 2009, fig. 4.1
    assert {n: round(float(p[Y] - floor), 4) for n, p in heights.items()} == expected
    assert pose.toes[RIGHT, X] - pose.heels[RIGHT, X] == pytest.approx(0.152, abs=1e-6)
    # Centre of mass of standing men 0.56 to 0.57 of height (Winter 2009; Croskey 1922), over the feet.
    assert 0.55 < pose.centre_of_mass[Y] - floor < 0.58
    assert pose.heels[RIGHT, X] < pose.centre_of_mass[X] < pose.balls[RIGHT, X]


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_positive_angles_move_to_the_side_their_names_say(side: int):
    s, outwards = "_" + "rl"[side], 1 if side == RIGHT else -1
    rest = posed()
    knee, ankle, wrist = f"tibia{s}", f"talus{s}", f"hand{s}"
    assert joint(posed(**{f"hip_flexion{s}": 30}), knee)[X] > joint(rest, knee)[X] + 0.1
    assert outwards * (joint(posed(**{f"hip_adduction{s}": 20}), knee) - joint(rest, knee))[Z] < -0.05
    assert outwards * (posed(**{f"hip_rotation{s}": 20}).toes - rest.toes)[side, Z] < -0.01  # inwards
    assert joint(posed(**{f"knee_angle{s}": -30}), ankle)[X] < joint(rest, ankle)[X] - 0.1
    assert posed(**{f"ankle_angle{s}": 20}).toes[side, Y] > rest.toes[side, Y] + 0.02
    assert posed(**{f"mtp_angle{s}": 20}).toes[side, Y] > rest.toes[side, Y] + 0.005
    inverted = posed(**{f"subtalar_angle{s}": 20})  # inversion turns the sole, so the toes, to the middle
    assert outwards * (inverted.toes - rest.toes)[side, Z] < -0.01
    assert joint(posed(**{f"arm_flex{s}": 30}), wrist)[X] > joint(rest, wrist)[X] + 0.1
    assert outwards * (joint(posed(**{f"arm_add{s}": -30}), wrist) - joint(rest, wrist))[Z] > 0.1
    assert joint(posed(**{f"elbow_flex{s}": 60}), wrist)[X] > joint(rest, wrist)[X] + 0.1


def test_pelvis_and_trunk_turn_as_opensim_says():
    rest = posed()
    assert posed(pelvis_tilt=-10).head[X] > rest.head[X] + 0.05  # forward is negative
    assert posed(lumbar_extension=-10).head[X] > rest.head[X] + 0.05
    assert posed(neck_extension=-10).head[X] > rest.head[X] + 0.01
    assert posed(pelvis_list=10).head[Z] > rest.head[Z] + 0.05  # to the right
    assert posed(lumbar_bending=10).head[Z] > rest.head[Z] + 0.05
    assert posed(pelvis_rotation=90).toes[RIGHT, Z] < posed(pelvis_rotation=90).heels[RIGHT, Z] - 0.1  # facing left
    assert joint(posed(lumbar_rotation=20), "humerus_r")[X] > joint(rest, "humerus_r")[X] + 0.02  # right ahead


def test_mirrored_recordings_are_mirrored_bodies():
    original = recording(random_values(20))
    pose, mirror = recorded_pose(original), recorded_pose(original.mirrored())
    flip = np.array([1, 1, -1], np.float32)
    np.testing.assert_allclose(mirror.centre_of_mass, pose.centre_of_mass * flip, atol=1e-5)
    for name in ("heels", "toes", "hands"):
        np.testing.assert_allclose(getattr(mirror, name), getattr(pose, name)[:, ::-1] * flip, atol=1e-5)


def test_half_a_minute_is_milliseconds_and_other_lengths_compile_nothing_new():
    recorded_pose(recording(random_values(900)))
    start = time.perf_counter()
    pose = recorded_pose(recording(random_values(1000)))
    assert time.perf_counter() - start < 0.25
    assert pose.joints.shape == (1000, 21, 3) and isinstance(pose.joints, np.ndarray)


def test_other_formats_have_no_body():
    other = load_format("ui_prmd_vicon")
    with pytest.raises(InputError, match="format ui_prmd_vicon; the body is that of format canonical"):
        recorded_pose(Recording(other, 100.0, np.zeros((200, other.size), np.float32), np.ones(other.size, bool)))


@pytest.mark.parametrize(
    ("height_m", "mass_kg", "word"), [(0.0, 70.0, "height"), (170.0, 70.0, "height"), (1.7, float("nan"), "mass")]
)
def test_impossible_people_are_refused(height_m: float, mass_kg: float, word: str):
    with pytest.raises(InputError, match=f"{word} .* expected a"):
        body_model(height_m, mass_kg)


def test_pelvis_orders_are_the_same_attitude_and_undo_each_other():
    angles = np.random.default_rng(2).uniform([-0.6, -0.6, -9], [0.6, 0.6, 9], (50, 3))
    there = heading_first(angles)
    np.testing.assert_allclose(opensim_order(there), angles, atol=1e-9)
    tilt, lean, heading = there.T
    values = np.zeros((50, 40), np.float32)
    values[:, 3:6] = angles
    joints = recorded_pose(recording(values), 1.0).joints
    right, left = (joints[:, skeleton().index(f"femur_{s}")] for s in "rl")
    across = (right - left) / 0.0928  # the pelvis's own z axis: list is its slope, heading its direction from above
    np.testing.assert_allclose(across[:, Y], -np.sin(lean), atol=1e-5)
    np.testing.assert_allclose(across[:, [X, Z]].T, np.cos(lean) * [np.sin(heading), np.cos(heading)], atol=1e-5)
    assert np.abs(heading - angles[:, 2]).max() < 0.6


def test_heading_first_tilt_does_not_depend_on_where_a_person_faces():
    forward = np.deg2rad([[-20.0, 0.0, 0.0]])
    behind = opensim_order(forward + [[0.0, 0.0, np.pi]])
    np.testing.assert_allclose(behind, np.deg2rad([[20.0, 0.0, 180.0]]), atol=1e-9)

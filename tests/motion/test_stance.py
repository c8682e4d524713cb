"""Feet that stand, in movements whose standing is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import CANONICAL, COLUMN

from biomechjax.motion.kinematics import forward_kinematics
from biomechjax.motion.stance import POINTS, foot_points, horizontal_speed, placed, standing

RATE = 30.0


def one_leg_swings(frames: int = 90) -> np.ndarray:
    """Points of somebody on the left leg whose right one swings through half a metre and more, well off the floor."""
    values = np.zeros((frames, CANONICAL.size), np.float32)
    values[:, COLUMN["hip_flexion_r"]] = 0.5 * np.sin(2 * np.pi * np.arange(frames) / RATE)
    values[:, COLUMN["knee_angle_r"]] = -1.5
    return foot_points(jax.tree.map(np.asarray, forward_kinematics(values)))

    return jax.tree.map(np.asarray, forward_kinematics(values))


def test_the_leg_that_carries_stands():
    stands = standing(one_leg_swings(), RATE, np.ones(90))
    assert stands.shape == (89, 4)
    for name, column in zip(POINTS, stands.T, strict=True):
        assert column.mean() == (1 if name.endswith("l") else 0), name


def test_wavering_of_capture_is_seen_through():
    """White noise of a centimetre makes 0.4 m/s from frame to frame."""
    points = one_leg_swings()
    noisy = points + np.random.default_rng(0).normal(0, 0.01, points.shape)
    assert np.median(horizontal_speed(noisy, RATE)) > 0.4
    stands = standing(noisy, RATE, np.ones(90))
    assert stands[:, 1::2].mean() > 0.95 and stands[:, ::2].mean() == 0


def test_padding_changes_nothing_and_stands_nowhere():
    points, valid = one_leg_swings(), np.ones(90)
    padded = np.concatenate([points, np.full((14, 4, 3), -7.0)])
    stands = standing(padded, RATE, np.concatenate([valid, np.zeros(14)]))
    np.testing.assert_array_equal(stands[:89], standing(points, RATE, valid))
    assert not stands[89:].any()


def test_jax_and_numpy_agree_in_batches():
    points = np.stack([one_leg_swings(), one_leg_swings()[::-1] * 1.1])
    valid = np.ones((2, 90))
    valid[1, 60:] = 0
    expected = standing(points, RATE, valid)
    np.testing.assert_array_equal(standing(jnp.asarray(points), RATE, jnp.asarray(valid)), expected)
    np.testing.assert_array_equal(expected[0], standing(points[0], RATE, valid[0]))


def test_speed_over_the_floor():
    points = np.zeros((3, 4, 3))
    points[1:, 0] = [0.01, 5.0, 0.02]
    assert horizontal_speed(points, RATE)[:, 0] == pytest.approx([30 * np.hypot(0.01, 0.02), 0])


def test_feet_are_placed_by_the_angles_above_them():
    observed = np.ones(CANONICAL.size)
    np.testing.assert_array_equal(placed(observed), [1, 1, 1, 1])
    observed[COLUMN["arm_flex_r"]] = 0
    np.testing.assert_array_equal(placed(observed), [1, 1, 1, 1])
    for name, expected in (("subtalar_angle_r", [0, 1, 0, 1]), ("mtp_angle_l", [1, 1, 1, 1]), ("pelvis_list", [0] * 4)):
        one_less = observed.copy()
        one_less[COLUMN[name]] = 0
        np.testing.assert_array_equal(placed(one_less), expected, name)

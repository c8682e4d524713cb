"""Travel codes: exact displacements, and errors that do not add up."""

import numpy as np
import pytest

from biomechjax.motion.features import Placement, from_features, to_features
from biomechjax.motion.format import load_format
from biomechjax.tokenizer import travel

CANONICAL = load_format("canonical")
ROOT = [CANONICAL.indices[n] for n in ("pelvis_tx", "pelvis_tz", "pelvis_rotation")]
RATE = 30.0


def wander(seconds: float, seed: int = 0) -> np.ndarray:
    """Root features [F,3] of somebody who walks in bends, at a pace that changes."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    a, b, c = rng.uniform(0.3, 1.2, 3)
    forward = 1.1 + 0.3 * np.sin(2 * np.pi * a * t) + 0.1 * rng.normal(size=t.size)
    lateral = 0.15 * np.sin(2 * np.pi * b * t)
    turn = 0.8 * np.sin(2 * np.pi * 0.1 * c * t) + 0.2 * rng.normal(size=t.size)
    root = np.stack([forward, lateral, turn], axis=1)
    root[0] = root[1]
    return root


def place(root: np.ndarray) -> np.ndarray:
    """Channels (x, z, heading) [F,3] of root features, by the features' own integration."""
    features = np.zeros((len(root), CANONICAL.size))
    features[:, ROOT] = root
    return from_features(CANONICAL, RATE, features, Placement())[:, ROOT]


def test_moves_are_what_the_channels_do_from_step_to_step():
    root = wander(8)
    found = travel.moves(root, RATE, 8)
    x, z, h = place(root)[np.r_[0, 7 : len(root) : 8]].T
    dx, dz, cos, sin = np.diff(x), np.diff(z), np.cos(h[:-1]), np.sin(h[:-1])
    expected = np.stack([dx * cos - dz * sin, dx * sin + dz * cos, np.diff(h)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_steered_features_make_the_moves_and_keep_their_shape():
    root, moved = wander(8), travel.moves(wander(8, 1), RATE, 8)
    steered = travel.steer(root, moved, RATE)
    np.testing.assert_allclose(travel.moves(steered, RATE, 8), moved, atol=1e-9)
    turn = (steered - root)[1:, 2].reshape(-1)
    np.testing.assert_allclose(np.diff(turn[7:].reshape(-1, 8), axis=1), 0, atol=1e-9)
    # What already makes its moves stays as it is.
    np.testing.assert_allclose(travel.steer(root, travel.moves(root, RATE, 8), RATE), root, atol=1e-9)


@pytest.mark.parametrize("seconds", [8, 80, 640])
def test_errors_do_not_add_up_over_a_long_trial(seconds):
    """The same codes chosen without looking at where they lead drift away."""
    table = travel.fit(np.concatenate([travel.moves(wander(64, s), RATE, 8) for s in range(40)]), 256, 0)
    root = wander(seconds, 99)
    codes = travel.choose(table, root, RATE, 8)
    ends = slice(7, None, 8)
    error = place(travel.steer(root, table[codes], RATE))[ends] - place(root)[ends]
    assert np.linalg.norm(error[:, :2], axis=1).max() < 0.08
    assert np.abs(error[:, 2]).max() < 0.15
    moved = travel.moves(root, RATE, 8)
    nearest = np.argmin((((moved[:, None] - table) * [1, 1, travel.ARM_M]) ** 2).sum(axis=-1), axis=1)
    blind = place(travel.steer(root, table[nearest], RATE))[ends] - place(root)[ends]
    if seconds >= 80:
        assert np.linalg.norm(blind[-1, :2]) > 0.3


def test_standing_still_is_a_code():
    table = travel.fit(np.random.default_rng(0).normal(size=(500, 3)), 16, 0)
    assert (travel.choose(table, np.zeros((64, 3)), RATE, 8) == 0).all()
    assert not table[0].any()


def test_a_real_walk_in_the_room_is_followed():
    """Through to_features, wherever the person stands and whichever way they face."""
    values = np.zeros((240, CANONICAL.size))
    values[:, ROOT] = place(wander(8, 3)) + [2.0, -1.0, 0.0]
    features, placement = to_features(CANONICAL, RATE, values)
    table = travel.fit(np.concatenate([travel.moves(wander(64, s), RATE, 8) for s in range(40)]), 256, 0)
    codes = travel.choose(table, features[:, ROOT], RATE, 8)
    features[:, ROOT] = travel.steer(np.zeros((240, 3)), table[codes], RATE)
    found = from_features(CANONICAL, RATE, features, placement)[:, ROOT]
    assert np.linalg.norm((found - values[:, ROOT])[7::8, :2], axis=1).max() < 0.08

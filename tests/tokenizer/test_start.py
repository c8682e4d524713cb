"""The parameters that training begins with."""

import jax
import numpy as np
import pytest

from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.start import init_params, linear_start

CHANNELS, DIMENSIONS = 5, 12
WEIGHTS = np.array([1, 1, 4, 1, 0.5], np.float32)


def movements(config: TokenizerConfig, windows: int = 40) -> np.ndarray:
    """Features [B,64,5] whose steps differ in so many dimensions only."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(DIMENSIONS, config.frames_per_step * CHANNELS)) * np.arange(1, DIMENSIONS + 1)[:, None]
    steps = rng.normal(size=(windows * 64 // config.frames_per_step, DIMENSIONS)) @ basis
    return steps.reshape(windows, 64, CHANNELS).astype(np.float32)


def started(config: TokenizerConfig, features: np.ndarray):
    model, valid = Autoencoder(config, CHANNELS), np.ones(features.shape[:2], np.float32)
    valid[:, -10:] = 0
    noise = np.where(valid[..., None] > 0, features, 1e3)  # padding says nothing
    params = linear_start(init_params(model, jax.random.key(0)), config, WEIGHTS, [{"features": noise, "valid": valid}])
    latents = model.apply(params, features, np.ones((1, 1, CHANNELS), np.float32), valid * 0 + 1, method="encode")
    return params, np.asarray(latents), np.asarray(model.apply(params, latents, valid * 0 + 1, method="decode"))


# As wide as the movement, wider, wider than a step has numbers.
@pytest.mark.parametrize("width", [DIMENSIONS, 16, 50])
def test_what_the_latents_have_room_for_is_kept_before_training(width):
    config = TokenizerConfig(width=16, stages=3, code_width=width)
    features = movements(config)
    params, latents, decoded = started(config, features)
    np.testing.assert_allclose(decoded, features, atol=1e-4 * np.abs(features).max())
    assert np.mean(latents**2) == pytest.approx(1, rel=0.1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_latents_are_as_far_apart_as_the_movements():
    config = TokenizerConfig(width=16, stages=3, code_width=16)
    features = movements(config)
    latents = started(config, features)[1].reshape(-1, 16)
    steps = (features * np.sqrt(WEIGHTS)).reshape(len(latents), -1)
    ratio = np.linalg.norm(latents[1:] - latents[:-1], axis=1) / np.linalg.norm(steps[1:] - steps[:-1], axis=1)
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)


def test_narrow_latents_keep_the_largest_components():
    config = TokenizerConfig(width=16, stages=2, code_width=4)
    features = movements(config)
    kept = np.square((started(config, features)[2] - features) * np.sqrt(WEIGHTS)).sum()
    steps = (features * np.sqrt(WEIGHTS)).reshape(-1, 4 * CHANNELS)
    lost = np.linalg.svd(steps, compute_uv=False)[4:]
    assert kept == pytest.approx(np.sum(lost**2), rel=0.02)  # fitted to the frames that are valid


def test_a_grid_has_the_same_spread_along_all_axes():
    config = TokenizerConfig(width=16, quantizer="fsq", codebook_size=64, code_width=3, fsq_levels=(4, 4, 4))
    latents = started(config, movements(config))[1].reshape(-1, 3)
    np.testing.assert_allclose(np.mean(latents**2, axis=0), 1, rtol=0.15)

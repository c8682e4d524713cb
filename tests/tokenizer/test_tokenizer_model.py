"""The convolutional encoder and decoder: padding is as good as absent."""

from functools import partial

import jax
import numpy as np
import pytest
import tiny

from biomechjax.tokenizer.model import Autoencoder, MaskedConv

MODEL = Autoencoder(tiny.TOKENIZER, tiny.FORMAT.size)
SIZE = tiny.FORMAT.size


@pytest.fixture(scope="module")
def params():
    zeros = np.zeros((1, 16, SIZE), np.float32)
    return MODEL.init(jax.random.key(3), zeros, zeros[:, :1], zeros[..., 0])


@partial(jax.jit, static_argnames="method")
def apply(params, *inputs, method):
    return MODEL.apply(params, *inputs, method=method)


def batch(frames: int, real: int, seed: int = 0):
    features = np.random.default_rng(seed).normal(size=(2, frames, SIZE)).astype(np.float32)
    valid = np.repeat(np.arange(frames) < real, 2).reshape(frames, 2).T.astype(np.float32)
    return features, np.ones((2, 1, SIZE), np.float32), valid


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 1, 3), (1, 1, 1), (4, 2, 1)])
def test_convolution_of_a_padded_row_equals_that_of_the_row(kernel, stride, dilation):
    conv = MaskedConv(5, kernel, stride, dilation)
    x = np.random.default_rng(0).normal(size=(1, 20, 3)).astype(np.float32)
    valid = (np.arange(20) < 12).astype(np.float32)[None]
    params = conv.init(jax.random.key(0), x, valid)
    alone = conv.apply(params, x[:, :12], valid[:, :12])
    assert alone.shape == (1, 12 // stride, 5)
    np.testing.assert_allclose(conv.apply(params, x, valid)[:, : 12 // stride], alone, atol=1e-6)


def test_what_stands_in_padded_frames_changes_no_latent(params):
    features, observed, valid = batch(32, 20)
    other = features.copy()
    other[:, 20:] = 1e3
    latents = apply(params, features, observed, valid, method="encode")
    np.testing.assert_array_equal(apply(params, other, observed, valid, method="encode")[:, :5], latents[:, :5])
    inside = features.copy()
    inside[:, 19] += 1
    assert np.abs(apply(params, inside, observed, valid, method="encode")[:, :5] - latents[:, :5]).max() > 1e-3


def test_padding_changes_no_latent_and_no_decoded_frame(params):
    features, observed, valid = batch(32, 20)
    padded = apply(params, features, observed, valid, method="encode")
    alone = apply(params, features[:, :20], observed, valid[:, :20], method="encode")
    assert alone.shape == (2, 5, tiny.TOKENIZER.code_width)
    np.testing.assert_allclose(padded[:, :5], alone, atol=1e-5)

    garbage = np.array(padded)
    garbage[:, 5:] = 1e3
    decoded = apply(params, alone, valid[:, :20], method="decode")
    assert decoded.shape == (2, 20, SIZE)
    np.testing.assert_allclose(apply(params, garbage, valid, method="decode")[:, :20], decoded, atol=1e-4)


def test_value_of_an_unobserved_channel_is_not_seen_but_its_absence_is(params):
    features, observed, valid = batch(16, 16)
    hidden, other = observed.copy(), features.copy()
    hidden[..., 2] = 0
    other[..., 2] = 7
    latents = apply(params, features, hidden, valid, method="encode")
    np.testing.assert_array_equal(apply(params, other, hidden, valid, method="encode"), latents)
    other[..., 2] = 0
    assert np.abs(apply(params, other, observed, valid, method="encode") - latents).max() > 1e-3


def test_latent_i_stands_over_frames_4i_to_4i_plus_3(params):
    features, observed, valid = batch(64, 64)
    latents = apply(params, features, observed, valid, method="encode")
    other = features.copy()
    other[:, 32:36] += 1
    change = np.abs(apply(params, other, observed, valid, method="encode") - latents).max(axis=(0, 2))
    assert change.argmax() == 8


def test_beside_the_convolutions_a_linear_map_of_each_step_leads_straight_through(params):
    """With every convolution at zero, latents and frames are products with two matrices."""
    features, observed, valid = batch(16, 16)
    silent = jax.tree_util.tree_map_with_path(
        lambda path, x: x if "Dense" in jax.tree_util.keystr(path) else np.zeros_like(x), params
    )
    into, out = (params["params"][half]["Dense_0"]["kernel"] for half in ("encoder", "decoder"))
    step = tiny.TOKENIZER.frames_per_step
    seen = np.concatenate([features, np.ones_like(features)], axis=-1).reshape(2, 16 // step, -1)
    latents = apply(silent, features, observed, valid, method="encode")
    np.testing.assert_allclose(latents, seen @ into, atol=1e-5)
    frames = apply(silent, latents, valid, method="decode")
    np.testing.assert_allclose(frames, (latents @ out).reshape(2, 16, SIZE), atol=1e-5)

"""Equivalences of the decoder: packed and unpacked, cached and not, scanned and unrolled."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from biomechjax.language.cache import init_cache
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder, Params, abstract_params, init_params


def run(config: DecoderConfig, params: Params, tokens, positions=None, segment_ids=None, cache=None):
    """Logits [B, T, V] and cache; by default each row is one segment from position 0 on."""
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape) if positions is None else positions
    segment_ids = np.ones(tokens.shape, np.int32) if segment_ids is None else segment_ids
    return apply(config, params, tokens, positions, segment_ids, cache)


@partial(jax.jit, static_argnums=0)
def apply(config, params, tokens, positions, segment_ids, cache):
    model, variables = Decoder(config), {"params": params}
    hidden, cache = model.apply(variables, tokens, positions, segment_ids, cache)
    return model.apply(variables, hidden, method="logits"), cache


def random_tokens(config: DecoderConfig, *shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.vocab_size, shape, dtype=np.int32)


class TestPacking:
    """Three ragged examples in one row, with padding after them, against one example per row."""

    lengths = (11, 7, 9)
    slots = 32

    def packed(self, config, params, leak: bool):
        examples = [random_tokens(config, n, seed=n) for n in self.lengths]
        tokens, positions, segments = np.zeros((3, 1, self.slots), np.int32)
        start = 0
        for i, example in enumerate(examples):
            span = slice(start, start + len(example))
            tokens[0, span], positions[0, span], segments[0, span] = example, np.arange(len(example)), i + 1
            start = span.stop
        if leak:
            segments = np.ones_like(segments)
        logits, _ = run(config, params, tokens, positions, segments)
        pieces = np.split(jax.nn.log_softmax(logits)[0, :start], np.cumsum(self.lengths)[:-1])
        alone = [jax.nn.log_softmax(run(config, params, example[None])[0])[0] for example in examples]
        return max(float(jnp.abs(p - a).max()) for p, a in zip(pieces, alone, strict=True))

    def test_packed_equals_unpacked(self, config, params):
        assert self.packed(config, params, leak=False) < 1e-5

    def test_comparison_detects_a_leak(self, config, params):
        assert self.packed(config, params, leak=True) > 1e-3


def test_nothing_attends_to_padding(config, params):
    tokens = random_tokens(config, 2, 12)
    other = tokens.copy()
    other[:, 8:] = (other[:, 8:] + 1) % config.vocab_size
    segments = np.repeat([[1] * 8 + [0] * 4], 2, axis=0)
    first, _ = run(config, params, tokens, segment_ids=segments)
    second, _ = run(config, params, other, segment_ids=segments)
    np.testing.assert_array_equal(first[:, :8], second[:, :8])
    assert np.isfinite(first).all()


def test_cached_steps_equal_one_pass(config, params):
    """Prefill of rows of different length, then single tokens in a shared slot at each row's own position."""
    lengths, new = np.array([13, 6, 1]), 9
    tokens = random_tokens(config, 3, lengths.max() + new)
    whole, _ = run(config, params, tokens)

    t = lengths.max()
    column = np.broadcast_to(np.arange(t), (3, t))
    cache = init_cache(config, 3, t + new)
    segments = (column < lengths[:, None]).astype(np.int32)
    prefill, cache = run(config, params, tokens[:, :t], column, segments, cache)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(prefill[row, :n], whole[row, :n], atol=1e-5)
    for step in range(new):
        position = lengths + step
        token = tokens[np.arange(3), position]
        logits, cache = run(config, params, token[:, None], position[:, None], cache=cache)
        np.testing.assert_allclose(logits[:, 0], whole[np.arange(3), position], atol=1e-5)
    assert int(cache.index) == t + new


def test_cache_too_small_is_refused(config, params):
    with pytest.raises(ValueError, match="12 tokens do not fit a cache of 8 slots"):
        run(config, params, random_tokens(config, 1, 12), cache=init_cache(config, 1, 8))


def test_inputs_of_different_shape_are_refused(config, params):
    with pytest.raises(ValueError, match="same shape"):
        run(config, params, random_tokens(config, 1, 12), positions=np.arange(12))


@partial(jax.jit, static_argnums=0)
def logits_and_gradient(config: DecoderConfig, params: Params, tokens):
    def loss(params):
        logits, _ = run(config, params, tokens)
        return jax.nn.log_softmax(logits)[..., 0].mean(), logits

    gradient, logits = jax.grad(loss, has_aux=True)(params)
    return logits, gradient


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"unroll": 3}, marks=pytest.mark.slow),
        {"unroll": 6},
        {"remat": "full"},
        {"remat": "products"},
        {"attention": "fused"},
    ],
)
def test_how_it_is_computed_changes_nothing(config, params, change):
    tokens = random_tokens(config, 2, 10)
    expected = logits_and_gradient(config, params, tokens)
    found = logits_and_gradient(dataclasses.replace(config, **change), params, tokens)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)
    assert all(jnp.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(expected))


@pytest.mark.parametrize(("global_every", "reaches"), [(99, False), (2, True)])
def test_reach_of_local_and_global_layers(config, params, global_every, reaches):
    """L local layers of window W carry a change L * (W - 1) tokens on; one global layer any distance."""
    config = dataclasses.replace(config, global_every=global_every)
    limit = config.num_layers * (config.sliding_window - 1)
    tokens = random_tokens(config, 1, limit + 8)
    other = tokens.copy()
    other[0, 0] = (other[0, 0] + 1) % config.vocab_size
    change = np.abs(run(config, params, tokens)[0] - run(config, params, other)[0]).max(axis=(0, 2))
    assert change[limit] > 0
    assert (change[limit + 1 :] > 0).all() == reaches
    assert (change[limit + 1 :] > 0).any() == reaches


def test_bfloat16_is_close_and_logits_are_float32(config, params):
    tokens = random_tokens(config, 2, 10)
    exact, _ = run(config, params, tokens)
    rough, _ = run(dataclasses.replace(config, compute_dtype="bfloat16"), params, tokens)
    assert rough.dtype == jnp.float32
    assert 0 < float(jnp.abs(exact - rough).mean()) < 0.05 * float(jnp.abs(exact).max())


def test_fresh_decoder_starts_near_uniform(config):
    """Logits of unit variance: the first loss is log V and about half a nat."""
    config = dataclasses.replace(config, width=128, vocab_size=512)
    logits, _ = run(config, init_params(config, jax.random.key(0)), random_tokens(config, 4, 32))
    assert float(logits.std()) == pytest.approx(1.0, abs=0.15)


def test_abstract_params_describe_the_real_ones(config, params):
    shapes, axes = abstract_params(config)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(lambda x: (x.shape, x.dtype), params)
    assert jax.tree.map(lambda x: x.ndim, shapes) == jax.tree.map(
        len, axes, is_leaf=lambda x: isinstance(x, jax.sharding.PartitionSpec)
    )
    assert tuple(axes["layers"]["attention"]["query"]) == ("layers", "embed", "heads", "head_dim")

"""Log-probabilities in chunks of the vocabulary equal those of whole logits, derivative included."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from biomechjax.language import likelihood
from biomechjax.language.likelihood import log_probs
from biomechjax.language.weights import Extended

P, D, V = 23, 8, 101
RNG = np.random.default_rng(0)
HIDDEN, HEAD = RNG.normal(0, 3, (P, D)).astype(np.float32), RNG.normal(0, 1, (V, D)).astype(np.float32)
TARGETS = np.concatenate([[0, V - 1, 31, 32, 63, 64], RNG.integers(0, V, P - 6)]).astype(np.int32)
WEIGHTS = RNG.normal(size=P).astype(np.float32)


def whole(hidden, head, cap):
    logits = hidden @ head.T
    logits = logits if cap is None else cap * jnp.tanh(logits / cap)
    return -optax.softmax_cross_entropy_with_integer_labels(logits, TARGETS)


@pytest.mark.parametrize("chunk", [32, V, 1000, 10])
@pytest.mark.parametrize("cap", [None, 4.0])
def test_value_and_gradient_equal_those_of_whole_logits(chunk, cap):
    expected, expected_back = jax.vjp(lambda *a: whole(*a, cap), HIDDEN, HEAD)
    found, back = jax.vjp(lambda *a: log_probs(*a, TARGETS, cap, chunk), HIDDEN, HEAD)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(back(WEIGHTS), expected_back(WEIGHTS), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shards", [1, 4, 20])
@pytest.mark.parametrize("chunk", [100, 7, 3])
def test_parts_of_a_vocabulary_that_is_split_over_devices(shards, chunk, monkeypatch):
    """Each device has a chunk of its own part at a time; the last may be smaller. 100 rows."""
    monkeypatch.setattr(likelihood, "_shards", lambda size: shards)
    head, targets = HEAD[:100], TARGETS % 100
    expected, expected_back = jax.vjp(
        lambda h, w: jnp.take_along_axis(jax.nn.log_softmax(h @ w.T), targets[:, None], 1), HIDDEN, head
    )
    found, back = jax.vjp(lambda h, w: log_probs(h, w, targets, None, chunk)[:, None], HIDDEN, head)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(back(WEIGHTS[:, None]), expected_back(WEIGHTS[:, None]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("offset", [0, 31, V - 9])
@pytest.mark.parametrize("chunk", [32, 1000])
def test_learned_rows_stand_for_those_of_the_base(offset, chunk):
    """The derivative reaches the learned rows and the hidden states, and nothing of the rows that are stood for."""
    rows = RNG.normal(size=(9, D)).astype(np.float32)

    def joined(h, r):
        return whole(h, jnp.asarray(HEAD).at[offset : offset + 9].set(r), 4.0)

    expected, expected_back = jax.vjp(joined, HIDDEN, rows)
    found, back = jax.vjp(lambda h, r: log_probs(h, Extended(HEAD, r, offset), TARGETS, 4.0, chunk), HIDDEN, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(back(WEIGHTS), expected_back(WEIGHTS), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_sums_to_one_over_the_vocabulary():
    each = log_probs(np.tile(HIDDEN[:1], (V, 1)), HEAD, np.arange(V), chunk=32)
    assert float(jnp.exp(each).sum()) == pytest.approx(1, abs=1e-5)


def test_large_logits_do_not_overflow():
    found = log_probs(HIDDEN * 100, HEAD, TARGETS, chunk=32)
    np.testing.assert_allclose(found, whole(HIDDEN * 100, HEAD, None), rtol=1e-5, atol=1e-3)


def test_half_precision_sums_in_float32():
    half = HIDDEN.astype(jnp.bfloat16), HEAD.astype(jnp.bfloat16)
    found = log_probs(*half, TARGETS, chunk=32)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, whole(*(x.astype(jnp.float32) for x in half), None), rtol=1e-4, atol=1e-4)


def test_no_array_is_as_wide_as_the_vocabulary():
    """Neither forwards nor backwards stand [P, V] logits, in whatever order of axes."""
    value = jax.jit(jax.value_and_grad(lambda h, w: log_probs(h, w, TARGETS, None, 32).sum(), (0, 1)))
    text = value.lower(HIDDEN, HEAD).as_text()
    wide = [f"{P}x{V}x", f"{V}x{P}x", f"4x25x{P}x", f"100x{P}x", f"{P}x100x"]
    assert f"25x{P}x" in text and not any(w in text for w in wide)
    few = jax.jit(lambda h, w: log_probs(h, w, TARGETS)).lower(HIDDEN, HEAD).as_text()
    assert f"{V}x{P}x" in few  # as they may

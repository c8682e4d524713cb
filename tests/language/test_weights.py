"""The forms of a weight: each computes what the plain array that it stands for would."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qwix

from biomechjax.language.weights import (
    TILE,
    Adapted,
    Extended,
    apply_linear,
    embed,
    head_logits,
    merged,
    quantize,
)

RNG = np.random.default_rng(0)
WEIGHT = jnp.asarray(RNG.normal(size=(3, 2 * TILE, 24)) * 0.1, jnp.float32)
X = jnp.asarray(RNG.normal(size=(6, 2 * TILE)), jnp.float32)


@pytest.mark.parametrize(("kind", "tiles", "share"), [("nf4", {1: TILE}, 0.30), ("int8", {}, 0.55)])
def test_packed_codes_are_those_of_qwix(kind, tiles, share):
    found = quantize(WEIGHT, kind)
    expected = qwix.dequantize(qwix.quantize(WEIGHT, kind, channelwise_axes=(0, 2), tiled_axes=tiles))
    np.testing.assert_array_equal(found.dequantize(), expected)
    layer = jax.tree.map(lambda leaf: leaf[1], found)
    np.testing.assert_array_equal(layer.dequantize(), expected[1])
    assert found.codes.nbytes + found.scale.nbytes <= share * WEIGHT.size * 2
    error = np.linalg.norm(expected - WEIGHT) / np.linalg.norm(WEIGHT)
    assert error < {"nf4": 0.12, "int8": 0.02}[kind]


def test_nf4_needs_whole_tiles():
    with pytest.raises(ValueError, match="65 inputs; nf4 needs a multiple of 64"):
        quantize(jnp.ones((1, 65, 4)), "nf4")


@pytest.mark.parametrize("kind", ["nf4", "int8", "float32", "bfloat16"])
def test_an_adapted_map_is_its_merged_array(kind):
    a, b = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((2 * TILE, 4), (4, 24)))
    base = quantize(WEIGHT[0], kind) if kind in ("nf4", "int8") else WEIGHT[0].astype(kind)
    weight = Adapted(base, a, b, scale=0.5, dropout=0.9)

    def plain(x, a, b):
        return x @ (merged(base) + 0.5 * a @ b)

    np.testing.assert_allclose(apply_linear(X, weight), X @ merged(weight), rtol=1e-4, atol=1e-4)
    found, expected = (
        jax.grad(lambda *args, f=f: jnp.sum(jnp.sin(f(*args))), argnums=(0, 1, 2))(X, a, b)
        for f in (lambda x, a, b: apply_linear(x, Adapted(base, a, b, 0.5, 0.9)), plain)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_dropout_is_of_the_adapter_only_and_of_each_row_by_its_own_key():
    a, b = jnp.eye(2 * TILE), jnp.eye(2 * TILE)
    weight = Adapted(jnp.zeros((2 * TILE, 2 * TILE)), a, b, scale=1.0, dropout=0.25)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jnp.ones((3 * 50, 2 * TILE))
    dropped = np.asarray(apply_linear(x, weight, keys))
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.75, rtol=1e-5)
    np.testing.assert_array_equal(apply_linear(x[50:], weight, keys[1:]), dropped[50:])
    assert (dropped[:50] != dropped[50:100]).any()
    plain = Adapted(jnp.eye(2 * TILE), a, jnp.zeros_like(b), scale=1.0, dropout=0.25)
    np.testing.assert_array_equal(apply_linear(x, plain, keys), x)


@pytest.mark.parametrize("offset", [0, 5, 14])
def test_an_extended_embedding_is_the_one_with_its_rows_replaced(offset):
    table, rows = (jnp.asarray(RNG.normal(size=(n, 8)), jnp.float32) for n in (20, 6))
    whole, extended = table.at[offset : offset + 6].set(rows), Extended(table, rows, offset)
    np.testing.assert_array_equal(embed(jnp.arange(20), extended), whole)
    hidden = jnp.asarray(RNG.normal(size=(4, 8)), jnp.float32)
    np.testing.assert_allclose(head_logits(hidden, extended), whole @ hidden.T, rtol=1e-5, atol=1e-5)

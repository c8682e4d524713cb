"""Attention and rotary positions, as every layer computes them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.language.config import DecoderConfig

# Of a row that sees only itself; each leaves out the keys after it, together 6/16 of all scores. More are no faster on
# a CPU and take longer to compile.
QUERY_BLOCKS = 4


def soft_cap(x: Array, cap: float | None) -> Array:
    """cap * tanh(x / cap), or x where there is no cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def rope_table(positions: Array, head_dim: int, base: float, scale: float) -> Array:
    """Sine and cosine of the rotary angles, [2, B, T, H/2] float32 (RoFormer, arXiv:2104.09864)."""
    frequencies = 1.0 / base ** (jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions[..., None].astype(jnp.float32) * (frequencies / scale)
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)])


def rotate(x: Array, rope: Array) -> Array:
    """Rotates the two halves of each head [B, T, heads, H] against each other, in float32."""
    sin, cos = rope[:, :, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(config: DecoderConfig, queries: Array, keys: Array, values: Array, mask: Array) -> Array:
    """Softmax attention of queries [B, T, N, H] to keys and values [B, S, K, H] where mask [B, T, S] is true.

    Queries come scaled. A padding token that sees nothing gets numbers that nobody reads, not NaN.
    """
    if config.attention == "fused":
        return jax.nn.dot_product_attention(queries, keys, values, mask=mask[:, None], scale=1.0)
    b, t, n, h = queries.shape
    k = keys.shape[2]
    queries = queries.reshape(b, t, k, n // k, h)
    scores = jnp.einsum("btkgh,bskh->bkgts", queries, keys, preferred_element_type=jnp.float32)
    scores = soft_cap(scores, config.attention_soft_cap)
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    peak = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))  # cancels
    weights = jnp.exp(scores - peak).astype(values.dtype)
    if t == 1:
        mixed = jnp.einsum("bkgts,bskh->bkgth", weights, values, preferred_element_type=jnp.float32)
        mixed /= jnp.sum(weights, axis=-1, keepdims=True, dtype=jnp.float32).transpose(0, 1, 2, 4, 3)
        return mixed.astype(values.dtype).reshape(b, t, n, h)
    # The sum of the softmax is one more column of the product with the values, by which the others are divided at the
    # end: on a CPU 1.2 times faster, derivative included, than jax.nn.softmax.
    ones = jnp.ones((*values.shape[:-1], 1), values.dtype)
    summed = jnp.concatenate([values, ones], axis=-1)
    mixed = jnp.einsum("bkgts,bskh->btkgh", weights, summed, preferred_element_type=jnp.float32)
    return (mixed[..., :-1] / mixed[..., -1:]).astype(values.dtype).reshape(b, t, n, h)


def attend_within(config: DecoderConfig, queries: Array, keys: Array, values: Array, mask: Array) -> Array:
    """`attend` of a row to itself, where no token sees a later slot; of a part of a row to all of it, S > T."""
    t = queries.shape[1]
    if config.attention == "fused" or keys.shape[1] > t:
        return attend(config, queries, keys, values, mask)
    edges = np.linspace(0, t, min(QUERY_BLOCKS, t) + 1, dtype=int).tolist()
    parts = [
        attend(config, queries[:, start:stop], keys[:, :stop], values[:, :stop], mask[:, start:stop, :stop])
        for start, stop in itertools.pairwise(edges)
    ]
    return jnp.concatenate(parts, axis=1)

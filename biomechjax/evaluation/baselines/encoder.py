"""A small transformer encoder of the steps of a movement, with a head for each task; no language model."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from biomechjax.language.attention import rope_table, rotate
from biomechjax.language.decoder import RMSNorm

ROPE_BASE = 1000.0  # a movement has at most some hundred steps
NORM_EPS = 1e-6


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Shape of the encoder.

    Attributes:
        outputs: numbers over all heads: one for each option of a label, one for a quantity.
        codes: different codes, where steps are codes; 0 where they are vectors.
        width, layers, heads: D, L, N.
        dropout: of what each layer adds.
    """

    outputs: int
    codes: int = 0
    width: int = 96
    layers: int = 3
    heads: int = 4
    dropout: float = 0.1


class Encoder(nn.Module):
    """Every step sees every step; what the heads see is the mean and the maximum over steps, and how many there are."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, steps: Array, valid: Array, drop: bool = False) -> Array:
        """Maps steps, codes int32 [B,T,k] or vectors float32 [B,T,k], of which valid [B,T] is 1, to [B,outputs].

        With `drop` it needs a key named dropout.
        """
        c = self.config
        if c.codes:
            embedding = self.param("embedding", nn.initializers.normal(c.width**-0.5), (c.codes, c.width))
            x = jnp.sum(embedding[steps], axis=2)
        else:
            x = nn.Dense(c.width)(steps)
        rope = rope_table(jnp.broadcast_to(jnp.arange(x.shape[1]), valid.shape), c.width // c.heads, ROPE_BASE, 1.0)
        for _ in range(c.layers):
            x = Layer(c)(x, valid > 0, rope, drop)
        x, there = RMSNorm(NORM_EPS)(x), valid[..., None]
        count = jnp.sum(there, axis=1)
        mean, most = jnp.sum(x * there, axis=1) / count, jnp.max(jnp.where(there > 0, x, -jnp.inf), axis=1)
        return nn.Dense(c.outputs)(jnp.concatenate([mean, most, jnp.log(count)], axis=-1))


class Layer(nn.Module):
    """Attention, then a feed-forward block."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, valid: Array, rope: Array, drop: bool) -> Array:
        c = self.config
        b, t, d = x.shape
        qkv = nn.Dense(3 * d, use_bias=False)(RMSNorm(NORM_EPS)(x)).reshape(b, t, 3, c.heads, d // c.heads)
        q, k = (rotate(qkv[:, :, i], rope) for i in (0, 1))
        mixed = jax.nn.dot_product_attention(q, k, qkv[:, :, 2], mask=valid[:, None, None, :])
        x = x + nn.Dropout(c.dropout, deterministic=not drop)(nn.Dense(d, use_bias=False)(mixed.reshape(b, t, d)))
        hidden = nn.gelu(nn.Dense(2 * d)(RMSNorm(NORM_EPS)(x)))
        return x + nn.Dropout(c.dropout, deterministic=not drop)(nn.Dense(d)(hidden))

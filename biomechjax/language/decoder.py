"""The Gemma 2 and 3 decoder in Flax Linen: tokens, positions and segments in, hidden states and logits out.

Layers are one `nn.scan` over stacked parameters [L, ...]; local and global layers differ only in the mask and
the rotary table that a scanned boolean selects. Around the matrix products activations are 2-D, [B*T, D]: on
a CPU the weight gradient of a 3-D activation costs transposing copies.

Source: Gemma 2 and 3 technical reports (arXiv:2408.00118, arXiv:2503.19786); the reference for every numerical detail
are `transformers.Gemma2ForCausalLM` and `Gemma3ForCausalLM`, with which the tests compare.
"""

import itertools
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from biomechjax.language.config import DecoderConfig

Params = dict[str, Any]

BRANCHES = 64
"""Segments e * BRANCHES + 1, ..., + BRANCHES - 1 are branches of segment e * BRANCHES, their trunk: they see it and
themselves, never each other, so several questions share one context (# where the row's token sees the column's):

               64 64 64 65 65 66 66
    trunk  64   #
           64   #  #
           64   #  #  #
    branch 65   #  #  #  #
           65   #  #  #  #  #
    branch 66   #  #  #  .  .  #
           66   #  #  #  .  .  #  #

Ids below BRANCHES have no trunk, since 0 is padding: they are plain segments.
"""

# Of a row without a cache; each leaves out the keys after it, together 6/16 of all scores. More are no faster on a CPU
# and take longer to compile.
QUERY_BLOCKS = 4


@struct.dataclass
class Cache:
    """Keys and values of the tokens already read, in slots shared by all rows of the batch.

    A slot belongs to a token's history iff it has the same segment id, so rows of different length may leave
    slots empty. `index` is the next slot to write and the same for all rows.

    Shapes: k and v [L, B, S, K, H] in the compute dtype; positions and segment_ids [B, S] int32 (segment 0 is
    an empty slot); index [] int32.
    """

    k: Array
    v: Array
    positions: Array
    segment_ids: Array
    index: Array


def init_cache(config: DecoderConfig, batch: int, slots: int) -> Cache:
    """An empty cache with room for `slots` tokens in each of `batch` rows."""
    shape = (config.num_layers, batch, slots, config.num_kv_heads, config.head_dim)
    return Cache(
        k=jnp.zeros(shape, config.compute_dtype),
        v=jnp.zeros(shape, config.compute_dtype),
        positions=jnp.zeros((batch, slots), jnp.int32),
        segment_ids=jnp.zeros((batch, slots), jnp.int32),
        index=jnp.zeros((), jnp.int32),
    )


@struct.dataclass
class _Attention:
    """What every layer needs to know of the batch; S is T without a cache, else the cache's slots."""

    local_mask: Array  # [B, T, S] bool
    global_mask: Array  # [B, T, S] bool
    local_rope: Array  # [2, B, T, H/2] float32, sine and cosine
    global_rope: Array
    index: Array | None  # the cache slot of the first new token


def _same_segment(queries: Array, keys: Array) -> Array:
    """Whether each query's segment [B, T] is, or has as its trunk, each key's [B, S]: bool [B, T, S]."""
    queries, keys = queries[:, :, None], keys[:, None, :]
    return (queries == keys) | ((queries // BRANCHES * BRANCHES == keys) & (keys > 0))


def _rope_table(positions: Array, head_dim: int, base: float, scale: float) -> Array:
    """Sine and cosine of the rotary angles, [2, B, T, H/2] float32 (RoFormer, arXiv:2104.09864)."""
    frequencies = 1.0 / base ** (jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions[..., None].astype(jnp.float32) * (frequencies / scale)
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)])


def _rotate(x: Array, rope: Array) -> Array:
    """Rotates the two halves of each head [B, T, heads, H] against each other, in float32."""
    sin, cos = rope[:, :, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _soft_cap(x: Array, cap: float | None) -> Array:
    return x if cap is None else cap * jnp.tanh(x / cap)


def _attend(queries: Array, keys: Array, values: Array, mask: Array, soft_cap: float | None) -> Array:
    """Softmax attention of queries [B, T, K, N/K, H] to keys and values [B, S, K, H] where mask [B, T, S] is true.

    The sum of the softmax is one more column of the product with the values, by which the others are divided at the
    end: on a CPU 1.2 times faster, derivative included, than jax.nn.softmax.
    """
    scores = jnp.einsum("btkgh,bskh->bkgts", queries, keys, preferred_element_type=jnp.float32)
    scores = _soft_cap(scores, soft_cap)
    # The lowest finite number, not -inf: a padding token that sees nothing must not turn into NaN.
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    peak = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))  # cancels
    weights = jnp.exp(scores - peak).astype(values.dtype)
    ones = jnp.ones((*values.shape[:-1], 1), values.dtype)
    summed = jnp.concatenate([values, ones], axis=-1)
    mixed = jnp.einsum("bkgts,bskh->btkgh", weights, summed, preferred_element_type=jnp.float32)
    return (mixed[..., :-1] / mixed[..., -1:]).astype(values.dtype)


def _weight(module: nn.Module, name: str, shape: tuple[int, ...], axes: tuple[str, ...], fan_in: int) -> Array:
    """A float32 weight drawn for inputs of unit variance and cast to the compute dtype."""
    init = nn.with_logical_partitioning(nn.initializers.normal(fan_in**-0.5), axes)
    return module.param(name, init, shape).astype(module.config.compute_dtype)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis times (1 + scale), computed in float32."""

    eps: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.with_logical_partitioning(nn.initializers.zeros, ("norm",)), (x.shape[-1],))
        wide = x.astype(jnp.float32)
        wide = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + self.eps)
        return (wide * (1.0 + scale)).astype(x.dtype)


class SelfAttention(nn.Module):
    """Grouped-query attention."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, x: Array, kv: tuple[Array, Array] | None, mask: Array, rope: Array, index: Array | None
    ) -> tuple[Array, tuple[Array, Array] | None]:
        """Maps x [B*T, D] to the same shape; kv, this layer's cache [B, S, K, H], gains the new tokens."""
        c = self.config
        d, n, k, h = c.width, c.num_heads, c.num_kv_heads, c.head_dim
        b, t, _ = mask.shape
        query_weight = _weight(self, "query", (d, n, h), ("embed", "heads", "head_dim"), d)
        key_weight = _weight(self, "key", (d, k, h), ("embed", "kv_heads", "head_dim"), d)
        value_weight = _weight(self, "value", (d, k, h), ("embed", "kv_heads", "head_dim"), d)
        output_weight = _weight(self, "output", (n, h, d), ("heads", "head_dim", "embed"), n * h)

        queries = (x @ query_weight.reshape(d, n * h)).reshape(b, t, n, h)
        keys = (x @ key_weight.reshape(d, k * h)).reshape(b, t, k, h)
        values = (x @ value_weight.reshape(d, k * h)).reshape(b, t, k, h)
        if c.qk_norm:
            queries = RMSNorm(c.norm_eps, name="query_norm")(queries)
            keys = RMSNorm(c.norm_eps, name="key_norm")(keys)
        queries, keys = _rotate(queries, rope) * c.attention_scale, _rotate(keys, rope)
        queries, keys = queries.astype(x.dtype), keys.astype(x.dtype)

        if kv is not None and index is not None:
            keys = jax.lax.dynamic_update_slice_in_dim(kv[0], keys, index, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(kv[1], values, index, axis=1)
            kv = (keys, values)

        queries = queries.reshape(b, t, k, n // k, h)
        if kv is None:
            # No token sees a later slot, so only the last block of queries needs all keys.
            edges = np.linspace(0, t, min(QUERY_BLOCKS, t) + 1, dtype=int).tolist()
            blocks = [(slice(start, stop), slice(stop)) for start, stop in itertools.pairwise(edges)]
        else:
            blocks = [(slice(None), slice(None))]
        parts = [
            _attend(queries[:, q], keys[:, s], values[:, s], mask[:, q, s], c.attention_soft_cap) for q, s in blocks
        ]
        mixed = jnp.concatenate(parts, axis=1)
        return mixed.reshape(b * t, n * h) @ output_weight.reshape(n * h, d), kv


class FeedForward(nn.Module):
    """The gated feed-forward block with tanh-approximated GELU (GeGLU, arXiv:2002.05202)."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B*T, D] to the same shape."""
        d, m = self.config.width, self.config.mlp_width
        gate = x @ _weight(self, "gate", (d, m), ("embed", "mlp"), d)
        up = x @ _weight(self, "up", (d, m), ("embed", "mlp"), d)
        return (nn.gelu(gate, approximate=True) * up) @ _weight(self, "down", (m, d), ("mlp", "embed"), m)


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each with a norm before and after it inside the residual branch."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, x: Array, is_global: Array, kv: tuple[Array, Array] | None, shared: _Attention
    ) -> tuple[Array, tuple[Array, Array] | None]:
        """The body of the scan: carries x [B*T, D], takes and returns the layer's slice of the cache."""
        c = self.config
        mask = jnp.where(is_global, shared.global_mask, shared.local_mask)
        rope = jnp.where(is_global, shared.global_rope, shared.local_rope)
        y = RMSNorm(c.norm_eps, name="attention_norm")(x)
        y, kv = SelfAttention(c, name="attention")(y, kv, mask, rope, shared.index)
        x = x + RMSNorm(c.norm_eps, name="post_attention_norm")(y)
        y = RMSNorm(c.norm_eps, name="mlp_norm")(x)
        y = FeedForward(c, name="mlp")(y)
        return x + RMSNorm(c.norm_eps, name="post_mlp_norm")(y), kv


class Decoder(nn.Module):
    """Embedding, L layers, final norm; the head is the embedding, applied on demand by `logits`."""

    config: DecoderConfig

    def setup(self) -> None:
        c = self.config
        # Inputs are scaled by sqrt(D), so this gives both the residual stream and the logits unit variance.
        init = nn.with_logical_partitioning(nn.initializers.normal(c.width**-0.5), ("vocab", "embed"))
        self.embedding = self.param("embedding", init, (c.vocab_size, c.width))
        # prevent_cse guards against a compiler pass that cannot see into the body of a scan.
        layer = nn.remat(DecoderLayer, prevent_cse=False) if c.remat else DecoderLayer
        self.layers = nn.scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, 0, nn.broadcast),
            length=c.num_layers,
            unroll=min(c.unroll, c.num_layers),
            metadata_params={nn.PARTITION_NAME: "layers"},
        )(c)
        self.final_norm = RMSNorm(c.norm_eps)

    def __call__(
        self, tokens: Array, positions: Array, segment_ids: Array, cache: Cache | None = None
    ) -> tuple[Array, Cache | None]:
        """Hidden states after the final norm.

        A token attends to the tokens of its own segment and trunk whose position is not after its own, in local layers
        only to those less than `sliding_window` positions back. All that a token attends to stands before it in the row
        (without a cache, what stands after it is not looked at). With a cache, the T tokens are written to its
        slots `index` to `index + T - 1` in every row; the caller sees to it that these exist.

        Args:
            tokens: [B, T] int32.
            positions: [B, T] int32, position of each token in its segment, rising within a segment.
            segment_ids: [B, T] int32; 0 is padding, see BRANCHES. The single source of masking.
            cache: what was read before, or None.

        Returns:
            hidden [B, T, D] in the compute dtype, and the cache with the new tokens (None if none was given).

        Raises:
            ValueError: the three inputs differ in shape, or the cache has fewer slots than T.
        """
        c = self.config
        if not tokens.shape == positions.shape == segment_ids.shape or tokens.ndim != 2:
            raise ValueError(
                f"tokens {tokens.shape}, positions {positions.shape} and segment_ids {segment_ids.shape} "
                "must all have the same shape [B, T]"
            )
        b, t = tokens.shape
        x = self.embedding[tokens].astype(c.compute_dtype)
        # Gemma rounds the factor to the compute dtype as well.
        x = (x * jnp.sqrt(jnp.float32(c.width)).astype(x.dtype)).reshape(b * t, c.width)

        if cache is None:
            key_positions, key_segments, kv, index = positions, segment_ids, None, None
        else:
            if t > (slots := cache.positions.shape[1]):
                raise ValueError(f"{t} tokens do not fit a cache of {slots} slots; ask init_cache for more")
            index = cache.index
            write = jax.lax.dynamic_update_slice_in_dim
            key_positions = write(cache.positions, positions, index, axis=1)
            key_segments = write(cache.segment_ids, segment_ids, index, axis=1)
            kv = (cache.k, cache.v)

        distance = positions[:, :, None] - key_positions[:, None, :]
        visible = _same_segment(segment_ids, key_segments) & (distance >= 0)
        shared = _Attention(
            local_mask=visible & (distance < c.sliding_window),
            global_mask=visible,
            local_rope=_rope_table(positions, c.head_dim, c.rope_base_local, 1.0),
            global_rope=_rope_table(positions, c.head_dim, c.rope_base_global, c.rope_scale_global),
            index=index,
        )
        x, kv = self.layers(x, jnp.array(c.global_layers), kv, shared)
        if cache is not None:
            k, v = kv
            cache = Cache(k=k, v=v, positions=key_positions, segment_ids=key_segments, index=cache.index + t)
        return self.final_norm(x).reshape(b, t, c.width), cache

    def logits(self, hidden: Array) -> Array:
        """Scores over the vocabulary, [..., V] float32, of hidden states [..., D] from `__call__`."""
        head = self.embedding.astype(hidden.dtype)
        logits = jnp.einsum("...d,vd->...v", hidden, head, preferred_element_type=jnp.float32)
        return _soft_cap(logits, self.config.logit_soft_cap)


def _init(config: DecoderConfig, key: Array) -> Params:
    one_token = jnp.zeros((1, 1), jnp.int32)
    return Decoder(config).init(key, one_token, one_token, one_token)["params"]


@partial(jax.jit, static_argnums=0)
def init_params(config: DecoderConfig, key: Array) -> Params:
    """Fresh float32 parameters as a plain tree; the stacked layers are under `layers`, [L, ...] each."""
    return nn.unbox(_init(config, key))


def abstract_params(config: DecoderConfig) -> tuple[Params, Params]:
    """The parameters described without being computed.

    Returns:
        Two trees like that of `init_params`: one of `jax.ShapeDtypeStruct`, one of `PartitionSpec` holding
        logical axis names (vocab, embed, heads, kv_heads, head_dim, mlp, norm, layers) to map onto a mesh.
    """
    boxed = jax.eval_shape(lambda: _init(config, jax.random.key(0)))
    return nn.unbox(boxed), nn.get_partition_spec(boxed)

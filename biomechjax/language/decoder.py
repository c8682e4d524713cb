"""The Gemma 2 and 3 decoder in Flax Linen: tokens, positions and segments in, hidden states and logits out.

Layers are one `nn.scan` over stacked parameters [L, ...], or are called one by one with those of `by_layer`; local and
global layers differ only in the mask and the rotary table that a scanned boolean selects. Around the matrix products
activations are 2-D, [B*T, D]: on a CPU the weight gradient of a 3-D activation costs transposing copies.

Source: Gemma 2 and 3 technical reports (arXiv:2408.00118, arXiv:2503.19786); the reference for every numerical detail
are `transformers.Gemma2ForCausalLM` and `Gemma3ForCausalLM`, with which the tests compare.
"""

import dataclasses
import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from biomechjax.language.attention import attend, attend_within, rope_table, rotate, soft_cap
from biomechjax.language.cache import Cache, KeysAndValues, recall, remember, within_kind
from biomechjax.language.config import DecoderConfig
from biomechjax.language.context import gather_rows
from biomechjax.language.weights import Adapted, Quantized, Turned, apply_linear, embed, head_logits, merged

Params = dict[str, Any]

# What is kept of a layer for its backward pass: everything ("none"), nothing, or the results of products with weights.
REMAT_POLICIES = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}

# The residual stream is split over devices by rows of the batch alone. The rest the compiler finds from the weights,
# but those that are split by width would have it split the stream by width too, and add up activations instead of
# gathering weights.
RESIDUAL = ("batch", None)

EACH_LAYER = "each_layer"
"""Where `by_layer` puts the parameters of the layers."""

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


@struct.dataclass
class _Batch:
    """What every layer needs to know of the batch; S is T without a cache or with an empty one.

    For a cache the masks cover the slots of a layer's kind and, where several tokens are read at once, these tokens
    after them.
    """

    local_mask: Array  # [B, T, S] bool; S is all of a row of which a device has T tokens
    global_mask: Array  # [B, T, S] bool
    local_rope: Array  # [2, B, T, H/2] float32, sine and cosine
    global_rope: Array
    places: tuple[Array, ...] | None  # in a cache, slots of the new tokens: of local and of global layers
    empty: bool = struct.field(pytree_node=False)  # whether nothing stands before the tokens
    keys: Array | None = None  # [B], for dropout


class _Layer(NamedTuple):
    """Which layer is computed: arrays [] in a scan, else plain values."""

    number: Array | int  # of all
    is_global: Array | bool
    of_kind: Array | int  # of those of its kind, as which it stands in the cache


def _same_segment(queries: Array, keys: Array) -> Array:
    """Whether each query's segment [B, T] is, or has as its trunk, each key's [B, S]: bool [B, T, S]."""
    queries, keys = queries[:, :, None], keys[:, None, :]
    return (queries == keys) | ((queries // BRANCHES * BRANCHES == keys) & (keys > 0))


def _linear(
    module: nn.Module, name: str, x: Array, shape: tuple[int, ...], axes: tuple[str, ...], keys: Array | None
) -> Array:
    """x [n, in] times the weight of this name, which has `shape` where it is an array: its inputs, then its outputs.

    A plain weight is float32, drawn for inputs of unit variance, and cast to the dtype of x.
    """
    inputs = x.shape[-1]
    if module.has_variable("params", name):
        weight = module.get_variable("params", name)
    else:
        init = nn.with_logical_partitioning(nn.initializers.normal(inputs**-0.5), axes)
        weight = module.param(name, init, shape)
    return apply_linear(
        x, weight if isinstance(weight, Quantized | Adapted | Turned) else weight.reshape(inputs, -1), keys
    )


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
    def __call__(self, x: Array, kv: KeysAndValues | None, layer: _Layer, batch: _Batch, keys: Array | None) -> Any:
        """Maps x [B*T, D] to the same shape; kv, the cache of all layers, gains the new tokens."""
        c = self.config
        d, n, h = c.width, c.num_heads, c.head_dim
        b, t, _ = batch.global_mask.shape
        by_head = (("heads", n), ("kv_heads", c.num_kv_heads), ("kv_heads", c.num_kv_heads))
        q, new_k, new_v = (
            _linear(self, name, x, (d, count, h), ("embed", axis, "head_dim"), keys).reshape(b, t, count, h)
            for name, (axis, count) in zip(("query", "key", "value"), by_head, strict=True)
        )
        if c.qk_norm:
            q = RMSNorm(c.norm_eps, name="query_norm")(q)
            new_k = RMSNorm(c.norm_eps, name="key_norm")(new_k)
        rope = jnp.where(layer.is_global, batch.global_rope, batch.local_rope)
        q, new_k = (rotate(q, rope) * c.attention_scale).astype(x.dtype), rotate(new_k, rope).astype(x.dtype)

        before = kv
        if kv is not None and batch.places is not None:
            kv = remember(kv, layer.of_kind, layer.is_global, batch.places, (new_k, new_v))
        if before is None or kv is None or batch.empty:
            mask = jnp.where(layer.is_global, batch.global_mask, batch.local_mask)
            mixed = attend_within(c, q, gather_rows(new_k), gather_rows(new_v), mask)
        else:

            def look(is_global: bool) -> Array:
                """With a single token at the cache as it is now, else as it was, and at the tokens themselves."""
                k, v = recall((kv if t == 1 else before)[is_global], layer.of_kind)
                if t > 1:
                    k, v = jnp.concatenate([k, new_k], axis=1), jnp.concatenate([v, new_v], axis=1)
                return attend(c, q, k, v, batch.global_mask if is_global else batch.local_mask)

            if isinstance(layer.is_global, bool):
                mixed = look(layer.is_global)
            elif len(set(c.global_layers)) == 1:
                mixed = look(c.global_layers[0])
            else:
                mixed = jax.lax.cond(layer.is_global, lambda: look(True), lambda: look(False))
        return _linear(self, "output", mixed.reshape(b * t, n * h), (n, h, d), ("heads", "head_dim", "embed"), keys), kv


class FeedForward(nn.Module):
    """The gated feed-forward block with tanh-approximated GELU (GeGLU, arXiv:2002.05202)."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, x: Array, keys: Array | None) -> Array:
        """Maps x [B*T, D] to the same shape."""
        d, m = self.config.width, self.config.mlp_width
        gate = _linear(self, "gate", x, (d, m), ("embed", "mlp"), keys)
        up = _linear(self, "up", x, (d, m), ("embed", "mlp"), keys)
        return _linear(self, "down", nn.gelu(gate, approximate=True) * up, (m, d), ("mlp", "embed"), keys)


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each with a norm before and after it inside the residual branch."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, carry: tuple[Array, KeysAndValues | None], layer: _Layer, batch: _Batch
    ) -> tuple[tuple[Array, KeysAndValues | None], None]:
        """The body of the scan: carries x [B*T, D] and the cache of all layers."""
        c = self.config
        x, kv = carry
        keys = None if batch.keys is None else jax.vmap(jax.random.fold_in, (0, None))(batch.keys, layer.number)
        y = RMSNorm(c.norm_eps, name="attention_norm")(x)
        y, kv = SelfAttention(c, name="attention")(y, kv, layer, batch, keys)
        x = x + RMSNorm(c.norm_eps, name="post_attention_norm")(y)
        y = RMSNorm(c.norm_eps, name="mlp_norm")(x)
        y = FeedForward(c, name="mlp")(y, keys)
        x = x + RMSNorm(c.norm_eps, name="post_mlp_norm")(y)
        return (nn.with_logical_constraint(x, RESIDUAL), kv), None


class Decoder(nn.Module):
    """Embedding, L layers, final norm; the head is the embedding, applied on demand by `logits`."""

    config: DecoderConfig

    def setup(self) -> None:
        c = self.config
        if self.has_variable("params", "embedding"):
            self.embedding = self.get_variable("params", "embedding")
        else:
            # Inputs are scaled by sqrt(D), so this gives both the residual stream and the logits unit variance.
            init = nn.with_logical_partitioning(nn.initializers.normal(c.width**-0.5), ("vocab", "embed"))
            self.embedding = self.param("embedding", init, (c.vocab_size, c.width))
        layer = DecoderLayer
        if c.remat != "none":
            # prevent_cse guards against a compiler pass that cannot see into the body of a scan.
            layer = nn.remat(DecoderLayer, prevent_cse=False, policy=REMAT_POLICIES[c.remat])
        self.layers = nn.scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast),
            length=c.num_layers,
            unroll=min(c.unroll, c.num_layers),
            metadata_params={nn.PARTITION_NAME: "layers"},
        )(c)
        self.final_norm = RMSNorm(c.norm_eps)

    def __call__(
        self,
        tokens: Array,
        positions: Array,
        segment_ids: Array,
        cache: Cache | None = None,
        dropout_keys: Array | None = None,
    ) -> tuple[Array, Cache | None]:
        """Hidden states after the final norm.

        A token attends to the tokens of its own segment and trunk whose position is not after its own, in local layers
        only to those less than `sliding_window` positions back. All that a token attends to stands before it in the row
        (what stands after it is not looked at). With a cache, the T tokens join it in every row; the caller sees to it
        that it has room.

        Args:
            tokens: [B, T] int32.
            positions: [B, T] int32, position of each token in its segment, rising within a segment.
            segment_ids: [B, T] int32; 0 is padding, see BRANCHES. The single source of masking.
            cache: what was read before, or None.
            dropout_keys: [B] keys, in training with adapters that have dropout.

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
        x = embed(tokens, self.embedding).astype(c.compute_dtype)
        # Gemma rounds the factor to the compute dtype as well.
        x = (x * jnp.sqrt(jnp.float32(c.width)).astype(x.dtype)).reshape(b * t, c.width)
        x = nn.with_logical_constraint(x, RESIDUAL)

        seen, places = [(gather_rows(positions), gather_rows(segment_ids))] * 2, None
        kv: Any = None
        if cache is not None:
            if t > (slots := cache.whole.size):
                raise ValueError(f"{t} tokens do not fit a cache of {slots} slots; ask init_cache for more")
            old = (cache.window, cache.whole)
            places = tuple(s.places(cache.index, t) for s in old)
            new = [s.note(p, positions, segment_ids) for s, p in zip(old, places, strict=True)]
            if not cache.empty:
                seen = [(s.positions, s.segment_ids) for s in (new if t == 1 else old)]
            if not cache.empty and t > 1:
                join = partial(jnp.concatenate, axis=1)
                seen = [(join([p, positions]), join([s, segment_ids])) for p, s in seen]
            kv = tuple((s.k, s.v) for s in old)

        (local_distance, local), (_, whole) = (
            (positions[:, :, None] - p[:, None], _same_segment(segment_ids, s) & (positions[:, :, None] >= p[:, None]))
            for p, s in seen
        )
        batch = _Batch(
            local_mask=local & (local_distance < c.sliding_window),
            global_mask=whole,
            local_rope=rope_table(positions, c.head_dim, c.rope_base_local, 1.0),
            global_rope=rope_table(positions, c.head_dim, c.rope_base_global, c.rope_scale_global),
            places=places,
            empty=cache is None or cache.empty,
            keys=dropout_keys,
        )
        of_kind = within_kind(c.global_layers)
        if self.has_variable("params", EACH_LAYER):
            for i, weights in enumerate(self.get_variable("params", EACH_LAYER)):
                layer = _Layer(i, c.global_layers[i], of_kind[i])
                (x, kv), _ = DecoderLayer(c, parent=None).apply({"params": weights}, (x, kv), layer, batch)
        else:
            layers = _Layer(jnp.arange(c.num_layers), jnp.array(c.global_layers), jnp.array(of_kind))
            (x, kv), _ = self.layers((x, kv), layers, batch)
        if cache is not None:
            cache_window, cache_whole = (dataclasses.replace(s, k=k, v=v) for s, (k, v) in zip(new, kv, strict=True))
            cache = Cache(cache_whole, cache_window, cache.index + t, empty=False)
        return self.final_norm(x).reshape(b, t, c.width), cache

    def logits(self, hidden: Array) -> Array:
        """Scores over the vocabulary, [..., V] float32, of hidden states [..., D] from `__call__`."""
        # Without the barrier the compiler would have the embedding on the right of the product.
        scores = jax.lax.optimization_barrier(head_logits(hidden.reshape(-1, self.config.width), self.embedding)).T
        return soft_cap(scores.reshape(*hidden.shape[:-1], -1), self.config.logit_soft_cap)


def _init(config: DecoderConfig, key: Array) -> Params:
    one_token = jnp.zeros((1, 1), jnp.int32)
    return Decoder(config).init(key, one_token, one_token, one_token)["params"]


@partial(jax.jit, static_argnums=0)
def init_params(config: DecoderConfig, key: Array) -> Params:
    """Fresh float32 parameters as a plain tree; the stacked layers are under `layers`, [L, ...] each."""
    return nn.unbox(_init(config, key))


@partial(jax.jit, static_argnums=0)
def _apart(config: DecoderConfig, layers: Params) -> tuple[Params, ...]:
    def form(path: tuple[Any, ...], weight: Any) -> Any:
        if path[-2].key not in ("attention", "mlp"):
            return weight
        whole = merged(weight)
        inputs = math.prod(whole.shape[:-1]) if path[-1].key == "output" else whole.shape[0]
        return Turned(whole.reshape(inputs, -1).T)

    def is_linear(x: Any) -> bool:
        return isinstance(x, Quantized | Adapted)

    each = (jax.tree.map(lambda x, i=i: x[i], layers) for i in range(config.num_layers))
    return tuple(jax.tree_util.tree_map_with_path(form, of_layer, is_leaf=is_linear) for of_layer in each)


def by_layer(config: DecoderConfig, params: Params) -> Params:
    """Parameters for steps that read one token of each row on a CPU: of each layer apart, linear maps turned.

    The decoder then calls its layers one by one: slices of stacked parameters would be copied in every step. Of
    adapters and quantised maps the sum is taken in float32, once.
    """
    rest = {name: x for name, x in params.items() if name != "layers"}
    return rest | {EACH_LAYER: _apart(config, params["layers"])}


def abstract_params(config: DecoderConfig) -> tuple[Params, Params]:
    """The parameters described without being computed.

    Returns:
        Two trees like that of `init_params`: one of `jax.ShapeDtypeStruct`, one of `PartitionSpec` holding
        logical axis names (vocab, embed, heads, kv_heads, head_dim, mlp, norm, layers) to map onto a mesh.
    """
    boxed = jax.eval_shape(lambda: _init(config, jax.random.key(0)))
    return nn.unbox(boxed), nn.get_partition_spec(boxed)

"""The forms that a weight of the decoder can have, beside a plain array, and what the decoder does with one.

    linear map [in,out]    Array | Quantized, alone or as the frozen part of an Adapted (LoRA, QLoRA)
    embedding [V,D]        Array, alone or as the frozen part of an Extended, some of whose rows are learned

They stand in the tree of parameters where the array would, so that whatever takes parameters takes any of them.
"""

from typing import cast

import jax
import jax.numpy as jnp
import qwix
from flax import struct
from jax import Array
from qwix import QArray

from biomechjax.language.context import context_size, own_part

TILE = 64  # inputs that share a scale in nf4, as in QLoRA


@struct.dataclass
class Quantized:
    """A linear map in 8 or 4 bits, stacked or not.

    nf4 (QLoRA, arXiv:2305.14314): codes uint8 [..., in/TILE, TILE/2, out], the first half of a tile's inputs in the low
    four bits, since XLA keeps a uint4 in a byte on a CPU; scale float32 [..., in/TILE, out]. int8: codes int8
    [..., in, out], scale float32 [..., 1, out].
    """

    codes: Array
    scale: Array
    kind: str = struct.field(pytree_node=False)

    def dequantize(self) -> Array:
        """The map in float32 [..., in, out]."""
        if self.kind == "int8":
            return qwix.dequantize(QArray(self.codes, self.scale, qtype=jnp.int8))
        codes = jnp.concatenate([self.codes & 15, self.codes >> 4], axis=-2)
        codes = codes.reshape(*codes.shape[:-3], -1, codes.shape[-1])
        return qwix.dequantize(QArray(codes, self.scale, qtype="nf4"))


def quantize(weight: Array, kind: str) -> Quantized:
    """A map [..., in, out] in `kind`, nf4 or int8, through qwix.

    Raises:
        ValueError: the inputs do not divide into nf4's tiles.
    """
    *_, inputs, _ = weight.shape
    axes = tuple(range(weight.ndim - 2)) + (weight.ndim - 1,)
    if kind == "nf4" and inputs % TILE:
        raise ValueError(f"a linear map with {inputs} inputs; nf4 needs a multiple of {TILE}")
    tiles = {weight.ndim - 2: TILE} if kind == "nf4" else {}
    how = qwix.quantize(weight.astype(jnp.float32), kind, channelwise_axes=axes, tiled_axes=tiles)
    if kind == "int8":
        return Quantized(how.qvalue, how.scale, kind)
    tiled = how.qvalue.astype(jnp.uint8).reshape(*weight.shape[:-2], inputs // TILE, 2, TILE // 2, weight.shape[-1])
    return Quantized(tiled[..., 0, :, :] | tiled[..., 1, :, :] << 4, how.scale, kind)


@struct.dataclass
class Adapted:
    """A frozen linear map and what LoRA adds to it: x @ weight + scale * (x @ a) @ b (arXiv:2106.09685).

    Attributes:
        weight: [..., in, out].
        a, b: [..., in, R] and [..., R, out], float32.
        scale, dropout: of LoraConfig; inputs of `a` are dropped in training only.
    """

    weight: Array | Quantized
    a: Array
    b: Array
    scale: float = struct.field(pytree_node=False)
    dropout: float = struct.field(pytree_node=False)


@struct.dataclass
class Turned:
    """A linear map [in,out] kept as [out,in], to stand on the left of products with few rows.

    A CPU packs the right side of a product anew each time, which takes longer than the product where that is the weight
    and the left side has a few rows.
    """

    weight: Array


Linear = Array | Quantized | Adapted


@struct.dataclass
class Extended:
    """An embedding [V,D] whose rows from `offset` on are `rows` [n,D], float32."""

    embedding: Array
    rows: Array
    offset: int = struct.field(pytree_node=False)


Embedding = Array | Extended


def apply_linear(x: Array, weight: Linear | Turned, keys: Array | None = None) -> Array:
    """x [n,in] times a map [in,out] in the dtype of x; keys [B] of the rows that n is made of, for dropout, or None."""
    if isinstance(weight, Adapted):
        y = apply_linear(x, weight.weight)
        dropped = x if keys is None or not weight.dropout else _drop(x, weight.dropout, keys)
        return y + (dropped @ weight.a.astype(x.dtype)) @ weight.b.astype(x.dtype) * weight.scale
    if isinstance(weight, Quantized):
        # Dequantised again in the backward pass: kept, all layers together would be the model in full size.
        return jax.checkpoint(lambda x, w: x @ w.dequantize().astype(x.dtype))(x, weight)
    if isinstance(weight, Turned):
        # Without the barrier the compiler turns it back.
        return jax.lax.optimization_barrier(weight.weight @ x.T).T
    return x @ weight.astype(x.dtype)


def _drop(x: Array, share: float, keys: Array) -> Array:
    tokens = len(x) // len(keys)

    def of_row(key: Array) -> Array:
        return own_part(jax.random.bits(key, (tokens * context_size(), x.shape[-1]), jnp.uint16))

    bits = jax.vmap(of_row)(keys)
    return jnp.where(bits.reshape(x.shape) < share * 2**16, 0, x / (1 - share)).astype(x.dtype)


def merged(weight: Linear) -> Array:
    """The map as one float32 array."""
    if isinstance(weight, Adapted):
        return merged(weight.weight) + weight.scale * jnp.matmul(weight.a, weight.b, precision="highest")
    return weight.dequantize() if isinstance(weight, Quantized) else weight.astype(jnp.float32)


def embed(tokens: Array, embedding: Embedding) -> Array:
    """Rows of the embedding, [..., D] of tokens [...]."""
    if not isinstance(embedding, Extended):
        return embedding[tokens]
    own = tokens - embedding.offset
    inside = (own >= 0) & (own < len(embedding.rows))
    learned = embedding.rows[jnp.clip(own, 0, len(embedding.rows) - 1)]
    return jnp.where(inside[..., None], learned, embedding.embedding[tokens].astype(learned.dtype))


def vocabulary_size(embedding: Embedding) -> int:
    return len(embedding.embedding if isinstance(embedding, Extended) else embedding)


def head_logits(hidden: Array, embedding: Embedding) -> Array:
    """Rows of the embedding, which is also the head, times hidden [P,D]: [V,P] float32.

    Positions come last because a CPU packs the right side of a product, which should not be the large one.
    """

    def scores(rows: Array) -> Array:
        return jnp.einsum("vd,pd->vp", rows.astype(hidden.dtype), hidden, preferred_element_type=jnp.float32)

    if not isinstance(embedding, Extended):
        return scores(embedding)
    # The logits of learned rows go over those of the rows they stand for: joining the rows would copy the frozen ones.
    base, own = scores(embedding.embedding), scores(embedding.rows)
    return cast(Array, jax.lax.dynamic_update_slice_in_dim(base, own, embedding.offset, axis=0))

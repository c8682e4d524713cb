"""Keys and values of the tokens already read.

Layers that see the whole segment keep every token; layers with a sliding window keep the last ones only, in slots that
are written round and round.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from biomechjax.language.config import DecoderConfig

KeysAndValues = tuple[tuple[Array, ...], ...]
"""(k, v) of the layers with a window, and of those that see the whole segment."""


@struct.dataclass
class Slots:
    """Of all layers of one kind: k and v [L, B, S, K, H] in the compute dtype; positions and segment_ids [B, S] int32.

    A slot belongs to a token's history iff its segment is the token's or its trunk's; segment 0 is an empty slot.
    """

    k: Array
    v: Array
    positions: Array
    segment_ids: Array

    @property
    def size(self) -> int:
        return self.positions.shape[1]

    def places(self, index: Array, tokens: int) -> Array:
        """The slots of the last min(tokens, S) of the tokens that come next."""
        kept = min(tokens, self.size)
        return (index + tokens - kept + jnp.arange(kept)) % self.size

    def note(self, places: Array, positions: Array, segment_ids: Array) -> "Slots":
        """The slots with positions and segments of new tokens [B, T]; their keys and values follow layer by layer."""
        kept = len(places)
        return dataclasses.replace(
            self,
            positions=self.positions.at[:, places].set(positions[:, -kept:]),
            segment_ids=self.segment_ids.at[:, places].set(segment_ids[:, -kept:]),
        )


@struct.dataclass
class Cache:
    """What every layer remembers of B rows.

    Attributes:
        whole: of the layers that see the whole segment.
        window: of the layers with a sliding window.
        index: [] int32, tokens read so far in every row, padding included.
        empty: whether nothing was read yet, so that tokens need look at each other only.
    """

    whole: Slots
    window: Slots
    index: Array
    empty: bool = struct.field(pytree_node=False)


def init_cache(config: DecoderConfig, batch: int, slots: int, strangers: int | None = None) -> Cache:
    """An empty cache with room for `slots` tokens in each of `batch` rows.

    Layers with a sliding window keep the window and `strangers` slots more: as many tokens that a token does not see,
    padding or those of other branches, may stand between it and the first of its window. None keeps every token.
    """
    c = config
    global_layers = sum(c.global_layers)

    def empty(layers: int, size: int) -> Slots:
        shape = (layers, batch, size, c.num_kv_heads, c.head_dim)
        zeros = jnp.zeros((batch, size), jnp.int32)
        return Slots(jnp.zeros(shape, c.compute_dtype), jnp.zeros(shape, c.compute_dtype), zeros, zeros)

    kept = slots if strangers is None else min(slots, c.sliding_window + strangers)
    window = empty(c.num_layers - global_layers, kept)
    return Cache(empty(global_layers, slots), window, jnp.zeros((), jnp.int32), empty=True)


def take_rows(cache: Cache, rows: Array) -> Cache:
    """A cache whose row i is row `rows[i]`."""

    def of(slots: Slots) -> Slots:
        return Slots(slots.k[:, rows], slots.v[:, rows], slots.positions[rows], slots.segment_ids[rows])

    return dataclasses.replace(cache, whole=of(cache.whole), window=of(cache.window))


def within_kind(is_global: Sequence[bool]) -> list[int]:
    """For each layer, how many of its kind stand before it."""
    return [list(is_global[:i]).count(kind) for i, kind in enumerate(is_global)]


def remember(
    kv: KeysAndValues, layer: Array | int, is_global: Array | bool, places: tuple[Array, ...], new: tuple[Array, Array]
) -> KeysAndValues:
    """Keys and values with those of new tokens, [B, T, K, H] each, of one layer, the `layer`th of its kind.

    In a scan, which does not know it beforehand, both kinds are written, the one that is not the layer's with what
    stands there, so that both stay where they are.
    """
    return tuple(
        tuple(_write(s, layer, where, x, is_global == kind) for s, x in zip(stored, new, strict=True))
        if len(stored[0]) and (is_global is kind or not isinstance(is_global, bool))
        else stored
        for kind, stored, where in zip((False, True), kv, places, strict=True)
    )


def _write(stored: Array, layer: Array | int, places: Array, new: Array, mine: Array | bool) -> Array:
    new = new[:, -len(places) :].astype(stored.dtype)
    if len(places) == 1:
        start = (layer, 0, places[0], 0, 0)
        if mine is not True:
            new = jnp.where(mine, new, jax.lax.dynamic_slice(stored, start, (1, *new.shape))[0])
        return jax.lax.dynamic_update_slice(stored, new[None], start)
    (old,) = recall((stored,), layer)
    return jax.lax.dynamic_update_index_in_dim(stored, jnp.where(mine, old.at[:, places].set(new), old), layer, axis=0)


def recall(stored: tuple[Array, ...], layer: Array | int) -> tuple[Array, ...]:
    """Of keys and values [L, B, S, K, H] those of one layer."""
    return tuple(jax.lax.dynamic_index_in_dim(x, layer, keepdims=False) for x in stored)

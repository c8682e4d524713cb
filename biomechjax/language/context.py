"""Rows that are split over devices: what each device must fetch from the others (context parallelism).

Inside a `shard_map` each device has T / devices tokens of each row, in order. The axis is the one that the logical axis
"length" stands for where a step is traced; without one, rows are whole and all here does nothing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


def context_axis() -> str | None:
    """The mesh axis over which rows are split where this is traced."""
    (axis,) = nn.logical_to_mesh_axes(("length",))
    return axis  # type: ignore[no-any-return]


def context_size() -> int:
    """How many devices share a row."""
    axis = context_axis()
    return jax.lax.axis_size(axis) if axis else 1


def gather_rows(x: Array) -> Array:
    """[B, T / devices, ...] of every device to whole rows [B, T, ...]."""
    axis = context_axis()
    return jax.lax.all_gather(x, axis, axis=1, tiled=True) if axis else x


def own_part(x: Array) -> Array:
    """The part [T / devices, ...] of a whole row [T, ...] that this device has."""
    axis = context_axis()
    if not axis:
        return x
    size = len(x) // context_size()
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis) * size, size)


def take_along_rows(x: Array, places: Array) -> Array:
    """x [B, T, D] at places [B, A] of the rows, [B, A, D]; of split rows each device has its share of T and of A."""
    axis = context_axis()
    if not axis:
        return jnp.take_along_axis(x, places[..., None], axis=1)
    size = x.shape[1]
    own = gather_rows(places) - jax.lax.axis_index(axis) * size
    found = jnp.take_along_axis(x, jnp.clip(own, 0, size - 1)[..., None], axis=1)
    found = jnp.where(((own >= 0) & (own < size))[..., None], found, 0)
    return jax.lax.psum_scatter(found, axis, scatter_dimension=1, tiled=True)

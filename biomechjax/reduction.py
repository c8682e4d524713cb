"""How a step adds up over devices, so that the same pure step runs under `jit` and under `pmap`."""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Reduction:
    """Reductions over the devices that share a batch.

    Attributes:
        axis_name: the `pmap` or `shard_map` axis that splits rows, or None under `jit`, where arrays are global and
            nothing is left to reduce.
        within: of `shard_map`, the axis that splits each row, or None.
    """

    axis_name: str | None = None
    within: str | None = None

    def sum(self, tree: T) -> T:
        """The sum over devices of every leaf."""
        axes = tuple(axis for axis in (self.axis_name, self.within) if axis)
        return jax.lax.psum(tree, axes) if axes else tree

    def gather(self, x: Array) -> Array:
        """[n,...] of every device to [devices * n,...], in device order."""
        return x if self.axis_name is None else jax.lax.all_gather(x, self.axis_name, tiled=True)

    def rows(self, n: int) -> Array:
        """Place in the global batch of each of this device's n rows; keys folded with it do not depend on the split."""
        rows = jnp.arange(n)
        return rows if self.axis_name is None else rows + n * jax.lax.axis_index(self.axis_name)

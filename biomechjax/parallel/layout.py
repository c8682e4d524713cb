"""Where the parts of a state lie: from logical axes, through a strategy's table, to shardings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from biomechjax.errors import InputError
from biomechjax.parallel.strategies import Strategy


@dataclasses.dataclass(frozen=True)
class Axes:
    """The logical axes of parameters and of what is frozen.

    Attributes:
        params, frozen: trees like those of a state, with a PartitionSpec of logical axes, or None, for each array.
        sizes: of logical axes; an array may have several merged into one, as heads and head_dim.
    """

    params: Any
    frozen: Any
    sizes: Mapping[str, int]


def by_axes(tree: Any, logical: Any, strategy: Strategy, mesh: Mesh, sizes: Mapping[str, int]) -> Any:
    """The sharding of each array of a tree whose logical axes are in a tree like it.

    Raises:
        InputError: two axes of an array go to the same mesh axis, or one does not divide over it.
    """
    axes = jax.tree.leaves(logical, is_leaf=lambda x: isinstance(x, PartitionSpec))
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    specs = [_spec(_name(p), x.shape, one, strategy, mesh, sizes) for (p, x), one in zip(leaves, axes, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(tree), [NamedSharding(mesh, spec) for spec in specs])


def _spec(
    name: str,
    shape: tuple[int, ...],
    logical: PartitionSpec,
    strategy: Strategy,
    mesh: Mesh,
    sizes: Mapping[str, int],
) -> PartitionSpec:
    found: list[str | None] = [None] * len(shape)
    for i, axis in enumerate(logical):
        to = strategy.rules.get(axis) if axis else None
        if to is None:
            continue
        odd = [n for n in (sizes.get(axis, shape[i]), shape[i]) if n % mesh.shape[to]]
        if odd and axis in strategy.whole:
            continue
        if odd:
            raise InputError(
                f"strategy {strategy.name}: {axis} of {odd[0]} in {name} {list(shape)} does not divide over mesh axis "
                f"{to} of {mesh.shape[to]} devices; choose another --mesh or --strategy"
            )
        if to in found:
            other = logical[found.index(to)]
            raise InputError(f"strategy {strategy.name}: {other} and {axis} of {name} both go to mesh axis {to}")
        found[i] = to
    return PartitionSpec(*found)


def like_params(tree: Any, params: Any, shardings: Any, mesh: Mesh) -> Any:
    """The shardings of a tree that holds trees like the parameters, as an optimizer's state does, by their paths.

    What has neither the path nor the shape of a parameter is replicated.
    """
    paths = jax.tree_util.tree_leaves_with_path(params)
    known = {(_name(path), leaf.shape): s for (path, leaf), s in zip(paths, jax.tree.leaves(shardings), strict=True)}

    def find(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        ends = ((_name(path[start:]), leaf.shape) for start in range(len(path)))
        return next((known[end] for end in ends if end in known), NamedSharding(mesh, PartitionSpec()))

    return jax.tree_util.tree_map_with_path(find, tree)


def by_length(tree: Any, mesh: Mesh, to: str) -> Any:
    """Shardings that split each array over a mesh axis along its longest axis that divides, if one does."""

    def split(leaf: Any) -> NamedSharding:
        dividing = [i for i, n in enumerate(leaf.shape) if n and n % mesh.shape[to] == 0]
        longest = max(dividing, key=lambda i: leaf.shape[i], default=None)
        return NamedSharding(mesh, PartitionSpec(*[to if i == longest else None for i in range(leaf.ndim)]))

    return jax.tree.map(split, tree)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")

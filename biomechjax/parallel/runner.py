"""A step compiled for a strategy, and the placing of its arguments."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from biomechjax.errors import InputError
from biomechjax.parallel.strategies import Strategy, find_strategy, make_mesh
from biomechjax.reduction import Reduction

Step = Callable[[Any, Any, Reduction], tuple[Any, Any]]
"""(state, batch, reduction) -> (state, metrics)"""

Layout = Callable[[Any, Strategy, Mesh], Any]
"""(state, or its shapes; strategy; mesh) -> the NamedSharding of each of its arrays"""


def replicated(state: Any, strategy: Strategy, mesh: Mesh) -> Any:
    """The layout of a state that is whole on every device."""
    return jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), state)


def spread(tree: Any, described: Any) -> Any:
    """Arrays on the host, alike in all processes, to where `jax.ShapeDtypeStruct`s say; those that are there stay."""

    def place(x: Any, to: jax.ShapeDtypeStruct) -> jax.Array:
        if isinstance(x, jax.Array) and x.sharding == to.sharding:
            return x
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, to.sharding, lambda index: host[index])

    return jax.tree.map(place, tree, described)


def batch_share(
    strategy: str, batch_size: int, shape: Sequence[int] = (), lengths: Sequence[int] = ()
) -> tuple[int, int]:
    """Which of how many equal parts of every batch this process reads: (index, count).

    Processes whose devices hold the same rows, as under tensor parallelism over hosts, read the same part.

    Args:
        lengths: of the rows of a batch's arrays.

    Raises:
        InputError: there is no such strategy, the shape does not fit it, or batches or rows do not divide by its
            devices.
    """
    found = find_strategy(strategy)
    mesh = make_mesh(found, shape)
    check_batch(found, mesh, batch_size, lengths)
    parts = mesh.shape[found.rules["batch"]]
    return _share(NamedSharding(mesh, PartitionSpec(found.rules["batch"])), parts)


def _share(sharding: NamedSharding, parts: int) -> tuple[int, int]:
    indices = sharding.addressable_devices_indices_map((parts,)).values()
    own = {index[0].indices(parts)[0] for index in indices if index}
    return min(own) // len(own), parts // len(own)


def check_batch(strategy: Strategy, mesh: Mesh, rows: int, lengths: Sequence[int]) -> None:
    """Raises InputError: so many rows, whose arrays have these lengths, do not divide over the mesh."""
    _check_divides(rows, mesh.shape[strategy.rules["batch"]])
    if (axis := strategy.rules.get("length")) and any(n % mesh.shape[axis] for n in lengths):
        raise InputError(
            f"rows of {' and of '.join(map(str, lengths))} over {mesh.shape[axis]} devices; choose --row-length and "
            "--row-answers that divide"
        )


def _check_divides(rows: int, parts: int, name: str = "") -> None:
    if rows % parts:
        raise InputError(f"batch of {rows} rows{name} on {parts} devices; choose a --train.batch-size that divides")


class Runner:
    """A step compiled for a strategy on devices, by default all of all processes, and the placing of its arguments.

    Every process makes the same calls.

    Args:
        name: of the strategy.
        shape: devices along each mesh axis, or nothing for the strategy's own.
        layout: of the state; a function of arrays' shapes alone.

    Raises:
        InputError: there is no such strategy, or the shape does not fit it.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        devices: Sequence[jax.Device] | None = None,
        shape: Sequence[int] = (),
        layout: Layout = replicated,
    ) -> None:
        self.strategy = find_strategy(name)
        self.mesh = make_mesh(self.strategy, shape, devices)
        self.layout = layout
        rules = self.strategy.rules
        self.axis = rules["batch"]
        reduction = Reduction(self.axis, rules.get("length"))
        if self.strategy.compiler == "pmap":
            devices = list(self.mesh.devices.flat)
            self.step = jax.pmap(
                lambda state, batch: step(state, batch, reduction), self.axis, devices=devices, donate_argnums=0
            )
        else:
            self.step = self._step_in_mesh

        def of_whole(state: Any, batch: Any) -> tuple[Any, Any]:
            with nn.logical_axis_rules(tuple(rules.items())):  # for the constraints of the model
                state, metrics = step(state, batch, Reduction())
            where = self.layout(state, self.strategy, self.mesh), replicated(metrics, self.strategy, self.mesh)
            return jax.lax.with_sharding_constraint((state, metrics), where)

        def of_parts(state: Any, batch: Any) -> tuple[Any, Any]:
            with nn.logical_axis_rules([("length", rules.get("length"))]):  # for what the model gathers
                return step(state, batch, reduction)

        if self.strategy.compiler != "jit":
            specs = (PartitionSpec(), self.strategy.of_batch)
            by_part = jax.shard_map(
                of_parts, mesh=self.mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
            )
        self.compiled = jax.jit(of_whole if self.strategy.compiler == "jit" else by_part, donate_argnums=0)

    def _step_in_mesh(self, state: Any, batch: Any) -> tuple[Any, Any]:
        with jax.set_mesh(self.mesh):
            return self.compiled(state, batch)

    def lower(self, state: Any, batch: Any) -> Any:
        """The step lowered for arguments described as `jax.ShapeDtypeStruct`s; of pmap the program that it makes, which
        is one of shard_map (JAX 0.8 and later)."""
        with jax.set_mesh(self.mesh):
            return self.compiled.lower(state, batch)

    def describe_state(self, state: Any) -> Any:
        """The state as `jax.ShapeDtypeStruct`s that say how it is saved and restored.

        Raises:
            InputError: its axes do not fit the strategy.
        """
        where = self.layout(state, self.strategy, self.mesh)
        return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=s), state, where)

    def place_state(self, state: Any) -> Any:
        """A state on the host, alike in all processes, or one as `describe_state` says, to where the step wants it."""

        state = spread(state, self.describe_state(state))
        if self.strategy.compiler != "pmap":
            return state

        def stack(x: jax.Array) -> jax.Array:
            parts = [s.data[None] for s in x.addressable_shards]  # pmap sees the devices of its own process
            return jax.make_array_from_single_device_arrays((len(parts), *x.shape), self._own(), parts)

        return jax.tree.map(stack, state)

    def whole_state(self, state: Any) -> Any:
        """The state as `describe_state` says, without the leading device axis that `pmap` adds."""
        if self.strategy.compiler != "pmap":
            return state

        def whole(x: jax.Array) -> jax.Array:
            parts = [s.data[0] for s in x.addressable_shards]
            return jax.make_array_from_single_device_arrays(
                x.shape[1:], NamedSharding(self.mesh, PartitionSpec()), parts
            )

        return jax.tree.map(whole, state)

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's rows of a host batch (see `batch_share`), split over its devices.

        Raises:
            InputError: the rows do not divide by the number of devices.
        """
        parts = self.mesh.shape[self.axis]
        readers = _share(NamedSharding(self.mesh, PartitionSpec(self.axis)), parts)[1]
        own = parts // readers
        for name, x in batch.items():
            _check_divides(len(x), own, f" ({name})")
        if self.strategy.compiler == "pmap":
            batch = {k: x.reshape(own, -1, *x.shape[1:]) for k, x in batch.items()}
            return jax.device_put(batch, self._own())
        where = NamedSharding(self.mesh, self.strategy.of_batch)
        return {
            k: jax.make_array_from_process_local_data(where, x, (len(x) * readers, *x.shape[1:]))
            for k, x in batch.items()
        }

    def metrics(self, metrics: Any) -> dict[str, float]:
        """Metrics as plain numbers (every device holds the same)."""
        return {k: float(np.ravel(v.addressable_data(0))[0]) for k, v in metrics.items()}

    def _own(self) -> NamedSharding:
        """Split over the devices of this process."""
        return NamedSharding(self.mesh.local_mesh, PartitionSpec(self.axis))

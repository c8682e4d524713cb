"""Sharding strategies: a word chooses how a step is spread over devices.

A strategy is a small table from logical axes to mesh axes; an axis that is not in it is replicated. `pmap` is the
classical replicated form, kept for comparison.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from biomechjax.errors import InputError
from biomechjax.reduction import Reduction

Step = Callable[[Any, Any, Reduction], tuple[Any, Any]]
"""(state, batch, reduction) -> (state, metrics)"""


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Attributes: name; compiler, "jit" or "pmap"; rules, logical axis to mesh axis."""

    name: str
    compiler: str
    rules: dict[str, str]


STRATEGIES = {
    s.name: s
    for s in (
        Strategy("dp", "jit", {"batch": "data"}),
        Strategy("pmap", "pmap", {"batch": "data"}),
    )
}


def find_strategy(name: str) -> Strategy:
    """A strategy by name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy {name!r}: expected one of {sorted(STRATEGIES)}")
    return STRATEGIES[name]


def batch_share(strategy: str, batch_size: int) -> tuple[int, int]:
    """Which of how many equal parts of every batch this process reads: (index, count).

    Raises:
        InputError: there is no such strategy, or its batches do not divide by the devices.
    """
    find_strategy(strategy)
    _check_divides(batch_size, jax.device_count())
    return jax.process_index(), jax.process_count()


def _check_divides(rows: int, devices: int, name: str = "") -> None:
    if rows % devices:
        raise InputError(f"batch of {rows} rows{name} on {devices} devices; choose a --train.batch-size that divides")


class Runner:
    """A step compiled for a strategy on devices, by default all of all processes, and the placing of its arguments.

    Every process makes the same calls. Its part of a batch are the rows of its own devices.
    """

    def __init__(self, name: str, step: Step, devices: list[jax.Device] | None = None) -> None:
        self.strategy = find_strategy(name)
        # By process: each reads neighbouring rows of a batch, the same ones wherever its devices stand in a pod.
        self.devices = devices or sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
        self.axis = self.strategy.rules["batch"]
        self.mesh = Mesh(np.array(self.devices), (self.axis,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        if self.strategy.compiler == "pmap":
            reduction = Reduction(self.axis)
            self.step = jax.pmap(
                lambda state, batch: step(state, batch, reduction), self.axis, devices=self.devices, donate_argnums=0
            )
        else:
            self.step = jax.jit(
                lambda state, batch: step(state, batch, Reduction()),
                donate_argnums=0,
                out_shardings=self.replicated,
            )

    def describe_state(self, state: Any) -> Any:
        """The state as `jax.ShapeDtypeStruct`s that say how it is saved and restored: whole on every device."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=self.replicated), state)

    def place_state(self, state: Any) -> Any:
        """A state on the host, alike in all processes, or one as `describe_state` says, to where the step wants it."""

        def place(x: Any) -> jax.Array:
            if not (isinstance(x, jax.Array) and x.sharding == self.replicated):
                host = np.asarray(x)
                x = jax.make_array_from_callback(host.shape, self.replicated, lambda index: host[index])
            if self.strategy.compiler == "jit":
                return x
            parts = [s.data[None] for s in x.addressable_shards]  # pmap sees the devices of its own process
            return jax.make_array_from_single_device_arrays((len(parts), *x.shape), self._own(), parts)

        return jax.tree.map(place, state)

    def whole_state(self, state: Any) -> Any:
        """The state as `describe_state` says, without the leading device axis that `pmap` adds."""
        if self.strategy.compiler == "jit":
            return state

        def whole(x: jax.Array) -> jax.Array:
            parts = [s.data[0] for s in x.addressable_shards]
            return jax.make_array_from_single_device_arrays(x.shape[1:], self.replicated, parts)

        return jax.tree.map(whole, state)

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's rows of a host batch, [B / processes,...] (see `batch_share`), split over its devices.

        Raises:
            InputError: the rows do not divide by the number of devices.
        """
        own = self._own()
        for name, x in batch.items():
            _check_divides(len(x), own.mesh.size, f" ({name})")
        if self.strategy.compiler == "pmap":
            batch = {k: x.reshape(own.mesh.size, -1, *x.shape[1:]) for k, x in batch.items()}
            return jax.device_put(batch, own)
        return jax.make_array_from_process_local_data(NamedSharding(self.mesh, PartitionSpec(self.axis)), batch)

    def metrics(self, metrics: Any) -> dict[str, float]:
        """Metrics as plain numbers (every device holds the same)."""
        return {k: float(np.ravel(v.addressable_data(0))[0]) for k, v in metrics.items()}

    def _own(self) -> NamedSharding:
        """Split over the devices of this process."""
        return NamedSharding(self.mesh.local_mesh, PartitionSpec(self.axis))

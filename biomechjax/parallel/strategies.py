"""Sharding strategies: a word chooses how a step is spread over devices.

A strategy is a small table from logical axes to mesh axes; an axis that is not in it is replicated. `pmap` is the
classical replicated form, kept for comparison.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

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


class Runner:
    """A step compiled for a strategy on the given devices, and the placing of its arguments."""

    def __init__(self, name: str, step: Step, devices: list[jax.Device] | None = None) -> None:
        self.strategy = find_strategy(name)
        self.devices = devices or jax.devices()
        self.axis = self.strategy.rules["batch"]
        self.mesh = jax.make_mesh((len(self.devices),), (self.axis,), (AxisType.Auto,), devices=self.devices)
        if self.strategy.compiler == "pmap":
            reduction = Reduction(self.axis)
            self.step = jax.pmap(
                lambda state, batch: step(state, batch, reduction), self.axis, devices=self.devices, donate_argnums=0
            )
        else:
            self.step = jax.jit(lambda state, batch: step(state, batch, Reduction()), donate_argnums=0)

    def place_state(self, state: Any) -> Any:
        """A host or one-device state to where the step wants it."""
        if self.strategy.compiler == "pmap":
            stacked = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (len(self.devices), *np.shape(x))), state)
            return jax.device_put(stacked, NamedSharding(self.mesh, PartitionSpec(self.axis)))
        return jax.device_put(state, NamedSharding(self.mesh, PartitionSpec()))

    def whole_state(self, state: Any) -> Any:
        """The state without the leading device axis that `pmap` adds; what is saved and exported."""
        return jax.tree.map(lambda x: x[0], state) if self.strategy.compiler == "pmap" else state

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """A host batch [B,...] split over the devices.

        Raises:
            InputError: B does not divide by the number of devices.
        """
        n = len(self.devices)
        for name, x in batch.items():
            if len(x) % n:
                raise InputError(
                    f"batch of {len(x)} rows ({name}) on {n} devices; choose a --train.batch-size that divides"
                )
        if self.strategy.compiler == "pmap":
            batch = {k: x.reshape(n, -1, *x.shape[1:]) for k, x in batch.items()}
        return jax.device_put(batch, NamedSharding(self.mesh, PartitionSpec(self.axis)))

    def metrics(self, metrics: Any) -> dict[str, float]:
        """Metrics as plain numbers (every `pmap` device holds the same)."""
        return {k: float(np.ravel(np.asarray(v))[0]) for k, v in metrics.items()}

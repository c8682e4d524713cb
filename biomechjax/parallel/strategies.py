"""Sharding strategies: a word chooses how a training is spread over devices.

A strategy is a small table from the logical axes of weights and batches to the axes of a mesh of devices. What is not
in it is whole on every device. Where the parts of a state lie, what is restored where, and which process reads which
rows follow from the table. A strategy of one's own is one more entry of STRATEGIES, made in a config file too.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

from biomechjax.errors import InputError

LOGICAL_AXES = ("batch", "length", "vocab", "embed", "heads", "kv_heads", "head_dim", "mlp", "norm", "layers")
# And the logical axes that each can split.
COMPILERS = {
    "jit": tuple(a for a in LOGICAL_AXES if a != "length"),
    "pmap": ("batch",),
    "shard_map": ("batch", "length"),
}


def _square(devices: int) -> tuple[int, int]:
    """Two factors as near to each other as can be, the larger one first."""
    small = max(n for n in range(1, math.isqrt(devices) + 1) if devices % n == 0)
    return devices // small, small


@dataclasses.dataclass(frozen=True)
class Strategy:
    """How a training is spread.

    Attributes:
        name: the word.
        rules: logical axis to mesh axis; "batch" is always there.
        mesh: the mesh axes, outermost first: devices of a host, which are near each other, are neighbours on the last.
        shape: number of devices -> devices along each mesh axis, where --mesh does not say it.
        whole: logical axes that stay whole where they do not divide over their mesh axis; of others that is an error.
        moments: a mesh axis over which the state of the optimizer is split although parameters are not (ZeRO stage 1,
            arXiv:1910.02054), each array along the longest axis that divides: no meaning is needed there.
        compiler: jit; shard_map, where the step itself says what devices exchange, as context parallelism does; or
            pmap, the classical replicated form, kept for comparison.

    Raises:
        InputError: an axis does not exist, or the compiler does not split it.
    """

    name: str
    rules: Mapping[str, str]
    mesh: tuple[str, ...] = ("data",)
    shape: Callable[[int], tuple[int, ...]] = lambda devices: (devices,)
    whole: tuple[str, ...] = ()
    moments: str | None = None
    compiler: str = "jit"

    def __post_init__(self) -> None:
        unknown = sorted({*self.rules, *self.whole} - {*LOGICAL_AXES})
        if unknown or "batch" not in self.rules:
            raise InputError(
                f"strategy {self.name}: no logical axis {', '.join(unknown)}; there are {', '.join(LOGICAL_AXES)}"
                if unknown
                else f"strategy {self.name}: no rule for batch; batches go to one of {', '.join(self.mesh)}"
            )
        for logical, axis in {**self.rules, "the optimizer": self.moments or self.mesh[0]}.items():
            if axis not in self.mesh:
                raise InputError(
                    f"strategy {self.name}: {logical} goes to mesh axis {axis}; there are {', '.join(self.mesh)}"
                )
        if self.compiler not in COMPILERS:
            raise InputError(f"strategy {self.name}: compiler {self.compiler}; there are {', '.join(COMPILERS)}")
        able = COMPILERS[self.compiler]
        if {*self.rules} - {*able} or (self.moments and self.compiler != "jit"):
            raise InputError(f"strategy {self.name}: {self.compiler} splits {' and '.join(able)} alone")

    @property
    def of_batch(self) -> PartitionSpec:
        """Mesh axes of an array of a batch: of its rows and, if the strategy splits them, of what follows in a row."""
        return PartitionSpec(*(self.rules[axis] for axis in ("batch", "length") if axis in self.rules))


_MODEL = {"heads": "model", "kv_heads": "model", "mlp": "model", "vocab": "model"}
# Queries are split by heads. Gemma's small models have a single key/value head for all of them (multi-query attention):
# its projections are small, and every device keeps them, as in Megatron-LM and Pope et al. 2022 (arXiv:2211.05102). A
# vocabulary is split where it divides, as Gemma's 262,144 rows do; one of a few hundred text ids seldom does.
_WHOLE = ("kv_heads", "vocab")

STRATEGIES = {
    s.name: s
    for s in (
        Strategy("dp", {"batch": "data"}),
        Strategy("pmap", {"batch": "data"}, compiler="pmap"),
        Strategy("zero1", {"batch": "data"}, moments="data"),
        # Every matrix has one axis of the residual stream's width (ZeRO stage 3; FSDP, arXiv:2304.11277).
        Strategy("fsdp", {"batch": "data", "embed": "data"}),
        # Megatron-LM (arXiv:1909.08053): two matrices in a row meet in the middle, by heads or by feed-forward columns.
        Strategy("tp", {"batch": "data", **_MODEL}, ("data", "model"), lambda devices: (1, devices), _WHOLE),
        Strategy("fsdp_tp", {"batch": "data", "embed": "data", **_MODEL}, ("data", "model"), _square, _WHOLE),
        # Context parallelism by gathered keys and values, for long recordings (Llama 3, arXiv:2407.21783, 3.3.2).
        Strategy(
            "cp",
            {"batch": "data", "length": "context"},
            ("data", "context"),
            lambda devices: (1, devices),
            compiler="shard_map",
        ),
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


def make_mesh(strategy: Strategy, shape: Sequence[int] = (), devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh of a strategy over devices, by default all of all processes.

    Devices stand by process: each reads neighbouring rows of a batch, the same ones wherever it stands in a pod.

    Raises:
        InputError: the shape does not fit the strategy or the number of devices.
    """
    found = devices or sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    sizes = tuple(shape) or strategy.shape(len(found))
    if len(sizes) != len(strategy.mesh) or math.prod(sizes) != len(found):
        raise InputError(
            f"--mesh {' '.join(map(str, sizes))}: strategy {strategy.name} spreads {len(found)} devices over "
            f"{' x '.join(strategy.mesh)}"
        )
    return Mesh(np.array(found).reshape(sizes), strategy.mesh, axis_types=(AxisType.Auto,) * len(sizes))

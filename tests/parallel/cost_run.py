"""Compiles small steps for eight simulated devices and prints what they cost as JSON; a process of its own.

{"hand": a model that can be counted by hand, "head": bytes, "fitted": a mesh that was found,
 "strategies": {name: Cost of a small decoder}}
"""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from biomechjax.language.likelihood import log_probs
from biomechjax.parallel.costs import collectives, flops
from biomechjax.parallel.program import Program
from biomechjax.parallel.strategies import STRATEGIES
from biomechjax.training.ahead import Case, cost, plan
from biomechjax.training.compare import fitting
from biomechjax.training.config import DecoderExperiment, TrainConfig

LAYERS, B, D, M, V = 5, 16, 32, 64, 4096
EXPERIMENT = DecoderExperiment(
    TrainConfig(steps=10, batch_size=16, learning_rate=1e-3), row_length=64, row_answers=16, remat="full", unroll=1
)
MESHES = {"tp": (2, 4), "fsdp_tp": (2, 4), "cp": (2, 4)}


def hand() -> dict[str, float]:
    """Five layers of two matrices that meet in the middle over four devices, batches over two."""
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

    def at(*spec: str | None) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*spec))

    def step(x, weights):
        def layer(x, w):
            y = jnp.tanh(x @ w[0]) @ w[1].T
            return jax.lax.with_sharding_constraint(y, at("data", None)), None

        return jax.lax.scan(layer, x, weights)[0]

    x = jax.ShapeDtypeStruct((B, D), jnp.float32, sharding=at("data", None))
    w = jax.ShapeDtypeStruct((LAYERS, D, M), jnp.float32, sharding=at(None, None, "model"))
    with jax.set_mesh(mesh):
        program = Program(jax.jit(step).lower(x, (w, w)).compile().as_text())
    (only,) = collectives(program, 8)
    return {"times": only.times, "sent": only.sent, "group": len(only.group), "flops": flops(program)}


def head() -> float:
    """Bytes that a device sends where a vocabulary over four devices is read a chunk of each one's part at a time."""
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

    def step(hidden, embedding, targets):
        with nn.logical_axis_rules([("vocab", "model")]):
            return jax.grad(lambda e: log_probs(hidden, e, targets, chunk=V // 16).sum())(embedding)

    def of(*sizes: int, spec: PartitionSpec, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(mesh, spec))

    rows, split = PartitionSpec("data"), PartitionSpec("model", None)
    given = of(B, D, spec=rows), of(V, D, spec=split), of(B, spec=rows, dtype=jnp.int32)
    with jax.set_mesh(mesh):
        compiled = jax.jit(step, out_shardings=given[1].sharding).lower(*given).compile()
    return sum(c.times * c.sent for c in collectives(Program(compiled.as_text()), 8))


def strategies() -> dict[str, dict[str, object]]:
    found = {}
    for name in STRATEGIES:
        case = Case(name, EXPERIMENT, MESHES.get(name, ()))
        found[name] = dataclasses.asdict(cost(plan(case, jax.devices()), None, steps=int(name == "cp")))
    return found


if __name__ == "__main__":
    fitted = dict(fitting(Case("tp", EXPERIMENT), jax.devices()).runner.mesh.shape)
    print(json.dumps({"hand": hand(), "head": head(), "fitted": fitted, "strategies": strategies()}))

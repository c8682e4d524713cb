"""A step of a decoder's training compiled for devices, there or absent, and what it costs each of them."""

import dataclasses
import math
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import NamedSharding

from biomechjax.errors import InputError
from biomechjax.language.config import DecoderConfig, preset, published_vocabulary
from biomechjax.language.decoder import abstract_params
from biomechjax.language.vocabulary import SIZE_MULTIPLE
from biomechjax.parallel import formula
from biomechjax.parallel.chips import Topology
from biomechjax.parallel.costs import Collective, collectives, flops
from biomechjax.parallel.program import Program
from biomechjax.parallel.runner import Runner, check_batch
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.decoder import adapter_learner, computed, decoder_learner, of_rows
from biomechjax.training.loop import prepare
from biomechjax.training.pretrained import abstract_frozen, abstract_learned
from biomechjax.training.step import Learner, TrainState

CODES, MEANING = 512, 64  # of a tokenizer that is not there: its codes, and the width of what describes one
H100 = "h100.txtpb"


@dataclasses.dataclass(frozen=True)
class Case:
    """A training on paper: an experiment under a strategy, over a mesh of this shape or of the strategy's own."""

    strategy: str
    experiment: DecoderExperiment
    mesh: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """A step and its arguments as shapes with shardings, and the work that it is by formula."""

    runner: Runner
    state: TrainState
    batch: dict[str, jax.ShapeDtypeStruct]
    work: formula.Work


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a step costs a device; bytes and seconds.

    Attributes:
        mesh: devices along each axis.
        parameters, gradients, optimizer, frozen: of the layout; gradients stand as the parameters do.
        peak: as the compiler says; None where it did not compile.
        wanted: where it did not, since the chip has less memory, what it wanted for temporaries, if it says so.
        fits: whether it compiled, and stays below the chip's memory.
        flops: of matrix products; sent: {kind: bytes}, counts: {kind: exchanges}; link_s: the time that these take by
            the chip's figures. None where it did not compile.
        formula_peak, formula_sent: by parallel/formula.py.
        traffic: bytes read and written in memory, by formula.
        compile_s: how long it took.
        unknown_loops: loops whose trips could not be told.
        measured_s: of a step on devices that are there, the median; else None.
    """

    mesh: dict[str, int]
    parameters: int
    gradients: int
    optimizer: int
    frozen: int
    peak: float | None
    wanted: float | None
    fits: bool
    flops: float | None
    sent: dict[str, float] | None
    counts: dict[str, int] | None
    link_s: float | None
    formula_peak: dict[str, float]
    formula_sent: dict[str, float]
    traffic: float
    compile_s: float
    unknown_loops: int = 0
    measured_s: float | None = None

    @property
    def activations(self) -> float | None:
        """What the peak has beside weights, gradients and the optimizer's state."""
        known = self.parameters + self.gradients + self.optimizer + self.frozen
        return None if self.peak is None else self.peak - known


def abstract_training(experiment: DecoderExperiment) -> tuple[DecoderConfig, Learner, Any, Any]:
    """The decoder's shape, the learner, and its parameters and what is frozen as shapes; nothing is read or computed.

    A preset of Gemma stands for the pretrained one, and is adapted as the experiment says, to a tokenizer of 512 codes;
    any other is trained from scratch.

    Raises:
        InputError: as `computed`.
    """
    how, rows = experiment.adapt, CODES + 2
    published = published_vocabulary(experiment.preset)
    size = published or -(-(experiment.text_vocabulary + rows) // SIZE_MULTIPLE) * SIZE_MULTIPLE
    shape = computed(preset(experiment.preset, size), experiment)
    if not published or how.method == "full":
        return shape, decoder_learner(shape), abstract_params(shape)[0], None
    meaning = (rows, MEANING) if how.row_start == "codebook" else None
    frozen = abstract_frozen(shape, how.weights, meaning)
    learned = abstract_learned(shape, how, CODES, frozen)
    return shape, adapter_learner(shape, how, size - rows), learned, frozen


def find_devices(topology: Topology) -> list[Any]:
    """Devices that are not there, to compile for.

    Raises:
        InputError: JAX has no compiler for them here, or they do not come in this shape.
    """
    platform = topology.chip.platform
    how: dict[str, Any] = {"topology_name": str(topology)}
    if platform == "cuda":
        config = (Path(__file__).parents[1] / "parallel" / H100).read_text()
        how = {"topology_name": "", "topology": f"1x1x{topology.size}", "target_config": config}
    elif math.prod(topology.shape) < 4:  # less than a host has
        how["chips_per_host_bounds"] = [*topology.shape, 1, 1][:3]
    try:
        return list(topologies.get_topology_desc(platform=platform, **how).devices)
    except Exception as e:  # of many kinds, by platform
        raise InputError(
            f"--topology {topology}: {str(e).splitlines()[0]}; is the shape one of the cloud's, and "
            f"biomechjax[{platform}] installed?"
        ) from e


def plan(case: Case, devices: Sequence[Any]) -> Plan:
    """What a case compiles.

    Raises:
        InputError: strategy, mesh, devices and parameters do not fit together.
    """
    experiment = case.experiment
    rows = of_rows(experiment)
    shape, learner, params, frozen = abstract_training(experiment)
    runner, state = prepare(learner, params, {}, experiment.train, case.strategy, frozen, case.mesh, devices)
    check_batch(runner.strategy, runner.mesh, rows.batch_size, (rows.length, rows.room))
    where = NamedSharding(runner.mesh, runner.strategy.of_batch)
    sizes = dict.fromkeys(("tokens", "positions", "segment_ids"), rows.length)
    sizes |= dict.fromkeys(("loss_positions", "targets", "loss_weights"), rows.room)
    batch = {
        name: jax.ShapeDtypeStruct(
            (rows.batch_size, n), jnp.float32 if name == "loss_weights" else jnp.int32, sharding=where
        )
        for name, n in sizes.items()
    }
    return Plan(runner, state, batch, formula.Work(shape, rows.batch_size, rows.length, rows.room, frozen is None))


def cost(step: Plan, topology: Topology | None, steps: int = 0) -> Cost:
    """Compiles a step for devices of a topology, or for some that are here, on which so many steps may then be timed.

    Raises:
        InputError: what is asked for does not fit together.
    """
    runner, state, batch, work = step.runner, step.state, step.batch, step.work
    strategy, mesh = runner.strategy, dict(runner.mesh.shape)
    x = mesh[strategy.rules["batch"]] if "embed" in strategy.rules else 1
    parts = {
        "parameters": formula.shard_bytes(state.params),
        "gradients": formula.shard_bytes(state.params),
        "optimizer": formula.shard_bytes(state.opt_state),
        "frozen": formula.shard_bytes(state.frozen),
    }
    live = formula.activations(work, strategy, mesh)
    weights = (parts["parameters"] / 4 * work.compute_bytes + parts["frozen"]) * x
    changed = parts["parameters"] + parts["gradients"] + parts["optimizer"]
    known: dict[str, Any] = {
        "mesh": mesh,
        **parts,
        "formula_peak": {**parts, "kept": live["kept"], "working": max(live["layer"], live["head"])},
        "formula_sent": formula.sent(work, strategy, mesh, parts["parameters"] / 4 * x, parts["frozen"] * x),
        "traffic": formula.memory_traffic(work, strategy, mesh, changed, weights),
    }
    began = time.perf_counter()
    try:
        compiled = runner.lower(state, batch).compile()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        said = re.search(r"\(([\d.]+)([KMGT])\) exceeds", str(e))
        wanted = float(said[1]) * 2 ** (10 * (1 + "KMGT".index(said[2]))) if said else None
        took = time.perf_counter() - began
        none: dict[str, Any] = dict.fromkeys(("flops", "sent", "counts", "link_s", "peak"))
        return Cost(**known, **none, wanted=wanted, fits=False, compile_s=took)
    took = time.perf_counter() - began
    program = Program(compiled.as_text())
    exchanged = collectives(program, runner.mesh.size)
    kinds = sorted({e.kind for e in exchanged})
    memory = compiled.memory_analysis()
    whole = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    peak = memory.peak_memory_in_bytes if topology else whole - memory.alias_size_in_bytes
    return Cost(
        **known,
        peak=peak,
        wanted=None,
        fits=topology is None or peak <= topology.chip.memory,
        flops=flops(program),
        sent={kind: sum(e.times * e.sent for e in exchanged if e.kind == kind) for kind in kinds},
        counts={kind: sum(e.times for e in exchanged if e.kind == kind) for kind in kinds},
        link_s=_link_seconds(exchanged, topology, runner.mesh.devices.flat) if topology else None,
        compile_s=took,
        unknown_loops=program.unknown_loops,
        measured_s=_measure(runner, compiled, state, batch, steps) if steps else None,
    )


def _link_seconds(exchanged: Sequence[Collective], topology: Topology, devices: Iterable[Any]) -> float:
    places = [getattr(d, "coords", (i,)) for i, d in enumerate(devices)]

    def axes(group: Sequence[int]) -> int:
        return sum(len({places[i][axis] for i in group}) > 1 for axis in range(len(places[0])))

    return sum(e.times * e.sent / topology.chip.rate(max(1, axes(e.group))) for e in exchanged)


def _measure(runner: Runner, compiled: Any, state: TrainState, batch: Any, steps: int) -> float:
    """Median seconds of a step, of a state and a batch that are made up."""
    run = runner.step if runner.strategy.compiler == "pmap" else compiled
    where = jax.tree.map(lambda x: x.sharding, state)
    fill = jax.jit(lambda: jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), state), out_shardings=where)
    now = runner.place_state(fill())
    made = {name: np.ones(x.shape, x.dtype) for name, x in batch.items()}
    made["positions"] = np.tile(np.arange(batch["positions"].shape[1], dtype=np.int32), (len(made["positions"]), 1))
    placed, seconds = runner.place_batch(made), []
    for _ in range(steps + 2):  # the first two warm up
        began = time.perf_counter()
        now, metrics = run(now, placed)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[2:]))

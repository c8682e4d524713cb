"""Strategies compared: what a step costs under each, in a table, and which is the fastest that fits."""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from biomechjax.errors import InputError
from biomechjax.language.config import published_vocabulary
from biomechjax.parallel.chips import Chip, Topology
from biomechjax.parallel.strategies import find_strategy
from biomechjax.provenance import git_commit, resume_key
from biomechjax.training.ahead import Case, Cost, Plan, cost, find_devices, plan
from biomechjax.training.config import DecoderExperiment
from biomechjax.workers import mapping

LEARNING = {"full": ("full", "float32"), "lora": ("lora", "bfloat16"), "qlora": ("lora", "nf4")}
"""Word of what is learned -> method and weights of AdaptConfig."""
AHEAD = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_LOG_DIR": "disabled",
}
"""Environment in which several processes may compile for TPUs that are not there, without a page of warnings each."""


@dataclasses.dataclass(frozen=True)
class Where:
    """The devices: a topology on paper, so many simulated on this machine's processor, or those that are here.

    Raises:
        InputError: both are asked for, or too few devices.
    """

    topology: Topology | None = None
    simulated: int = 0

    def __post_init__(self) -> None:
        if self.simulated < 0 or (self.topology and self.simulated):
            raise InputError(f"--devices {self.simulated}: expected at least 1, and not beside --topology")

    def __str__(self) -> str:
        if self.topology:
            return f"{self.topology}, compiled ahead"
        return f"{self.simulated} simulated devices of one processor" if self.simulated else "the devices here"


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Seconds that a step takes by a chip's published figures, if nothing but this limited it."""

    compute: float
    memory: float
    links: float

    @property
    def step(self) -> float:
        """With all three at once, as a compiler aims at; their sum is what it takes one after the other."""
        return max(self.compute, self.memory, self.links)


@dataclasses.dataclass(frozen=True)
class Result:
    """A case and its cost, or why there is none."""

    case: Case
    cost: Cost | None
    refused: str = ""

    def predicted(self, chip: Chip | None) -> Predicted | None:
        """By the roofline of a chip (Williams et al. 2009, Commun ACM 52:65); None for devices of unknown figures."""
        c = self.cost
        if not chip or c is None or c.flops is None or c.link_s is None:
            return None
        rate = chip.flops if self.case.experiment.compute_dtype == "bfloat16" else chip.flops / 2
        return Predicted(c.flops / rate, c.traffic / chip.memory_rate, c.link_s)

    def seconds(self, chip: Chip | None) -> float:
        """By which results are ranked: measured or else predicted; infinite where it does not fit."""
        predicted = self.predicted(chip)
        if self.cost is None or not self.cost.fits:
            return math.inf
        return self.cost.measured_s or (predicted.step if predicted else math.inf)


def plain_cases(experiment: DecoderExperiment, strategies: Sequence[str]) -> list[Case]:
    """One for each strategy, over its own mesh."""
    return [Case(find_strategy(name).name, experiment) for name in strategies]


def learning_of(experiment: DecoderExperiment, word: str) -> DecoderExperiment:
    """The experiment with what a word of LEARNING says is learned.

    Raises:
        InputError: the word is none of those.
    """
    if word not in LEARNING:
        raise InputError(f"--learning {word}: expected {', '.join(LEARNING)}")
    method, weights = LEARNING[word]
    return dataclasses.replace(experiment, adapt=dataclasses.replace(experiment.adapt, method=method, weights=weights))


def search_cases(
    experiment: DecoderExperiment,
    strategies: Sequence[str],
    devices: int,
    batches: Sequence[int],
    remats: Sequence[str],
    learning: Sequence[str],
) -> list[Case]:
    """All of the strategies, over every mesh of so many devices, with these batches, remats and words of LEARNING.

    What is trained from scratch is learned in full, whatever the words.

    Raises:
        InputError: a word is none of those.
    """
    learning = learning if published_vocabulary(experiment.preset) else ("full",)
    cases = []
    for name, batch, remat, word in itertools.product(strategies, batches, remats, learning):
        train = dataclasses.replace(experiment.train, batch_size=batch)
        variant = learning_of(dataclasses.replace(experiment, train=train, remat=remat), word)
        cases += [Case(name, variant, mesh) for mesh in meshes(name, devices)]
    return cases


def meshes(strategy: str, devices: int) -> list[tuple[int, ...]]:
    """Every shape of a strategy's mesh over so many devices; of two axes the last is more than one device."""
    if len(find_strategy(strategy).mesh) == 1:
        return [(devices,)]
    return [(devices // n, n) for n in range(2, devices + 1) if devices % n == 0]


def compare(cases: Sequence[Case], where: Where, steps: int, workers: int, kept: Path) -> Iterator[Result]:
    """The result of each case, in order, as they come.

    Args:
        steps: timed on devices that are here.
        workers: processes that compile at a time, where devices are absent.
        kept: a file that gains a line for each result; what stands there already is not computed again.
    """
    known = {}
    if kept.exists():
        known = dict(map(json.loads, kept.read_text().splitlines()))
    code = resume_key((where, steps, jax.__version__), ("parallel", "training", "language"))
    keys = [hashlib.sha256(f"{code} {case}".encode()).hexdigest()[:12] for case in cases]
    todo = [case for case, key in zip(cases, keys, strict=True) if key not in known]
    with mapping(functools.partial(_job, where=where, steps=steps), workers if where.topology else 1, 1) as each:
        found = iter(each(todo))
        for case, key in zip(cases, keys, strict=True):
            if key not in known:
                known[key] = next(found)
                with kept.open("a") as file:
                    file.write(json.dumps([key, known[key]]) + "\n")
            fields = known[key]
            yield Result(case, None, fields) if isinstance(fields, str) else Result(case, Cost(**fields))


def _job(case: Case, where: Where, steps: int) -> dict[str, Any] | str:
    """The fields of a Cost, or why there is none."""
    _prepare(where)
    devices = find_devices(where.topology) if where.topology else jax.devices()
    try:
        return dataclasses.asdict(cost(fitting(case, devices), where.topology, 0 if where.topology else steps))
    except InputError as e:
        return str(e)


@functools.cache
def _prepare(where: Where) -> None:
    if where.topology:
        os.environ.update(AHEAD)
    if where.topology or where.simulated:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", where.simulated or 1)


def fitting(case: Case, devices: Sequence[Any]) -> Plan:
    """The case over its mesh, or over the first that fits its heads and rows, from the strategy's own on.

    Raises:
        InputError: none does; that of the strategy's own.
    """
    tried = [case]
    if not case.mesh:
        tried += [dataclasses.replace(case, mesh=mesh) for mesh in reversed(meshes(case.strategy, len(devices)))]
    errors = []
    for one in tried:
        try:
            return plan(one, devices)
        except InputError as e:
            errors.append(e)
    raise errors[0]


def recommended(results: Sequence[Result], chip: Chip | None) -> Result | None:
    """The fastest that fits; None where none does, or nothing is known of how long it takes.

    Of those whose times are equal to two digits it is the one that does least in sum, as what limits a step may not
    hide all else.
    """

    def place(r: Result) -> tuple[float, float]:
        p = r.predicted(chip)
        return float(f"{r.seconds(chip):.2g}"), p.compute + p.memory + p.links if p else 0.0

    best = min(results, key=place, default=None)
    return best if best and best.seconds(chip) < math.inf else None


def pareto(results: Sequence[Result], chip: Chip | None) -> list[Result]:
    """Those that no other beats in both peak memory and time for the same batch, fastest first."""

    def place(r: Result) -> tuple[float, float]:
        assert r.cost and r.cost.peak is not None
        return r.seconds(chip) / r.case.experiment.train.batch_size, r.cost.peak

    front: list[Result] = []
    for r in sorted((r for r in results if r.seconds(chip) < math.inf), key=place):
        if not front or place(r)[1] < place(front[-1])[1]:
            front.append(r)
    return front


def learned(experiment: DecoderExperiment) -> str:
    """The word of LEARNING, or what the experiment says."""
    found = (experiment.adapt.method, experiment.adapt.weights)
    if found[0] == "full" or not published_vocabulary(experiment.preset):
        return "full"
    return next((word for word, how in LEARNING.items() if how == found), " ".join(found))


def as_rows(results: Sequence[Result], where: Where) -> list[dict[str, Any]]:
    """A flat line for each result, with all that is known of it: for JSON and CSV."""
    chip = where.topology.chip if where.topology else None
    rows = []
    for r in results:
        e = r.case.experiment
        row: dict[str, Any] = {
            "devices": str(where),
            "preset": e.preset,
            "learned": learned(e),
            "strategy": r.case.strategy,
            "mesh": "x".join(map(str, r.cost.mesh.values())) if r.cost else "x".join(map(str, r.case.mesh)),
            "batch_size": e.train.batch_size,
            "row_length": e.row_length,
            "remat": e.remat,
            "refused": r.refused,
            "git_commit": git_commit(),
            "jax": jax.__version__,
        }
        if r.cost:
            fields = dataclasses.asdict(r.cost)
            del fields["mesh"]
            for name, value in fields.items():
                row |= {f"{name}_{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
            row |= {"activations": r.cost.activations, "formula_peak_sum": sum(r.cost.formula_peak.values())}
            row["formula_sent_sum"] = sum(r.cost.formula_sent.values())
            row["sent_sum"] = sum(r.cost.sent.values()) if r.cost.sent is not None else None
            if (p := r.predicted(chip)) is not None:
                row |= {"compute_s": p.compute, "memory_s": p.memory, "links_s": p.links, "predicted_s": p.step}
            if r.cost.measured_s:
                row["tokens_per_s"] = e.train.batch_size * e.row_length / r.cost.measured_s
        rows.append(row)
    return rows

"""Trainings that differ from one by a config or by its records, held against it on the same held-out people."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from biomechjax.command import load_config
from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import Answered, Answering, beside_truth, questions_about
from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.kept import Kept
from biomechjax.evaluation.progress import tell
from biomechjax.provenance import git_commit
from biomechjax.tasks.registry import TASKS
from biomechjax.tasks.task import Number, Task
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.decoder import train_decoder
from biomechjax.training.trained import TrainedDecoder


@dataclasses.dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: of its folder, and in the table.
        experiment, data: what is trained, and the records that it is trained on and asked about.
    """

    name: str
    experiment: DecoderExperiment
    data: Path

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it is trained to answer."""
        return tuple(t for t in TASKS if self.experiment.mixture.tasks.get(t.name, 1.0) > 0)


@dataclasses.dataclass(frozen=True)
class Trained:
    """An arm that is trained, and what it answered.

    Attributes:
        people: participants that it was trained on.
        parameters: numbers that it has.
        commit: of the code that trained it.
    """

    arm: Arm
    people: int
    parameters: int
    commit: str
    answered: list[Answered]


def make_arms(base: Path, configs: Sequence[Path], data: Path, others: Sequence[str] = (), steps: int = 0) -> list[Arm]:
    """The base, an arm for each config, and the base again on each of `others`, NAME=RECORDS.

    Args:
        steps: of all alike, where it is not 0; their stages are shortened by as much.

    Raises:
        InputError: two arms have one name, or one of `others` is not NAME=RECORDS.
    """
    arms = [Arm(c.stem, shortened(load_config(c), steps), data) for c in (base, *configs)]
    for text in others:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise InputError(f"--others {text}: expected NAME=RECORDS, as noisy=runs/noisy/records")
        arms.append(Arm(name, arms[0].experiment, Path(folder)))
    names = [arm.name for arm in arms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{twice[0]}: two arms of this name; give every config once, and --others other names")
    return arms


def shortened(experiment: DecoderExperiment, steps: int) -> DecoderExperiment:
    """The experiment with another number of steps, stages shortened by as much; 0 leaves it as it is."""
    if not steps:
        return experiment
    whole = experiment.train.steps
    stages = tuple(dataclasses.replace(s, steps=max(1, round(s.steps * steps / whole))) for s in experiment.stages)
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, steps=steps), stages=stages)


def run_arm(arm: Arm, records: Records, out: Path, split: str = "test", way: str = "free") -> Trained:
    """Trains an arm in `out`/NAME and asks it, going on where it was stopped.

    Raises:
        InputError: the folder holds another training.
        Stopped: after a signal; the same call goes on.
    """
    folder = out / arm.name / "decoder"
    train_decoder(arm.experiment, [arm.data], folder)
    model = TrainedDecoder.load(folder)
    asked = [q for q in questions_about(records.read(split)) if q.task in arm.tasks]
    texts = Answering(model, Kept(out / arm.name / "kept"), (records.hash, split)).answers(asked, way)
    answered = beside_truth(asked, texts, [None] * len(asked), way)
    people = sum(map(len, model.run["train_participants"].values()))
    parameters = sum(np.size(x) for x in jax.tree.leaves(model.params))
    return Trained(arm, people, parameters, model.run["git_commit"], answered)


def ablate(arms: Sequence[Arm], out: Path, split: str, way: str, command: str) -> dict[str, Any]:
    """Trains and asks all arms, as `run_arm`, and compares them, as `compare_arms`.

    Raises:
        InputError: as these.
        Stopped: after a signal; the same call goes on.
    """
    records = {path: Records(path) for path in dict.fromkeys(arm.data for arm in arms)}
    trained = []
    for number, arm in enumerate(arms, start=1):
        tell(f"{arm.name}, {number} of {len(arms)}")
        trained.append(run_arm(arm, records[arm.data], out, split, way))
    return compare_arms(trained, records[arms[0].data], split, way, command)


def compare_arms(arms: Sequence[Trained], records: Records, split: str, answers: str, command: str) -> dict[str, Any]:
    """Scores of every arm on each task that it was trained on, and their differences from the first.

    Args:
        records: of the first.
        answers: "free" or "constrained".
        command: what was run, for the tables.

    Returns:
        {"data", "simulated", "split", "answers", "command", "git_commit", "arms": {name: about it}, "tasks": {task:
        {arm: {metric: {"value", "interval", "minus_base": {"difference", "interval"} or None for the base}}}}}.

    Raises:
        InputError: an arm was asked about other trials, or their labels differ.
    """
    base, tasks = arms[0], {}
    for task in TASKS:
        mine = {a.arm.name: [x for x in a.answered if x.task == task.name] for a in arms}
        mine = {name: found for name, found in mine.items() if found}
        first = mine.get(base.arm.name)
        if first is None:
            continue
        for name, found in mine.items():
            if [(x.trial, x.question, x.truth) for x in found] != [(x.trial, x.question, x.truth) for x in first]:
                raise InputError(
                    f"{name}: asked about other trials than {base.arm.name}, or their labels differ, as to the "
                    f"{task.name}; expected records of the same people doing the same"
                )
        known: list[Any] = [r.labels[task.label] for r in records.read("train") if task.asked_of(r.labels)]
        fallback = float(np.mean(known)) if known and isinstance(task.answer, Number) else 0.0
        given = {name: [x.parsed for x in found] for name, found in mine.items()}
        people, truth = [x.participant for x in first], [x.truth for x in first]
        points, about = compare(task, people, truth, given, fallback)
        tasks[task.name] = {
            name: {
                metric: {
                    "value": value,
                    "interval": about["intervals"][name].get(metric),
                    "minus_base": _minus_base(about["differences"], name, metric),
                }
                for metric, value in figures.items()
            }
            | {"participants": {"value": about["participants"], "interval": None, "minus_base": None}}
            for name, figures in points.items()
        }
    return {
        "data": records.manifest["cohort"],
        "simulated": records.manifest["simulated"],
        "split": split,
        "answers": answers,
        "command": command,
        "git_commit": git_commit(),
        "arms": {
            a.arm.name: {
                "data": str(a.arm.data),
                "steps": a.arm.experiment.train.steps,
                "people": a.people,
                "parameters": a.parameters,
                "trained_at": a.commit,
            }
            for a in arms
        },
        "tasks": tasks,
    }


def _minus_base(differences: Mapping[str, Any], name: str, metric: str) -> dict[str, Any] | None:
    """Of an arm minus the base, out of those of the base minus an arm."""
    if metric not in differences.get(name, {}):
        return None
    found = differences[name][metric]
    interval = found["interval"] and [0.0 - end for end in reversed(found["interval"])]  # 0 stays without a sign
    return {"difference": 0.0 - found["difference"], "interval": interval}

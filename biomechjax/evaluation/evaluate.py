"""The evaluation of a decoder checkpoint: per task, the decoder's answers beside the baselines', on held-out people."""

import dataclasses
import importlib.metadata
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.data.records import Record, Records
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import MOST_SCORED, WAYS, Answered, Answering, beside_truth, questions_about
from biomechjax.evaluation.baselines.baseline import CONSTANT, Answer, Baseline
from biomechjax.evaluation.baselines.registry import Setting, make_baselines
from biomechjax.evaluation.calibration import calibration
from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.groups import by_group
from biomechjax.evaluation.intervals import BOOTSTRAP
from biomechjax.evaluation.kept import Kept
from biomechjax.evaluation.progress import tell
from biomechjax.evaluation.tables import DECODER, latex_tables, write_csv
from biomechjax.provenance import git_commit
from biomechjax.tasks.registry import TASKS
from biomechjax.tasks.task import Choice, Task
from biomechjax.training.checkpoint import check_unmet
from biomechjax.training.trained import TrainedDecoder

# What baselines rest on.
ROOMS = ("motion", "cohort", "tasks", "data/records.py", "evaluation/baselines")
LIBRARIES = ("scikit-learn", "aeon")


def evaluate(
    model: TrainedDecoder,
    records: Records,
    split: str = "test",
    ways: Sequence[str] = ("free",),
    probabilities: bool = False,
    baselines: Sequence[str] = (),
    cohort: Path | None = None,
    kept: Kept = Kept(),
) -> tuple[dict[str, Any], list[Answered]]:
    """Asks every task of every trial of a split, and scores the decoder and the baselines on the same questions.

    Args:
        ways: how the decoder is made to answer (`Answering.answers`); the first is what the others and the baselines
            are compared with. One alone is called DECODER in the results, several "decoder (free)" and so on.
        probabilities: ask also how likely each option of a label is.
        baselines: names in `registry.BASELINES`; none for all.
        cohort: folder of the cohort that the records were made from, which some baselines need.
        kept: where what has been found is kept, so that the same call goes on with the rest.

    Returns:
        Metrics {"data", "simulated", "split", "splits" (how people were divided, if the cohort says it), "answers",
        "participants", "git_commit" (of this code), "data_hash", "bootstrap", "decoders" (the names of the ways),
        "absent": {model: why it has no answers, or not all}, "tasks": {task: {model: {metric: value}}}, "details":
        {task: what `compare` says beside, "groups" of `by_group`, and of labels whose probabilities were asked for
        "calibration"}}, and the decoder's answers.

    Raises:
        InputError: the records hold other codes than the decoder read in training, or hold out people whom it was
            trained on, the split is empty, a way is unknown
            or stands twice, no baseline has such a name, or the cohort is another one than that of the records.
    """
    if not records.tokenizer.same_codes(model.tokenizer):
        raise InputError(
            f"{records.path}: written by another tokenizer than the decoder was trained with; tokenize again"
        )
    held_out = [person for person, part in records.participants.items() if part != "train"]
    check_unmet(model.run, records.path, records.manifest["cohort"], held_out)
    if not ways or len(set(ways)) != len(ways) or not set(ways) <= set(WAYS):
        raise InputError(f"--answers {','.join(ways)}: expected some of {', '.join(WAYS)}, each once")
    train, test = records.read("train"), records.read(split)
    if not test:
        raise InputError(f"{records.path}: split {split!r} is empty")
    reading = model.vocabulary.levels, model.longest
    made, absent = make_baselines(Setting(records, kept, cohort, *reading), baselines)
    asked = questions_about(test)
    answering = Answering(model, kept, (records.hash, split))
    chances = answering.probabilities(asked) if probabilities else [None] * len(asked)
    names = {way: f"{DECODER} ({way})" if len(ways) > 1 else DECODER for way in ways}
    said: dict[str, list[Answered]] = {}
    for way, name in names.items():
        start = time.monotonic()
        said[name] = beside_truth(asked, answering.answers(asked, way), chances, way)
        tell(f"{name}: {len(said[name])} answers, {time.monotonic() - start:.0f} s")
        if left_out := dict.fromkeys(q.task.name for q in asked if q.task.name not in {a.task for a in said[name]}):
            absent[name] = f"more than {MOST_SCORED} values to score: {', '.join(left_out)}"
    given_by = {b.name: _answers_of(b, train, test, kept, (records.hash, split, reading)) for b in made}
    tasks, details = {}, {}
    for task in TASKS:
        about = [r for r in test if task.asked_of(r.labels)]
        mine = {name: found for name, everything in said.items() if (found := _of(everything, task))}
        if not about or not mine:
            continue
        given: dict[str, Sequence[Any]] = {name: [a.parsed for a in found] for name, found in mine.items()}
        given |= {name: by_task[task.name] for name, by_task in given_by.items()}
        constant = given[CONSTANT][0]
        fallback = constant if isinstance(constant, float) else 0.0
        people, truth = [r.participant for r in about], [r.labels[task.label] for r in about]
        tasks[task.name], details[task.name] = compare(task, people, truth, given, fallback)
        first = next(iter(given.values()))
        details[task.name]["groups"] = by_group(task, people, [r.labels for r in about], truth, first, fallback)
        if isinstance(task.answer, Choice) and probabilities:
            details[task.name]["calibration"] = _calibration(task.answer, next(iter(mine.values())))
    return {
        "data": records.manifest["cohort"],
        "simulated": records.manifest["simulated"],
        "split": split,
        "splits": records.manifest.get("splits_by"),
        "answers": ", ".join(ways),
        "participants": len({r.participant for r in test}),
        "git_commit": git_commit(),
        "data_hash": records.hash,
        "bootstrap": BOOTSTRAP,
        "decoders": list(said),
        "absent": absent,
        "tasks": tasks,
        "details": details,
    }, [a for of_way in said.values() for a in of_way]


def _of(everything: Sequence[Answered], task: Task) -> list[Answered]:
    return [a for a in everything if a.task == task.name]


def _answers_of(
    baseline: Baseline, train: Sequence[Record], test: Sequence[Record], kept: Kept, depends: object
) -> dict[str, list[Answer]]:
    """A baseline's answers to every task, for the test records that are asked it."""

    def fit_and_ask() -> dict[str, list[Answer]]:
        asked = {task: [r for r in test if task.asked_of(r.labels)] for task in TASKS}
        fitted = baseline.fit([task for task in TASKS if asked[task]], train)
        return {task.name: fitted.predict(task, some) for task, some in asked.items() if some}

    start = time.monotonic()
    found = kept(f"answers of {baseline.name}", (depends, _versions()), ROOMS, fit_and_ask)
    tell(f"{baseline.name}: {time.monotonic() - start:.0f} s")
    return found


def _versions() -> list[str]:
    installed = {d.name: d.version for d in importlib.metadata.distributions()}
    return [installed.get(name, "absent") for name in LIBRARIES]


def _calibration(choice: Choice, answered: list[Answered]) -> dict[str, Any]:
    probabilities = [[a.probabilities[option] for option in choice.options] for a in answered if a.probabilities]
    return calibration(np.array(probabilities), np.array([choice.options.index(str(a.truth)) for a in answered]))


def write_results(metrics: dict[str, Any], answered: list[Answered], run: dict[str, Any], out: Path) -> None:
    """Into `out`: `metrics.json` (with where the model came from), `predictions.jsonl` (a line per question and way of
    answering), and what a paper needs of the metrics, `tables.csv` and `tables.tex`."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_null_for_nan(metrics) | {"model": run}, indent=1, allow_nan=False)
    (out / "metrics.json").write_text(text)
    write_csv(metrics, out / "tables.csv")
    (out / "tables.tex").write_text(latex_tables(metrics, run["git_commit"]))
    (out / "predictions.jsonl").write_text("".join(json.dumps(dataclasses.asdict(a)) + "\n" for a in answered))


def _null_for_nan(tree: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(tree, dict):
        return {k: _null_for_nan(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_null_for_nan(v) for v in tree]
    return None if isinstance(tree, float) and np.isnan(tree) else tree

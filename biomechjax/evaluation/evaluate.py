"""The evaluation of a decoder checkpoint: per task, the decoder's answers beside the baselines', on held-out people."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import Answered, answer_records
from biomechjax.evaluation.baselines import CONSTANT, baseline_answers
from biomechjax.evaluation.calibration import calibration
from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.groups import by_group
from biomechjax.evaluation.intervals import LEAST_PEOPLE, LEVEL, RESAMPLES
from biomechjax.evaluation.tables import DECODER, latex_tables, write_csv
from biomechjax.provenance import git_commit
from biomechjax.tasks.registry import TASKS
from biomechjax.tasks.task import Choice
from biomechjax.training.trained import TrainedDecoder


def evaluate(
    model: TrainedDecoder,
    records: Records,
    split: str = "test",
    constrained: bool = False,
    probabilities: bool = False,
) -> tuple[dict[str, Any], list[Answered]]:
    """Asks every task of every trial of a split, and scores the decoder and the baselines on the same questions.

    `constrained` and `probabilities` are those of `answer_records`.

    Returns:
        Metrics {"data", "simulated", "split", "answers", "participants", "git_commit" (of this code), "data_hash",
        "bootstrap", "tasks": {task: {model: {metric: value}}}, "details": {task: what `compare` says beside, "groups"
        of `by_group`, and of labels whose probabilities were asked for "calibration"}}, and the decoder's answers.

    Raises:
        InputError: the records hold other codes than the decoder read in training, or the split is empty.
    """
    if not records.tokenizer.same_codes(model.tokenizer):
        raise InputError(
            f"{records.path}: written by another tokenizer than the decoder was trained with; tokenize again"
        )
    train, test = records.read("train"), records.read(split)
    if not test:
        raise InputError(f"{records.path}: split {split!r} is empty")
    answered = answer_records(model, test, constrained=constrained, probabilities=probabilities)
    tasks, details = {}, {}
    for task in TASKS:
        mine = [a for a in answered if a.task == task.name]
        if not mine:
            continue
        asked = [r for r in test if task.asked_of(r.labels)]
        given: dict[str, list[Any]] = {DECODER: [a.parsed for a in mine], **baseline_answers(task, train, asked)}
        constant = given[CONSTANT][0]
        fallback = constant if isinstance(constant, float) else 0.0
        people, truth = [a.participant for a in mine], [a.truth for a in mine]
        tasks[task.name], details[task.name] = compare(task, people, truth, given, fallback)
        labels, said = [r.labels for r in asked], given[DECODER]
        details[task.name]["groups"] = by_group(task, people, labels, truth, said, fallback)
        if isinstance(task.answer, Choice) and probabilities:
            details[task.name]["calibration"] = _calibration(task.answer, mine)
    return {
        "data": records.manifest["cohort"],
        "simulated": records.manifest["simulated"],
        "split": split,
        "answers": "constrained" if constrained else "free",
        "participants": len({r.participant for r in test}),
        "git_commit": git_commit(),
        "data_hash": records.hash,
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "of": "participants", "least_participants": LEAST_PEOPLE},
        "tasks": tasks,
        "details": details,
    }, answered


def _calibration(choice: Choice, answered: list[Answered]) -> dict[str, Any]:
    probabilities = [[a.probabilities[option] for option in choice.options] for a in answered if a.probabilities]
    return calibration(np.array(probabilities), np.array([choice.options.index(str(a.truth)) for a in answered]))


def write_results(metrics: dict[str, Any], answered: list[Answered], run: dict[str, Any], out: Path) -> None:
    """Into `out`: `metrics.json` (with where the model came from), `predictions.jsonl` (one line per question), and
    what a paper needs of the metrics, `tables.csv` and `tables.tex`."""
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

"""The evaluation of a decoder checkpoint: per task, the decoder's answers beside the baselines', on held-out people."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import Answered, answer_records
from biomechjax.evaluation.baselines import CONSTANT, LINEAR, TREES, baseline_answers
from biomechjax.evaluation.metrics import score
from biomechjax.tasks.registry import TASKS
from biomechjax.training.trained import TrainedDecoder

DECODER = "decoder"
MODELS = (DECODER, CONSTANT, LINEAR, TREES)


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
        Metrics {"data", "simulated", "split", "answers", "participants", "tasks": {task: {model: {metric: value}}}},
        and the decoder's answers.

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
    tasks = {}
    for task in TASKS:
        mine = [a for a in answered if a.task == task.name]
        if not mine:
            continue
        asked = [r for r in test if task.asked_of(r.labels)]
        truth = [a.truth for a in mine]
        given: dict[str, list[Any]] = {DECODER: [a.parsed for a in mine], **baseline_answers(task, train, asked)}
        constant = given[CONSTANT][0]
        fallback = constant if isinstance(constant, float) else 0.0
        tasks[task.name] = {name: score(task, truth, given[name], fallback) for name in MODELS}
    return {
        "data": records.manifest["cohort"],
        "simulated": records.manifest["simulated"],
        "split": split,
        "answers": "constrained" if constrained else "free",
        "participants": len({r.participant for r in test}),
        "tasks": tasks,
    }, answered


def print_tables(metrics: dict[str, Any], console: Console) -> None:
    """The results on screen: one table of labels, one of numbers."""
    what = f"{metrics['data']}{' (SIMULATED people)' if metrics['simulated'] else ''}"
    title = (
        f"{what}: {metrics['participants']} participants of the {metrics['split']} split, {metrics['answers']} answers"
    )
    for kind, columns in (("macro_f1", ("accuracy", "balanced_accuracy", "macro_f1")), ("mae", ("mae", "pearson_r"))):
        rows = {name: m for name, m in metrics["tasks"].items() if kind in m[DECODER]}
        if not rows:
            continue
        table = Table(title=title)
        table.add_column("task")
        for head in ("n", "unparsable"):
            table.add_column(head, justify="right")
        for column in columns:
            for model in MODELS:
                table.add_column(f"{column.replace('_', ' ')}\n{model}", justify="right")
        for name, by_model in rows.items():
            first = by_model[DECODER]
            cells = [f"{by_model[m][c]:.2f}" for c in columns for m in MODELS]
            table.add_row(name, f"{first['n']:.0f}", f"{first['unparsable']:.3f}", *cells)
        console.print(table)


def write_results(metrics: dict[str, Any], answered: list[Answered], run: dict[str, Any], out: Path) -> None:
    """`metrics.json` (with where the model came from) and `predictions.jsonl` (one line per question) in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_null_for_nan(metrics) | {"model": run}, indent=1, allow_nan=False)
    (out / "metrics.json").write_text(text)
    (out / "predictions.jsonl").write_text("".join(json.dumps(dataclasses.asdict(a)) + "\n" for a in answered))


def _null_for_nan(tree: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(tree, dict):
        return {k: _null_for_nan(v) for k, v in tree.items()}
    return None if isinstance(tree, float) and np.isnan(tree) else tree

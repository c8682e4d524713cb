"""One task's scores of several models that answered the same questions, and how sure they and their differences are."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biomechjax.evaluation.intervals import Resamples
from biomechjax.evaluation.metrics import UNPARSABLE, Value, limits_of_agreement, per_class, scores, terms
from biomechjax.tasks.task import Choice, Number, Task


def compare(
    task: Task,
    participants: Sequence[str],
    truth: Sequence[Value],
    given: Mapping[str, Sequence[Value | None]],
    fallback: float,
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Scores each model's answers to the same questions of a task, and the first model against each of the others.

    Args:
        participants: [answers] whom each question was about.
        given: model to its answers; the first is the one that the others are there to be compared with.
        fallback: as in `terms`.

    Returns:
        {model: {metric: value}}, and what stands behind it:
        participants: how many people.
        intervals: {model: {metric: [low, high] or None}}, see `Resamples.interval`.
        differences: {other model: {metric: {"difference", "interval"}}}, of the first model minus the other, on the
            same resamples.
        of labels, confusion: {"truth", "answers", "counts": {model: rows by truth}}, and per_class: {model: {option:
            {"precision", "recall", "f1", "support"}}}, nan where undefined.
        of numbers, tolerance: {"value", "unit", "source"} or None, and bland_altman: {model: {"bias", "low", "high",
            "intervals": of each of these}}.
    """
    resamples = Resamples.of(participants)
    sums = {model: resamples.sums(terms(task, truth, answers, fallback)) for model, answers in given.items()}
    found = {model: scores(task, rows) for model, rows in sums.items()}
    first, *others = found
    about: dict[str, Any] = {
        "participants": resamples.people,
        "intervals": {model: _intervals(resamples, figures) for model, figures in found.items()},
        "differences": {
            other: {
                name: {"difference": float(apart[0]), "interval": resamples.interval(apart)}
                for name, values in found[first].items()
                if name != "n"
                for apart in [values - found[other][name]]
            }
            for other in others
        },
    }
    points = {model: {name: float(values[0]) for name, values in figures.items()} for model, figures in found.items()}
    if isinstance(task.answer, Choice):
        return points, about | _of_labels(task.answer, {model: rows[0] for model, rows in sums.items()})
    return points, about | _of_numbers(task.answer, resamples, sums)


def _intervals(resamples: Resamples, figures: Mapping[str, np.ndarray]) -> dict[str, list[float] | None]:
    return {name: resamples.interval(values) for name, values in figures.items() if name != "n"}


def _of_labels(choice: Choice, confusions: Mapping[str, np.ndarray]) -> dict[str, Any]:
    classes = {}
    for model, confusion in confusions.items():
        figures = {name: values.tolist() for name, values in per_class(confusion).items()}
        classes[model] = {o: {name: row[i] for name, row in figures.items()} for i, o in enumerate(choice.options)}
    counts = {model: confusion.astype(int).tolist() for model, confusion in confusions.items()}
    axes = {"truth": list(choice.options), "answers": [*choice.options, UNPARSABLE]}
    return {"confusion": axes | {"counts": counts}, "per_class": classes}


def _of_numbers(number: Number, resamples: Resamples, sums: Mapping[str, np.ndarray]) -> dict[str, Any]:
    agreement = {}
    for model, rows in sums.items():
        limits = limits_of_agreement(rows)
        points = {name: float(values[0]) for name, values in limits.items()}
        agreement[model] = points | {"intervals": _intervals(resamples, limits)}
    tolerance = number.tolerance and dataclasses.asdict(number.tolerance) | {"unit": number.unit}
    return {"tolerance": tolerance, "bland_altman": agreement}

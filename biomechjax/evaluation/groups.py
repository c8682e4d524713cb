"""Whether a model answers worse about some people than about others: its scores by sex, age and diagnosis."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from biomechjax.evaluation.intervals import Resamples
from biomechjax.evaluation.metrics import Value, limits_of_agreement, scores, terms
from biomechjax.tasks.task import Choice, Labels, Task

GROUPINGS = ("sex", "age", "diagnosis")  # columns of participants.tsv
AGE_EDGES = (18, 40, 65, 80)  # years at which the next band begins
AGE_BANDS = ("under 18", "18 to 39", "40 to 64", "65 to 79", "80 and over")
NOT_RECORDED = "not recorded"


def by_group(
    task: Task,
    participants: Sequence[str],
    labels: Sequence[Labels],
    truth: Sequence[Value],
    answers: Sequence[Value | None],
    fallback: float,
) -> dict[str, dict[str, Any]]:
    """Scores of the same answers by group of people, and how far each group is from everybody else.

    Args:
        participants, labels: whom each answer is about, and what is known of them and the trial.
        fallback: as in `terms`.

    Returns:
        {grouping: {group: {"participants", "scores": {metric: value}, "intervals": {metric: [low, high] or None},
        "minus_others": {metric: {"difference", "interval"}}}}}, of numbers with the `bias` beside the other metrics.
        A grouping that is known of nobody is left out, and so is minus_others where there are no others. The interval
        of a difference is that of two independent samples of people; there is none where either is too small.
    """
    rows = terms(task, truth, answers, fallback)
    people = np.array(participants)
    return {
        grouping: {group: _group(task, people, rows, np.array([n == group for n in names])) for group in ordered(names)}
        for grouping in GROUPINGS
        if {*(names := [group_of(grouping, row) for row in labels])} != {NOT_RECORDED}
    }


def group_of(grouping: str, labels: Labels) -> str:
    """The group that somebody with these labels is in: an age's band, of other columns the value."""
    value = labels.get(grouping)
    if value is None or str(value).strip() == "":
        return NOT_RECORDED
    if grouping == "age":
        return age_band(value)
    return f"{value:g}" if isinstance(value, float) else value


def age_band(age: str | float) -> str:
    """The one of AGE_BANDS that holds an age in years; what is no number, as "90+", is a band of its own."""
    try:
        years = float(age)
    except ValueError:
        return str(age)
    if not math.isfinite(years) or years < 0:
        return NOT_RECORDED
    return AGE_BANDS[int(np.searchsorted(AGE_EDGES, years, side="right"))]


def ordered(names: Iterable[str]) -> list[str]:
    """Each group once: bands by age, others by name, those not recorded last."""
    place: Mapping[str, int] = {band: i for i, band in enumerate(AGE_BANDS)}
    return sorted(set(names), key=lambda n: (n == NOT_RECORDED, place.get(n, len(place)), n))


def _group(task: Task, people: np.ndarray, rows: np.ndarray, inside: np.ndarray) -> dict[str, Any]:
    mine, found = _scores(task, people[inside], rows[inside], seed=0)
    out: dict[str, Any] = {
        "participants": mine.people,
        "scores": {name: float(values[0]) for name, values in found.items()},
        "intervals": {name: mine.interval(values) for name, values in found.items() if name != "n"},
    }
    if inside.all():
        return out
    others, theirs = _scores(task, people[~inside], rows[~inside], seed=1)
    fewer = min(mine, others, key=lambda r: r.people)
    apart = {name: values - theirs[name] for name, values in found.items() if name != "n"}
    differences = {n: {"difference": float(v[0]), "interval": fewer.interval(v)} for n, v in apart.items()}
    return out | {"minus_others": differences}


def _scores(task: Task, people: np.ndarray, rows: np.ndarray, seed: int) -> tuple[Resamples, dict[str, np.ndarray]]:
    resamples = Resamples.of(people.tolist(), seed=seed)
    sums = resamples.sums(rows)
    found = scores(task, sums)
    return resamples, found if isinstance(task.answer, Choice) else found | {"bias": limits_of_agreement(sums)["bias"]}

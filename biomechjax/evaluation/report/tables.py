"""The tables of the page: every model in every task, and the decoder's answers about groups of people."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from biomechjax.evaluation.groups import NOT_RECORDED, ordered
from biomechjax.evaluation.metrics import LOWER_IS_BETTER
from biomechjax.evaluation.tables import marks_legend, standing
from biomechjax.evaluation.wording import brackets_legend, score_words, with_interval
from biomechjax.tasks.registry import BY_NAME
from biomechjax.tasks.task import Number

SCORES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "mae": "Mean absolute error (MAE)", "pearson_r": "Pearson r"}
IN_UNIT = ("mae", "rmse", "bias")
BEHIND, AHEAD, OFF = "▼", "▲", "≠"
MOST_GROUPS = 12  # in a table; of more those with the most people


@dataclasses.dataclass(frozen=True)
class PageTable:
    """A table with one line of heads."""

    caption: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def summary_tables(metrics: Mapping[str, Any]) -> list[PageTable]:
    """For each score a table of tasks by models, and the decoder's agreement with true numbers."""
    found = []
    for score, title in SCORES.items():
        tasks = [name for name in metrics["tasks"] if score in metrics["tasks"][name][leading(metrics, name)]]
        models = tuple(dict.fromkeys(m for name in tasks for m in metrics["tasks"][name]))
        rows = [
            (t + _unit(t, score), *(_score(metrics, t, m, score) for m in models), *_counts(metrics, t)) for t in tasks
        ]
        found.append(PageTable(title, ("task", *models, "n", "people", "unparsable"), rows))
    heads = ("task", "RMSE", "ICC(2,1)", "bias", "limits of agreement", "within tolerance")
    rows = [_agreement(metrics, t) for t, about in metrics["details"].items() if "bland_altman" in about]
    found.append(PageTable("The decoder's agreement with true numbers", heads, rows))
    return [table for table in found if table.rows]


def leading(metrics: Mapping[str, Any], task: str) -> str:
    """The model that the others are compared with: the decoder, by the name that it has in the metrics of a task."""
    return next(iter(metrics["tasks"][task]))


def summary_legend(metrics: Mapping[str, Any]) -> str:
    """What the brackets and marks mean."""
    return (
        f"{brackets_legend(metrics['bootstrap'])} A dash: no value. {marks_legend(metrics)} Unparsable: share of the "
        "decoder's answers that could not be read and count as wrong."
    )


def group_tables(metrics: Mapping[str, Any]) -> list[PageTable]:
    """For each grouping of `by_group` a table of tasks and scores by groups."""
    of_task = {task: about["groups"] for task, about in metrics["details"].items()}
    groupings = dict.fromkeys(grouping for groups in of_task.values() for grouping in groups)
    return [_group_table(metrics, of_task, grouping) for grouping in groupings]


def group_legend(metrics: Mapping[str, Any]) -> str:
    """What the tables of groups say, and how many of their marks would be there by chance alone."""
    if not any(about["groups"] for about in metrics["details"].values()):
        return "Neither sex, age nor diagnosis is known of these people, so that nothing can be said about groups."
    told = [
        _mark(group["minus_others"][score], score)
        for task, about in metrics["details"].items()
        for groups in about["groups"].values()
        for group in groups.values()
        for score in _group_scores(task)
        if group.get("minus_others", {}).get(score, {}).get("interval") is not None
    ]
    b = metrics["bootstrap"]
    return (
        f"The decoder's answers about each group, with {b['level']:.0%} intervals by bootstrap over its people. "
        f"{BEHIND}: worse than about all other people, {AHEAD}: better, {OFF}: another bias, each by the whole "
        f"interval of the difference and each by itself: of {len(told)} differences that have one, "
        f"{sum(map(bool, told))} are marked; with no difference at all about {(1 - b['level']) * len(told):.0f} would "
        f"be. Of fewer than {b['least_participants']} people nothing is sure, and the cell says how many they are. "
        "Groups differ in what there is to tell, too: where a label is rare, or numbers vary more, the same model "
        "scores otherwise."
    )


def _group_table(metrics: Mapping[str, Any], of_task: Mapping[str, Any], grouping: str) -> PageTable:
    people: dict[str, int] = {}
    for groups in of_task.values():
        for name, group in groups.get(grouping, {}).items():
            people[name] = max(people.get(name, 0), group["participants"])
    names = largest(people)
    rows = [
        (
            f"{task}, {score_words(score)}{_unit(task, score)}",
            *(_group_score(groups[grouping].get(name), score, metrics) for name in names),
        )
        for task, groups in of_task.items()
        if grouping in groups
        for score in _group_scores(task)
    ]
    left_out = f", without {len(people) - len(names)} smaller groups" if len(people) > len(names) else ""
    heads = (f"{name if name != NOT_RECORDED else f'{grouping} {name}'} ({people[name]})" for name in names)
    return PageTable(f"By {grouping} (people){left_out}", ("task", *heads), rows)


def largest(people: Mapping[str, int]) -> list[str]:
    """The MOST_GROUPS groups with the most people, as `ordered`."""
    return ordered(sorted(people, key=lambda name: -people[name])[:MOST_GROUPS])


def _group_scores(task: str) -> tuple[str, ...]:
    return ("mae", "bias") if isinstance(BY_NAME[task].answer, Number) else ("accuracy",)


def _unit(task: str, score: str) -> str:
    answer = BY_NAME[task].answer
    return f" ({answer.unit})" if isinstance(answer, Number) and score in IN_UNIT else ""


def _group_score(group: Mapping[str, Any] | None, score: str, metrics: Mapping[str, Any]) -> str:
    if group is None:
        return "-"
    value, interval, people = group["scores"][score], group["intervals"][score], group["participants"]
    if interval is None and people < metrics["bootstrap"]["least_participants"]:
        return f"{value:z.2f} (too few: {people})"
    mark = _mark(group["minus_others"][score], score) if "minus_others" in group else ""
    return f"{with_interval(value, interval)} {mark}".strip()


def _mark(difference: Mapping[str, Any], score: str) -> str:
    """How a group stands to the others; empty where the interval of the difference holds 0, or there is none."""
    if difference["interval"] is None or difference["interval"][0] <= 0 <= difference["interval"][1]:
        return ""
    if score == "bias":
        return OFF
    return AHEAD if (difference["difference"] < 0) == (score in LOWER_IS_BETTER) else BEHIND


def _counts(metrics: Mapping[str, Any], task: str) -> tuple[str, ...]:
    first, people = metrics["tasks"][task][leading(metrics, task)], metrics["details"][task]["participants"]
    return f"{first['n']:.0f}", str(people), f"{first['unparsable']:.3f}"


def _score(metrics: Mapping[str, Any], task: str, model: str, score: str) -> str:
    if model not in metrics["tasks"][task]:
        return "-"
    details = metrics["details"][task]
    text = with_interval(metrics["tasks"][task][model][score], details["intervals"][model][score])
    alone = model == leading(metrics, task) or text == "-"
    return text if alone else text + standing(details["differences"][model][score], score)


def _agreement(metrics: Mapping[str, Any], task: str) -> tuple[str, ...]:
    model, details = leading(metrics, task), metrics["details"][task]
    limits, tolerance = details["bland_altman"][model], details["tolerance"]
    within = f"{_score(metrics, task, model, 'within_tolerance')} in {tolerance['value']:g}" if tolerance else "-"
    return (
        task + _unit(task, "rmse"),
        *(_score(metrics, task, model, score) for score in ("rmse", "icc")),
        with_interval(limits["bias"], limits["intervals"]["bias"]),
        f"{limits['low']:.2f} to {limits['high']:.2f}",
        within,
    )

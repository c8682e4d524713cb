"""The part of the page about one task: what was answered, drawn and counted."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.calibration import COVERAGE
from biomechjax.evaluation.report import plots
from biomechjax.evaluation.report.tables import PageTable, largest, leading
from biomechjax.evaluation.wording import score_words, with_interval
from biomechjax.tasks.registry import BY_NAME
from biomechjax.tasks.task import Choice, Number

MOST_POINTS = 600  # drawn of a scatter; of more answers every k-th


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A plot, an `<svg>` element, and what is said below it."""

    svg: Markup
    caption: str


@dataclasses.dataclass(frozen=True)
class TaskPart:
    """What the page says of a task.

    Attributes:
        anchor: the id of its section.
        about: its main scores in a sentence.
        classes: of labels precision, recall and F1 of each.
    """

    name: str
    anchor: str
    about: str
    plots: list[Drawn]
    classes: PageTable | None


def anchor_of(task: str) -> str:
    """The id of the section of a task."""
    return "task-" + re.sub(r"[^a-z0-9]+", "-", task.lower())


def task_part(metrics: Mapping[str, Any], task: str, answered: Sequence[Answered]) -> TaskPart:
    """The part of a task; `answered` are the decoder's answers to it, in the order of the evaluation."""
    details, model, anchor = metrics["details"][task], leading(metrics, task), anchor_of(task)
    scores, answer = metrics["tasks"][task][model], BY_NAME[task].answer
    is_number = isinstance(answer, Number)
    main = ("mae", "pearson_r") if is_number else ("accuracy", "macro_f1")
    said = ", ".join(f"{score_words(s)} {with_interval(scores[s], details['intervals'][model][s])}" for s in main)
    about = f"The decoder's {scores['n']:.0f} answers about {details['participants']} people: {said}."
    if isinstance(answer, Choice):
        drawn = _of_labels(details, model, anchor)
        classes = _classes(task, details["per_class"][model])
    else:
        about += _tolerance(details["tolerance"])
        drawn, classes = _of_numbers(answer, details["bland_altman"][model], answered, anchor), None
    metric = main[0]
    label = f"{score_words(metric)} ({answer.unit})" if isinstance(answer, Number) else metric
    if details["groups"]:
        groups = {
            grouping: {name: of[name] for name in largest({n: group["participants"] for n, group in of.items()})}
            for grouping, of in details["groups"].items()
        }
        svg = plots.groups_plot(groups, metric, scores[metric], label, f"{anchor}-groups")
        drawn.append(Drawn(svg, "By group (people), with intervals where there are enough people; dashed: everybody."))
    return TaskPart(task, anchor, about, drawn, classes)


def truth_text(one: Answered) -> str:
    """What would have been the right answer."""
    return BY_NAME[one.task].answer.text(one.truth)


def error_text(one: Answered) -> str:
    """In which way an answer is wrong."""
    answer = BY_NAME[one.task].answer
    if one.parsed is None:
        return "cannot be read as an answer"
    if isinstance(answer, Number):
        off = float(one.parsed) - float(one.truth)
        return f"{abs(off):.{answer.decimals}f} {answer.unit} too {'high' if off > 0 else 'low'}"
    if one.probabilities is None:
        return "another label"
    chance = one.probabilities
    return f"probability {chance[str(one.parsed)]:.2f} of the answer, {chance[str(one.truth)]:.2f} of the truth"


def _of_labels(details: Mapping[str, Any], model: str, anchor: str) -> list[Drawn]:
    matrix = plots.confusion_plot(details["confusion"], model, f"{anchor}-confusion")
    drawn = [Drawn(matrix, "Answers by truth; darker: a larger share of the row.")]
    if "calibration" in details:
        found = details["calibration"]
        reliable = plots.reliability_plot(found["reliability"], f"{anchor}-reliability")
        said = f"expected calibration error {found['ece']:.3f}, Brier score {found['brier']:.3f}"
        drawn.append(Drawn(reliable, f"Reliability of the most likely label: {said}. Dashed: as right as it is sure."))
        risk = plots.risk_coverage_plot(found, COVERAGE, f"{anchor}-risk")
        said = f"accuracy {found['accuracy']:.2f}, of the surest {COVERAGE:.0%} {found['accuracy_at_80']:.2f}"
        drawn.append(Drawn(risk, f"If the model abstains where it is least sure: {said}; AURC {found['aurc']:.3f}."))
    return drawn


def _classes(task: str, by_option: Mapping[str, Mapping[str, float]]) -> PageTable:
    rows = [
        (option, f"{row['support']:.0f}", *(_share(row[name]) for name in ("precision", "recall", "f1")))
        for option, row in by_option.items()
        if row["support"] or not np.isnan(row["precision"])
    ]
    return PageTable(f"Each label of {task}", ("label", "n", "precision", "recall", "F1"), rows)


def _share(value: float) -> str:
    """A share, or a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.2f}"


def _of_numbers(number: Number, limits: Mapping[str, Any], answered: Sequence[Answered], anchor: str) -> list[Drawn]:
    read = [(float(a.truth), float(a.parsed)) for a in answered if a.parsed is not None]
    if not read:
        return []
    shown = read[:: -(-len(read) // MOST_POINTS)]
    truth, given = np.array(shown).T
    unread = len(answered) - len(read)
    left_out = f" Of {len(read)} answers {len(shown)} are drawn." if len(shown) < len(read) else ""
    also = f" Unreadable and not drawn: {unread}; the limits take the mean of training for them." if unread else ""
    scatter = plots.scatter_plot(truth, given, number.unit, f"{anchor}-scatter")
    agreement = plots.bland_altman_plot(truth, given, limits, number.unit, f"{anchor}-agreement")
    return [
        Drawn(scatter, f"Answer over truth; dashed: equal.{left_out}"),
        Drawn(agreement, f"Bland and Altman: bias (line) and 95 % limits of agreement (dashed).{left_out}{also}"),
    ]


def _tolerance(tolerance: Mapping[str, Any] | None) -> str:
    if not tolerance:
        return ""
    return f" Tolerance {tolerance['value']:g} {tolerance['unit']}, {tolerance['source']}."

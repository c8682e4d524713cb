"""Scores of a list of answers.

Every score is a function of sums over answers, so that the same function scores all answers and, for the intervals of
`evaluation/intervals.py`, thousands of resamples at once: `terms` are what is summed, `scores` the function.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from biomechjax.evaluation.agreement import bland_altman, icc_2_1, squared_deviations
from biomechjax.tasks.task import Choice, Number, Task

Value = str | float

UNPARSABLE = "unparsable"
LOWER_IS_BETTER = ("unparsable", "mae", "rmse")


def terms(task: Task, truth: Sequence[Value], answers: Sequence[Value | None], fallback: float) -> np.ndarray:
    """What `scores` needs the sums of, for each answer.

    An answer that did not parse (None) is wrong: its own column for labels; for numbers it is replaced by `fallback`,
    the mean of the training set, so that a model cannot look better by staying silent.

    Returns:
        Of labels [answers, K, K + 1]: 1 at the true option and the given one, of which the last is `UNPARSABLE`, so
        that the sum is the confusion matrix. Of numbers [answers, terms].
    """
    if isinstance(task.answer, Choice):
        return _label_terms(task.answer.options, truth, answers)
    return _number_terms(task.answer, truth, answers, fallback)


def scores(task: Task, sums: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of a task out of sums of `terms`, [...] each.

    Returns:
        n and unparsable (share); for labels accuracy, balanced_accuracy and macro_f1 (over the classes in the truth);
        for numbers mae, rmse, pearson_r (nan where truth or answers do not vary), icc (ICC(2,1)), and, where the task
        has a tolerance, within_tolerance: the share of answers that are off by no more.
    """
    return _label_scores(sums) if isinstance(task.answer, Choice) else _number_scores(task.answer, sums)


def _label_terms(options: Sequence[str], truth: Sequence[Value], answers: Sequence[Value | None]) -> np.ndarray:
    place = {option: i for i, option in enumerate(options)}
    out = np.zeros((len(truth), len(options), len(options) + 1))
    rows = [place[str(t)] for t in truth]
    columns = [place.get(str(a), len(options)) for a in answers]
    out[np.arange(len(truth)), rows, columns] = 1
    return out


def per_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each option, [..., K] each, from confusion matrices [..., K, K + 1].

    nan where there is nothing to divide by: the precision of an option that is never given, the recall of one that is
    never true, the F1 of one that is neither.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    given, support = confusion.sum(-2)[..., :-1], confusion.sum(-1)
    with np.errstate(invalid="ignore"):
        found = {"precision": right / given, "recall": right / support, "f1": 2 * right / (given + support)}
    return found | {"support": support}


def _label_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    n, of_class = confusion.sum((-2, -1)), per_class(confusion)
    present = of_class["support"] > 0

    def macro(name: str) -> np.ndarray:
        return np.where(present, of_class[name], 0).sum(-1) / present.sum(-1)

    return {
        "n": n,
        "unparsable": confusion[..., -1].sum(-1) / n,
        "accuracy": np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1) / n,
        "balanced_accuracy": macro("recall"),
        "macro_f1": macro("f1"),
    }


class _Sums(NamedTuple):
    """What numbers are scored by; truth and answer are seen from the mean truth, which keeps sums of squares exact."""

    n: np.ndarray
    unparsable: np.ndarray
    truth: np.ndarray
    answer: np.ndarray
    truth_squared: np.ndarray
    answer_squared: np.ndarray
    product: np.ndarray
    error: np.ndarray
    error_size: np.ndarray
    error_squared: np.ndarray
    within: np.ndarray


def _number_terms(
    number: Number, truth: Sequence[Value], answers: Sequence[Value | None], fallback: float
) -> np.ndarray:
    silent = np.array([a is None for a in answers], float)
    true, given = np.array(truth, float), np.array([fallback if a is None else a for a in answers], float)
    error, middle = given - true, true.mean()
    tolerated = number.tolerance.value if number.tolerance else 0.0
    within = np.abs(error) <= tolerated + 1e-9  # 0.1 + 0.2 is within 0.1 of 0.2
    t, a, one = true - middle, given - middle, np.ones_like(true)
    return np.stack(_Sums(one, silent, t, a, t**2, a**2, t * a, error, np.abs(error), error**2, within), axis=-1)


def _number_scores(number: Number, sums: np.ndarray) -> dict[str, np.ndarray]:
    s = _Sums._make(np.moveaxis(sums, -1, 0))
    true_spread = squared_deviations(s.n, s.truth, s.truth_squared)
    given_spread = squared_deviations(s.n, s.answer, s.answer_squared)
    squares = s.truth_squared + s.answer_squared
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (s.product - s.truth * s.answer / s.n) / np.sqrt(true_spread * given_spread)
    varies = (true_spread > 0) & (given_spread > 0)
    out = {
        "n": s.n,
        "unparsable": s.unparsable / s.n,
        "mae": s.error_size / s.n,
        "rmse": np.sqrt(s.error_squared / s.n),
        "pearson_r": np.where(varies, np.clip(r, -1, 1), np.nan),
        "icc": icc_2_1(s.n, np.stack([s.truth, s.answer], axis=-1), squares, squares + 2 * s.product),
    }
    return out | ({"within_tolerance": s.within / s.n} if number.tolerance else {})


def limits_of_agreement(sums: np.ndarray) -> dict[str, np.ndarray]:
    """`bland_altman` of answer minus truth, out of sums of the `terms` of a task of numbers."""
    s = _Sums._make(np.moveaxis(sums, -1, 0))
    return bland_altman(s.n, s.error, s.error_squared)

"""Scores of a list of answers, by scikit-learn and scipy."""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, recall_score

from biomechjax.tasks.task import Choice, Task

Value = str | float

UNPARSABLE = "unparsable"


def score(task: Task, truth: Sequence[Value], answers: Sequence[Value | None], fallback: float) -> dict[str, float]:
    """Metrics of one task.

    An answer that did not parse (None) is wrong: its own class for labels; for numbers it is replaced by `fallback`,
    the mean of the training set, so that a model cannot look better by staying silent.

    Returns:
        n and unparsable (share); accuracy, balanced_accuracy and macro_f1 (over the classes in the truth) for labels;
        mae and pearson_r (nan where the answers do not vary) for numbers.
    """
    out = {"n": float(len(truth)), "unparsable": float(np.mean([a is None for a in answers]))}
    if isinstance(task.answer, Choice):
        y, p = [str(t) for t in truth], [UNPARSABLE if a is None else str(a) for a in answers]
        classes = sorted(set(y))
        return out | {
            "accuracy": float(accuracy_score(y, p)),
            "balanced_accuracy": float(recall_score(y, p, labels=classes, average="macro", zero_division=0)),
            "macro_f1": float(f1_score(y, p, labels=classes, average="macro", zero_division=0)),
        }
    true, given = np.array(truth, float), np.array([fallback if a is None else a for a in answers], float)
    varies = len(true) > 1 and np.ptp(true) > 0 and np.ptp(given) > 0
    r = float(stats.pearsonr(true, given).statistic) if varies else float("nan")
    return out | {"mae": float(mean_absolute_error(true, given)), "pearson_r": r}

"""Constant answers, and classical models on a summary of each channel."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import Answer, asked, is_choice, truths
from biomechjax.tasks.task import Task

CONSTANT, LINEAR, TREES = "majority/mean", "linear", "extra trees"

Makers = tuple[Callable[[], Any], Callable[[], Any]]
"""What makes an unfitted scikit-learn classifier, and a regressor."""

CONSTANTS: Makers = (lambda: DummyClassifier(strategy="most_frequent"), DummyRegressor)
_MAKERS: dict[str, Makers] = {
    CONSTANT: CONSTANTS,
    LINEAR: (
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    ),
    TREES: (
        lambda: ExtraTreesClassifier(200, n_jobs=-1, random_state=0),
        lambda: ExtraTreesRegressor(200, n_jobs=-1, random_state=0),
    ),
}


def fit_by_task(
    tasks: Sequence[Task],
    train: Sequence[Record],
    inputs: Callable[[Sequence[Record]], np.ndarray],
    makers: Makers,
) -> dict[str, Any]:
    """A scikit-learn model for each task that training records are asked, by the task's name.

    Args:
        inputs: what a model sees of records, [records, ...].
        makers: of the models.
    """
    fitted = {}
    for task in tasks:
        if mine := asked(task, train):
            y, kind = truths(task, mine), 0 if is_choice(task) else 1
            # A label that never varies can only be answered as a constant.
            model = (makers if len(set(y)) > 1 else CONSTANTS)[kind]()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted[task.name] = model.fit(inputs(mine), y)
    return fitted


@dataclasses.dataclass(frozen=True)
class OnSummary:
    """Models on `Record.summary`: mean, standard deviation, minimum and maximum of each feature, and seconds.

    Attributes:
        name: majority/mean, the constant that is best on the training set; linear, logistic or ridge regression; or
            extra trees, 200 of them.
        fitted: the model of each task by its name.
    """

    name: str
    fitted: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        return dataclasses.replace(self, fitted=fit_by_task(tasks, train, summaries, _MAKERS[self.name]))

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        model = self.fitted.get(task.name)
        return model.predict(summaries(records)).tolist() if model and records else [None] * len(records)


def summaries(records: Sequence[Record]) -> np.ndarray:
    """[records, 4 C + 1]"""
    return np.array([r.summary for r in records])

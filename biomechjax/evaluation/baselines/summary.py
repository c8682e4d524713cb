"""Constant answers, and classical models on a summary of each channel."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import CONSTANT, CONSTANTS, SEED, Answer, Makers, answers, fit_by_task
from biomechjax.tasks.task import Task

LINEAR, TREES = "linear", "extra trees"

_MAKERS: dict[str, Makers] = {
    CONSTANT: CONSTANTS,
    LINEAR: (
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    ),
    TREES: (
        lambda: ExtraTreesClassifier(200, n_jobs=-1, random_state=SEED),
        lambda: ExtraTreesRegressor(200, n_jobs=-1, random_state=SEED),
    ),
}


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
        return answers(self.fitted.get(task.name), records, summaries)


def summaries(records: Sequence[Record]) -> np.ndarray:
    """[records, 4 C + 1]"""
    return np.array([r.summary for r in records])

"""What the decoder is held against: constant answers and classical models on simple features, same split."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biomechjax.data.records import Record
from biomechjax.tasks.task import Choice, Task

CONSTANT, LINEAR, TREES = "majority/mean", "linear", "extra trees"

_MAKERS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    CONSTANT: (lambda: DummyClassifier(strategy="most_frequent"), DummyRegressor),
    LINEAR: (
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    ),
    TREES: (
        lambda: ExtraTreesClassifier(200, n_jobs=-1, random_state=0),
        lambda: ExtraTreesRegressor(200, n_jobs=-1, random_state=0),
    ),
}


def baseline_answers(task: Task, train: Sequence[Record], test: Sequence[Record]) -> dict[str, list[Any]]:
    """Each baseline's prediction for each test record, fitted on the train records that are asked the task.

    majority/mean: the constant that is best on the training set. linear: logistic or ridge regression. extra trees: 200
    of them. The last two see `Record.summary`: mean, standard deviation, minimum and maximum of each feature.
    Where no train record is asked the task, as in records of test participants only, there is no answer: None.
    """
    asked = [r for r in train if task.asked_of(r.labels)]
    if not asked:
        return {name: [None] * len(test) for name in _MAKERS}
    kind = 0 if isinstance(task.answer, Choice) else 1
    x, y = np.array([r.summary for r in asked]), [r.labels[task.label] for r in asked]
    held_out = np.array([r.summary for r in test])
    out = {}
    for name, makers in _MAKERS.items():
        # A label that never varies can only be answered as a constant.
        model = makers[kind]() if len(set(y)) > 1 else _MAKERS[CONSTANT][kind]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            out[name] = model.fit(x, y).predict(held_out).tolist()
    return out

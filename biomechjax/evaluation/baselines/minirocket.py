"""MiniRocket: proportions of positive values of fixed convolutions, and a linear head."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import SEED, Answer, answers, fit_by_task, of_aeon
from biomechjax.evaluation.baselines.movements import Movements
from biomechjax.evaluation.baselines.scaling import Scaling
from biomechjax.tasks.task import Task

MINIROCKET = "MiniRocket"
TRANSFORM = "transformations.collection.convolution_based", "MiniRocket"
ALPHAS = np.logspace(-3, 3, 10)
_MAKERS = (
    lambda: make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(alphas=ALPHAS)),
    lambda: make_pipeline(StandardScaler(with_mean=False), RidgeCV(alphas=ALPHAS)),
)


@dataclasses.dataclass(frozen=True)
class MiniRocket:
    """MiniRocket (Dempster et al. 2021, KDD, arXiv:2012.08791), aeon's, in its multivariate form.

    Sees all channels over time, at the tokenizer's rate, resampled to one length (`Movements.series`) and scaled by
    training records. As published: 10,000 kernels, features scaled without centring, ridge regression or ridge
    classifier with its penalty out of ten from 1e-3 to 1e3 by leave-one-out on training records. Beside the features
    the head sees how long the recording is, which resampling takes away.

    Attributes:
        movements: the recordings.
        kernels: how many.
        transform: aeon's, and the scaling of what goes into it, both fitted on all training records.
        fitted: the head of each task by its name.
    """

    movements: Movements
    kernels: int = 10_000
    transform: tuple[Scaling, Any] | None = dataclasses.field(default=None, repr=False)
    fitted: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    name: str = MINIROCKET

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        if not train:
            return dataclasses.replace(self, fitted={})
        series = self.movements.series(train)
        scaling = Scaling.of(series)
        rocket = of_aeon(*TRANSFORM)(self.kernels, random_state=SEED, n_jobs=-1).fit(scaling(series))
        ready = dataclasses.replace(self, transform=(scaling, rocket))
        place = {id(r): i for i, r in enumerate(train)}
        inputs = ready._inputs(train)
        heads = fit_by_task(tasks, train, lambda some: inputs[[place[id(r)] for r in some]], _MAKERS)
        return dataclasses.replace(ready, fitted=heads)

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        return answers(self.fitted.get(task.name), records, self._inputs)

    def _inputs(self, records: Sequence[Record]) -> np.ndarray:
        """[records, kernels + 1]"""
        assert self.transform
        scaling, rocket = self.transform
        seconds = np.array([[r.summary[-1]] for r in records])
        return np.hstack([rocket.transform(scaling(self.movements.series(records))), seconds])

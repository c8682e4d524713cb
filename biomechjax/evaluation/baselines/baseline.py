"""What a baseline is: a model of the same tasks, fitted on training records and asked about the same others."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning

from biomechjax.data.records import Record
from biomechjax.tasks.task import Choice, Task

CONSTANT = "majority/mean"
SEED = 0  # of all that is random in a baseline

Answer = str | float | None
"""Of a label one of its options, of a number its value in the task's unit; None for no answer."""


class Baseline(Protocol):
    """A model that the decoder is held against.

    Equal training records give equal answers. Everything that is chosen, as a number of neighbours, is chosen on
    training participants. Neither the labels nor the participants of the records that it predicts change an answer.

    Attributes:
        name: as in tables.
    """

    @property
    def name(self) -> str: ...

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        """Learns the tasks from the training records that are asked them; a later call forgets an earlier one."""
        ...

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        """An answer to the task for each record; None for each where no training record was asked the task."""
        ...


class Absent(Exception):
    """Why a baseline cannot be had here; tables say it."""


def of_aeon(module: str, name: str) -> Any:
    """Something of aeon, which need not be installed.

    Raises:
        Absent: it is not.
    """
    try:
        return getattr(importlib.import_module(f"aeon.{module}"), name)
    except ImportError as e:
        raise Absent(f"{e}; pip install 'biomechjax[baselines]'") from e


Makers = tuple[Callable[[], Any], Callable[[], Any]]
"""What makes an unfitted scikit-learn classifier, and a regressor."""

CONSTANTS: Makers = (lambda: DummyClassifier(strategy="most_frequent"), DummyRegressor)


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
        if mine := [r for r in train if task.asked_of(r.labels)]:
            y, kind = [r.labels[task.label] for r in mine], 0 if isinstance(task.answer, Choice) else 1
            # A label that never varies can only be answered as a constant.
            model = (makers if len(set(y)) > 1 else CONSTANTS)[kind]()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted[task.name] = model.fit(inputs(mine), y)
    return fitted


def answers(model: Any, records: Sequence[Record], inputs: Callable[[Sequence[Record]], np.ndarray]) -> list[Answer]:
    """What a model of `fit_by_task` says of records; None of each where there is no model."""
    return model.predict(inputs(records)).tolist() if model and records else [None] * len(records)

"""What a baseline is: a model of the same tasks, fitted on training records and asked about the same others."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

from biomechjax.data.records import Record
from biomechjax.tasks.task import Choice, Task

Answer = str | float | None
"""Of a label one of its options, of a number its value in the task's unit; None for no answer."""


class Baseline(Protocol):
    """A model that the decoder is held against.

    Equal training records give equal answers. Everything that is chosen, as a number of neighbours, is chosen on
    training participants. Neither the labels nor the participants of the records that it predicts change an answer.

    Attributes:
        name: as in tables.
    """

    name: str

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        """Learns the tasks from the training records that are asked them; a later call forgets an earlier one."""
        ...

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        """An answer to the task for each record; None for each where no training record was asked the task."""
        ...


class Absent(Exception):
    """Why a baseline cannot be had here; tables say it."""


def asked(task: Task, records: Sequence[Record]) -> list[Record]:
    """The records that are asked a task."""
    return [r for r in records if task.asked_of(r.labels)]


def truths(task: Task, records: Sequence[Record]) -> list[Any]:
    """The labels of records that are asked a task."""
    return [r.labels[task.label] for r in records]


def is_choice(task: Task) -> bool:
    """Whether the answer is one of a set of options, rather than a number."""
    return isinstance(task.answer, Choice)

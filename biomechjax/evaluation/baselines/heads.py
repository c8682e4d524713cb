"""The heads of the encoder: where each task's outputs are, what they are trained towards, and what they answer."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import Answer
from biomechjax.tasks.registry import at_pace
from biomechjax.tasks.task import Choice, Number, Task
from biomechjax.training.step import Batch

WEIGHTS = {"labels": 1.0, "numbers": 1.0}


@dataclasses.dataclass(frozen=True)
class Heads:
    """The tasks that training records are asked, each with outputs of its own.

    A label has an output for each of its options, trained by cross-entropy; a number has one, trained by the squared
    error of the number less its mean over its standard deviation.

    Attributes:
        tasks: those of labels, then those of numbers.
        scales: mean and standard deviation of each number over the training records, by the task's name.
    """

    tasks: tuple[Task, ...]
    scales: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        """Heads for those of the tasks that any record is asked.

        Raises:
            InputError: a label fits no answer.
        """
        scales: dict[str, tuple[float, float]] = {}
        there = []
        for task in tasks:
            known: list[Any] = [r.labels[task.label] for r in train if task.asked_of(r.labels)]
            for value in known:
                task.answer_text({task.label: value})
            if known and isinstance(task.answer, Number):
                scales[task.name] = float(np.mean(known)), float(np.std(known)) or 1.0
            there += [task] * bool(known)
        return cls(tuple(sorted(there, key=lambda t: t.name in scales)), scales)

    @functools.cached_property
    def labels(self) -> tuple[Task, ...]:
        return tuple(t for t in self.tasks if isinstance(t.answer, Choice))

    @functools.cached_property
    def numbers(self) -> tuple[Task, ...]:
        return tuple(t for t in self.tasks if isinstance(t.answer, Number))

    @functools.cached_property
    def places(self) -> dict[str, slice]:
        """The outputs of each task, by its name."""
        sizes = [len(t.answer.options) if isinstance(t.answer, Choice) else 1 for t in self.tasks]
        ends = np.cumsum(sizes).tolist()
        return {t.name: slice(end - size, end) for t, size, end in zip(self.tasks, sizes, ends, strict=True)}

    @property
    def size(self) -> int:
        """Outputs of all tasks together."""
        return max((place.stop for place in self.places.values()), default=0)

    def asks(self, record: Record) -> bool:
        """Whether a record is asked any of the tasks."""
        return any(t.asked_of(record.labels) for t in self.tasks)

    def targets(self, record: Record, pace: float = 1.0) -> dict[str, np.ndarray]:
        """What is true of a record played at `pace` times its own: labels int32, the option, -1 where it is not asked;
        numbers float32, standardised, and known, 0 where it is not asked; of as many as there are of such tasks."""
        at = at_pace(record.labels, pace)
        options = [
            t.answer.options.index(str(at[t.label])) if t.asked_of(at) else -1
            for t in self.tasks
            if isinstance(t.answer, Choice)
        ]
        known = [t.asked_of(at) for t in self.numbers]
        numbers = [
            (float(at[t.label]) - self.scales[t.name][0]) / self.scales[t.name][1] if there else 0.0
            for t, there in zip(self.numbers, known, strict=True)
        ]
        return {
            "labels": np.array(options, np.int32),
            "numbers": np.array(numbers, np.float32),
            "known": np.array(known, np.float32),
        }

    def counts(self, batch: Batch) -> dict[str, Array]:
        """How many labels and numbers a batch of targets asks."""
        return {"labels": jnp.sum(batch["labels"] >= 0).astype(jnp.float32), "numbers": jnp.sum(batch["known"])}

    def sums(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """Sums of the cross-entropy of labels and of the squared errors of numbers, from outputs [B,size]."""
        entropy, squares = jnp.zeros(()), jnp.zeros(())
        for i, task in enumerate(self.labels):
            true, logits = batch["labels"][:, i], jax.nn.log_softmax(outputs[:, self.places[task.name]])
            chosen = jnp.take_along_axis(logits, jnp.maximum(true, 0)[:, None], axis=1)[:, 0]
            entropy -= jnp.sum(jnp.where(true >= 0, chosen, 0.0))
        for i, task in enumerate(self.numbers):
            error = outputs[:, self.places[task.name].start] - batch["numbers"][:, i]
            squares += jnp.sum(batch["known"][:, i] * error**2)
        return {"labels": entropy, "numbers": squares}

    def loss(self, outputs: np.ndarray, records: Sequence[Record]) -> float:
        """What training makes small, of outputs [records, size]."""
        targets = [self.targets(r) for r in records]
        batch = {name: jnp.asarray([t[name] for t in targets]) for name in targets[0]}
        sums, counts = self.sums(jnp.asarray(outputs), batch), self.counts(batch)
        return float(sum(w * sums[k] / jnp.maximum(counts[k], 1) for k, w in WEIGHTS.items()))

    def answer(self, task: Task, output: np.ndarray) -> Answer:
        """What outputs [size] of a record say to a task."""
        mine = output[self.places[task.name]]
        if isinstance(task.answer, Choice):
            return task.answer.options[int(mine.argmax())]
        return _plausible(task.answer, self.scales[task.name], float(mine[0]))


def _plausible(number: Number, scale: tuple[float, float], output: float) -> float:
    mean, std = scale
    return float(min(max(mean + std * output, number.low), number.high))

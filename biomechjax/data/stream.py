"""Packed batches for the decoder, resumed exactly, and the same over any number of processes.

Every process draws the same examples and packs the same rows, of which it renders only its own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from biomechjax.data.examples import Example, Renderer
from biomechjax.data.mixture import MixtureConfig
from biomechjax.data.packing import pack, render_row
from biomechjax.data.records import Record
from biomechjax.data.schedule import Schedule, Use, generator
from biomechjax.errors import InputError

# Unless it is said, one position in so many may carry loss; logits are computed for these alone.
ANSWER_SHARE = 3
WINDOW = 1024  # examples that are packed together
AHEAD = 2  # batches that are made while one is used


@dataclasses.dataclass(frozen=True)
class Rows:
    """What a batch is made of.

    Attributes:
        length, answers: tokens of a row, and how many of them may be answers; 0 for a third.
        batch_size: rows of a batch, over all processes.
    """

    length: int
    batch_size: int
    answers: int = 0

    @property
    def room(self) -> int:
        return self.answers or self.length // ANSWER_SHARE


class PackedRows:
    """All rows of a mixture, by epoch and window of it."""

    def __init__(
        self,
        sources: Sequence[Sequence[Record]],
        renderer: Renderer,
        mixture: MixtureConfig,
        rows: Rows,
        seed: int,
    ) -> None:
        """Raises InputError: as Schedule."""
        vocabulary = renderer.vocabulary
        self.schedule = Schedule(sources, mixture, vocabulary.codebook_size, vocabulary.levels, seed)
        self.renderer, self.mixture, self.rows, self.seed = renderer, mixture, rows, seed
        self.windows = -(-self.schedule.size // WINDOW)

    def window(self, epoch: int, number: int) -> list[list[Example]]:
        """The rows of a part of an epoch, as examples.

        Raises:
            InputError: an example does not fit a row.
        """
        start = number * WINDOW
        examples = self.schedule.draw(epoch, start, min(start + WINDOW, self.schedule.size))
        sizes = [self.renderer.sizes(example) for example in examples]
        length, room = self.rows.length, self.rows.room
        for example, (context, turns, answers) in zip(examples, sizes, strict=True):
            if context + turns[0] > length or answers[0] > room:
                trial = self.schedule.records[example.records[0]].trial
                raise InputError(
                    f"{trial}: {context + turns[0]} tokens with one question, {answers[0]} of them its answer, do not "
                    f"fit rows of {length} with {room} of answers; raise --row-length, --row-answers, or lower "
                    "--mixture.longest"
                )
        packed = pack(sizes, length, room, self.mixture.row_examples)
        # The first rows of a window hold its largest examples.
        order = generator(self.seed, Use.ROWS, epoch, number).permutation(len(packed))
        return [
            [dataclasses.replace(examples[i], turns=tuple(examples[i].turns[t] for t in kept)) for i, kept in row]
            for row in (packed[i] for i in order)
        ]

    def render(self, row: Sequence[Example]) -> dict[str, np.ndarray]:
        """A row as `render_row` makes it."""
        return render_row(self.renderer, row, self.rows.length, self.rows.room)


def packed_batches(
    stages: Sequence[tuple[int, PackedRows]], process: int = 0, processes: int = 1
) -> grain.DatasetIterator:
    """An endless iterator of one process's part of each batch; every epoch draws other examples.

    A batch holds int32 arrays: tokens, positions, segment_ids [B,T] and the positions that carry loss: loss_positions,
    targets [B,P] with float32 loss_weights [B,P], as `render_row`, B = batch_size / processes.

    Args:
        stages: (batches, rows): so many batches of these rows, one stage after the other; the last one has no end.

    Raises:
        InputError: a batch does not divide over the processes; while iterating: as `PackedRows.window`.
    """
    for _, rows in stages:
        if rows.rows.batch_size % processes:
            raise InputError(f"--train.batch-size {rows.rows.batch_size} on {processes} processes: it must divide")
    batches = _Batches(stages, process, processes)
    return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=AHEAD))


class _Batches(grain.IterDataset):
    def __init__(self, stages: Sequence[tuple[int, PackedRows]], process: int, processes: int) -> None:
        super().__init__()
        self.stages, self.process, self.processes = stages, process, processes

    def __iter__(self) -> "_Position":
        return _Position(self)


class _Position(grain.DatasetIterator):
    """Where a stream is: the next row, and how many batches the stage has given. It is the same in all processes."""

    def __init__(self, of: _Batches) -> None:
        super().__init__()
        self.of = of
        self.stage = self.batches = self.epoch = self.window = self.row = 0
        self._packed: tuple[tuple[int, int, int], list[list[Example]]] | None = None

    def __next__(self) -> dict[str, np.ndarray]:
        steps, rows = self.of.stages[self.stage]
        if self.stage + 1 < len(self.of.stages) and self.batches == steps:
            self.stage, self.batches, self.epoch, self.window, self.row = self.stage + 1, 0, 0, 0, 0
            return next(self)
        size = rows.rows.batch_size // self.of.processes
        mine = range(self.of.process * size, (self.of.process + 1) * size)
        made = []
        for number in range(rows.rows.batch_size):
            row = self._next_row(rows)
            if number in mine:
                made.append(rows.render(row))
        self.batches += 1
        return {name: np.stack([row[name] for row in made]) for name in made[0]}

    def _next_row(self, rows: PackedRows) -> list[Example]:
        while True:
            at = self.stage, self.epoch, self.window
            if self._packed is None or self._packed[0] != at:
                self._packed = at, rows.window(self.epoch, self.window)
            if self.row < len(self._packed[1]):
                self.row += 1
                return self._packed[1][self.row - 1]
            self.row, self.window = 0, self.window + 1
            if self.window == rows.windows:
                self.window, self.epoch = 0, self.epoch + 1

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("stage", "batches", "epoch", "window", "row")}

    def set_state(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

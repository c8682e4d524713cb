"""What the encoder reads of each step of a movement: the decoder's tokens, or vectors."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import numpy as np

from biomechjax.data.records import Record
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Readied
from biomechjax.training.trained import first_codes


class Steps(Protocol):
    """How the steps of a record are read."""

    @property
    def codes(self) -> int:
        """How many different codes there are, where a step is codes; 0 where it is a vector."""
        ...

    @property
    def levels(self) -> int:
        """Numbers that each step of a view has."""
        ...

    def views(self, record: Record) -> Sequence[np.ndarray]:
        """Views of a record, int [n * levels] each, the recording itself first, at the record's own paces."""
        ...

    def read(self, record: Record, steps: np.ndarray) -> np.ndarray:
        """What the encoder reads of steps [n, levels] of a view: [n, k], int32 codes or float32."""
        ...


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The first `levels` of the `of_step` codes of a step, as the decoder reads them; `codes` of them are different."""

    codes: int
    levels: int
    of_step: int

    @classmethod
    def of(cls, tokenizer: MotionTokenizer, levels: int = 0) -> Self:
        """Of a tokenizer, so many codes of each step; 0 for all."""
        of_step = tokenizer.config.tokens_per_step
        return cls((levels or of_step) * tokenizer.config.codebook_size, levels or of_step, of_step)

    def views(self, record: Record) -> Sequence[np.ndarray]:
        return [first_codes(v, self.of_step, self.levels) for v in record.views]

    def read(self, record: Record, steps: np.ndarray) -> np.ndarray:
        return steps.astype(np.int32)


@dataclasses.dataclass(frozen=True)
class CodeVectors:
    """The vector that all codes of a step stand for together, and the displacement of its travel code.

    These are quantized: what the tokenizer's decoder reads, not what its encoder makes of a recording.
    """

    tokenizer: MotionTokenizer
    codes: int = 0

    @property
    def levels(self) -> int:
        return self.tokenizer.config.tokens_per_step

    def views(self, record: Record) -> Sequence[np.ndarray]:
        return record.views

    def read(self, record: Record, steps: np.ndarray) -> np.ndarray:
        choice = steps - np.arange(self.levels) * self.tokenizer.config.codebook_size
        travel = self.tokenizer.config.travel
        vectors = sum(table[choice[:, level]] for level, table in enumerate(self.tokenizer.table, start=int(travel)))
        moves = self.tokenizer.displacements[choice[:, 0]] if travel else np.zeros((len(steps), 0))
        return np.concatenate([vectors, moves], axis=1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Latents:
    """What the tokenizer's encoder makes of the recording, before it is quantized; of the recording itself alone,
    since its views were not kept.

    Attributes:
        readied: makes the recordings ready (`MotionTokenizer.ready`), by trial as records name it; called when they are
            first needed.
    """

    tokenizer: MotionTokenizer
    readied: Callable[[], dict[str, Readied]]
    codes: int = 0
    levels: int = 1

    @functools.cached_property
    def of_trial(self) -> dict[str, np.ndarray]:
        """[n, E] of each trial."""
        readied = self.readied()
        return dict(zip(readied, self.tokenizer.latents(list(readied.values())), strict=True))

    def views(self, record: Record) -> Sequence[np.ndarray]:
        return [np.arange(len(self.of_trial[record.trial]))]  # its steps, by number

    def read(self, record: Record, steps: np.ndarray) -> np.ndarray:
        return self.of_trial[record.trial][steps[:, 0]]

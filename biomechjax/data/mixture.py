"""From records to training examples: which view, which part, which questions, all drawn by key."""

import dataclasses

import numpy as np

from biomechjax.data.examples import Example, Turn
from biomechjax.data.records import Record
from biomechjax.tasks.registry import STEADY_ACTIVITIES, TASKS


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """How examples are drawn from records.

    Attributes:
        turns: questions per example, at most; fewer where a row has no room.
        crop: chance that a trial of a steady activity is cut to a random part.
        shortest: tokens of such a part, at least.
        longest: tokens of a movement, at most; a longer trial is cut after so many, in training and in evaluation.
        code_noise: chance that a code is replaced by a random one.
    """

    turns: int = 11
    crop: float = 0.25
    shortest: int = 9
    longest: int = 240
    code_noise: float = 0.0


def draw_example(record: Record, config: MixtureConfig, codebook_size: int, rng: np.random.Generator) -> Example:
    """One view of a record, perhaps cut, with up to `turns` different questions in random order and wording."""
    codes = np.array(record.views[rng.integers(len(record.views))], np.int32)[: config.longest]
    if (
        record.labels.get("activity") in STEADY_ACTIVITIES
        and len(codes) > config.shortest
        and rng.random() < config.crop
    ):
        size = int(rng.integers(config.shortest, len(codes) + 1))
        start = int(rng.integers(0, len(codes) - size + 1))
        codes = codes[start : start + size]
    if config.code_noise:
        noisy = rng.random(len(codes)) < config.code_noise
        codes = np.where(noisy, rng.integers(0, codebook_size, len(codes)), codes).astype(np.int32)
    asked = [t for t in TASKS if t.asked_of(record.labels)]
    chosen = rng.permutation(len(asked))[: config.turns]
    turns = tuple(
        Turn(asked[i].questions[rng.integers(len(asked[i].questions))], asked[i].answer_text(record.labels))
        for i in chosen
    )
    return Example((codes,), turns)

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
        shortest: steps of such a part, at least; a step of movement is as many tokens as the tokenizer has levels.
        longest: steps of a movement, at most; a longer trial is cut after so many, in training and in evaluation.
        code_noise: chance that a code is replaced by a random one.
    """

    turns: int = 11
    crop: float = 0.25
    shortest: int = 9
    longest: int = 240
    code_noise: float = 0.0


def draw_example(
    record: Record, config: MixtureConfig, codebook_size: int, levels: int, rng: np.random.Generator
) -> Example:
    """One view of a record, perhaps cut, with up to `turns` different questions in random order and wording.

    Its codes are of `levels` in turn, out of `codebook_size` over all of them.
    """
    view = rng.integers(len(record.views))
    steps = np.array(record.views[view], np.int32).reshape(-1, levels)[: config.longest]
    if (
        record.labels.get("activity") in STEADY_ACTIVITIES
        and len(steps) > config.shortest
        and rng.random() < config.crop
    ):
        size = int(rng.integers(config.shortest, len(steps) + 1))
        start = int(rng.integers(0, len(steps) - size + 1))
        steps = steps[start : start + size]
    if config.code_noise:
        of_level = codebook_size // levels
        noise = rng.integers(0, of_level, steps.shape) + np.arange(levels) * of_level
        steps = np.where(rng.random(steps.shape) < config.code_noise, noise, steps).astype(np.int32)
    asked = [t for t in TASKS if t.asked_of(record.labels)]
    chosen = rng.permutation(len(asked))[: config.turns]
    turns = tuple(
        Turn(
            asked[i].questions[rng.integers(len(asked[i].questions))],
            asked[i].answer_text(record.labels, record.paces[view]),
        )
        for i in chosen
    )
    return Example((steps.reshape(-1),), turns)

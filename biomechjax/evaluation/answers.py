"""The decoder's own answers to held-out questions, by free generation."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from biomechjax.data.examples import Renderer
from biomechjax.data.records import Record
from biomechjax.language.generate import generate
from biomechjax.tasks.registry import TASKS
from biomechjax.training.decoder import TrainedDecoder

MAX_ANSWER_TOKENS = 24


@dataclasses.dataclass(frozen=True)
class Answered:
    """One question, what the model answered, and what is true; `parsed` is None where the answer does not parse."""

    task: str
    participant: str
    trial: str
    question: str
    answer: str
    parsed: str | float | None
    truth: str | float


def ask(
    model: TrainedDecoder, codes: Sequence[np.ndarray], questions: Sequence[str], batch_size: int = 32
) -> list[str]:
    """The greedy answer to each question about the movement beside it."""
    renderer = Renderer(model.vocabulary)
    prompts = [renderer.prompt((model.reads(c),), q) for c, q in zip(codes, questions, strict=True)]
    answers = generate(
        model.config, model.params, prompts, MAX_ANSWER_TOKENS, [model.vocabulary.eos_id], batch_size=batch_size
    )
    return [model.vocabulary.decode(ids).strip() for ids in answers]


def answer_records(model: TrainedDecoder, records: Sequence[Record], seed: int = 0) -> list[Answered]:
    """Every task that each record is asked, once, in a held-out wording drawn by seed.

    Raises:
        InputError: a label fits no answer, so that whatever the model says would be wrong.
    """
    rng = np.random.default_rng(seed)
    asked: list[tuple[Any, Record, str]] = []
    for record in records:
        for task in TASKS:
            if task.asked_of(record.labels):
                task.answer_text(record.labels)
                wording = task.held_out_questions[rng.integers(len(task.held_out_questions))]
                asked.append((task, record, wording))
    answers = ask(model, [np.array(r.views[0]) for _, r, _ in asked], [q for _, _, q in asked])
    return [
        Answered(t.name, r.participant, r.trial, q, a, t.answer.parse(a), r.labels[t.label])
        for (t, r, q), a in zip(asked, answers, strict=True)
    ]

"""The decoder's own answers to held-out questions, generated freely or among those that a task allows."""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from scipy.special import softmax

from biomechjax.data.examples import Renderer, Segment
from biomechjax.data.records import Record
from biomechjax.language.generate import generate
from biomechjax.language.prompts import Prompt
from biomechjax.language.score_answers import score_answers
from biomechjax.language.trie import build_trie
from biomechjax.tasks.registry import TASKS
from biomechjax.tasks.task import Choice, Task
from biomechjax.training.trained import TrainedDecoder

MAX_ANSWER_TOKENS = 24


@dataclasses.dataclass(frozen=True)
class Answered:
    """One question, what the model answered, and what is true; `parsed` is None where the answer does not parse.

    `probabilities`, where they were asked for, are those of a label's options.
    """

    task: str
    participant: str
    trial: str
    question: str
    answer: str
    parsed: str | float | None
    truth: str | float
    probabilities: dict[str, float] | None = None


def ask(
    model: TrainedDecoder,
    movements: Sequence[Segment],
    questions: Sequence[str],
    tasks: Sequence[Task] | None = None,
    batch_size: int = 32,
) -> list[str]:
    """The greedy answer to each question about the movement beside it, among those that the task beside it allows.

    Movements are as `TrainedDecoder.movement` makes them.
    """
    renderer = Renderer(model.vocabulary)
    trie, starts, longest = None, [], MAX_ANSWER_TOKENS
    if tasks:
        unique = list(dict.fromkeys(tasks))
        trie = build_trie([[renderer.answer(text) for text in task.answer.allowed] for task in unique])
        starts, longest = [trie.starts[unique.index(task)] for task in tasks], trie.longest
    answers = generate(
        model.config,
        model.params,
        _prompts(model, renderer, movements, questions),
        longest,
        [model.vocabulary.eos_id],
        trie=trie,
        starts=starts,
        batch_size=batch_size,
    )
    return [model.vocabulary.decode(ids).strip() for ids in answers]


def label_probabilities(
    model: TrainedDecoder, movements: Sequence[Segment], questions: Sequence[str], task: Task
) -> list[dict[str, float]]:
    """How likely each option of a task is as the answer to each question about the movement beside it; sums to 1."""
    renderer = Renderer(model.vocabulary)
    allowed = [renderer.answer(text) for text in task.answer.allowed]
    scores = score_answers(model.config, model.params, _prompts(model, renderer, movements, questions), allowed)
    return [dict(zip(task.answer.allowed, row.tolist(), strict=True)) for row in softmax(scores, axis=1)]


def _prompts(
    model: TrainedDecoder, renderer: Renderer, movements: Sequence[Segment], questions: Sequence[str]
) -> list[Prompt]:
    different = {id(m): m for m in movements}
    contexts = {i: renderer.context((model.reads(m),)) for i, m in different.items()}
    return [(contexts[id(m)], renderer.question(q)) for m, q in zip(movements, questions, strict=True)]


def answer_records(
    model: TrainedDecoder,
    records: Sequence[Record],
    seed: int = 0,
    constrained: bool = False,
    probabilities: bool = False,
    tasks: Collection[Task] = TASKS,
) -> list[Answered]:
    """Every task that each record is asked, once, in a held-out wording drawn by seed.

    Args:
        tasks: these alone, in the wordings that they have when all are asked.
        constrained: answers are among those that the task allows; else anything, which may not parse.
        probabilities: also those of the options of each label.

    Raises:
        InputError: a label fits no answer, so that whatever the model says would be wrong.
    """
    rng = np.random.default_rng(seed)
    asking: list[Task] = []
    asked: list[Record] = []
    movements: list[Segment] = []
    questions: list[str] = []
    for record in records:
        movement = model.movement(record.views[0], record.summary)
        for task in TASKS:
            if task.asked_of(record.labels):
                task.answer_text(record.labels)
                question = task.held_out_questions[rng.integers(len(task.held_out_questions))]
                if task in tasks:
                    asking.append(task)
                    asked.append(record)
                    movements.append(movement)
                    questions.append(question)
    answers = ask(model, movements, questions, asking if constrained else None)
    chances: dict[int, dict[str, float]] = {}
    for task in TASKS if probabilities else ():
        if isinstance(task.answer, Choice) and (mine := [i for i, t in enumerate(asking) if t is task]):
            found = label_probabilities(model, [movements[i] for i in mine], [questions[i] for i in mine], task)
            chances |= zip(mine, found, strict=True)
    return [
        Answered(t.name, r.participant, r.trial, q, a, t.answer.parse(a), r.labels[t.label], chances.get(i))
        for i, (t, r, q, a) in enumerate(zip(asking, asked, questions, answers, strict=True))
    ]

"""The decoder's own answers to held-out questions, generated freely or among those that a task allows."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from biomechjax.data.examples import Renderer
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
    codes: Sequence[np.ndarray],
    questions: Sequence[str],
    tasks: Sequence[Task] | None = None,
    batch_size: int = 32,
) -> list[str]:
    """The greedy answer to each question about the movement beside it, among those that the task beside it allows."""
    return [answer_text(model, ids) for ids in answer_ids(model, codes, questions, tasks, batch_size)]


def answer_text(model: TrainedDecoder, ids: Sequence[int]) -> str:
    """What the ids of an answer say, without the eos."""
    return model.vocabulary.decode(i for i in ids if i != model.vocabulary.eos_id).strip()


def answer_ids(
    model: TrainedDecoder,
    codes: Sequence[np.ndarray],
    questions: Sequence[str],
    tasks: Sequence[Task] | None = None,
    batch_size: int = 32,
) -> list[list[int]]:
    """The ids of each answer of `ask`, with the eos that ends it, unless it was cut off at MAX_ANSWER_TOKENS."""
    renderer = Renderer(model.vocabulary)
    trie, starts, longest = None, [], MAX_ANSWER_TOKENS
    if tasks:
        unique = list(dict.fromkeys(tasks))
        trie = build_trie([[renderer.answer(text) for text in task.answer.allowed] for task in unique])
        starts, longest = [trie.starts[unique.index(task)] for task in tasks], trie.longest
    answers = generate(
        model.config,
        model.params,
        _prompts(model, renderer, codes, questions),
        longest,
        [model.vocabulary.eos_id],
        trie=trie,
        starts=starts,
        batch_size=batch_size,
    )
    return [[*ids, model.vocabulary.eos_id] if len(ids) < longest or tasks else ids for ids in answers]


def label_probabilities(
    model: TrainedDecoder, codes: Sequence[np.ndarray], questions: Sequence[str], task: Task
) -> list[dict[str, float]]:
    """How likely each option of a task is as the answer to each question about the movement beside it; sums to 1."""
    renderer = Renderer(model.vocabulary)
    allowed = [renderer.answer(text) for text in task.answer.allowed]
    scores = score_answers(model.config, model.params, _prompts(model, renderer, codes, questions), allowed)
    return [dict(zip(task.answer.allowed, row.tolist(), strict=True)) for row in softmax(scores, axis=1)]


def _prompts(
    model: TrainedDecoder, renderer: Renderer, codes: Sequence[np.ndarray], questions: Sequence[str]
) -> list[Prompt]:
    movements = {id(c): c for c in codes}
    contexts = {i: renderer.context((model.reads(c),)) for i, c in movements.items()}
    return [(contexts[id(c)], renderer.question(q)) for c, q in zip(codes, questions, strict=True)]


def answer_records(
    model: TrainedDecoder,
    records: Sequence[Record],
    seed: int = 0,
    constrained: bool = False,
    probabilities: bool = False,
) -> list[Answered]:
    """Every task that each record is asked, once, in a held-out wording drawn by seed.

    Args:
        constrained: answers are among those that the task allows; else anything, which may not parse.
        probabilities: also those of the options of each label.

    Raises:
        InputError: a label fits no answer, so that whatever the model says would be wrong.
    """
    rng = np.random.default_rng(seed)
    tasks: list[Task] = []
    asked: list[Record] = []
    codes: list[np.ndarray] = []
    questions: list[str] = []
    for record in records:
        movement = np.array(record.views[0])
        for task in TASKS:
            if task.asked_of(record.labels):
                task.answer_text(record.labels)
                tasks.append(task)
                asked.append(record)
                codes.append(movement)
                questions.append(task.held_out_questions[rng.integers(len(task.held_out_questions))])
    answers = ask(model, codes, questions, tasks if constrained else None)
    chances: dict[int, dict[str, float]] = {}
    for task in TASKS if probabilities else ():
        if isinstance(task.answer, Choice) and (mine := [i for i, t in enumerate(tasks) if t is task]):
            found = label_probabilities(model, [codes[i] for i in mine], [questions[i] for i in mine], task)
            chances |= zip(mine, found, strict=True)
    return [
        Answered(t.name, r.participant, r.trial, q, a, t.answer.parse(a), r.labels[t.label], chances.get(i))
        for i, (t, r, q, a) in enumerate(zip(tasks, asked, questions, answers, strict=True))
    ]

"""The decoder's own answers to held-out questions: generated freely, among those that a task allows, or scored."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from scipy.special import softmax

from biomechjax.data.examples import Renderer, Segment
from biomechjax.data.records import Record
from biomechjax.evaluation.kept import Kept
from biomechjax.evaluation.progress import watched
from biomechjax.language.generate import generate
from biomechjax.language.prompts import Prompt
from biomechjax.language.score_answers import MOST_ANSWERS, score_answers
from biomechjax.language.trie import build_trie
from biomechjax.tasks.registry import TASKS
from biomechjax.tasks.task import Choice, Number, Task
from biomechjax.training.trained import TrainedDecoder

WAYS = ("free", "constrained", "scored")

MAX_ANSWER_TOKENS = 24
MOST_SCORED = 1000  # values: each takes a branch in a pass of the decoder, and a time has thousands
PART = 128  # movements whose answers are kept together
# What answers rest on.
ROOMS = ("tasks", "language", "data", "tokenizer", "training/trained.py", "evaluation/answers.py")


@dataclasses.dataclass(frozen=True)
class Answered:
    """One question, what the model answered, and what is true; `parsed` is None where the answer does not parse.

    `probabilities`, where they were asked for, are those of a label's options; `way` is how the model was made to
    answer.
    """

    task: str
    participant: str
    trial: str
    question: str
    answer: str
    parsed: str | float | None
    truth: str | float
    probabilities: dict[str, float] | None = None
    way: str = "free"


def ask(
    model: TrainedDecoder,
    movements: Sequence[Segment],
    questions: Sequence[str],
    tasks: Sequence[Task] | None = None,
    batch_size: int = 32,
) -> list[str]:
    """The greedy answer to each question about the movement beside it, among those that the task beside it allows.

    Movements are as `TrainedDecoder.movement` gives them.
    """
    return [answer_text(model, ids) for ids in answer_ids(model, movements, questions, tasks, batch_size)]


def answer_text(model: TrainedDecoder, ids: Sequence[int]) -> str:
    """What the ids of an answer say, without the eos."""
    return model.vocabulary.decode(i for i in ids if i != model.vocabulary.eos_id).strip()


def answer_ids(
    model: TrainedDecoder,
    movements: Sequence[Segment],
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
        _prompts(model, renderer, movements, questions),
        longest,
        [model.vocabulary.eos_id],
        trie=trie,
        starts=starts,
        batch_size=batch_size,
    )
    return [[*ids, model.vocabulary.eos_id] if len(ids) < longest or tasks else ids for ids in answers]


def allowed_scores(
    model: TrainedDecoder, movements: Sequence[Segment], questions: Sequence[str], task: Task
) -> np.ndarray:
    """log p of each answer that a task allows to each question about the movement beside it, [questions, allowed]."""
    renderer = Renderer(model.vocabulary)
    prompts = _prompts(model, renderer, movements, questions)
    allowed = [renderer.answer(text) for text in task.answer.allowed]
    parts = [allowed[start : start + MOST_ANSWERS] for start in range(0, len(allowed), MOST_ANSWERS)]
    return np.concatenate([score_answers(model.config, model.params, prompts, part) for part in parts], axis=1)


def label_probabilities(
    model: TrainedDecoder, movements: Sequence[Segment], questions: Sequence[str], task: Task
) -> list[dict[str, float]]:
    """How likely each option of a task is as the answer to each question about the movement beside it; sums to 1."""
    scores = allowed_scores(model, movements, questions, task)
    return [dict(zip(task.answer.allowed, row.tolist(), strict=True)) for row in softmax(scores, axis=1)]


def _prompts(
    model: TrainedDecoder, renderer: Renderer, movements: Sequence[Segment], questions: Sequence[str]
) -> list[Prompt]:
    different = {id(m): m for m in movements}
    contexts = {i: renderer.context((model.reads(m),)) for i, m in different.items()}
    return [(contexts[id(m)], renderer.question(q)) for m, q in zip(movements, questions, strict=True)]


@dataclasses.dataclass(frozen=True)
class Question:
    """A task that a record is asked, in words that training never saw."""

    task: Task
    record: Record
    text: str


def questions_about(records: Sequence[Record], seed: int = 0) -> list[Question]:
    """Every task that each record is asked, once, in a held-out wording drawn by seed.

    Raises:
        InputError: a label fits no answer, so that whatever the model says would be wrong.
    """
    rng = np.random.default_rng(seed)
    found = []
    for record in records:
        for task in TASKS:
            if task.asked_of(record.labels):
                task.answer_text(record.labels)
                text = task.held_out_questions[rng.integers(len(task.held_out_questions))]
                found.append(Question(task, record, text))
    return found


@dataclasses.dataclass(frozen=True)
class Answering:
    """A decoder that answers questions, and keeps what it has answered.

    Attributes:
        model: the decoder.
        kept: where answers are kept while the others are found.
        depends: what tells the answers apart from those about other records.
    """

    model: TrainedDecoder
    kept: Kept = Kept()
    depends: object = None

    def answers(self, questions: Sequence[Question], way: str) -> list[str | None]:
        """The answer to each question; None where `scored` has too many values to score.

        free: greedy, anything, which may not parse. constrained: greedy, token by token among those that the task
        allows. scored: of all that it allows the most likely, which need not be the one that greedy steps lead to.
        """
        return self._scored(questions) if way == "scored" else self._greedy(questions, way)

    def probabilities(self, questions: Sequence[Question]) -> list[dict[str, float] | None]:
        """Those of the options of each label; None of a number."""
        return self._by_task(questions, "probabilities", lambda t: isinstance(t.answer, Choice), label_probabilities)

    def _greedy(self, questions: Sequence[Question], way: str) -> list[str | None]:
        # Parts of movements of about one length, with all that each is asked: a movement is read once for all of it.
        by_length = sorted(range(len(questions)), key=lambda i: len(questions[i].record.views[0]))
        movements = list(dict.fromkeys(id(questions[i].record) for i in by_length))
        part_of = {movement: n // PART for n, movement in enumerate(movements)}
        parts: dict[int, list[int]] = {}
        for i, q in enumerate(questions):
            parts.setdefault(part_of[id(q.record)], []).append(i)
        found: list[str | None] = [None] * len(questions)
        for n in watched(range(len(parts)), f"{way} answers", len(parts)):
            some = [questions[i] for i in parts[n]]
            tasks = [q.task for q in some] if way == "constrained" else None
            said = self._keep(f"{way} answers part {n + 1}", (PART,), functools.partial(ask, *self._of(some), tasks))
            for i, text in zip(parts[n], said, strict=True):
                found[i] = text
        return found

    def _scored(self, questions: Sequence[Question]) -> list[str | None]:
        chances = self.probabilities(questions)
        values = self._by_task(questions, "scored", _can_be_scored, best_values)
        return [max(c, key=c.__getitem__) if c else v for c, v in zip(chances, values, strict=True)]

    def _by_task(
        self, questions: Sequence[Question], what: str, wanted: Callable[[Task], bool], find: Callable[..., list[Any]]
    ) -> list[Any]:
        """What `find` finds of the questions of each task that is wanted; None of the others."""
        found: list[Any] = [None] * len(questions)
        tasks = [task for task in dict.fromkeys(q.task for q in questions) if wanted(task)]
        for task in watched(tasks, what, len(tasks)):
            mine = [i for i, q in enumerate(questions) if q.task is task]
            some = [questions[i] for i in mine]
            of_them = self._keep(f"{what} {task.name}", (), functools.partial(find, *self._of(some), task))
            for i, x in zip(mine, of_them, strict=True):
                found[i] = x
        return found

    def _of(self, some: Sequence[Question]) -> tuple[TrainedDecoder, list[Segment], list[str]]:
        records = {id(q.record): q.record for q in some}
        movements = {i: self.model.movement(r.views[0], r.summary) for i, r in records.items()}
        return self.model, [movements[id(q.record)] for q in some], [q.text for q in some]

    def _keep(self, name: str, settings: tuple, make: Callable[[], Any]) -> Any:
        return self.kept(name, (self.depends, self._digest, *settings), ROOMS, make)

    @functools.cached_property
    def _digest(self) -> str:
        """Tells a decoder, at its step, from every other."""
        model = self.model
        digest = hashlib.sha256(repr((model.config, model.experiment, model.vocabulary.size)).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()


def best_values(model: TrainedDecoder, movements: Sequence[Segment], questions: Sequence[str], task: Task) -> list[str]:
    """The most likely of all answers that a task allows."""
    best = allowed_scores(model, movements, questions, task).argmax(1)
    return [task.answer.allowed[i] for i in best]


def _can_be_scored(task: Task) -> bool:
    return isinstance(task.answer, Number) and len(task.answer.allowed) <= MOST_SCORED


def beside_truth(
    questions: Sequence[Question], texts: Sequence[str | None], chances: Sequence[Any], way: str
) -> list[Answered]:
    """The questions that have an answer with it, its probabilities and what is true."""
    return [
        Answered(
            q.task.name,
            q.record.participant,
            q.record.trial,
            q.text,
            text,
            q.task.answer.parse(text),
            q.record.labels[q.task.label],
            probabilities,
            way,
        )
        for q, text, probabilities in zip(questions, texts, chances, strict=True)
        if text is not None
    ]

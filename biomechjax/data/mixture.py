"""What a training is a mixture of, and how each kind of example is drawn from records, all by key."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from biomechjax.data.examples import Example, Segment, Turn
from biomechjax.data.records import Record
from biomechjax.errors import InputError
from biomechjax.tasks.comparison import COMPARISONS, find_compared
from biomechjax.tasks.registry import BY_NAME, STEADY_ACTIVITIES, TASKS, at_pace, caption
from biomechjax.tasks.task import Task
from biomechjax.tasks.wording import CONTINUE, DESCRIBE, FIRST_RECORDING, SECOND_RECORDING, SHOW, VISIT

T = TypeVar("T")

TASKS_PER_DRAW = 3  # a record comes up once an epoch for every so many tasks it is asked
VISIT_TRIALS = 4  # recordings of a visit, at most
PARTNERS = 8  # recordings that are tried until one differs by enough to be compared with
TOKENS, TEXT = MOVEMENTS = ("tokens", "text")


@dataclasses.dataclass(frozen=True)
class Kinds:
    """How often an example is of each kind, relative to the others.

    Attributes:
        trial: one recording and questions about it.
        comparison: two recordings of one activity: which of them is faster, ...
        visit: several recordings of one person, and questions about the person.
        caption: a recording, to be described.
        generation: a description, to be shown as a movement.
        continuation: the beginning of a recording, to be gone on with.
    """

    trial: float = 1.0
    comparison: float = 0.0
    visit: float = 0.0
    caption: float = 0.0
    generation: float = 0.0
    continuation: float = 0.0


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """How examples are drawn from records.

    Attributes:
        kinds: what examples are.
        movement: what a recording is shown as: its motion tokens, or as text, a sentence about all of it (see
            `data/words.py`), of which `crop`, `longest` and `code_noise` change nothing, and which has no views.
        tasks: how often each task is asked, relative to the others, by its name; 1 where it is not named, 0 for never.
        sources: how often examples are of each of the --data folders, relative to the others; by default as many as
            each holds.
        even: a label, whose values are then equally frequent whatever their number of recordings, so that rare
            diagnoses are seen; empty for as they come.
        turns: questions per example, at most; fewer where a row has no room.
        crop: chance that a trial of a steady activity is cut to a random part.
        shortest: steps of such a part, at least; a step of movement is as many tokens as the tokenizer has levels.
        longest: steps of the movements of an example together, at most. Of a longer trial of a steady activity
            training reads a random part of so many, of any other trial the first ones; evaluation reads the first ones.
        code_noise: chance that a code that is read is replaced by a random one.
        row_examples: examples in a row, at most.
    """

    kinds: Kinds = Kinds()
    movement: str = TOKENS
    tasks: dict[str, float] = dataclasses.field(default_factory=dict)
    sources: tuple[float, ...] = ()
    even: str = ""
    turns: int = 11
    crop: float = 0.25
    shortest: int = 9
    longest: int = 240
    code_noise: float = 0.0
    row_examples: int = 64

    def __post_init__(self) -> None:
        """Raises InputError: a word or task is unknown, a weight negative or nothing but zeros, a count below 1, or
        text is to be answered with movements."""
        if self.movement not in MOVEMENTS:
            raise InputError(f"--mixture.movement {self.movement}: expected one of {', '.join(MOVEMENTS)}")
        if self.movement == TEXT and (self.kinds.generation or self.kinds.continuation):
            raise InputError(
                "--mixture.movement text: generation and continuation answer with motion tokens; expected neither of "
                "these --mixture.kinds"
            )
        for name in ("turns", "shortest", "longest", "row_examples"):
            if (count := getattr(self, name)) < 1:
                raise InputError(f"--mixture.{name.replace('_', '-')} {count}: expected at least 1")
        for name in self.tasks:
            if name not in BY_NAME:
                raise InputError(f"--mixture.tasks {name}: expected one of {', '.join(BY_NAME)}")
        for flag, weights in (
            ("kinds", dataclasses.astuple(self.kinds)),
            ("sources", self.sources),
            ("tasks", tuple(self.tasks.values())),
        ):
            if min(weights, default=0) < 0 or (flag != "tasks" and weights and not sum(weights)):
                raise InputError(f"--mixture.{flag}: weights {weights}; expected none below 0 and one above")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Records to draw examples from, and how.

    Attributes:
        records: of all sources; participants of two have two names.
        codebook_size, levels: the codes of a step are of `levels` in turn, out of `codebook_size` over all of them.
    """

    records: Sequence[Record]
    config: MixtureConfig
    codebook_size: int
    levels: int

    def movement(self, number: int, rng: np.random.Generator, share: int = 1) -> tuple[Segment, float]:
        """What `seen` shows of a record, and its pace: its words, or as `part`."""
        if self.config.movement == TEXT:
            return self.records[number].words, 1.0
        return self.part(number, rng, share)

    def part(self, number: int, rng: np.random.Generator, share: int = 1) -> tuple[np.ndarray, float]:
        """The codes [n, levels] of one view of a record, perhaps cut, as one of `share` movements, and its pace."""
        record, config = self.records[number], self.config
        view = rng.integers(len(record.views))
        steps = np.asarray(record.views[view], np.int32).reshape(-1, self.levels)
        longest = max(1, config.longest // share)
        if record.labels.get("activity") in STEADY_ACTIVITIES and len(steps) > config.shortest:
            size = min(len(steps), longest)
            if rng.random() < config.crop:
                size = int(rng.integers(min(config.shortest, size), size + 1))
            begin = int(rng.integers(0, len(steps) - size + 1))
            steps = steps[begin : begin + size]
        return steps[:longest], record.paces[view]

    def seen(self, steps: Segment, rng: np.random.Generator) -> Segment:
        """A movement as the decoder reads it: words as they are, codes [n, levels] with noise as [n * levels]."""
        if isinstance(steps, str):
            return steps
        if self.config.code_noise:
            of_level = self.codebook_size // self.levels
            noise = rng.integers(0, of_level, steps.shape) + np.arange(self.levels) * of_level
            steps = np.where(rng.random(steps.shape) < self.config.code_noise, noise, steps).astype(np.int32)
        return steps.reshape(-1)

    def choose(self, tasks: Sequence[Task], rng: np.random.Generator) -> list[Task]:
        """Up to `turns` of these in random order, by their weights."""
        weights = np.array([self.config.tasks.get(t.name, 1.0) for t in tasks])
        # The largest of u ** (1 / weight) are a weighted draw without replacement (Efraimidis and Spirakis 2006).
        with np.errstate(divide="ignore"):
            order = np.argsort(-(rng.random(len(tasks)) ** (1 / weights)))
        return [tasks[i] for i in order if weights[i] > 0][: self.config.turns]

    def asked(self, number: int) -> list[Task]:
        """The tasks that a record may be asked."""
        labels = self.records[number].labels
        return [t for t in TASKS if t.asked_of(labels) and self.config.tasks.get(t.name, 1.0) > 0]

    def about(self, truth: Mapping[str, str | float]) -> list[Task]:
        """The tasks that may be asked about a person of whom this is known."""
        return [t for t in TASKS if t.of_person and t.label in truth and self.config.tasks.get(t.name, 1.0) > 0]

    def trial(self, number: int, rng: np.random.Generator) -> Example:
        """One recording and questions about it."""
        steps, pace = self.movement(number, rng)
        turns = [
            Turn(_any(task.questions, rng), task.answer_text(self.records[number].labels, pace))
            for task in self.choose(self.asked(number), rng)
        ]
        return Example((self.seen(steps, rng),), tuple(turns), (number,))

    def comparison(self, number: int, rng: np.random.Generator) -> Example:
        """A recording and another of the same activity, in random order, and which of them is faster, ...

        One in two is of the same person, where there is one, and may be asked what changed from the first to the
        second. Where none of some that are tried differs by enough, questions about the recording alone.
        """
        activity = self.records[number].labels.get("activity")
        own = [
            n
            for n in self.of_person[self.records[number].participant]
            if self.records[n].labels.get("activity") == activity
        ]
        before = rng.permutation(own)[: len(own) * int(rng.integers(2))]
        # The extremes differ from it by enough, unless the paces of the views make up for that.
        for other in (*before, *rng.choice(self.alike[activity], PARTNERS), *sorted(self.extremes[activity])):
            pair = [number, int(other)]
            rng.shuffle(pair)
            drawn = [self.movement(n, rng, share=2) for n in pair]
            first, second = (at_pace(self.records[n].labels, p) for n, (_, p) in zip(pair, drawn, strict=True))
            if pair[0] != pair[1] and (found := find_compared(first, second)):
                break
        else:
            return self.trial(number, rng)
        turns = []
        for i in rng.permutation(len(found))[: self.config.turns]:
            changed = len({self.records[n].participant for n in pair}) == 1 and rng.integers(2) == 1
            question, larger = _any(found[i].changes if changed else found[i].questions, rng)
            answer = found[i].change_text if changed else found[i].answer_text
            turns.append(Turn(question, answer(first, second, larger)))
        one, other = (self.seen(steps, rng) for steps, _ in drawn)
        return Example((FIRST_RECORDING, one, SECOND_RECORDING, other), tuple(turns), tuple(pair))

    def visit(self, number: int, rng: np.random.Generator) -> Example:
        """Several recordings of the person of one, and questions about the person."""
        numbers = self.of_person[self.records[number].participant]
        chosen = tuple(numbers[i] for i in rng.permutation(len(numbers))[:VISIT_TRIALS])
        seen = [self.seen(self.movement(n, rng, share=len(chosen))[0], rng) for n in chosen]
        truth = self.about_person(numbers)
        turns = [Turn(_any(t.questions, rng), t.answer_text(truth)) for t in self.choose(self.about(truth), rng)]
        return Example((VISIT, *seen), tuple(turns), chosen)

    def caption(self, number: int, rng: np.random.Generator) -> Example:
        """A recording, to be described."""
        steps, pace = self.movement(number, rng)
        turn = Turn(_any(DESCRIBE, rng), caption(self.records[number].labels, pace))
        return Example((self.seen(steps, rng),), (turn,), (number,))

    def generation(self, number: int, rng: np.random.Generator) -> Example:
        """A description, to be shown as a movement."""
        steps, pace = self.part(number, rng)
        question = _any(SHOW, rng).format(caption(self.records[number].labels, pace))
        return Example((), (Turn(question, steps.reshape(-1)),), (number,))

    def continuation(self, number: int, rng: np.random.Generator) -> Example:
        """The beginning of a recording, to be gone on with."""
        steps, _ = self.part(number, rng)
        at = int(rng.integers(1, max(2, len(steps))))  # a cut may have left one step
        turn = Turn(_any(CONTINUE, rng), steps[at:].reshape(-1))
        return Example((self.seen(steps[:at], rng),), (turn,), (number, number))

    def about_person(self, numbers: Sequence[int]) -> dict[str, str | float]:
        """What all recordings of a person say alike, of what is asked about a person."""
        labels: dict[str, str | float] = {}
        for task in TASKS:
            values = {self.records[n].labels[task.label] for n in numbers if task.asked_of(self.records[n].labels)}
            if task.of_person and len(values) == 1:
                labels[task.label] = values.pop()
        return labels

    @functools.cached_property
    def spelled(self) -> list[int]:
        """How many answers each record has, each spelled out once, so that a label which fits none is refused before
        training starts."""
        return [len([t.answer_text(r.labels) for t in self.asked(n)]) for n, r in enumerate(self.records)]

    @functools.cached_property
    def of_person(self) -> dict[str, list[int]]:
        """The records of each participant."""
        found: dict[str, list[int]] = {}
        for number, record in enumerate(self.records):
            found.setdefault(record.participant, []).append(number)
        return found

    @functools.cached_property
    def alike(self) -> dict[Any, list[int]]:
        """The records of each activity."""
        found: dict[Any, list[int]] = {}
        for number, record in enumerate(self.records):
            found.setdefault(record.labels.get("activity"), []).append(number)
        return found

    @functools.cached_property
    def extremes(self) -> dict[Any, set[int]]:
        """Of each activity, the records that are the least or the most in something that is compared."""
        found: dict[Any, set[int]] = {}
        for activity, numbers in self.alike.items():
            for c in COMPARISONS:
                known = [n for n in numbers if c.label in self.records[n].labels]
                values = [self.records[n].labels[c.label] for n in known]
                if known:
                    found.setdefault(activity, set()).update(known[int(f(values))] for f in (np.argmin, np.argmax))
        return found

    def items(self, kind: str, numbers: Sequence[int]) -> list[int]:
        """Those of some records that an example of a kind can be drawn from, as often as they come up in an epoch.

        A walk is asked eleven things and quiet standing one: it comes up more often, if not eleven times.

        Raises:
            InputError: a label fits no answer.
        """
        if kind == "trial":
            return [n for n in numbers for _ in range(-(-self.spelled[n] // TASKS_PER_DRAW))]
        if kind == "comparison":
            labels = {n: self.records[n].labels for n in numbers}
            extremes = {n: self.extremes.get(labels[n].get("activity"), set()) for n in numbers}
            differs = [any(find_compared(labels[n], self.records[e].labels) for e in extremes[n]) for n in numbers]
            return [n for n, other in zip(numbers, differs, strict=True) if other and self.spelled[n]]
        if kind == "visit":
            people = [of for of in self.of_person.values() if len(of) > 1 and self.about(self.about_person(of))]
            return [of[0] for of in people if of[0] in numbers for _ in of[::VISIT_TRIALS]]
        if kind == "continuation":
            return [n for n in numbers if min(len(v) for v in self.records[n].views) > self.levels]
        return [n for n in numbers if self.spelled[n]]


def _any(of: Sequence[T], rng: np.random.Generator) -> T:
    return of[int(rng.integers(len(of)))]

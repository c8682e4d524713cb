"""What a clinical task is: who is asked what, how the answer reads, and how an answer is read back."""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping

from biomechjax.errors import InputError

Labels = Mapping[str, str | float]


@dataclasses.dataclass(frozen=True)
class Choice:
    """An answer out of a fixed set, written as it is."""

    options: tuple[str, ...]

    @property
    def allowed(self) -> tuple[str, ...]:
        """All answer texts."""
        return self.options

    def text(self, value: str | float, pace: float = 1.0) -> str:
        """The answer text, which is the same at any pace.

        Raises:
            InputError: the label is none of the options.
        """
        if value not in self.options:
            raise InputError(f"label {value!r}; expected one of {self.options}")
        return str(value)

    def parse(self, text: str) -> str | None:
        """The option that the text is, ignoring case, blanks and a final full stop; None where it is none."""
        cleaned = " ".join(text.lower().split()).rstrip(".")
        return cleaned if cleaned in self.options else None


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far off an answer may be before the error matters to a clinician.

    Attributes:
        value: the published minimal detectable change (more than what measuring a person again differs by) or minimal
            clinically important difference, in the unit of the answer.
        source: which of the two, of whom, and where it was published.
    """

    value: float
    source: str


@dataclasses.dataclass(frozen=True)
class Number:
    """A quantity with its unit, as in "1.23 m/s".

    Attributes:
        unit: what follows the number.
        decimals: digits after the point.
        low, high: the plausible range; an answer outside it does not parse.
        pace: the power of the pace by which it changes when the same movement is played faster: 1 for a speed or a
            rate, -1 for a duration, 0 for what stays.
        tolerance: the error that is too small to matter; None where no publication of it is known to us.
    """

    unit: str
    decimals: int
    low: float
    high: float
    pace: int = 0
    tolerance: Tolerance | None = None

    @functools.cached_property
    def allowed(self) -> tuple[str, ...]:
        """All answer texts: every plausible value at its decimals."""
        scale = 10**self.decimals
        steps = range(math.ceil(self.low * scale), math.floor(self.high * scale) + 1)
        return tuple(f"{step / scale:.{self.decimals}f} {self.unit}" for step in steps)

    def text(self, value: str | float, pace: float = 1.0) -> str:
        """The answer text for the movement that the label describes, played at `pace` times its own.

        Raises:
            InputError: the label is no number in the plausible range.
        """
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise InputError(f"label {value!r}; expected a number from {self.low} to {self.high} {self.unit}")
        return f"{min(max(value * pace**self.pace, self.low), self.high):.{self.decimals}f} {self.unit}"

    def parse(self, text: str) -> float | None:
        """The number in "1.23 m/s"; None where the text is not one number with the unit, or is implausible."""
        match = re.fullmatch(rf"\s*(-?\d+(?:\.\d+)?) ?{re.escape(self.unit)}\.?\s*", text)
        value = float(match[1]) if match else None
        return value if value is not None and self.low <= value <= self.high else None


@dataclasses.dataclass(frozen=True)
class Frames:
    """Sentences with a gap for what is asked, shared by many tasks, so that only the gap tells the tasks apart.

    Attributes:
        training: used in training.
        held_out: used only in evaluation.
    """

    training: tuple[str, ...]
    held_out: tuple[str, ...]


WHAT = Frames(
    (
        "What is the {}?",
        "Give the {}.",
        "Name the {}.",
        "Tell me the {}.",
        "The {}?",
        "What is the {} of this person?",
        "Please state the {} in this recording.",
        "Can you tell the {} from this movement?",
    ),
    ("Please give the {}.", "Can you name the {} in this recording?", "Tell me the {} of this person."),
)
WHETHER = Frames(
    (
        "Is there {}?",
        "Does this person have {}?",
        "Can you see {}?",
        "Does the recording show {}?",
        "Yes or no: {}?",
        "Is there {} in this movement?",
        "Tell me if this person has {}.",
    ),
    ("Does this movement show {}?", "Can you tell if there is {}?", "Yes or no: does this person have {}?"),
)


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing that can be asked about a recording.

    Attributes:
        name: as in tables.
        label: the column of the cohort that holds the truth; a trial without it is not asked.
        answer: how the answer reads.
        frames, asked: the sentences, and what fills their gap.
        also: further wordings, used in training.
        activities: the activities it is asked about; empty for any.
        of_person: whether the answer is about the person, and so also about a visit of several recordings.
    """

    name: str
    label: str
    answer: Choice | Number
    frames: Frames
    asked: tuple[str, ...]
    also: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    of_person: bool = False

    @functools.cached_property
    def questions(self) -> tuple[str, ...]:
        """All wordings used in training."""
        return tuple(f.format(a) for f in self.frames.training for a in self.asked) + self.also

    @functools.cached_property
    def held_out_questions(self) -> tuple[str, ...]:
        """All wordings used only in evaluation."""
        return tuple(f.format(a) for f in self.frames.held_out for a in self.asked)

    def asked_of(self, labels: Labels) -> bool:
        """Whether a trial with these labels is asked."""
        return self.label in labels and (not self.activities or labels.get("activity") in self.activities)

    def answer_text(self, labels: Labels, pace: float = 1.0) -> str:
        """The true answer as text, about the movement played at `pace` times its own.

        Raises:
            InputError: the label does not fit the answer, naming the column.
        """
        try:
            return self.answer.text(labels[self.label], pace)
        except InputError as e:
            raise InputError(f"task {self.name}, column {self.label}: {e}") from e

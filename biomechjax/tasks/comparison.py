"""What can be asked about two recordings of the same activity: which of them is faster, longer, scored higher; and of
one person's, before and after something, whether that rose or fell."""

import dataclasses
import functools

from biomechjax.tasks.task import Frames, Labels

WHICH = Frames(
    (
        "Which of the two {}?",
        "Which recording {}?",
        "Which one {}?",
        "Compare the two: which {}?",
        "Tell me which of the recordings {}.",
    ),
    ("Of these two, which {}?", "Please say which one {}."),
)
CHANGE = Frames(
    (
        "Did the {} from the first recording to the second?",
        "These are before and after: did the {}?",
        "From the first to the second, did the {}?",
        "Yes or no: did the {} between the two recordings?",
    ),
    ("Before and after, did the {}?", "Between the two recordings, did the {}?"),
)
RISE, FALL = ("increase", "rise"), ("decrease", "fall")
FIRST, SECOND = "the first", "the second"
YES, NO = "yes", "no"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One thing in which two recordings are compared.

    Attributes:
        label: the column that holds the measure, in its task's unit.
        measure: what it is called where it is said to have risen or fallen.
        asked: what fills the gap of WHICH for the recording with the larger value.
        apart: a smaller difference is within what repeated measurements differ by, and is not asked about.
        fewer: fills the gap for the recording with the smaller value.
    """

    label: str
    measure: str
    asked: tuple[str, ...]
    apart: float
    fewer: tuple[str, ...] = ()

    @functools.cached_property
    def questions(self) -> tuple[tuple[str, bool], ...]:
        """All wordings used in training, and whether each asks for the larger value."""
        return _worded(WHICH.training, self.asked, self.fewer)

    @functools.cached_property
    def held_out_questions(self) -> tuple[tuple[str, bool], ...]:
        """All wordings used only in evaluation, likewise."""
        return _worded(WHICH.held_out, self.asked, self.fewer)

    @functools.cached_property
    def changes(self) -> tuple[tuple[str, bool], ...]:
        """All wordings, used in training, about two recordings of one person, and whether each asks for a rise."""
        return _worded(CHANGE.training, *self._rise_and_fall)

    @functools.cached_property
    def held_out_changes(self) -> tuple[tuple[str, bool], ...]:
        """All wordings used only in evaluation, likewise."""
        return _worded(CHANGE.held_out, *self._rise_and_fall)

    @property
    def _rise_and_fall(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rise, fall = (tuple(f"{self.measure} {word}" for word in words) for words in (RISE, FALL))
        return rise, fall

    def asked_of(self, first: Labels, second: Labels) -> bool:
        """Whether two recordings with these labels are compared."""
        a, b = first.get(self.label), second.get(self.label)
        same = first.get("activity") == second.get("activity")
        return same and isinstance(a, int | float) and isinstance(b, int | float) and abs(a - b) >= self.apart

    def answer_text(self, first: Labels, second: Labels, larger: bool) -> str:
        """Which of the two has the larger value, or the smaller one."""
        return FIRST if (float(first[self.label]) > float(second[self.label])) == larger else SECOND

    def change_text(self, before: Labels, after: Labels, rose: bool) -> str:
        """Whether the measure rose, or fell."""
        return YES if (float(after[self.label]) > float(before[self.label])) == rose else NO


def _worded(frames: tuple[str, ...], more: tuple[str, ...], fewer: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
    gaps = [(a, True) for a in more] + [(a, False) for a in fewer]
    return tuple((frame.format(gap), larger) for frame in frames for gap, larger in gaps)


COMPARISONS = (
    # Smallest differences: 0.1 m/s is a substantial change of gait speed in Perera et al. 2006; the others are about
    # as large a part of their usual range.
    Comparison(
        "walking_speed_m_s",
        "walking speed",
        ("walks faster", "has the higher walking speed"),
        0.1,
        ("walks more slowly",),
    ),
    Comparison("cadence_steps_min", "cadence", ("has the higher cadence",), 8.0, ("has the lower cadence",)),
    Comparison("step_length_m", "step length", ("has longer steps",), 0.05, ("has shorter steps",)),
    Comparison(
        "step_time_asymmetry_percent",
        "step time asymmetry",
        ("is less symmetric",),
        8.0,
        ("is more symmetric", "shows the more symmetric gait"),
    ),
    Comparison("tug_time_s", "time", ("took longer",), 1.5, ("was done faster", "took less time")),
    Comparison("fsst_time_s", "time", ("took longer",), 1.5, ("was done faster", "took less time")),
    Comparison(
        "berg_score",
        "Berg Balance score",
        ("shows the better balance", "has the higher Berg Balance score"),
        6.0,
    ),
)


def find_compared(first: Labels, second: Labels) -> list[Comparison]:
    """All that two recordings are compared in."""
    return [c for c in COMPARISONS if c.asked_of(first, second)]


def comparison_corpus() -> list[str]:
    """All text that the comparisons can produce."""
    worded = [(c.questions, c.held_out_questions, c.changes, c.held_out_changes) for c in COMPARISONS]
    asked = [q for of_one in worded for part in of_one for q, _ in part]
    return [*asked, *(f" {answer}" for answer in (FIRST, SECOND, YES, NO))]

"""What can be asked about two recordings of the same activity: which of them is faster, longer, scored higher."""

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
FIRST, SECOND = "the first", "the second"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One thing in which two recordings are compared.

    Attributes:
        label: the column that holds the measure, in its task's unit.
        asked: what fills the gap of WHICH for the recording with the larger value.
        apart: a smaller difference is within what repeated measurements differ by, and is not asked about.
        fewer: fills the gap for the recording with the smaller value.
    """

    label: str
    asked: tuple[str, ...]
    apart: float
    fewer: tuple[str, ...] = ()

    @functools.cached_property
    def questions(self) -> tuple[tuple[str, bool], ...]:
        """All wordings used in training, and whether each asks for the larger value."""
        return self._worded(WHICH.training)

    @functools.cached_property
    def held_out_questions(self) -> tuple[tuple[str, bool], ...]:
        """All wordings used only in evaluation, likewise."""
        return self._worded(WHICH.held_out)

    def _worded(self, frames: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
        gaps = [(a, True) for a in self.asked] + [(a, False) for a in self.fewer]
        return tuple((frame.format(gap), larger) for frame in frames for gap, larger in gaps)

    def asked_of(self, first: Labels, second: Labels) -> bool:
        """Whether two recordings with these labels are compared."""
        a, b = first.get(self.label), second.get(self.label)
        same = first.get("activity") == second.get("activity")
        return same and isinstance(a, int | float) and isinstance(b, int | float) and abs(a - b) >= self.apart

    def answer_text(self, first: Labels, second: Labels, larger: bool) -> str:
        """Which of the two has the larger value, or the smaller one."""
        return FIRST if (float(first[self.label]) > float(second[self.label])) == larger else SECOND


COMPARISONS = (
    # Smallest differences: 0.1 m/s is a substantial change of gait speed in Perera et al. 2006; the others are about
    # as large a part of their usual range.
    Comparison("walking_speed_m_s", ("walks faster", "has the higher walking speed"), 0.1, ("walks more slowly",)),
    Comparison("cadence_steps_min", ("has the higher cadence",), 8.0, ("has the lower cadence",)),
    Comparison("step_length_m", ("has longer steps",), 0.05, ("has shorter steps",)),
    Comparison("tug_time_s", ("took longer",), 1.5, ("was done faster", "took less time")),
    Comparison("fsst_time_s", ("took longer",), 1.5, ("was done faster", "took less time")),
    Comparison("berg_score", ("shows the better balance", "has the higher Berg Balance score"), 6.0),
)


def find_compared(first: Labels, second: Labels) -> list[Comparison]:
    """All that two recordings are compared in."""
    return [c for c in COMPARISONS if c.asked_of(first, second)]


def comparison_corpus() -> list[str]:
    """All text that the comparisons can produce."""
    asked = [q for c in COMPARISONS for q, _ in c.questions + c.held_out_questions]
    return [*asked, f" {FIRST}", f" {SECOND}"]

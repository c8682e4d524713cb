"""What became of the recordings that a cohort was made of."""

import dataclasses
import re
from collections.abc import Callable, Sequence

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat, load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.recording import Recording

Progress = Callable[[int, int], None]
"""Called with (recordings done, recordings in all)."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What became of the recordings.

    Attributes:
        written: recordings in the cohort.
        format: of the cohort.
        left_out: (which, reason) of each recording that is not.
        notes: what readers decided or dropped, with the number of written recordings it holds for; of notes that differ
            in numbers only the first.
    """

    written: int
    format: MotionFormat
    left_out: list[tuple[str, str]]
    notes: dict[str, int]


def common_format(recordings: Sequence[Recording], wanted: str | None) -> MotionFormat:
    """The format `wanted`, else that of all the recordings, else the canonical one."""
    if wanted is not None:
        return load_format(wanted)
    formats = {r.format for r in recordings}
    return formats.pop() if len(formats) == 1 else load_format(CANONICAL)


def convert(
    recordings: dict[str, Recording], format: MotionFormat, left_out: list[tuple[str, str]]
) -> tuple[dict[str, Recording], dict[str, int]]:
    """The recordings in one format, and how many of them have each note; adds those that cannot to `left_out`."""
    converted: dict[str, Recording] = {}
    notes: dict[str, tuple[str, int]] = {}
    for which, recording in recordings.items():
        try:
            converted[which] = to_format(recording, format)
        except InputError as e:
            left_out.append((which, str(e)))
            continue
        for note in converted[which].notes:
            first, count = notes.get(kind := re.sub(r"-?\d[\d.]*", "#", note), (note, 0))
            notes[kind] = first, count + 1
    return converted, dict(notes.values())


def choose_test(people: Sequence[str], wanted: Sequence[str]) -> set[str]:
    """The participants to test on: those wanted, or the last fifth.

    Raises:
        InputError: one is not among `people`, or nobody is left to train on.
    """
    if unknown := [p for p in wanted if p not in people]:
        raise InputError(f"test participant {unknown[0]!r} is not among {', '.join(people)}")
    test = set(wanted or people[-max(1, len(people) // 5) :])
    if test == set(people):
        raise InputError(f"test participants {', '.join(sorted(test))} are all there are; nobody is left to train on")
    return test


def bids_label(text: str) -> str:
    """Letters and digits only: "sit to stand" is sitToStand."""
    first, *others = re.findall(r"[a-zA-Z0-9]+", text) or [""]
    return first + "".join(w[0].upper() + w[1:] for w in others)

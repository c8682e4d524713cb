"""What became of the recordings that a cohort was made of."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat, load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.recording import SHORTEST_S, Recording
from biomechjax.motion.trc import MARKERS, marker_format

Progress = Callable[[int, int], None]
"""Called with (done, in all): recordings while they are looked at, then participants while they are written."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What became of the recordings.

    Attributes:
        written: recordings in the cohort.
        format: of the cohort.
        left_out: (which, reason) of each recording that is not.
        notes: what readers decided or dropped, with the number of written recordings it holds for; of notes that differ
            in numbers only the first.
        dropped: label columns that are not in the cohort, with the reason.
    """

    written: int
    format: MotionFormat
    left_out: list[tuple[str, str]]
    notes: dict[str, int]
    dropped: dict[str, str] = dataclasses.field(default_factory=dict)


def head(recording: Recording) -> Recording:
    """Its first frames, which say what it holds: of all trials of a cohort only these are in memory together."""
    frames = math.ceil(SHORTEST_S * recording.rate_hz) + 1
    return dataclasses.replace(recording, values=recording.values[:frames].copy())


def common_format(recordings: Sequence[Recording], wanted: str | None) -> MotionFormat:
    """The format `wanted`, else that of all the recordings, else for sets of markers all of these together, else the
    canonical one."""
    if wanted is not None:
        return load_format(wanted)
    formats = dict.fromkeys(r.format for r in recordings)
    if len(formats) == 1:
        return next(iter(formats))
    if {f.name for f in formats} == {MARKERS}:
        return marker_format(list(dict.fromkeys(name.rpartition(".")[0] for f in formats for name in f.names)))
    return load_format(CANONICAL)


def check_format(
    recordings: Mapping[str, Recording], format: MotionFormat, left_out: list[tuple[str, str]]
) -> tuple[list[str], dict[str, int]]:
    """Which recordings (their heads do) can be in one format, and how many of them have each note; adds the others to
    `left_out`."""
    kept: list[str] = []
    notes: dict[str, tuple[str, int]] = {}
    for which, recording in recordings.items():
        try:
            converted = to_format(recording, format)
        except InputError as e:
            left_out.append((which, str(e)))
            continue
        kept.append(which)
        for note in converted.notes:
            first, count = notes.get(kind := re.sub(r"-?\d[\d.]*", "#", note), (note, 0))
            notes[kind] = first, count + 1
    return kept, dict(notes.values())


def bids_label(text: str) -> str:
    """Letters and digits only: "sit to stand" is sitToStand."""
    first, *others = re.findall(r"[a-zA-Z0-9]+", text) or [""]
    return first + "".join(w[0].upper() + w[1:] for w in others)

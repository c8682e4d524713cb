"""The simulated clinic: a cohort of made-up people to try everything on, without any download.

It is a stand-in with the structure of clinical gait data (groups that overlap, labels that agree with the movement,
capture noise), not a source of findings about patients.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from biomechjax.cohort.activities import Length
from biomechjax.cohort.activities import visit as visit_tests
from biomechjax.cohort.capture import capture
from biomechjax.cohort.columns import COLUMNS
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.people import draw_groups, draw_person
from biomechjax.cohort.signals import RATE_HZ
from biomechjax.cohort.splits import FRACTIONS, Division, assign_splits, divide
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.recording import Recording
from biomechjax.provenance import resume_key


def simulate(
    out: Path | str,
    participants: int = 600,
    seed: int = 0,
    visit: Length = "long",
    workers: int = 2,
    division: Division | None = None,
    progress: Callable[[int, int], None] | None = None,
    capture_error: float = 1.0,
) -> None:
    """Writes a simulated cohort; the same settings give the same files with any number of workers.

    Call it again when it was stopped before its end: it goes on after the participants who are already written, in a
    hidden folder beside `out`, and the result is the same to the byte.

    Args:
        out: the folder to make.
        participants: how many people.
        seed: of everything random.
        visit: how much each of them does (`activities.visit`).
        workers: processes.
        division: whom to test on, drawn with `seed` where it draws; of the others an eighth of every group validates.
            None for 70, 10 and 20 % of every group to train, validate and test.
        progress: called with (participants done, participants in all).
        capture_error: what the error of the capture is multiplied by; the same people move the same at any.

    Raises:
        InputError: `out` exists already, an unknown visit, a capture error below 0, fewer than 1 or more than 9,999
            participants, or the division asks for what is not there or leaves nobody to train.
    """
    if visit not in get_args(Length):
        raise InputError(f"visit {visit!r}; expected one of {get_args(Length)}")
    if not 1 <= participants <= 9999:
        raise InputError(f"participants {participants}; expected 1 to 9999")
    if not capture_error >= 0:
        raise InputError(f"capture error {capture_error}; expected 0 or more")
    rows: list[dict[str, Any]] = []
    for index, group in enumerate(draw_groups(participants, seed), start=1):
        person = draw_person(_generator(seed, index), group)
        rows.append({"participant_id": f"sub-{index:03d}", **person.labels})
    # Of another seed everybody is somebody else.
    name = "biomechjax simulated clinic" + (f", seed {seed}" if seed else "")
    splits_by = "shares {:.0%}, {:.0%}, {:.0%}".format(*FRACTIONS) if division is None else str(division)
    write_cohort(
        out,
        name=name + (f", capture error times {capture_error:g}" if capture_error != 1 else ""),
        simulated=True,
        format=canonical(),
        tracking_system="markerless",
        participants=_with_splits(rows, seed, division),
        trials=functools.partial(_trials, seed, visit, capture_error),
        columns=COLUMNS,
        workers=workers,
        progress=progress,
        resume_key=resume_key((participants, seed, visit, division, capture_error), ("motion", "cohort")),
        splits_by=splits_by,
    )


def _with_splits(rows: list[dict[str, Any]], seed: int, division: Division | None) -> list[dict[str, Any]]:
    if division is None:
        return assign_splits(rows, seed)
    train, validation, _ = FRACTIONS
    splits = divide({row["participant_id"]: row for row in rows}, division, seed, validation / (train + validation))
    return [row | {"split": splits[row["participant_id"]]} for row in rows]


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, index])


def _trials(
    seed: int, length: Length, error: float, row: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Recording]]:
    """The trials of one participant, who is drawn again from the same generator as in `simulate`."""
    rng = _generator(seed, int(row["participant_id"].removeprefix("sub-")))
    person = draw_person(rng, row["group"])
    for test in visit_tests(person, rng, length):
        labels, movement = test(person, rng)
        values = capture(movement.values, rng, error)
        observed = np.ones(values.shape[1], bool)
        yield labels, Recording(canonical(), RATE_HZ, values, observed, f"{row['participant_id']} {labels['task']}")

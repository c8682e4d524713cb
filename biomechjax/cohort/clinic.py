"""The simulated clinic: a cohort of made-up people to try everything on, without any download.

It is a stand-in with the structure of clinical gait data (groups that overlap, labels that agree with the movement,
capture noise), not a source of findings about patients.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.cohort.activities import visit
from biomechjax.cohort.capture import capture
from biomechjax.cohort.columns import COLUMNS
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.people import draw_groups, draw_person
from biomechjax.cohort.signals import RATE_HZ
from biomechjax.cohort.splits import assign_splits
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.recording import Recording


def simulate(
    out: Path | str,
    participants: int = 480,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a simulated cohort; the same (seed, participants) give the same files with any number of workers.

    `progress` is called with (participants done, participants in all).

    Raises:
        InputError: `out` exists already, or fewer than 1 or more than 9,999 participants.
    """
    if not 1 <= participants <= 9999:
        raise InputError(f"participants {participants}; expected 1 to 9999")
    rows = []
    for index, group in enumerate(draw_groups(participants, seed), start=1):
        person = draw_person(_generator(seed, index), group)
        rows.append({"participant_id": f"sub-{index:03d}", **person.labels})
    write_cohort(
        out,
        name="biomechjax simulated clinic",
        simulated=True,
        format=canonical(),
        tracking_system="markerless",
        participants=assign_splits(rows, seed),
        trials=functools.partial(_trials, seed),
        columns=COLUMNS,
        workers=workers,
        progress=progress,
    )


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, index])


def _trials(seed: int, row: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Recording]]:
    """The trials of one participant, who is drawn again from the same generator as in `simulate`."""
    rng = _generator(seed, int(row["participant_id"].removeprefix("sub-")))
    person = draw_person(rng, row["group"])
    for test in visit(person, rng):
        labels, movement = test(person, rng)
        values = capture(movement.values, rng)
        observed = np.ones(values.shape[1], bool)
        yield labels, Recording(canonical(), RATE_HZ, values, observed, f"{row['participant_id']} {labels['task']}")

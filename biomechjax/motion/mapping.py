"""A recording of one format as one of another, where their channels mean the same."""

import dataclasses

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat
from biomechjax.motion.recording import Recording


def to_format(recording: Recording, target: MotionFormat) -> Recording:
    """The movement in format `target`; channels that the two do not share are unobserved there.

    Channels of formats of one name, such as two sets of markers, correspond by name and unit; others through the
    canonical format: two that mean the same canonical channel mean the same. Recorded channels without a counterpart
    are dropped and listed in the notes.

    Raises:
        InputError: no recorded channel has a counterpart in `target`.
    """
    own = recording.format
    if (own.name, own.names) == (target.name, target.names):  # perhaps written before it had canonical meanings
        return dataclasses.replace(recording, format=target)
    of = _by_name if own.name == target.name else meanings
    ours, theirs = of(own), of(target)
    values = np.zeros((len(recording.values), target.size), np.float32)
    observed = np.zeros(target.size, bool)
    kept = set()
    for name in ours.keys() & theirs.keys():
        (source, sign), (to, sign_there) = ours[name], theirs[name]
        if recording.observed[source]:
            values[:, to] = sign * sign_there * recording.values[:, source]
            observed[to] = True
            kept.add(source)
    if not kept:
        raise InputError(
            f"{recording.source}: format {own.name} shares no recorded channel with {target.name}; say in a table "
            "[canonical] of its format file which channels mean the same, or put it into a cohort of its own format, "
            "as markers and skeletons, which have no joint angles"
        )
    notes = list(recording.notes)
    if dropped := [n for i, n in enumerate(own.names) if recording.observed[i] and i not in kept]:
        notes.append(
            f"{len(dropped)} channels of format {own.name} have no counterpart in {target.name} and were dropped: "
            f"{', '.join(dropped)}."
        )
    if own.reference != target.reference:
        notes.append(f"Angles of format {own.name} count from a zero that differs between people; kept as they are.")
    return Recording(target, recording.rate_hz, values, observed, recording.source, tuple(notes))


def _by_name(format: MotionFormat) -> dict[str, tuple[int, int]]:
    return {f"{c.name} in {c.unit}": (i, 1) for i, c in enumerate(format.channels)}


def meanings(format: MotionFormat) -> dict[str, tuple[int, int]]:
    """Column and sign of the channel that means each canonical channel."""
    if format.name == CANONICAL:
        return {name: (i, 1) for i, name in enumerate(format.names)}
    return {name: (format.indices[own], sign) for name, own, sign in format.canonical}

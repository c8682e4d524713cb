"""Augmented views of a recording that leave every label true, but for those that change with the pace."""

import dataclasses

import numpy as np

from biomechjax.motion.features import with_heading_first, with_heading_last
from biomechjax.motion.recording import SHORTEST_S, Recording


@dataclasses.dataclass(frozen=True)
class ViewConfig:
    """How many views of each training trial are tokenized, and how far they depart from it.

    Attributes:
        count: views per trial; the first is the recording itself.
        offset_deg: standard deviation of a constant added to each angle channel, as another calibration would.
        scale: standard deviation of the relative change of each angle channel's excursion.
        hidden: chance that a view hides a random share of its channels, as a lab that records fewer would.
        pace: standard deviation of the logarithm of how much faster a view is played, which speaks of people who move
            alike but faster or slower; at most twice that to either side.
        mirrored: chance that a view shows left and right swapped; only for cohorts whose labels name no side.
        skip_s: up to this much is cut from the start, which shifts the frames against the tokens.
    """

    count: int = 4
    offset_deg: float = 2.0
    scale: float = 0.05
    hidden: float = 0.25
    skip_s: float = 0.2
    pace: float = 0.0
    mirrored: float = 0.0


def views(recording: Recording, config: ViewConfig, rng: np.random.Generator) -> list[Recording]:
    """The recording and `config.count - 1` views of it; a view's pace is its rate over that of the recording.

    Translation and heading are never scaled.
    """
    return [recording, *(_view(recording, config, rng) for _ in range(config.count - 1))]


def _view(recording: Recording, config: ViewConfig, rng: np.random.Generator) -> Recording:
    if config.mirrored and rng.random() < config.mirrored:
        recording = recording.mirrored()
    format = recording.format
    angle = format.angles
    longest = min(config.skip_s, recording.duration_s - SHORTEST_S)  # what is left must be a recording
    skip = int(rng.integers(0, int(longest * recording.rate_hz) + 1))
    values = with_heading_first(format, recording.values[skip:])
    mean = values.mean(axis=0)
    gain = 1 + angle * rng.normal(0, config.scale, format.size)
    offset = angle * rng.normal(0, np.radians(config.offset_deg), format.size)
    hide = (rng.random(format.size) < rng.random()) & (rng.random() < config.hidden)
    root = [format.indices[name] for name in dataclasses.astuple(format.root) if name] if format.root else []
    hide[root] = hide[root[:1]]  # where somebody stands and faces is one thing: a part of it says nothing
    observed = recording.observed & ~hide
    if not observed.any():
        observed = recording.observed
    values = with_heading_last(format, (values - mean) * gain + mean + offset) * observed
    pace = np.exp(config.pace * np.clip(rng.normal(), -2, 2)) if config.pace else 1.0
    return dataclasses.replace(
        recording, values=values.astype(np.float32), observed=observed, rate_hz=recording.rate_hz * pace
    )

"""The continuous recordings behind token records, for baselines that see more than tokens."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.signal import resample_poly

from biomechjax.cohort.folder import Cohort, Trial
from biomechjax.data.records import Record
from biomechjax.errors import InputError
from biomechjax.evaluation.progress import watched
from biomechjax.motion.features import to_features
from biomechjax.motion.recording import Recording
from biomechjax.workers import mapping

T = TypeVar("T")

FRAMES = 128  # of a series; a walk of four seconds at 30 Hz is about as long


@dataclasses.dataclass(frozen=True)
class Movements:
    """The cohort that token records were made from.

    Attributes:
        cohort: people and trials.
        hash: of the cohort's data.
        rate_hz: the tokenizer's, frames per second.
        workers: processes that read recordings; nothing depends on it.
    """

    cohort: Cohort
    hash: str
    rate_hz: float
    workers: int = os.cpu_count() or 1

    @classmethod
    def load(cls, folder: Path, expected_hash: str, rate_hz: float) -> "Movements":
        """Opens a cohort folder.

        Raises:
            InputError: it is none, or another one than the records were made from.
        """
        cohort = Cohort.load(folder)
        if (found := cohort.data_hash()) != expected_hash:
            raise InputError(
                f"{folder}: another cohort than the records were made from (hash {found[:12]}, in the records' "
                f"manifest.json {expected_hash[:12]}); give the --data that tokenize_data.py had"
            )
        return cls(cohort, found, rate_hz)

    def of_each(self, job: Callable[[Recording], T], what: str) -> dict[str, T]:
        """What a job makes of each recording of the cohort, by the trial as records name it."""
        trials = self.cohort.trials
        with mapping(_Reading(self.cohort, job), self.workers) as mapped:
            found = watched(mapped(trials), what, len(trials))
            return {str(t.path.relative_to(self.cohort.path)): x for t, x in zip(trials, found, strict=True)}

    def series(self, records: Sequence[Record]) -> np.ndarray:
        """Channels over time of the records' trials, [records, C, FRAMES] float32; see `fixed_length`."""
        return np.stack([self._series[r.trial] for r in records])

    @functools.cached_property
    def _series(self) -> dict[str, np.ndarray]:
        return self.of_each(functools.partial(fixed_length, self.rate_hz), "channels over time")


@dataclasses.dataclass(frozen=True)
class _Reading:
    """What a worker needs to read a trial."""

    cohort: Cohort
    job: Callable[[Recording], Any]

    def __call__(self, trial: Trial) -> Any:
        return self.job(self.cohort.read(trial))


def fixed_length(rate_hz: float, recording: Recording) -> np.ndarray:
    """The features of a recording at a rate, stretched or shortened to FRAMES frames, [C, FRAMES] float32.

    Features rather than channels, so that where a person stands and faces is nothing to learn; they hold the travel as
    a velocity, which the new length does not change. Low-pass filtered where it is shortened; an unobserved channel
    is 0.
    """
    at_rate = recording.resampled(rate_hz)
    x, _ = to_features(at_rate.format, rate_hz, at_rate.values)
    x = (x * at_rate.observed).astype(np.float64)
    return resample_poly(x, FRAMES, len(x), padtype="line").astype(np.float32).T

"""A recording: one movement of one person, as numbers with a meaning."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy

from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat

SHORTEST_S = 0.25  # shorter than half a step; nothing can be said about it
HIGHEST_RATE_HZ = 10_000.0
LARGEST = 1e4  # metres or radians; no movement gets there, but a damaged file does


@dataclasses.dataclass(frozen=True)
class Recording:
    """A movement in one format.

    Attributes:
        format: the meaning of the columns.
        rate_hz: frames per second.
        values: float32 [F, C], radians and metres; 0 where a channel was not observed.
        observed: bool [C], the channels that were recorded.
        source: the file it came from, for messages.
        notes: what the reader decided or left out, one sentence each.
    """

    format: MotionFormat
    rate_hz: float
    values: np.ndarray
    observed: np.ndarray
    source: str = "recording"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks what every later room relies on.

        Raises:
            InputError: rate not in (0, 10 kHz], wrong shape, too short, nothing observed, or a value that is not
                finite (with the channel, the first frame and the length of the run).
        """
        frames, size = self.values.shape
        if not 0 < self.rate_hz <= HIGHEST_RATE_HZ:
            raise InputError(
                f"{self.source}: rate {self.rate_hz} Hz; expected more than 0 and at most {HIGHEST_RATE_HZ:.0f}"
            )
        if size != self.format.size or self.observed.shape != (size,):
            raise InputError(
                f"{self.source}: {size} channels; format {self.format.name} has {self.format.size}; "
                "check the file or the format"
            )
        if frames < 2 or self.duration_s < SHORTEST_S:
            raise InputError(
                f"{self.source}: {frames} frames ({self.duration_s:.2f} s); expected at least {SHORTEST_S} s"
            )
        if not self.observed.any():
            raise InputError(
                f"{self.source}: no channel of format {self.format.name} was observed; all are missing or have long "
                "gaps; check the format"
            )
        bad = ~np.isfinite(self.values)
        if bad.any():
            column = int(bad.any(axis=0).argmax())
            first = int(bad[:, column].argmax())
            run = int(np.argmin(np.append(bad[first:, column], False)))
            raise InputError(
                f"{self.source}: channel {self.format.names[column]} is not a finite number from frame {first} "
                f"for {run} frames ({bad.any(axis=0).sum()} channels affected); fill the gap or cut the trial"
            )

    @property
    def duration_s(self) -> float:
        """Seconds covered: frames over rate."""
        return len(self.values) / self.rate_hz

    def channel(self, name: str) -> np.ndarray:
        """The values [F] of one channel by name."""
        return self.values[:, self.format.indices[name]]

    def lasting(self, seconds: float) -> "Recording":
        """The same frames spread evenly over `seconds` from the first to the last, with a note.

        Raises:
            InputError: the rate that gives is out of range.
        """
        rate = (len(self.values) - 1) / seconds
        note = f"Its {len(self.values)} frames are taken to span {seconds:g} s, as given."
        return dataclasses.replace(self, rate_hz=rate, notes=(*self.notes, note))

    def resampled(self, rate_hz: float) -> "Recording":
        """The same movement at another rate, low-pass filtered where frames are dropped.

        Ends are extended along the line through the first and last frame, so that a walker's travel does not bend
        (`scipy.signal.resample_poly`, padtype "line").
        """
        if rate_hz == self.rate_hz:
            return self
        ratio = Fraction(rate_hz / self.rate_hz).limit_denominator(1000)
        values = scipy.signal.resample_poly(
            self.values.astype(np.float64), ratio.numerator, ratio.denominator, padtype="line"
        )
        return dataclasses.replace(self, rate_hz=rate_hz, values=values.astype(np.float32))

    def mirrored(self) -> "Recording":
        """The movement as a mirror would show it: sides swapped, lateral channels negated.

        Raises:
            InputError: the format does not give mirror signs.
        """
        signs = np.array([c.mirror_sign for c in self.format.channels], np.float32)
        if not signs.all():
            raise InputError(
                f"{self.source}: format {self.format.name} gives no mirror signs; add them to its channels, or do "
                "without mirrored views (--views.mirrored 0)"
            )
        partner = [self.format.indices[c.partner] for c in self.format.channels]
        return dataclasses.replace(self, values=self.values[:, partner] * signs, observed=self.observed[partner])


def to_float32(values: np.ndarray, names: Sequence[str], path: Path) -> np.ndarray:
    """Channels [F, C] as float32.

    Raises:
        InputError: a number is beyond LARGEST (with channel and frame).
    """
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        frame, column = np.argwhere(beyond)[0]
        raise InputError(
            f"{path}: channel {names[column]} is {values[frame, column]:.4g} in frame {frame}; expected at most "
            f"{LARGEST:.0f} m or rad; the file is damaged or in other units"
        )
    return values.astype(np.float32)

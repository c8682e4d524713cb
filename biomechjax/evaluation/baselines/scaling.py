"""Channels over time on one scale."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Mean and spread [C, 1] of each channel over training records and time."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, series: np.ndarray) -> "Scaling":
        """Those of series [records, C, F]; a channel that does not vary stays as it is."""
        spread = series.std((0, 2))[:, None]
        return cls(series.mean((0, 2))[:, None], np.where(spread > 0, spread, 1))

    def __call__(self, series: np.ndarray) -> np.ndarray:
        return (series - self.mean) / self.spread

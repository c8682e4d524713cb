"""How a score is written, in every table and sentence of an evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from biomechjax.evaluation.intervals import Interval


def score_words(score: str) -> str:
    """What a score is called."""
    return {"mae": "MAE", "macro_f1": "macro-F1", "pearson_r": "Pearson r"}.get(score, score)


def with_interval(value: float, interval: Interval, form: str = "z.2f") -> str:
    """A score and its interval in brackets; - is none."""
    return "-" if np.isnan(value) else f"{value:{form}} {brackets(interval, form)}"


def brackets(interval: Interval, form: str = "z.2f") -> str:
    """An interval; [-] where there is none."""
    return "[-]" if interval is None else f"[{interval[0]:{form}}, {interval[1]:{form}}]"


def brackets_legend(bootstrap: Mapping[str, Any]) -> str:
    """What stands in brackets, of the "bootstrap" of an evaluation's metrics."""
    return (
        f"In brackets: {bootstrap['level']:.0%} interval, {bootstrap['resamples']} bootstrap resamples of people; [-]: "
        f"none, as of fewer than {bootstrap['least_participants']} people."
    )


def ends(interval: Interval) -> tuple[float, float]:
    """Its ends, nan where there is none."""
    return (np.nan, np.nan) if interval is None else (interval[0], interval[1])

"""Gradient boosting on what a gait laboratory would measure."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from biomechjax.data.records import Record
from biomechjax.errors import InputError
from biomechjax.evaluation.baselines.baseline import SEED, Absent, Answer, Makers, answers, fit_by_task
from biomechjax.evaluation.baselines.movements import Movements
from biomechjax.evaluation.kept import Kept
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.gait import measure_gait
from biomechjax.motion.mapping import to_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.tug import timed_up_and_go
from biomechjax.tasks.task import Task

BOOSTING = "gait features"


def _seen(x: np.ndarray) -> np.ndarray:
    """The columns that some row has a number in: of walks none has phases of a Timed Up and Go."""
    return np.isfinite(x).any(0)


def _columns() -> ColumnTransformer:
    return ColumnTransformer([("seen", "passthrough", _seen)])


_MAKERS: Makers = (
    lambda: make_pipeline(_columns(), HistGradientBoostingClassifier(early_stopping=False, random_state=SEED)),
    lambda: make_pipeline(_columns(), HistGradientBoostingRegressor(early_stopping=False, random_state=SEED)),
)


@dataclasses.dataclass(frozen=True)
class GaitBoosting:
    """Histogram gradient boosting (Ke et al. 2017, LightGBM, NeurIPS; scikit-learn's, with its default settings).

    Sees of each recording the measures of `motion/gait.py` (speed, cadence, lengths, times, support, symmetry, ranges
    of joints), the phases of `motion/tug.py`, and how long it is; nan where there is none, as of somebody who stands,
    for which trees have branches of their own. Body height is assumed, as nobody tells it to the decoder either.

    Attributes:
        rows: what is measured, by trial.
        fitted: the model of each task by its name.
    """

    rows: dict[str, np.ndarray] = dataclasses.field(repr=False)
    fitted: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    name: str = BOOSTING

    @classmethod
    def of(cls, movements: Movements, kept: Kept) -> "GaitBoosting":
        """Measures every recording of the cohort, or takes what was measured of it before.

        Raises:
            Absent: the cohort's format shares no channel with the canonical one, on which gait is measured.
        """
        first = movements.cohort.read(movements.cohort.trials[0])
        try:
            to_format(first, load_format(CANONICAL))
        except InputError as e:
            raise Absent(f"format {first.format.name} has no canonical channels to measure gait on") from e
        measured = kept(
            "gait measures",
            movements.hash,
            ("motion", "cohort", "evaluation/baselines/gait_features.py"),
            lambda: movements.of_each(measure, "gait measures"),
        )
        names = list(dict.fromkeys(name for found in measured.values() for name in found))
        return cls({t: np.array([found.get(name, np.nan) for name in names]) for t, found in measured.items()})

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        return dataclasses.replace(self, fitted=fit_by_task(tasks, train, self._inputs, _MAKERS))

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        return answers(self.fitted.get(task.name), records, self._inputs)

    def _inputs(self, records: Sequence[Record]) -> np.ndarray:
        return np.stack([self.rows[r.trial] for r in records])


def measure(recording: Recording) -> dict[str, float]:
    """What can be measured of a recording, by name; what cannot is left out."""
    found = {"duration_s": recording.duration_s}
    with contextlib.suppress(InputError):  # a hip or knee was not recorded
        measures = measure_gait(to_format(recording, load_format(CANONICAL))).measures
        found |= {name: m.value for name, m in measures.items() if m.value is not None}
    with contextlib.suppress(InputError):  # most recordings are no Timed Up and Go
        phases = timed_up_and_go(to_format(recording, load_format(CANONICAL)))
        found |= {f"tug_{name}_s": seconds for name, seconds in phases.durations_s.items()}
        found["tug_total_s"] = phases.total_s
    return found

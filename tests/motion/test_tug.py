"""The phases of a Timed Up and Go: of one with known moments, of simulated ones, and refusals of everything else."""

from pathlib import Path

import numpy as np
import pytest
from walks import CANONICAL, COLUMN, pendulum_walk, standing

from biomechjax.cohort.clinic import simulate
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.signals import ramp
from biomechjax.errors import InputError
from biomechjax.motion.recording import Recording
from biomechjax.motion.tug import timed_up_and_go

# Seconds at which the closed-form person begins to rise, walks, turns, walks back, turns, sits down, and sits.
MOMENTS = (1.0, 2.5, 5.5, 7.0, 10.0, 11.0, 12.5)


def tug(rate_hz: float = 50.0, heading: float = 0.3, far: float = 3.0) -> Recording:
    rise, out, turn, back, again, down, end = MOMENTS
    time = np.arange(round(14 * rate_hz)) / rate_hz
    walk = pendulum_walk(rate_hz, 14.0, speed=0.0)
    values = walk.values.copy()
    sitting = 1 - ramp(time, rise, out) + ramp(time, down, end)
    on_foot = ramp(time, out, out + 0.4) - ramp(time, down - 0.4, down)
    for s in "rl":
        values[:, COLUMN[f"hip_flexion_{s}"]] *= on_foot
        values[:, COLUMN[f"hip_flexion_{s}"]] += np.deg2rad(80) * sitting
        values[:, COLUMN[f"knee_angle_{s}"]] = -np.deg2rad(88) * sitting
    values[:, COLUMN["pelvis_rotation"]] = heading + np.pi * (ramp(time, turn, back) - ramp(time, again, down))
    way = far * (ramp(time, out, turn) - ramp(time, back, again))
    values[:, COLUMN["pelvis_tx"]], values[:, COLUMN["pelvis_tz"]] = way * np.cos(heading), -way * np.sin(heading)
    return Recording(CANONICAL, rate_hz, values, walk.observed, "tug")


@pytest.mark.parametrize("rate_hz", [30.0, 100.0])
@pytest.mark.parametrize("heading", [0.3, 3.0, -8.0])
def test_known_moments(rate_hz: float, heading: float):
    """Within 0.35 s: a smooth beginning and end cannot be seen at once."""
    found = timed_up_and_go(tug(rate_hz, heading))
    bounds = [found.sit_to_stand, found.walk, found.turn, found.walk_back, found.turn_to_sit]
    rise, out, turn, back, again, _, end = MOMENTS
    np.testing.assert_allclose([b[0] for b in bounds], [rise, out, turn, back, again], atol=0.35)
    assert [b[0] for b in bounds[1:]] == [b[1] for b in bounds[:-1]]
    assert found.turn_to_sit[1] == pytest.approx(end, abs=0.35)
    assert found.total_s == pytest.approx(end - rise, abs=0.7)
    assert sum(found.durations_s.values()) == pytest.approx(found.total_s)


def test_simulated_tests_last_as_long_as_labelled_and_no_other_test_is_one(tmp_path: Path):
    """The label counts from the command and to the very end, the recording shows 0.3 to 1.3 s less."""
    simulate(tmp_path / "clinic", participants=6, seed=1, visit="short", workers=1)
    cohort = Cohort.load(tmp_path / "clinic")
    short = []
    for trial in cohort.trials:
        if trial.task == "tug":
            short.append(float(trial.labels["tug_time_s"]) - timed_up_and_go(cohort.read(trial)).total_s)
        else:
            with pytest.raises(InputError, match="no Timed Up and Go"):
                timed_up_and_go(cohort.read(trial))
    assert len(short) >= 6
    assert 0.3 < np.median(short) < 1.3 and np.max(np.abs(short)) < 2


def changed(recording: Recording, **columns: np.ndarray | float) -> Recording:
    values = recording.values.copy()
    for name, x in columns.items():
        values[:, COLUMN[name]] = x
    return Recording(CANONICAL, recording.rate_hz, values, recording.observed, "tug")


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (standing(), "hip and knee together are bent by 0 and 0 degrees more"),
        (pendulum_walk(), "expected at least 60, seated"),
        (changed(tug(), pelvis_rotation=0.3), "on foot the person turns by 0 and 0 degrees; expected two turns back"),
        (tug(far=1.0), "the person turns 1.0 m from the chair; expected 3 m"),
        (pendulum_walk(unobserved=("pelvis_rotation", "knee_angle_r")), "needs knee_angle_r, pelvis_rotation; not"),
    ],
)
def test_what_is_no_timed_up_and_go_is_refused(recording: Recording, message: str):
    with pytest.raises(InputError, match=message):
        timed_up_and_go(recording)

"""Baselines that see continuous recordings: of the right cohort, of the right trial, and able to use what is there."""

import dataclasses
import math

import numpy as np
import pytest
import tiny

from biomechjax.cohort import clinic
from biomechjax.cohort.cycle import canonical
from biomechjax.errors import InputError
from biomechjax.evaluation.baselines import gait_features
from biomechjax.evaluation.baselines.baseline import Absent
from biomechjax.evaluation.baselines.gait_features import BOOSTING, GaitBoosting, measure
from biomechjax.evaluation.baselines.movements import FRAMES, Movements, fixed_length
from biomechjax.evaluation.baselines.registry import Setting, make_baselines
from biomechjax.evaluation.kept import Kept
from biomechjax.motion.features import to_features
from biomechjax.motion.gait import measure_gait
from biomechjax.motion.recording import Recording
from biomechjax.tasks.registry import BY_NAME

SPEED, SIDE = BY_NAME["walking speed"], BY_NAME["affected side"]


@pytest.fixture(scope="module")
def movements(cohort) -> Movements:
    return Movements(cohort, cohort.data_hash(), 30.0, workers=1)


def test_another_cohort_than_that_of_the_records_is_refused(cohort, records, tmp_path):
    Movements.load(cohort.path, records.manifest["cohort_hash"], 30.0)
    other = tiny.write_people(tmp_path / "other", tiny.PEOPLE[1:])
    with pytest.raises(InputError, match="another cohort than the records were made from"):
        make_baselines(Setting(records, cohort=other.path), [BOOSTING])


def test_every_record_has_the_series_of_its_own_trial(movements, cohort, records):
    test = records.read("test")
    found = movements.series(test[::-1])
    assert found.shape == (len(test), tiny.FORMAT.size, FRAMES) and found.dtype == np.float32
    for record, series in zip(test[::-1], found, strict=True):
        (trial,) = (t for t in cohort.trials if str(t.path.relative_to(cohort.path)) == record.trial)
        assert (series == fixed_length(30.0, cohort.read(trial))).all()


def test_a_series_keeps_the_course_and_loses_the_length():
    """Means and slow changes stay, at any length and rate; an unobserved channel is 0."""
    for frames, rate in ((90, 30.0), (128, 30.0), (600, 60.0)):
        recording = tiny.walk(3, frames, rate, hidden=["knee_l"])
        at_rate = recording.resampled(30.0)
        features, _ = to_features(at_rate.format, 30.0, at_rate.values)
        found = fixed_length(30.0, recording)
        assert found.shape == (tiny.FORMAT.size, FRAMES)
        assert (found[tiny.FORMAT.indices["knee_l"]] == 0).all()
        assert found.mean(1) == pytest.approx((features * recording.observed).mean(0), abs=0.03)
        slow = np.interp(np.linspace(0, 1, FRAMES), np.linspace(0, 1, len(features)), features[:, 2])
        assert np.abs(found[2] - slow).max() < 0.03


def test_a_standing_persons_gait_is_no_number_and_that_is_no_error():
    still = np.zeros((90, canonical().size), np.float32)
    recording = Recording(canonical(), 30.0, still, np.ones(canonical().size, bool))
    assert measure(recording) == {"duration_s": 3.0}
    unseen = np.ones(canonical().size, bool)
    unseen[canonical().indices["knee_angle_r"]] = False
    assert measure(dataclasses.replace(recording, observed=unseen)) == {"duration_s": 3.0}


def gaits(count: int, first: int = 0):
    """Records, and what was measured of them: the speed is seen of all but every fifth, the side of all, and the last
    of nobody."""
    records, rows = [], {}
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        speed, side = float(rng.uniform(0.3, 1.6)), str(rng.choice(["left", "right"]))
        labels = {"activity": "overground walking", "affected_side": side, "walking_speed_m_s": speed}
        records.append(dataclasses.replace(tiny.record(i), labels=labels, trial=f"trial-{i}"))
        rows[f"trial-{i}"] = np.array(
            [math.nan if i % 5 == 0 else speed, float(side == "left"), rng.normal(), math.nan]
        )
    return records, rows


def test_boosting_learns_from_measures_and_lives_without_some():
    (train, rows), (test, others) = gaits(100), gaits(40, 300)
    fitted = GaitBoosting(rows | others).fit([SIDE, SPEED], train)
    assert fitted.predict(SIDE, test) == [r.labels["affected_side"] for r in test]
    errors = {
        r.trial: abs(a - r.labels["walking_speed_m_s"]) for a, r in zip(fitted.predict(SPEED, test), test, strict=True)
    }
    seen = [e for trial, e in errors.items() if not math.isnan(others[trial][0])]
    assert np.mean(seen) < 0.1 < np.mean([e for trial, e in errors.items() if math.isnan(others[trial][0])])
    assert fitted.predict(BY_NAME["cadence"], test) == [None] * 40


def test_measures_are_those_of_the_gait_of_each_trial_and_are_kept(monkeypatch, movements, cohort, tmp_path):
    """The cohort's walkers have no pelvis to measure on; what is measured of them here is their own number."""
    with pytest.raises(Absent, match="format walker has no canonical channels"):
        GaitBoosting.of(movements, Kept())
    monkeypatch.setattr(gait_features, "to_format", lambda recording, target: recording)
    monkeypatch.setattr(
        gait_features, "measure", lambda r: {"frames": float(len(r.values)), r.source.split("_task-")[1][:3]: 1.0}
    )
    made = GaitBoosting.of(movements, Kept(tmp_path))
    for trial in cohort.trials:
        row = made.rows[str(trial.path.relative_to(cohort.path))]
        assert row[0] == len(cohort.read(trial).values)
        assert np.isfinite(row).sum() == 2 and len(row) > 2
    monkeypatch.setattr(gait_features, "measure", lambda r: 1 / 0)
    again = GaitBoosting.of(movements, Kept(tmp_path)).rows
    assert list(again) == list(made.rows)
    assert all(np.array_equal(again[t], row, equal_nan=True) for t, row in made.rows.items())


def test_a_simulated_walk_is_measured_as_gait_is():
    trials = list(clinic._trials(0, "short", 1.0, {"participant_id": "sub-001", "group": "stroke"}))
    (walk, *_), (tug, *_) = ([r for labels, r in trials if labels["task"] == task] for task in ("walk", "tug"))
    measures = measure_gait(walk).measures
    found = measure(walk)
    assert found == {"duration_s": walk.duration_s} | {n: m.value for n, m in measures.items() if m.value is not None}
    assert found["walking_speed_m_s"] > 0.1
    of_test = measure(tug)
    assert 0 < of_test["tug_total_s"] < of_test["duration_s"]
    phases = [s for name, s in of_test.items() if name.startswith("tug_") and name != "tug_total_s"]
    assert sum(phases) == pytest.approx(of_test["tug_total_s"])

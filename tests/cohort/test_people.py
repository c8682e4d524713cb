"""The people of the simulated clinic: groups that differ as the literature says, and overlap as people do."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from biomechjax.cohort.activities import walk
from biomechjax.cohort.capture import capture
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.people import GROUPS, SIDES, draw_groups, draw_person
from biomechjax.motion.features import to_features

PEOPLE = 200


@pytest.fixture(scope="module")
def clinic():
    """(person, labels of two walks, recorded values of both) of as many people as a default cohort has."""
    seen = []
    for index, group in enumerate(draw_groups(PEOPLE, seed=0)):
        rng = np.random.default_rng([7, index])
        person = draw_person(rng, group)
        trials = [walk(person, rng) for _ in range(2)]
        seen.append((person, [t for t, _ in trials], [capture(m.values, rng) for _, m in trials]))
    return seen


def test_groups_have_their_shares():
    groups = draw_groups(PEOPLE, seed=3)
    for name, group in GROUPS.items():
        assert abs(groups.count(name) - group.share * PEOPLE) <= 1


def test_words_agree_with_each_other(clinic):
    for person, _, _ in clinic:
        labels = person.labels
        healthy = labels["group"] == "unimpaired"
        assert (labels["impairment"] == "no") == healthy == (labels["diagnosis"] == "none")
        assert (labels["impairment_type"] == "none") == healthy == (labels["affected_side"] == "none")
        assert (labels["assistive_device"] == "prosthesis") == ("prosthesis" in str(labels["impairment_type"]))
        assert 0 <= labels["berg_score"] <= 56


def test_groups_differ_from_healthy_people_as_published():
    """Means over people of what `impairments` cites: the share of comfortable speed that is left, degrees of swing
    flexion and shares of loading flexion and push-off of the affected knee and ankle."""
    people = {
        g: [draw_person(np.random.default_rng([9, i]), g) for i in range(200)]
        for g in ("unimpaired", "transtibial prosthesis users", "knee osteoarthritis", "cervical myelopathy")
    }
    patterns = {
        g: [(p.pattern, side) for p in ps for side in SIDES[str(p.labels["affected_side"])] or (0, 1)]
        for g, ps in people.items()
    }
    speed = {g: np.mean([p.speed_m_s for p in ps]) for g, ps in people.items()}
    assert speed["transtibial prosthesis users"] / speed["unimpaired"] == pytest.approx(0.99 / 1.42, abs=0.06)
    for group, degrees in (("knee osteoarthritis", 61.2 - 54.8), ("cervical myelopathy", 60.5 - 54.8)):
        assert np.mean([p.knee_swing_loss_deg[s] for p, s in patterns[group]]) == pytest.approx(degrees, abs=1.2)
    loading, push_off = (
        np.mean([getattr(p, name)[s] for p, s in patterns[group]])
        for name, group in (("knee_loading", "knee osteoarthritis"), ("push_off", "cervical myelopathy"))
    )
    assert loading == pytest.approx(10.3 / 18.0, abs=0.12)
    assert push_off == pytest.approx(6.5 / 12.2, abs=0.15)


def test_label_rates_leave_something_to_predict(clinic):
    falls = np.mean([p.labels["falls_history"] == "yes" for p, _, _ in clinic])
    no_device = np.mean([p.labels["assistive_device"] == "none" for p, _, _ in clinic])
    assert 0.33 < falls < 0.48
    assert no_device < 0.6


def test_severity_slows_and_unsteadies(clinic):
    impaired = [p for p, _, _ in clinic if p.labels["impairment"] == "yes"]
    severity = [p.severity for p in impaired]
    assert np.corrcoef(severity, [p.speed_m_s for p in impaired])[0, 1] < -0.5
    assert np.corrcoef(severity, [p.labels["berg_score"] for p in impaired])[0, 1] < -0.6
    slowest_healthy = min(p.speed_m_s for p, _, _ in clinic if p.labels["impairment"] == "no")
    assert np.mean([p.speed_m_s > slowest_healthy for p in impaired]) > 0.3


def test_unimpaired_walking_has_the_published_size(clinic):
    """Comfortable speed near 1.4 m/s (Bohannon 1997); excursions of hip, knee and ankle about 40, 60 and 30 degrees
    (Winter 1991), to which the error of capture adds some."""
    healthy = [(trials, recorded) for p, trials, recorded in clinic if p.labels["impairment"] == "no"]
    walks = [t for trials, _ in healthy for t in trials]
    assert np.mean([t["walking_speed_m_s"] for t in walks]) == pytest.approx(1.35, abs=0.12)
    assert np.mean([t["cadence_steps_min"] for t in walks]) == pytest.approx(113, abs=7)
    for name, degrees in (("hip_flexion_r", 45), ("knee_angle_l", 62), ("ankle_angle_r", 37)):
        column = canonical().indices[name]
        excursion = [
            np.ptp(np.percentile(np.rad2deg(v[:, column]), [2, 98])) for _, recorded in healthy for v in recorded
        ]
        assert np.median(excursion) == pytest.approx(degrees, rel=0.2)


@pytest.mark.parametrize("type", ["hemiparesis", "transfemoral prosthesis", "joint pain"])
def test_the_affected_knee_moves_less(clinic, type: str):
    knees = [canonical().indices[f"knee_angle{s}"] for s in ("_r", "_l")]
    missing = []
    for person, _, recorded in clinic:
        if person.labels["impairment_type"] == type and person.labels["affected_side"] in ("left", "right"):
            (side,) = SIDES[str(person.labels["affected_side"])]
            ranges = [np.mean([np.ptp(v[:, k]) for v in recorded]) for k in knees]
            missing.append(np.rad2deg(ranges[1 - side] - ranges[side]))
    assert np.mean(missing) > 4
    assert np.mean(np.array(missing) > 0) > 0.7


def test_prosthetic_ankle_does_not_push_off(clinic):
    ankles = [canonical().indices[f"ankle_angle{s}"] for s in ("_r", "_l")]
    lacking = []
    for person, _, recorded in clinic:
        if person.labels["assistive_device"] == "prosthesis":
            (side,) = SIDES[str(person.labels["affected_side"])]
            ranges = [np.mean([v[:, k].std() for v in recorded]) for k in ankles]
            lacking.append(ranges[side] / ranges[1 - side])
    assert np.mean(lacking) < 0.85


def simple_features(values: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, extremes and mean change of each channel and of the root's velocity."""
    f, _ = to_features(canonical(), 30.0, values)
    return np.concatenate([f.mean(0), f.std(0), f.min(0), f.max(0), np.abs(np.diff(f, axis=0)).mean(0)])


@pytest.fixture(scope="module")
def table(clinic):
    """Simple features [trials, .], labels, and the person's index of each walking trial."""
    features = np.array([simple_features(v) for _, _, recorded in clinic for v in recorded])
    return features, [p.labels for p, _, _ in clinic for _ in range(2)], np.repeat(np.arange(PEOPLE), 2)


def predict_unseen_people(model, features, target, person) -> np.ndarray:
    """Predictions for each trial by a model that never saw its person."""
    predicted = target.copy()
    for fold in np.array_split(np.random.default_rng(0).permutation(PEOPLE), 4):
        held_out = np.isin(person, fold)
        predicted[held_out] = model.fit(features[~held_out], target[~held_out]).predict(features[held_out])
    return predicted


@pytest.mark.parametrize(
    ("label", "lowest", "highest"),
    [
        ("impairment", 0.78, 0.95),
        ("diagnosis", 0.58, 0.87),
        ("assistive_device", 0.62, 0.92),
        ("falls_history", 0.64, 0.87),
    ],
)
def test_labels_are_neither_at_chance_nor_given_away(table, label: str, lowest: float, highest: float):
    features, labels, person = table
    target = np.array([str(row[label]) for row in labels])
    model = ExtraTreesClassifier(80, random_state=0, min_samples_leaf=2)
    accuracy = np.mean(predict_unseen_people(model, features, target, person) == target)
    majority = max(np.mean(target == word) for word in set(target))
    assert lowest < accuracy < highest
    assert accuracy > majority + 0.05


def test_berg_score_is_partly_seen_in_walking(table):
    features, labels, person = table
    target = np.array([float(row["berg_score"]) for row in labels])
    predicted = predict_unseen_people(ExtraTreesRegressor(60, random_state=0, n_jobs=1), features, target, person)
    assert 0.6 < np.corrcoef(predicted, target)[0, 1] < 0.92

"""Baselines on a summary of each channel: fitted on training records alone, and able to learn what is there."""

import dataclasses
import warnings

import numpy as np
import pytest
import tiny
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biomechjax.errors import InputError
from biomechjax.evaluation.baselines.baseline import CONSTANT
from biomechjax.evaluation.baselines.neighbours import NEAREST, Neighbours, SummarySpace
from biomechjax.evaluation.baselines.registry import BASELINES, Setting, make_baselines
from biomechjax.evaluation.baselines.summary import LINEAR, TREES, OnSummary
from biomechjax.tasks.registry import BY_NAME
from biomechjax.tasks.task import Choice

SIDE, SPEED = BY_NAME["affected side"], BY_NAME["walking speed"]
OF_RECORDS = {
    CONSTANT: OnSummary(CONSTANT),
    LINEAR: OnSummary(LINEAR),
    NEAREST: Neighbours(NEAREST, SummarySpace()),
}
"""Those that need nothing but records and are quick; the trees are of the same class as the first two."""


def people(count: int, first: int = 0):
    """Walks whose first summary feature is the speed and whose second gives the side away."""
    out = []
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        speed, side = float(rng.uniform(0.3, 1.6)), str(rng.choice(["left", "left", "right"]))
        summary = [speed, {"left": -1.0, "right": 1.0}[side], *rng.normal(0, 0.1, 4)]
        labels = {"activity": "overground walking", "affected_side": side, "walking_speed_m_s": speed}
        out.append(dataclasses.replace(tiny.record(i), labels=labels, summary=summary))
    return out


def said(name: str, task, train, test) -> list:
    return (OnSummary(TREES) if name == TREES else OF_RECORDS[name]).fit([task], train).predict(task, test)


def before(name: str, task, train, test) -> list:
    """The same models, written down as they were before there was a protocol."""
    models = {
        CONSTANT: (DummyClassifier(strategy="most_frequent"), DummyRegressor()),
        LINEAR: (
            make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
            make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
        ),
        TREES: (
            ExtraTreesClassifier(200, n_jobs=-1, random_state=0),
            ExtraTreesRegressor(200, n_jobs=-1, random_state=0),
        ),
    }
    asked = [r for r in train if task.asked_of(r.labels)]
    model = models[name][0 if isinstance(task.answer, Choice) else 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.array([r.summary for r in asked]), [r.labels[task.label] for r in asked])
    return model.predict(np.array([r.summary for r in test])).tolist()


@pytest.mark.parametrize("name", [CONSTANT, LINEAR, TREES])
def test_answers_are_those_of_scikit_learn_as_ever(name):
    train, test = people(60), people(20, 100)
    assert said(name, SIDE, train, test) == before(name, SIDE, train, test)
    # The trees are averaged by threads, in any order.
    assert said(name, SPEED, train, test) == pytest.approx(before(name, SPEED, train, test), rel=1e-12)


def test_constant_is_the_majority_or_mean_of_training():
    train, test = people(60), people(7, 100)
    assert said(CONSTANT, SIDE, train, test) == ["left"] * 7
    mean = np.mean([r.labels["walking_speed_m_s"] for r in train])
    assert said(CONSTANT, SPEED, train, test) == pytest.approx([mean] * 7)


@pytest.mark.parametrize("name", [LINEAR, TREES, NEAREST])
def test_models_on_features_learn(name):
    train, test = people(150), people(40, 200)
    right = [a == r.labels["affected_side"] for a, r in zip(said(name, SIDE, train, test), test, strict=True)]
    assert np.mean(right) > 0.9
    errors = [a - r.labels["walking_speed_m_s"] for a, r in zip(said(name, SPEED, train, test), test, strict=True)]
    spread = np.std([r.labels["walking_speed_m_s"] for r in test])
    assert np.mean(np.abs(errors)) < 0.6 * spread


@pytest.mark.parametrize("name", OF_RECORDS)
@pytest.mark.parametrize("task", [SIDE, SPEED], ids=lambda t: t.name)
def test_test_labels_and_people_change_no_prediction(name, task):
    train, test = people(30), people(6, 100)
    other = [
        dataclasses.replace(r, labels={"activity": "overground walking"}, participant=train[0].participant)
        for r in test
    ]
    found = said(name, task, train, test)
    assert said(name, task, train, other) == (pytest.approx(found) if task is SPEED else found)
    changed = [dataclasses.replace(r, summary=[-x for x in r.summary]) for r in test]
    assert (said(name, task, train, changed) == found) == (name == CONSTANT)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_only_training_records_that_are_asked_count(name):
    """Labels of other activities must not shift the majority, nor stand near."""
    train = people(9)
    others = [
        dataclasses.replace(r, labels={"activity": "quiet standing", "affected_side": "both"}, participant="other")
        for r in people(30)
    ]
    if name == CONSTANT:
        assert said(name, SIDE, train + others, train) == said(name, SIDE, train, train)
    assert "both" not in said(name, SIDE, train + others, train)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_a_label_that_never_varies_is_answered_as_it_is(name):
    train = [r for r in people(40) if r.labels["affected_side"] == "left"]
    assert said(name, SIDE, train, people(3, 100)) == ["left"] * 3


@pytest.mark.parametrize("name", OF_RECORDS)
def test_without_training_records_there_is_no_answer(name):
    assert said(name, SIDE, [], people(2)) == [None, None]
    standing = [dataclasses.replace(r, labels={"activity": "quiet standing"}) for r in people(5)]
    assert said(name, SIDE, standing, people(2)) == [None, None]
    assert said(name, SIDE, people(9), []) == []


@pytest.mark.parametrize("name", OF_RECORDS)
def test_a_fit_forgets_an_earlier_one(name):
    train, other, test = people(30), people(30, 300), people(10, 100)
    fitted = OF_RECORDS[name].fit([SIDE, SPEED], other)
    again = fitted.fit([SPEED], train)
    assert again.predict(SPEED, test) == pytest.approx(said(name, SPEED, train, test))
    assert again.predict(SIDE, test) == [None] * 10
    assert fitted.predict(SPEED, test) == pytest.approx(said(name, SPEED, other, test))


def test_what_cannot_be_had_is_told(records):
    made, absent = make_baselines(Setting(records))
    assert [b.name for b in made] == [name for name in BASELINES if name not in absent]
    assert {b.name for b in made} >= {*OF_RECORDS, TREES}
    assert absent["gait features"] == absent["MiniRocket"] == "sees continuous recordings: needs --cohort"


def test_chosen_baselines_have_the_constant_beside_them(records):
    assert [b.name for b in make_baselines(Setting(records), ["extra trees"])[0]] == [CONSTANT, TREES]
    with pytest.raises(InputError, match="--baselines: 'trees'; expected some of: majority/mean; linear"):
        make_baselines(Setting(records), ["linear", "trees"])

"""Baselines: fitted on training records alone, and able to learn what is there."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.evaluation.baselines import CONSTANT, LINEAR, TREES, baseline_answers
from biomechjax.tasks.registry import BY_NAME

SIDE, SPEED = BY_NAME["affected side"], BY_NAME["walking speed"]


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


def test_constant_is_the_majority_or_mean_of_training():
    train, test = people(60), people(7, 100)
    assert baseline_answers(SIDE, train, test)[CONSTANT] == ["left"] * 7
    mean = np.mean([r.labels["walking_speed_m_s"] for r in train])
    assert baseline_answers(SPEED, train, test)[CONSTANT] == pytest.approx([mean] * 7)


@pytest.mark.parametrize("name", [LINEAR, TREES])
def test_models_on_features_learn(name):
    train, test = people(150), people(40, 200)
    right = [
        a == r.labels["affected_side"] for a, r in zip(baseline_answers(SIDE, train, test)[name], test, strict=True)
    ]
    assert np.mean(right) > 0.9
    errors = [
        a - r.labels["walking_speed_m_s"] for a, r in zip(baseline_answers(SPEED, train, test)[name], test, strict=True)
    ]
    spread = np.std([r.labels["walking_speed_m_s"] for r in test])
    assert np.mean(np.abs(errors)) < 0.6 * spread


@pytest.mark.parametrize("task", [SIDE, SPEED], ids=lambda t: t.name)
def test_test_labels_change_no_prediction(task):
    train, test = people(30), people(6, 100)
    other = [dataclasses.replace(r, labels={"activity": "overground walking"}) for r in test]
    found = baseline_answers(task, train, test)
    for name, answers in baseline_answers(task, train, other).items():
        # The trees are averaged by threads, in any order.
        assert answers == (pytest.approx(found[name]) if task is SPEED else found[name])
    changed = [dataclasses.replace(r, summary=[-x for x in r.summary]) for r in test]
    assert found[LINEAR] != baseline_answers(task, train, changed)[LINEAR]


def test_only_training_records_that_are_asked_count():
    """Labels of other activities must not shift the majority."""
    train = people(9)
    others = [
        dataclasses.replace(r, labels={"activity": "quiet standing", "affected_side": "both"}) for r in people(30, 300)
    ]
    assert baseline_answers(SIDE, train + others, train) == baseline_answers(SIDE, train, train)


def test_a_label_that_never_varies_is_answered_as_it_is():
    train = [r for r in people(40) if r.labels["affected_side"] == "left"]
    assert baseline_answers(SIDE, train, people(3, 100)) == dict.fromkeys((CONSTANT, LINEAR, TREES), ["left"] * 3)


def test_without_training_records_there_is_no_answer():
    assert baseline_answers(SIDE, [], people(2)) == dict.fromkeys((CONSTANT, LINEAR, TREES), [None, None])

"""Calibration and selective answers against hand calculations and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from biomechjax.evaluation.calibration import calibration, reliability, selective_accuracy


def test_four_answers_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.5, 0.5]])
    found = calibration(probabilities, np.array([0, 1, 1, 0]))
    assert found["accuracy"] == 0.75
    assert found["brier"] == pytest.approx((0.02 + 1.28 + 0.32 + 0.5) / 4)
    # Each answer has a bin of its own: |0.9 - 1|, |0.8 - 0|, |0.6 - 1|, |0.5 - 1|.
    assert found["ece"] == pytest.approx((0.1 + 0.8 + 0.4 + 0.5) / 4)
    # Of the 1, 2, 3, 4 surest: 0, 1/2, 1/3 and 1/4 wrong.
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert found["accuracy_at_80"] == 0.75  # 80 % of four are all four
    half = next(p for p in found["risk_coverage"] if p["coverage"] == 0.5)
    assert half["accuracy"] == 0.5
    assert found["risk_coverage"][-1] == {"coverage": 1.0, "accuracy": 0.75}


def test_of_ten_answers_the_surest_eight_are_kept():
    confidence = np.linspace(0.55, 1, 10)
    right = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1], float)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    found = calibration(probabilities, (1 - right).astype(int))
    assert (found["accuracy"], found["accuracy_at_80"]) == (0.8, 1.0)


@pytest.mark.parametrize("n", [40, 1003])
def test_bins_hold_equally_many_and_equal_scikit_learn(n):
    rng = np.random.default_rng(n)
    confidence = rng.beta(8, 1, n)
    right = (rng.random(n) < confidence**2).astype(float)
    bins = reliability(confidence, right)
    assert sum(b["n"] for b in bins) == n
    assert max(b["n"] for b in bins) - min(b["n"] for b in bins) <= 1
    accuracy, mean = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
    assert [b["accuracy"] for b in bins] == pytest.approx(accuracy)
    assert [b["confidence"] for b in bins] == pytest.approx(mean)


def test_brier_equals_scikit_learn():
    rng = np.random.default_rng(0)
    p, truth = rng.dirichlet(np.ones(5), 200), rng.integers(5, size=200)
    assert calibration(p, truth)["brier"] == pytest.approx(brier_score_loss(truth, p, scale_by_half=False))


def test_who_knows_how_sure_it_may_be_is_calibrated():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(4, 0.5), 20_000)
    truth = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert calibration(p, truth)["ece"] < 0.01
    surer = p**3 / (p**3).sum(1, keepdims=True)
    found = calibration(surer, truth)
    assert found["ece"] > 0.08
    assert all(b["accuracy"] < b["confidence"] for b in found["reliability"][1:])


def test_equal_confidences_are_one_bin_whatever_their_order():
    right = np.array([1, 1, 1, 0, 0, 0], float)
    for order in (right, right[::-1]):
        (only,) = reliability(np.full(6, 0.5), order)
        assert only == {"n": 6, "confidence": 0.5, "accuracy": 0.5}
        assert selective_accuracy(np.full(6, 0.5), order) == pytest.approx(np.full(6, 0.5))


def test_ties_are_the_mean_over_every_order():
    confidence, right = np.array([0.9, 0.7, 0.7, 0.7, 0.2]), np.array([1, 0, 1, 0, 1.0])
    every = [[0, *order, 4] for order in itertools.permutations([1, 2, 3])]
    expected = np.mean([np.cumsum(right[order]) / np.arange(1, 6) for order in every], axis=0)
    shuffled = [2, 4, 1, 0, 3]
    assert selective_accuracy(confidence[shuffled], right[shuffled]) == pytest.approx(expected)

"""Scores against scikit-learn and scipy, and what an unparsable answer costs."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from biomechjax.evaluation.metrics import limits_of_agreement, per_class, scores, terms
from biomechjax.tasks.registry import BY_NAME

DIAGNOSIS, SPEED = BY_NAME["diagnosis"], BY_NAME["walking speed"]
OPTIONS = DIAGNOSIS.answer.options


def score(task, truth, answers, fallback):
    return {name: float(value) for name, value in scores(task, terms(task, truth, answers, fallback).sum(0)).items()}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("silent", [0.0, 0.3, 1.0])
def test_label_scores_equal_scikit_learn(seed, silent):
    rng = np.random.default_rng(seed)
    truth = rng.choice(OPTIONS[: 3 + seed % 3], 50).tolist()
    answers = [None if rng.random() < silent else str(rng.choice(OPTIONS)) for _ in truth]
    found = score(DIAGNOSIS, truth, answers, fallback=0.0)

    said = ["no answer" if a is None else a for a in answers]
    classes = sorted(set(truth))
    assert found["n"] == 50
    assert found["unparsable"] == pytest.approx(answers.count(None) / 50)
    assert found["accuracy"] == pytest.approx(np.mean([a == t for a, t in zip(answers, truth, strict=True)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are answered and never true
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    f1 = metrics.f1_score(truth, said, labels=classes, average=None, zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1.mean())

    confusion = terms(DIAGNOSIS, truth, answers, 0.0).sum(0)
    labels = [*OPTIONS, "no answer"]
    assert (confusion == metrics.confusion_matrix(truth, said, labels=labels)[:-1]).all()
    expected = metrics.precision_recall_fscore_support(truth, said, labels=OPTIONS, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert per_class(confusion)[name] == pytest.approx(values, nan_ok=True), name


@pytest.mark.parametrize("seed", range(5))
def test_number_scores_equal_scipy(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 1.6, 40)
    answers = [None if rng.random() < 0.2 else float(t + rng.normal(0, 0.2)) for t in truth]
    found = score(SPEED, truth.tolist(), answers, fallback=0.9)

    said = np.array([0.9 if a is None else a for a in answers])
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found["mae"] == pytest.approx(np.abs(truth - said).mean())
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found["within_tolerance"] == pytest.approx(np.mean(np.abs(truth - said) <= 0.10))
    assert found["icc"] == pytest.approx(anova_icc(truth, said))
    limits = limits_of_agreement(terms(SPEED, truth.tolist(), answers, 0.9).sum(0))
    off = said - truth
    assert limits["bias"] == pytest.approx(off.mean())
    assert limits["high"] == pytest.approx(off.mean() + 1.96 * off.std(ddof=1))
    assert found["pearson_r"] == pytest.approx(stats.pearsonr(truth, said).statistic)
    assert found["unparsable"] == pytest.approx(answers.count(None) / 40)


def anova_icc(truth, said) -> float:
    """ICC(2,1) of two raters from mean squares, as Shrout & Fleiss write it."""
    x = np.stack([truth, said], 1)
    rows = 2 * x.mean(1).var(ddof=1)
    columns = len(x) * x.mean(0).var(ddof=1)
    residual = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    error = (residual**2).sum() / (len(x) - 1)
    return (rows - error) / (rows + error + 2 * (columns - error) / len(x))


def test_a_bias_lowers_agreement_and_not_correlation():
    truth = np.linspace(0.4, 1.6, 30)
    found = score(SPEED, truth.tolist(), (truth + 0.5).tolist(), 0.0)
    assert found["pearson_r"] == pytest.approx(1)
    assert found["icc"] == pytest.approx(anova_icc(truth, truth + 0.5)) and found["icc"] < 0.55
    assert found["within_tolerance"] == 0


def test_an_error_as_large_as_the_tolerance_is_within_it():
    """0.1 m/s, although 1.3 - 1.2 is a little more in floating point; of a cadence no tolerance is known."""
    assert 1.3 - 1.2 > 0.1
    assert score(SPEED, [1.2, 1.2, 1.2, 1.2], [1.3, 1.1, 1.31, 1.09], 0.0)["within_tolerance"] == 0.5
    assert "within_tolerance" not in score(BY_NAME["cadence"], [100.0], [100.0], 0.0)


def test_scores_do_not_depend_on_the_size_of_the_numbers():
    """Sums of squares of large numbers that vary little."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.01, 50) + 299
    said = truth + rng.normal(0, 0.01, 50)
    found = score(BY_NAME["cadence"], truth.tolist(), said.tolist(), 0.0)
    assert found["pearson_r"] == pytest.approx(stats.pearsonr(truth, said).statistic)
    assert found["icc"] == pytest.approx(anova_icc(truth, said))


def test_silence_is_wrong_and_not_left_out():
    assert score(DIAGNOSIS, ["stroke", "none"], ["stroke", None], 0.0)["accuracy"] == 0.5
    assert score(SPEED, [1.0, 2.0], [1.0, None], fallback=1.2)["mae"] == pytest.approx(0.4)


def test_correlation_of_constant_answers_is_not_a_number():
    assert math.isnan(score(SPEED, [1.0, 2.0, 3.0], [1.1, 1.1, 1.1], 0.0)["pearson_r"])
    assert math.isnan(score(SPEED, [1.0], [1.0], 0.0)["pearson_r"])
    assert score(SPEED, [1.0, 2.0, 3.0], [2.0, 1.0, 0.0], 0.0)["pearson_r"] == pytest.approx(-1)

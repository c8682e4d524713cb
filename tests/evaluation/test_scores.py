"""Scores against scikit-learn and scipy, and what an unparsable answer costs."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from biomechjax.evaluation.metrics import score
from biomechjax.tasks.registry import BY_NAME

DIAGNOSIS, SPEED = BY_NAME["diagnosis"], BY_NAME["walking speed"]
OPTIONS = DIAGNOSIS.answer.options


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


@pytest.mark.parametrize("seed", range(5))
def test_number_scores_equal_scipy(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 1.6, 40)
    answers = [None if rng.random() < 0.2 else float(t + rng.normal(0, 0.2)) for t in truth]
    found = score(SPEED, truth.tolist(), answers, fallback=0.9)

    said = np.array([0.9 if a is None else a for a in answers])
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found["mae"] == pytest.approx(np.abs(truth - said).mean())
    assert found["pearson_r"] == pytest.approx(stats.pearsonr(truth, said).statistic)
    assert found["unparsable"] == pytest.approx(answers.count(None) / 40)


def test_silence_is_wrong_and_not_left_out():
    assert score(DIAGNOSIS, ["stroke", "none"], ["stroke", None], 0.0)["accuracy"] == 0.5
    assert score(SPEED, [1.0, 2.0], [1.0, None], fallback=1.2)["mae"] == pytest.approx(0.4)


def test_correlation_of_constant_answers_is_not_a_number():
    assert math.isnan(score(SPEED, [1.0, 2.0, 3.0], [1.1, 1.1, 1.1], 0.0)["pearson_r"])
    assert math.isnan(score(SPEED, [1.0], [1.0], 0.0)["pearson_r"])
    assert score(SPEED, [1.0, 2.0, 3.0], [2.0, 1.0, 0.0], 0.0)["pearson_r"] == pytest.approx(-1)

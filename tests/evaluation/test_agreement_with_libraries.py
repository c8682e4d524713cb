"""Every score against scikit-learn's and pingouin's on random answers, to a billionth."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from biomechjax.evaluation.agreement import bland_altman
from biomechjax.evaluation.calibration import calibration
from biomechjax.evaluation.metrics import limits_of_agreement, per_class, scores, terms
from biomechjax.tasks.registry import BY_NAME

DIAGNOSIS, SPEED = BY_NAME["diagnosis"], BY_NAME["walking speed"]
OPTIONS = DIAGNOSIS.answer.options
EXACT = {"rel": 0, "abs": 1e-9}


def of_numbers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 1.6, 20 + 10 * seed)
    return truth, 0.1 * seed + truth * rng.uniform(0.5, 1.2) + rng.normal(0, 0.1 + 0.1 * seed, len(truth))


@pytest.mark.parametrize("seed", range(8))
def test_label_scores_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    chosen = OPTIONS[: 2 + seed % 5]
    truth, said = (rng.choice(chosen, 30 + 10 * seed).tolist() for _ in range(2))
    sums = terms(DIAGNOSIS, truth, said, 0.0).sum(0)
    found = scores(DIAGNOSIS, sums)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options that are answered and never true
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said), **EXACT)
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said), **EXACT)
        present = sorted(set(truth))
        f1 = metrics.f1_score(truth, said, labels=present, average="macro", zero_division=0)
        assert found["macro_f1"] == pytest.approx(f1, **EXACT)
        each = metrics.precision_recall_fscore_support(truth, said, labels=OPTIONS, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), each, strict=True):
        assert per_class(sums)[name] == pytest.approx(values, nan_ok=True, **EXACT), name


@pytest.mark.parametrize("seed", range(8))
def test_number_scores_are_scikit_learns_and_pingouins(seed):
    pingouin = pytest.importorskip("pingouin", reason="pingouin is not installed: pip install pingouin")
    pandas = pytest.importorskip("pandas")
    truth, said = of_numbers(seed)
    sums = terms(SPEED, truth.tolist(), said.tolist(), 0.0).sum(0)
    found = scores(SPEED, sums)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said), **EXACT)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said), **EXACT)
    assert found["pearson_r"] == pytest.approx(pingouin.corr(truth, said)["r"].iloc[0], **EXACT)
    n = len(truth)
    rated = pandas.DataFrame(
        {"person": [*range(n)] * 2, "rater": ["truth"] * n + ["answer"] * n, "value": np.concatenate([truth, said])}
    )
    table = pingouin.intraclass_corr(rated, targets="person", raters="rater", ratings="value")
    of_type = table[table["Type"].str.replace(r"\W", "", regex=True).isin(["ICC2", "ICCA1"])]
    assert found["icc"] == pytest.approx(float(of_type["ICC"].iloc[0]), **EXACT)
    limits = limits_of_agreement(sums)
    drawn = pingouin.plot_blandaltman(said, truth, agreement=1.96)
    lines = sorted(
        {round(float(y), 12) for line in drawn.lines for y in line.get_ydata() if len(line.get_ydata()) == 2}
    )
    for name in ("bias", "low", "high"):
        assert min(abs(limits[name] - y) for y in lines) < 1e-9, (name, limits[name], lines)


@pytest.mark.parametrize("seed", range(4))
def test_brier_scores_and_accuracy_of_the_likeliest_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    chances, truth = rng.dirichlet(np.ones(4), 50), rng.integers(0, 4, 50)
    found = calibration(chances, truth)
    # scikit-learn halves the score of two options alone, unless told not to.
    expected = metrics.brier_score_loss(truth, chances, labels=range(4))
    assert found["brier"] == pytest.approx(expected, **EXACT)
    assert found["accuracy"] == pytest.approx(metrics.top_k_accuracy_score(truth, chances, k=1), **EXACT)


def test_bland_altman_is_of_sums():
    d = np.random.default_rng(0).normal(0.2, 1, 31)
    found = bland_altman(np.array(31), d.sum(), (d**2).sum())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * np.std(d, ddof=1), **EXACT)

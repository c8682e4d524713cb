"""Agreement against the published worked examples."""

import numpy as np
import pytest

from biomechjax.evaluation.agreement import bland_altman, icc_2_1

# Shrout & Fleiss 1979, table 2: six targets rated by four judges.
TARGETS_BY_JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]

# Bland & Altman 1986, table I: peak expiratory flow (l/min), first readings of the large and of the mini meter.
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def icc(ratings) -> float:
    x = np.array(ratings, float)
    return float(icc_2_1(np.array(len(x)), x.sum(0), (x**2).sum(), (x.sum(1) ** 2).sum()))


def test_icc_of_shrout_and_fleiss():
    assert icc(TARGETS_BY_JUDGES) == pytest.approx(0.290, abs=5e-4)


def test_icc_asks_for_absolute_agreement():
    """Perfectly correlated ratings that lie 2 apart: variance of the targets 2.5 and between the raters 2, by hand."""
    assert icc([[1, 1], [2, 2], [4, 4]]) == pytest.approx(1)
    assert icc([[x, x + 2] for x in range(1, 6)]) == pytest.approx(2.5 / (2.5 + 2))
    assert np.isnan(icc([[3, 3], [3, 3]]))
    assert np.isnan(icc([[3, 4]]))


def test_icc_does_not_depend_on_where_zero_is():
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert icc(x + 1000) == pytest.approx(icc(x), abs=1e-6)


def test_limits_of_bland_and_altman():
    """The paper: mean difference -2.1 and standard deviation 38.8 l/min, of which it took 2 to each side."""
    d = np.subtract(LARGE, MINI).astype(float)
    found = bland_altman(np.array(len(d)), d.sum(), (d**2).sum())
    assert found["bias"] == pytest.approx(-2.1, abs=0.05)
    assert (found["high"] - found["low"]) / (2 * 1.96) == pytest.approx(38.8, abs=0.05)
    assert (found["high"] + found["low"]) / 2 == pytest.approx(found["bias"])

"""Whether a model knows how sure it may be: calibration, and what it gains by leaving out what it is unsure of."""

from typing import Any

import numpy as np

BINS = 10
COVERAGE = 0.8


def calibration(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Scores of probabilities [answers, K] of the options, of which truth [answers] are the indices.

    The answer is the most likely option, which need not be the one generated freely; its probability is the confidence.

    Returns:
        accuracy: of the most likely option.
        ece: expected calibration error, the mean distance of confidence and accuracy in `reliability`, weighted by n.
        brier: mean over answers of the sum over options of squared errors, 0 to 2 (Brier 1950, Mon Weather Rev 78:1).
        reliability: {"n", "confidence", "accuracy"} of each of at most ten bins, from unsure to sure.
        risk_coverage: {"coverage", "accuracy"} of the surest tenth of the answers, of two tenths, ..., of all.
        accuracy_at_80: accuracy of the surest 80 %.
        aurc: area under the curve of the share of errors over coverage, the mean over 1 to all answers kept (Geifman
            et al. 2019, "Bias-reduced uncertainty estimation for deep neural classifiers"); 0 is best.
    """
    confidence = probabilities.max(1)
    right = (probabilities.argmax(1) == truth).astype(float)
    bins = reliability(confidence, right)
    of_surest = selective_accuracy(confidence, right)
    covered = [k / BINS for k in range(1, BINS + 1)]
    return {
        "accuracy": float(right.mean()),
        "ece": sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(truth),
        "brier": float(((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(1).mean()),
        "reliability": bins,
        "risk_coverage": [{"coverage": c, "accuracy": _kept(of_surest, c)} for c in covered],
        "accuracy_at_80": _kept(of_surest, COVERAGE),
        "aurc": float(1 - of_surest.mean()),
    }


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Mean confidence and accuracy in bins of equally many answers.

    Of equal mass rather than equal width: confidences crowd near 1, where bins of equal width would put most answers
    in one bin and a few in each of the others, whose accuracies would be chance (Roelofs et al. 2022, "Mitigating bias
    in calibration error estimation"). Answers of equal confidence stay together, so that there can be fewer bins.
    """
    edges = np.unique(np.quantile(confidence, np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, confidence)
    return [
        {"n": int(here.sum()), "confidence": float(confidence[here].mean()), "accuracy": float(right[here].mean())}
        for here in (place == k for k in np.unique(place))
    ]


def selective_accuracy(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Accuracy of the 1, 2, ..., n surest answers, [n]; of equally sure ones the mean over every order of them."""
    _, group = np.unique(-confidence, return_inverse=True)
    expected = (np.bincount(group, right) / np.bincount(group))[np.sort(group)]
    return np.cumsum(expected) / np.arange(1, len(right) + 1)


def _kept(of_surest: np.ndarray, coverage: float) -> float:
    return float(of_surest[int(np.ceil(coverage * len(of_surest) - 1e-9)) - 1])

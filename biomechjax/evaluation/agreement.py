"""How well two ways of measuring the same people agree: the intraclass correlation and Bland and Altman's limits.

Both are functions of sums, so that thousands of resamples, each a row of sums, are done at once.
"""

import numpy as np

NORMAL_95 = 1.96  # standard deviations to either side of the mean that hold 95 % of a normal distribution


def squared_deviations(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Sum of squared deviations from the mean, from a count, a sum and a sum of squares; 0 where it is but rounding."""
    found = squares - total**2 / count
    return np.where(found > 1e-12 * squares, found, 0.0)


def icc_2_1(count: np.ndarray, columns: np.ndarray, squares: np.ndarray, row_squares: np.ndarray) -> np.ndarray:
    """ICC(2,1): two-way random effects, absolute agreement, single rater.

    Shrout & Fleiss 1979, Psychol Bull 86:420, ICC(2,1); McGraw & Wong 1996, Psychol Methods 1:30, ICC(A,1). Unlike a
    correlation it falls where one rater is always higher than another.

    Args:
        count: [...] how many were rated.
        columns: [..., k] sum of each rater's ratings.
        squares: [...] sum of the squares of all ratings.
        row_squares: [...] sum over those rated of the square of the sum of their ratings.

    Returns:
        [...], at most 1; nan where all ratings are the same, or fewer than two were rated.
    """
    k = columns.shape[-1]
    total = columns.sum(-1)
    all_of_it = squared_deviations(count * k, total, squares)
    between_rows = squared_deviations(count, total, row_squares) / k
    between_columns = (columns**2).sum(-1) / count - total**2 / (count * k)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = between_rows / (count - 1)
        error = np.maximum(all_of_it - between_rows - between_columns, 0.0) / ((count - 1) * (k - 1))
        return (rows - error) / (rows + (k - 1) * error + k * (between_columns / (k - 1) - error) / count)


def bland_altman(count: np.ndarray, difference: np.ndarray, squares: np.ndarray) -> dict[str, np.ndarray]:
    """Bias and 95 % limits of agreement, from a count and the sums of differences and of their squares, [...] each.

    Bland & Altman 1986, Lancet 327:307: the mean of the differences, and 1.96 of their standard deviations to either
    side of it, where 95 % of differences are if they are normal. Several differences of a person count as those of
    several people do.

    Returns:
        "bias", "low" and "high", [...] each; the limits are nan where there are fewer than two differences.
    """
    bias = difference / count
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = NORMAL_95 * np.sqrt(squared_deviations(count, difference, squares) / (count - 1))
    return {"bias": bias, "low": bias - spread, "high": bias + spread}

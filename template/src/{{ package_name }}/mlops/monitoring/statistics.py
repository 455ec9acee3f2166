"""How far two distributions are apart: from counts in the same buckets, on NumPy alone."""

from collections.abc import Sequence
from math import erfc, exp, gamma, sqrt
from typing import Any

import numpy as np

# A bucket that is empty on one side counts as this share: the logarithm of nothing is infinite.
SMALLEST = 1e-4


def psi(expected: Sequence[float], counts: Sequence[int]) -> float:
    """Return the population stability index of counts against expected shares.

    The sum of (a - e) ln(a / e) over the buckets, a symmetric Kullback-Leibler divergence. By
    custom below 0.1 is no shift, above 0.25 a large one: Siddiqi, Credit Risk Scorecards, 2006;
    Yurdakul, Statistical Properties of PSI, 2018.
    """
    e, a = (np.maximum(_shares(each), SMALLEST) for each in (expected, counts))
    return float(np.sum((a - e) * np.log(a / e)))


def kolmogorov_smirnov(
    expected: Sequence[float], rows: float, counts: Sequence[int]
) -> tuple[float, float]:
    """Return the statistic of Kolmogorov and Smirnov, and the probability of one as large.

    The largest distance between the two cumulative distributions at the edges of ordered buckets;
    between the edges it may be larger, so the probability is never too small. `rows` is how many
    the expected shares are of. The probability is Kolmogorov's limit with Stephens' correction
    (Journal of the Royal Statistical Society B 32, 1970).
    """
    distance = float(np.max(np.abs(np.cumsum(_shares(expected)) - np.cumsum(_shares(counts)))))
    n = sqrt(rows * sum(counts) / (rows + sum(counts)))
    return distance, kolmogorov((n + 0.12 + 0.11 / n) * distance)


def kolmogorov(x: float) -> float:
    """Return the survival function of Kolmogorov's distribution.

    By whichever of its two series converges at once: Marsaglia, Tsang and Wang, Journal of
    Statistical Software 8 (18), 2003.
    """
    if x < 1e-3:
        return 1.0
    k = np.arange(1, 20)
    if x > 1:
        return float(np.clip(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * x) ** 2)), 0, 1))
    terms = np.exp(-((2 * k - 1) ** 2) * np.pi**2 / (8 * x**2))
    return float(np.clip(1 - sqrt(2 * np.pi) / x * np.sum(terms), 0, 1))


def chi_square(
    expected: Sequence[float], rows: float, counts: Sequence[int]
) -> tuple[float, float]:
    """Return Pearson's statistic of homogeneity, and the probability of one as large.

    `rows` is how many the expected shares are of. Buckets that are empty in both do not count:
    Pearson, Philosophical Magazine 50, 1900; Agresti, Categorical Data Analysis, 3.2.
    """
    table = np.array([_shares(expected) * rows, np.asarray(counts, float)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    fitting = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(np.sum((table - fitting) ** 2 / fitting))
    return statistic, chi_square_tail(statistic, table.shape[1] - 1)


def chi_square_tail(x: float, degrees: int) -> float:
    """Return the survival function of the chi-square distribution of whole degrees of freedom.

    The finite sums of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5.
    """
    half, odd = float(x) / 2, degrees % 2
    if half > 700:  # Less than what a float holds.
        return 0.0
    powers = [i + odd / 2 for i in range(degrees // 2)]
    terms = sum(float(half**power) / gamma(power + 1) for power in powers)
    return exp(-half) * terms + (erfc(sqrt(half)) if odd else 0.0)


def share_above(share: float, rows: int, limit: float) -> float:
    """Return the probability of a share as large, of so many rows, if the limit were the truth.

    The score test, in the normal approximation: Wilson, Journal of the American Statistical
    Association 22, 1927.
    """
    deviation = sqrt(limit * (1 - limit) / max(rows, 1))
    if not deviation:
        return float(share <= limit)
    return erfc((share - limit) / deviation / sqrt(2)) / 2


def _shares(values: Sequence[float]) -> "np.ndarray[Any, Any]":
    array: np.ndarray[Any, Any] = np.asarray(values, float)
    return array / float(array.sum())

"""The statistics of drift, against SciPy and against values that are known."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats  # type: ignore[import-untyped]

from tests.support.rooms import room

statistics = room("monitoring.statistics")
COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=20).filter(lambda each: sum(each) > 0)


def test_psi_is_what_the_textbook_has() -> None:
    assert statistics.psi([0.5, 0.5], [50, 50]) == 0
    assert statistics.psi([0.5, 0.5], [80, 20]) == pytest.approx(0.3 * log(1.6) - 0.3 * log(0.4))
    # Both directions of the divergence, which SciPy has one by one.
    e, a = np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.3, 0.4])
    assert statistics.psi(e, [30, 30, 40]) == pytest.approx(
        stats.entropy(e, a) + stats.entropy(a, e)
    )


def test_an_empty_bucket_makes_psi_large_and_not_infinite() -> None:
    assert 5 < statistics.psi([1, 0], [0, 7]) < 20


@given(counts=COUNTS, data=st.data())
def test_chi_square_is_scipys(counts: list[int], data: st.DataObject) -> None:
    size = len(counts)
    other = data.draw(st.lists(st.integers(1, 500), min_size=size, max_size=size))
    value, p = statistics.chi_square(other, sum(other), counts)
    wanted = stats.chi2_contingency([other, counts], correction=False)
    assert value == pytest.approx(wanted.statistic, abs=1e-9)
    assert p == pytest.approx(wanted.pvalue, abs=1e-9)


@pytest.mark.parametrize("degrees", [*range(1, 25), 99, 100])
def test_the_tail_of_chi_square_is_scipys(degrees: int) -> None:
    for x in (0.0, 0.1, 1.0, degrees, 3.0 * degrees, 1e4):
        wanted = stats.chi2.sf(x, degrees)
        assert statistics.chi_square_tail(x, degrees) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("x", [0.0, 0.05, 0.3, 0.8, 0.999, 1.0, 1.001, 1.36, 1.63, 3.0, 30.0])
def test_kolmogorovs_distribution_is_scipys(x: float) -> None:
    assert statistics.kolmogorov(x) == pytest.approx(special.kolmogorov(x), abs=1e-9)


def test_ks_of_a_bucket_a_value_is_scipys() -> None:
    random = np.random.default_rng(1)
    for shift in (0, 1, 3):
        one, two = random.integers(0, 30, 400), random.integers(0, 30, 300) + shift
        counts = [np.bincount(each, minlength=40) for each in (one, two)]
        distance, p = statistics.kolmogorov_smirnov(counts[0], 400, counts[1])
        wanted = stats.ks_2samp(one, two, method="asymp")
        assert distance == pytest.approx(wanted.statistic)
        assert p == pytest.approx(wanted.pvalue, abs=0.03)


def test_one_bucket_cannot_differ() -> None:
    assert statistics.chi_square([1], 100, [50]) == (0, 1)
    assert statistics.kolmogorov_smirnov([1], 100, [50]) == (0, 1)
    assert statistics.psi([1], [50]) == 0


def test_a_share_of_few_rows_may_be_chance() -> None:
    assert statistics.share_above(0.2, 5, 0.05) > 0.01
    assert statistics.share_above(0.2, 500, 0.05) < 1e-9
    deviation = (0.05 * 0.95 / 200) ** 0.5
    assert statistics.share_above(0.09, 200, 0.05) == pytest.approx(stats.norm.sf(0.04 / deviation))
    assert statistics.share_above(0.0, 5, 0.0) == 1
    assert statistics.share_above(0.1, 5, 0.0) == 0

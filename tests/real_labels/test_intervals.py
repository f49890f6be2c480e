"""Intervals and tests, against SciPy and the normal approximation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from real_labels.intervals import bootstrap_means, holm, mcnemar, wilson_interval


def test_bootstrap_of_means_is_the_normal_one_for_many_images():
    rng = np.random.default_rng(0)
    values = rng.choice([0, 0.2, 0.6, 1], (4_000, 2), p=[0.4, 0.3, 0.2, 0.1])
    drawn = bootstrap_means(values, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), values.mean(axis=0), atol=5e-4)
    np.testing.assert_allclose(drawn.std(axis=0), stats.sem(values), rtol=0.06)
    np.testing.assert_array_equal(drawn, bootstrap_means(values, seed=1))


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.5, 0.999))
def test_wilson_interval_is_scipys(hits, n, confidence):
    hits = min(hits, n)
    expected = scipy.stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(wilson_interval(hits, n, confidence), expected, atol=1e-12)


@pytest.mark.parametrize(("hits", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_wilson_interval_refuses(hits, n, confidence):
    with pytest.raises(ValueError):
        wilson_interval(hits, n, confidence)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_scipys_binomial_test(b, c):
    expected = scipy.stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)


def exact_mcnemar(b, c):
    """The sum in whole numbers."""
    n, fewer = b + c, min(b, c)
    term = total = 1
    for i in range(1, fewer + 1):
        term = term * (n - i + 1) // i
        total += term
    return float(min(Fraction(1), Fraction(2 * total, 1 << n)))


@pytest.mark.parametrize("size", [10, 300, 5_000, 20_000])
def test_mcnemar_is_exact(size):
    rng = np.random.default_rng(size)
    for _ in range(40):
        n = int(rng.integers(1, size))
        shift = abs(rng.normal()) * np.sqrt(n) * rng.choice([0.5, 3, 10])
        b = int(np.clip(n / 2 - shift, 0, n))
        expected = exact_mcnemar(b, n - b)
        tolerance = 1e-12 if expected > 1e-240 else 1e-8
        assert mcnemar(b, n - b) == pytest.approx(expected, rel=tolerance, abs=1e-300), (b, n - b)
        assert mcnemar(b, n - b) == mcnemar(n - b, b)


def test_mcnemar_of_a_billion_pairs_takes_no_time():
    """By the normal approximation with its continuity correction, which is close there."""
    b, c = 499_970_000, 500_030_000
    expected = 2 * special.ndtr(-(c - b - 1) / np.sqrt(b + c))
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-5)
    assert mcnemar(0, 10**9) == 0.0


def test_mcnemar_of_many_images():
    expected = scipy.stats.binomtest(24_000, 49_000, 0.5).pvalue
    assert mcnemar(24_000, 25_000) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(0, 50_000) == 0.0
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar(-1, 2)


def test_holms_correction_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1] and holm([]) == []

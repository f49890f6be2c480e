"""The regression of ReaL over original accuracy against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from real_labels.analysis import real_over_original


def test_slopes_are_scipys(small):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0.4, 0.9, 61))
    bend = np.median(x)
    y = 0.2 + 0.9 * np.minimum(x, bend) + 0.5 * np.maximum(x - bend, 0) + rng.normal(0, 0.01, 61)
    order = rng.permutation(61)
    found = real_over_original.measure(x[order], y[order])
    assert found.median == np.median(x) and found.num_models == 61
    halves = {"lower": slice(0, 31), "upper": slice(31, 61)}  # the median itself is below
    fits = {}
    for name, half in halves.items():
        fit = fits[name] = stats.linregress(x[half], y[half])
        t = stats.t.ppf(0.975, len(x[half]) - 2)
        slope = getattr(found, name).slope
        assert slope.value == pytest.approx(fit.slope) and slope.n == len(x[half])
        assert slope.low == pytest.approx(fit.slope - t * fit.stderr)
        assert slope.high == pytest.approx(fit.slope + t * fit.stderr)
        assert getattr(found, name).intercept == pytest.approx(fit.intercept)
    # Welch's test of two means with these standard errors is the same test.
    n, m = 31, 30
    expected = stats.ttest_ind_from_stats(
        fits["lower"].slope, fits["lower"].stderr * math.sqrt(n - 1), n - 1,
        fits["upper"].slope, fits["upper"].stderr * math.sqrt(m - 1), m - 1, equal_var=False,
    )  # fmt: skip
    assert found.difference.t == pytest.approx(expected.statistic)
    assert found.difference.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=0)
    assert found.difference.low > 0


def test_equal_slopes_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        x = rng.uniform(0.4, 0.9, 40)
        found = real_over_original.measure(x, 0.3 + 0.7 * x + rng.normal(0, 0.02, 40))
        alarms += found.difference.p_value < 0.05
    assert alarms <= 22  # of 200, at 5%


@pytest.mark.parametrize("x", [[0.1, 0.2, 0.3, 0.4, 0.5], [0.5] * 10, [0.1, 0.2] * 5])
def test_too_few_models_have_no_slopes(x):
    assert real_over_original.measure(np.array(x), np.array(x)) is None

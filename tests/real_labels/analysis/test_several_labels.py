"""Which of several valid labels a model picks, against plain loops and models of known bias."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from real_labels import LabelSets, Predictions
from real_labels.analysis import several_labels
from real_labels.analysis.outcomes import Outcomes
from tests.real_labels.analysis import loops, worlds


def test_picks_of_the_original_label_are_those_of_loops(case):
    original, real, predictions = case
    outcomes = Outcomes.of(predictions, original, real)
    record = several_labels.measure(outcomes, predictions, real)
    hits, n, chance = loops.picks_original(predictions, original, real)
    assert record.picks_original.value == hits / n and record.picks_original.n == n
    assert record.oracle.value == pytest.approx(chance)
    assert sum(one.picks_original.n for one in record.by_number_of_labels) == n
    for one in record.ranks:
        enough, every = loops.rank_is_valid(predictions, original, real, one.rank)
        assert (one.valid.value, one.valid.n) == (enough[0] / enough[1], enough[1])
        assert one.valid_of_all.value == every[0] / every[1]


@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
def test_a_models_bias_to_the_original_label_is_recovered(imagenets, p):
    predictions = worlds.model(
        *imagenets, picks_original=p, classes=1000, k=2, with_scores=False, seed=round(100 * p)
    )
    record = several_labels.measure(Outcomes.of(predictions, *imagenets), predictions, imagenets[1])
    share = record.picks_original
    assert share.high - share.low < 0.03
    assert abs(share.value - p) < share.high - share.low  # four standard errors
    assert record.p_value < 1e-3  # 25%, 50% and 80% are all far from the oracle's 44%


def test_an_unbiased_model_is_an_oracle(imagenets):
    predictions = worlds.model(*imagenets, classes=1000, k=2, with_scores=False, seed=11)
    record = several_labels.measure(Outcomes.of(predictions, *imagenets), predictions, imagenets[1])
    assert record.oracle.low <= record.picks_original.value <= record.oracle.high
    assert record.p_value > 0.05


def test_the_oracle_is_exact():
    number = np.array([2, 2, 3, 4])
    expected = np.zeros(5)
    for picks in itertools.product([0, 1], repeat=4):
        expected[sum(picks)] += math.prod(
            1 / k if pick else 1 - 1 / k for k, pick in zip(number.tolist(), picks)
        )
    np.testing.assert_allclose(several_labels.oracle(number), expected, atol=1e-12)
    many = several_labels.oracle(np.full(5_000, 2))
    np.testing.assert_allclose(many, stats.binom.pmf(np.arange(5_001), 5_000, 0.5), atol=1e-10)


@pytest.mark.parametrize("hits", [3, 10, 20])
def test_the_oracles_p_value_is_the_binomial_tests(hits):
    names = [f"{i}.jpg" for i in range(24)]
    original = LabelSets.from_lists(names, [[0]] * 24)
    real = LabelSets.from_lists(names, [[0, 1]] * 24)
    predictions = Predictions(names, np.where(np.arange(24) < hits, 0, 1)[:, None])
    record = several_labels.measure(Outcomes.of(predictions, original, real), predictions, real)
    expected = stats.binomtest(hits, 24, 0.5).pvalue  # at ½ the distribution is symmetric
    assert record.p_value == pytest.approx(expected)
    low, high = stats.binom.ppf([0.025, 0.975], 24, 0.5) / 24
    assert (record.oracle.low, record.oracle.high) == (low, high)

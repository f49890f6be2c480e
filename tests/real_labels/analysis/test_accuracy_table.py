"""The accuracy table and its paired tests against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from real_labels.accuracy import comparison
from real_labels.analysis import accuracy_table
from real_labels.labels import label_sets_of
from tests.real_labels.analysis import loops, worlds


def test_accuracies_and_tests_are_those_of_loops(small):
    original, real = small
    models = {
        name: worlds.model(original, real, accuracy=a, seed=s)
        for name, a, s in (("a", 0.9, 1), ("b", 0.7, 2), ("c", 0.72, 3))
    }
    record = accuracy_table.measure(models, original, worlds.reassessed(real))
    right = {
        name: [ranked[0] in valid for _, ranked, _, valid in loops.worlds(one, original, real)]
        for name, one in models.items()
    }
    labelled = sum(bool(valid) for valid in real.to_lists())
    for name in models:
        top1 = record.models[name].results.reassessments["real"].top1
        assert top1.value == pytest.approx(sum(right[name]) / labelled) and top1.n == labelled
        above = record.models[name].above_original_labels["real"]
        own = sum(label in valid for (label,), valid in zip(original.to_lists(), real.to_lists()))
        assert above.value == pytest.approx((sum(right[name]) - own) / labelled)
    p_values = []
    for pair, (first, second) in zip(record.pairs, itertools.combinations("abc", 2)):
        assert (pair.first, pair.second) == (first, second)
        only = [
            sum(x and not y for x, y in zip(right[a], right[b]))
            for a, b in ((first, second), (second, first))
        ]
        assert pair.by["real"].value == pytest.approx((only[0] - only[1]) / labelled)
        expected = stats.binomtest(only[0], sum(only)).pvalue
        assert pair.by["real"].p_value == pytest.approx(expected)
        p_values.append(expected)
    # Holm: the smallest of three p-values times 3, the next times 2, never decreasing.
    ranked = sorted(p_values)
    holm = [min(1, ranked[0] * 3)]
    holm.append(max(holm[0], min(1, ranked[1] * 2)))
    holm.append(max(holm[1], min(1, ranked[2])))
    found = sorted(pair.p_holm["real"] for pair in record.pairs)
    assert found == pytest.approx(holm)


def test_models_of_different_images_are_compared_on_the_common_ones(small):
    original, real = small
    a, b = (worlds.model(original, real, seed=s) for s in (1, 2))
    rows = np.random.default_rng(0).permutation(len(b))[:200]
    (part,) = comparison.pairs(
        {"a": a.take(np.arange(150, 600)), "b": b.take(rows)},
        label_sets_of(original, worlds.reassessed(real)),
    )
    common = np.intersect1d(np.arange(150, 600), rows)
    (whole,) = comparison.pairs(
        {"a": a.take(common), "b": b.take(common)}, label_sets_of(original, worlds.reassessed(real))
    )
    assert 0 < part.by["original"].n == len(common) < 200
    assert part == whole


def test_models_without_a_common_image_are_not_tested(small):
    original, real = small
    a, b, c = (
        worlds.model(original, real, seed=s, accuracy=p) for s, p in ((1, 0.9), (2, 0.5), (3, 0.8))
    )
    models = {
        "a": a.take(np.arange(300)),
        "b": b.take(np.arange(300, 600)),
        "c": c.take(np.arange(300)),
    }
    ab, ac, bc = comparison.pairs(models, label_sets_of(original, worlds.reassessed(real)))
    for pair in (ab, bc):
        assert (
            pair.by["real"].n == 0
            and math.isnan(pair.by["real"].value)
            and pair.p_holm["real"] == 1
        )
    assert ac.p_holm["real"] == ac.by["real"].p_value < 1  # the only pair that is tested

"""Pairs of classes that cannot be told apart, against plain loops and simulated models."""

from __future__ import annotations

import numpy as np
import pytest

from real_labels import LabelSets, Predictions, accuracy
from real_labels.analysis import confusable_pairs
from tests.real_labels.analysis import loops, worlds

PAIR = confusable_pairs.ClassPair((0, 1), 0, 0, accuracy.Accuracy.of(0, 1))


def test_pairs_are_those_of_loops(case):
    original, real, _ = case
    found = confusable_pairs.find(original, real, at_least=5)
    expected = loops.pairs(original, real, 5)
    assert {
        tuple(pair.classes): (pair.both, pair.swapped, pair.overlap.n) for pair in found
    } == expected
    low = [pair.overlap.low for pair in found]
    assert low == sorted(low, reverse=True)


def test_the_papers_pairs_come_first(imagenets):
    from real_labels.labels import ClassNames

    names = ClassNames.of_imagenet()
    found = confusable_pairs.find(*imagenets)
    first = {" / ".join(names[c] for c in pair.classes) for pair in found[:15]}
    assert {"sunglass / sunglasses", "laptop / notebook", "bathtub / tub"} <= first


def test_how_far_models_tell_pairs_apart_is_that_of_loops(small):
    original, real = small
    models = {str(s): worlds.model(original, real, accuracy=0.7, seed=s) for s in (1, 2, 3)}
    pairs = confusable_pairs.find(original, real)[:6]
    found = confusable_pairs.measure(models, original, ("real", real), pairs)
    for pair, record in zip(pairs, found):
        for by in ("original", "real"):
            value, n = loops.told_apart(models.values(), original, real, pair.classes, by)
            share = record.models[by].all
            assert (share.value, share.num_predictions) == (pytest.approx(value), n)
            assert n / 3 <= share.n <= n
            assert share.low < share.value < share.high
            for name, one in models.items():
                value, n = loops.told_apart([one], original, real, pair.classes, by)
                assert record.models[by].models[name].value == pytest.approx(value)
                assert record.models[by].models[name].n == n


def test_intervals_of_pairs_hold_the_truth_and_have_a_width():
    """Newcombe's interval, by simulation: two classes of 12 and 30 images, told apart at 0.95 and 0.7."""
    names = [f"{i}.jpg" for i in range(42)]
    truth = np.repeat([0, 1], [12, 30])
    original = LabelSets.from_lists(names, truth[:, None].tolist())
    rng = np.random.default_rng(0)
    held, widths = 0, []
    for _ in range(300):
        right = rng.random(42) < np.where(truth == 0, 0.95, 0.7)
        model = Predictions(names, np.where(right, truth, 1 - truth)[:, None])
        (record,) = confusable_pairs.measure({"m": model}, original, ("real", original), [PAIR])
        share = record.models["original"].all
        held += share.low <= 0.825 <= share.high
        widths.append(share.high - share.low)
    assert 0.92 <= held / 300 <= 0.99 and min(widths) > 0.05


def test_guesses_are_at_chance_and_correct_predictions_above():
    """Two classes: one model guesses and favours the first, the other repeats the original labels."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    original = LabelSets.from_lists([f"{i}.jpg" for i in range(400)], truth[:, None].tolist())
    lists = [[0, 1] if i < 100 else [int(c)] for i, c in enumerate(truth)]
    real = LabelSets.from_lists(original.file_names, lists)
    coin = Predictions(original.file_names, (rng.random(400) < 0.2).astype(int)[:, None])
    models = {"coin": coin, "repeats": Predictions.from_labels(original)}
    pairs = confusable_pairs.find(original, real)
    overlap = accuracy.Accuracy.of(100, 400)
    assert pairs == [confusable_pairs.ClassPair((0, 1), 100, 0, overlap)]
    (record,) = confusable_pairs.measure(models, original, ("real", real), pairs)
    for by, n in (("original", 400), ("real", 300)):
        thrown, repeated = (record.models[by].models[name] for name in ("coin", "repeats"))
        assert thrown.low < 0.5 < thrown.high and thrown.n == n
        assert repeated.value == repeated.high == 1 and 0.97 < repeated.low < 1

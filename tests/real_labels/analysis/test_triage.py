"""The triage of mistakes against plain loops."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest

from real_labels.analysis import triage
from real_labels.analysis.outcomes import Outcomes
from tests.real_labels.analysis import loops, worlds


def test_every_mistake_is_of_exactly_one_kind(case):
    original, real, predictions = case
    outcomes = Outcomes.of(predictions, original, real)
    record = triage.measure(outcomes)
    expected = loops.triage(predictions, original, real)
    counts = collections.Counter(expected.values())
    assert {k: one.count for k, one in record.kinds.items()} == {
        kind: counts[kind] for kind in triage.KINDS
    }
    assert record.num_mistakes == len(expected) == sum(counts.values())
    listed = triage.mistakes(outcomes)
    names = outcomes.file_names[listed.row].tolist()
    assert dict(zip(names, np.array(triage.KINDS)[listed.kind].tolist())) == expected
    assert len(names) == len(expected)
    low = [one.share.low for one in record.classes]
    assert low == sorted(low, reverse=True)
    worst = record.classes[0]
    assert worst.share.value == worst.num_mistakes / worst.num_images
    for kind in (*triage.KINDS, "num_mistakes"):
        total = record.num_mistakes if kind == "num_mistakes" else counts[kind]
        assert (
            sum(
                one.num_mistakes if kind == "num_mistakes" else one.kinds[kind]
                for one in record.classes
            )
            == total
        )
    label = dict(zip(original.file_names.tolist(), original.classes.tolist()))
    per_class = collections.Counter(label[name] for name in expected)
    assert {one.class_: one.num_mistakes for one in record.classes} == {
        one.class_: per_class[one.class_] for one in record.classes
    }
    repeats = sum(
        ranked[0] == label and label not in valid
        for _, ranked, label, valid in loops.worlds(predictions, original, real)
    )
    assert record.agrees_with_rejected == repeats


def test_mistakes_are_listed_by_how_sure_the_raters_were(small, rated):
    original, real = small
    _, scores = rated
    predictions = worlds.model(original, real)
    outcomes = Outcomes.of(predictions, original, real)
    listed = triage.mistakes(outcomes, scores)
    names, label = scores.questions.file_name().tolist(), scores.questions.label.tolist()
    of = dict(zip(zip(names, label), scores.probability.tolist()))
    sureness, number = {}, {}
    for name, ranked, old, valid in loops.worlds(predictions, original, real):
        asked = [(c, of[name, c]) for c in (old, ranked[0]) if (name, c) in of]
        number[name] = len(asked)
        if asked:
            sureness[name] = math.prod(p if c in valid else 1 - p for c, p in asked)
    found = outcomes.file_names[listed.row].tolist()
    for name, value in zip(found, listed.sureness.tolist()):
        assert value == pytest.approx(sureness[name]) if name in sureness else math.isnan(value)
    # Mistakes with answers on both labels come first, then on one label, then on none.
    asked = np.array([number[name] for name in found])
    assert (np.diff(asked) <= 0).all() and (np.bincount(asked) > 10).all()
    for n, by in ((2, listed.sureness), (1, listed.sureness), (0, outcomes.confidence[listed.row])):
        assert (np.diff(by[asked == n]) <= 1e-12).all()
    record = triage.measure(outcomes, scores)
    kind = dict(zip(found, np.array(triage.KINDS)[listed.kind].tolist()))
    predicted = {row[0]: row[1][0] for row in loops.worlds(predictions, original, real)}
    expected = collections.Counter(kind[name] for name in found if (name, predicted[name]) in of)
    for name, one in record.kinds.items():
        assert one.prediction_asked == expected[name]
    assert triage.measure(outcomes).kinds["neither"].prediction_asked is None

"""The labels' own errors against plain loops and the published numbers."""

from __future__ import annotations

import collections

import pytest

from real_labels.analysis import label_errors, several_labels
from tests.real_labels.analysis import loops


def test_label_errors_add_up(case):
    original, real, _ = case
    record = label_errors.measure(original, real)
    expected = loops.label_errors(original, real)
    assert {
        one.class_: [one.num_images, one.with_other_labels, one.without_labels]
        for one in record.classes
    } == expected
    for key in ("with_other_labels", "without_labels"):
        assert sum(getattr(one, key) for one in record.classes) == getattr(record, key)
    assert record.rejected.count == record.with_other_labels + record.without_labels
    low = [one.rejected.low for one in record.classes]
    assert low == sorted(low, reverse=True)
    worst = record.classes[0]
    instead = collections.Counter()
    for (label,), valid in zip(original.to_lists(), real.to_lists()):
        if label == worst.class_ and label not in valid:
            instead.update(valid)
    assert sorted(n for _, n in instead.most_common(3)) == sorted(n for _, n in worst.instead)
    assert all(instead[c] == n for c, n in worst.instead)


def test_the_published_labels_have_the_published_numbers(imagenets):
    record = label_errors.measure(*imagenets)
    assert record.original_accuracy.value == pytest.approx(0.90022845, abs=5e-9)
    assert record.without_labels == 3_163
    assert record.with_several == 7_443
    assert record.num_labels == 57_553
    assert record.rejected.count == 7_836 == 3_163 + 46_837 - 42_164
    counts = several_labels.count(*imagenets)
    assert counts.with_several == 7_443
    assert {one.labels: one.images for one in counts.by_number}[0] == 3_163

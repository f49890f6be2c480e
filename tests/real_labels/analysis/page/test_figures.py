"""Bars and lines of the figures against the numbers that they show."""

from __future__ import annotations

import numpy as np
import pytest

from real_labels.analysis import real_over_original, triage
from real_labels.analysis.outcomes import Outcomes
from tests.real_labels.analysis import worlds


def test_bars_and_lines_are_as_long_as_their_numbers(small):
    original, real = small
    records = {
        name: triage.measure(Outcomes.of(worlds.model(original, real, accuracy=a), original, real))
        for name, a in (("good", 0.9), ("bad", 0.5))
    }
    figure = triage.draw(records, {"good": "model-0", "bad": "model-1"}, {})
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [
        records[name].kinds[kind].count for kind in triage.KINDS for name in ("good", "bad")
    ]
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 0.9, 40)
    y = 0.3 + 0.7 * x + rng.normal(0, 0.01, 40)
    record = real_over_original.measure(x, y)
    models = [
        real_over_original.ModelPoint(str(i), a, b)
        for i, (a, b) in enumerate(zip(x.tolist(), y.tolist()))
    ]
    axis = real_over_original.draw(models, record, own=0.9).axes[0]
    lines = {line.get_label().split(" half")[0]: line.get_xydata() for line in axis.get_lines()}
    for half in ("lower", "upper"):
        line = getattr(record, half)
        for across, up in lines[half]:
            expected = line.intercept + line.slope.value * across / 100
            assert up / 100 == pytest.approx(expected)
    assert lines["lower"][0][0] == pytest.approx(100 * x.min())
    assert lines["the original labels' own"][0][1] == 90
    points = np.concatenate([c.get_offsets() for c in axis.collections])
    np.testing.assert_allclose(points, np.column_stack([100 * x, 100 * y]))

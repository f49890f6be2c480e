"""Calibration by both label sets against a plain loop and calibrated models."""

from __future__ import annotations

import numpy as np
import pytest

from real_labels.analysis import calibration
from tests.real_labels.analysis import loops, worlds


def test_calibration_error_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    confidence = np.append(rng.random(3_000), [0, 1, 1 / 15, 2 / 15, 0.5])
    right = rng.random(len(confidence)) < confidence**2
    found = calibration.measure(confidence, right)
    expected = loops.calibration_error(confidence.tolist(), right.tolist(), 15)
    assert found.ece.value == pytest.approx(expected)
    assert found.ece.low < expected < found.ece.high
    assert found.overconfidence.value == pytest.approx(confidence.mean() - right.mean())
    assert sum(one.n for one in found.bins) == len(confidence)
    # Compared with a bootstrap that draws single images.
    draws = []
    for _ in range(300):
        rows = rng.integers(0, len(confidence), len(confidence))
        place = np.digitize(confidence[rows], np.linspace(0, 1, 16), right=True)
        gap = np.bincount(place, confidence[rows] - right[rows])
        draws.append(np.abs(gap).sum() / len(rows))
    # Minus the mean excess of the draws over the data.
    low, high = np.quantile(draws, [0.025, 0.975]) - (np.mean(draws) - expected)
    assert found.ece.low == pytest.approx(low, abs=0.004)
    assert found.ece.high == pytest.approx(high, abs=0.004)


def test_the_upper_edge_belongs_to_a_bin():
    found = calibration.measure(np.array([0.5, 0.75]), np.array([True, False]), bins=2)
    assert found.ece.value == (0.5 + 0.75) / 2
    assert [(one.low, one.high, one.n) for one in found.bins] == [
        (0, 0.5, 1),
        (0.5, 1, 1),
    ]
    assert calibration.measure(np.zeros(0), np.zeros(0, bool)) is None


def test_a_model_whose_confidence_is_its_accuracy_is_calibrated():
    rng = np.random.default_rng(1)
    confidence = rng.random(40_000).astype(np.float32)
    right = rng.random(40_000) < confidence
    found = calibration.measure(confidence, right)
    assert found.ece.value < 0.01
    assert found.ece.low < found.ece.value < found.ece.high < 0.015
    assert found.overconfidence.low < 0 < found.overconfidence.high
    over = calibration.measure(np.sqrt(confidence), right)
    assert over.overconfidence.low > 0.1 and over.ece.low > 0.1


def test_calibration_counts_images_with_a_label(small):
    original, real = small
    predictions = worlds.model(original, real)
    by_real = calibration.of_model(predictions, real)
    confidence = predictions.scores[:, 0].tolist()
    labelled = [
        (confidence[i], ranked[0] in valid)
        for i, (_, ranked, _, valid) in enumerate(loops.worlds(predictions, original, real))
        if valid
    ]
    expected = loops.calibration_error(*zip(*labelled), 15)
    assert by_real.ece.n == len(labelled) < len(real)
    assert by_real.ece.value == pytest.approx(expected, abs=1e-6)

"""The raters' preference against plain loops and simulated raters."""

from __future__ import annotations

import numpy as np
import pytest

from real_labels import Answers, LabelSets, Predictions, Questions
from real_labels.analysis import rater_preference
from tests.real_labels.analysis import loops, worlds


def test_preferences_are_those_of_loops(small, rated):
    original, real = small
    answers, _ = rated
    predictions = worlds.model(original, real, accuracy=0.6)
    record = rater_preference.measure(predictions, original, answers)
    shares, images, same = loops.preference(predictions, original, answers)
    assert record.num_images == images and 0 < record.num_same_raters == same < images
    for side, share in zip(rater_preference.SIDES, shares):
        assert getattr(record, side).value == pytest.approx(share)
        assert getattr(record, side).low < share < getattr(record, side).high
    assert record.difference.value == pytest.approx(shares[0] - shares[2])


def test_preferences_of_the_published_raters(imagenets, imagenets_answers, simulated):
    original, _ = imagenets
    record = rater_preference.measure(simulated, original, imagenets_answers)
    shares, images, same = loops.preference(simulated, original, imagenets_answers)
    assert (record.num_images, record.num_same_raters) == (images, same)
    found = [getattr(record, side).value for side in rater_preference.SIDES]
    assert found == pytest.approx(shares) and sum(found) == pytest.approx(1)


def test_raters_prefer_a_model_that_names_the_label_with_the_most_votes(
    imagenets, imagenets_answers
):
    """And they prefer the original label to a model that names the label with the fewest votes."""
    original, _ = imagenets
    asked = imagenets_answers.questions
    votes = imagenets_answers.votes()
    for order, prefers in ((votes, 1), (-votes, -1)):
        best = np.lexsort([order, asked.image])[np.cumsum(np.bincount(asked.image)) - 1]
        predictions = Predictions(asked.file_names, asked.label[best][:, None])
        difference = rater_preference.measure(predictions, original, imagenets_answers).difference
        assert prefers * difference.value > 0.3
        assert prefers * difference.low > 0.3 - 0.02


@pytest.mark.parametrize("n", [1, 6, 49, 200])
def test_raters_who_always_say_the_same(n):
    """Rounding must not move an interval away from its value."""
    names = [f"{i}.jpg" for i in range(n)]
    original = LabelSets.from_lists(names, [[0]] * n)
    questions = Questions.from_pairs(np.repeat(names, 2), np.tile([0, 1], n))
    given = np.tile([0, 2, 1, 1, 0, 2, 0, 0, 1, 2], n)  # five raters on class 0, then on class 1
    answers = Answers(
        questions,
        list("abcde"),
        np.repeat(np.arange(2 * n), 5),
        np.tile(np.arange(5), 2 * n),
        given,
    )
    record = rater_preference.measure(Predictions(names, np.ones((n, 1), int)), original, answers)
    for side, share in zip(rater_preference.SIDES, (0.4, 0.2, 0.4)):
        assert getattr(record, side).value == pytest.approx(share)
        assert (
            getattr(record, side).low <= getattr(record, side).value <= getattr(record, side).high
        )
    rater_preference.draw({"m": record}, {"m": "model-0"}, {})

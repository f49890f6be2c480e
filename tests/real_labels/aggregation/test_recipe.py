"""The published recipe, on the published answers."""

import numpy as np
import pytest

from real_labels import LabelSets, aggregation
from real_labels.aggregation import PseudoRater, recipe
from real_labels.answers import Answers, Gold, Scores
from real_labels.labels import imagenet


def test_published_scores_and_labels_are_rebuilt_exactly(published, raw_answers):
    aggregate = recipe.rebuild(published, raw_answers)
    labels = aggregate.scores.label_sets(recipe.THRESHOLD, unrated=imagenet.original_labels())
    expected = Scores.load(published / "scores.npz")
    assert len(expected) == 184_962
    rows = aggregate.scores.questions.find(expected.questions)
    assert len(np.unique(rows)) == 184_962 and rows.min() == 0
    np.testing.assert_allclose(
        aggregate.scores.probability[rows], expected.probability, rtol=0, atol=1e-12
    )
    assert labels.to_lists() == LabelSets.from_json(published / "real.json").to_lists()
    assert len(labels.classes) == 57_553
    assert (labels.counts > 0).sum() == 46_837
    assert (labels.counts > 1).sum() == 7_443


def test_every_part_of_the_published_recipe_is_needed(published, raw_answers):
    """Without the pseudo-rater, its classes or its own truth, the scores differ from the published ones."""
    gold = Gold.load(published / "golden.npz", at_least=3)
    gold_answers = Answers.load(published / "raters_golden.npz")
    expected = Scores.load(published / "scores.npz")
    original = imagenet.original_labels()
    for voters in (
        [],
        [PseudoRater("original", original, None, gold.with_votes(2))],
        [PseudoRater("original", original, imagenet.animals())],
    ):
        scores = aggregation.gold_calibrated(
            raw_answers, gold, gold_answers, pseudo_raters=voters
        ).scores
        assert np.abs(scores.probability - expected.probability).max() > 1e-3


def test_published_majority_is_as_precise_as_known(published, raw_answers):
    gold = Gold.load(published / "golden.npz")
    scores = aggregation.majority(raw_answers).scores
    kept = scores.probability[scores.questions.find(gold.questions)] >= 0.6
    assert (kept & gold.present).sum() / kept.sum() == pytest.approx(0.943, abs=5e-4)
    assert (kept & gold.present).sum() / gold.present.sum() == pytest.approx(0.536, abs=5e-4)


def test_maximum_likelihood_on_the_published_answers_is_as_known(published, raw_answers):
    fit = aggregation.dawid_skene(raw_answers, shrinkage=0, tolerance=1e-8)
    expected = Scores.load(published / "scores.npz").probability
    ours = fit.scores.probability
    assert fit.convergence.converged
    assert np.corrcoef(ours, expected)[0, 1] == pytest.approx(0.985, abs=5e-4)
    assert ((ours >= 0.8) != (expected >= 0.8)).sum() == pytest.approx(3236, abs=3)

"""Small sets of answers, which hold little information on the raters."""

import numpy as np
import pytest

from real_labels import aggregation
from tests.real_labels import simulate


def errors(setting, seeds, fit):
    """(seeds,) share of wrong decisions."""
    shares = []
    for seed in range(seeds):
        truth, answers = simulate.crowd(*setting, seed)
        shares.append(np.mean((fit(answers).scores.probability > 0.5) != truth))
    return np.array(shares)


@pytest.mark.parametrize(
    "seeds", [pytest.param(12, id="few"), pytest.param(60, id="sixty", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("setting", simulate.SMALL_CROWDS)
def test_the_default_is_about_as_good_as_the_majority(setting, seeds):
    ours = errors(setting, seeds, aggregation.dawid_skene)
    majority = errors(setting, seeds, aggregation.majority)
    assert ours.mean() <= majority.mean() + 0.005
    assert ours.max() <= majority.max() + 0.05


def test_on_many_questions_the_prior_costs_nothing():
    setting = (5_000, 1, 5, 40, 0.3, 0.1)
    ours = errors(setting, 4, aggregation.dawid_skene)
    likelihood = errors(setting, 4, lambda a: aggregation.dawid_skene(a, shrinkage=0))
    majority = errors(setting, 4, aggregation.majority)
    assert (ours < majority).all() and ours.mean() <= likelihood.mean() + 0.001


def test_raters_of_few_and_lopsided_answers_are_learned_from_the_crowd():
    """Raters say yes to 30-70% of the present and 0-10% of the absent labels; the prior has 80% and 20%."""
    rng = np.random.default_rng(0)
    truth = rng.random(2_000) < 0.2
    sure = np.stack([rng.uniform(0, 0.1, 1_000), rng.uniform(0.3, 0.7, 1_000)], axis=1)
    confusion = np.stack([1 - sure, np.zeros_like(sure), sure], axis=2)
    answers = simulate.rate(truth, confusion, 5, rng)
    ours, majority = (
        np.mean((fit(answers).scores.probability > 0.5) != truth)
        for fit in (aggregation.dawid_skene, aggregation.majority)
    )
    assert ours < 0.8 * majority


def random_answers(number, per_question, shares, seed=0):
    rng = np.random.default_rng(seed)
    raters = 3 * per_question
    even = np.broadcast_to(np.array(shares), (raters, 2, 3))
    return simulate.rate(np.zeros(number, bool), even, per_question, rng)


def doubts(answers, **options):
    return " ".join(aggregation.doubts(aggregation.dawid_skene(answers, **options), answers))


def test_random_answers_are_doubted():
    for shares in ((0.5, 0, 0.5), (0.6, 0.1, 0.3)):
        reasons = doubts(random_answers(20_000, 5, shares))
        assert "agree hardly more often than random answers" in reasons
        assert "the fit decides differently from the majority" in reasons


def test_a_fit_that_depends_on_the_prior_is_doubted():
    few, many = (simulate.crowd(n, 1, 3, 3, 0.5, 0.0, seed=1)[1] for n in (20, 2_000))
    reasons = doubts(few)
    assert (
        "60 answers in total and 20 from a typical rater, the scores depend on the prior" in reasons
    )
    assert doubts(many) == ""


def test_everything_present_is_doubted():
    assert "Every label comes out present" in doubts(random_answers(60, 3, (0.2, 0, 0.8)))
    assert "No label comes out present" in doubts(random_answers(60, 3, (0.8, 0, 0.2)))
    unanimous = random_answers(60, 3, (0, 0, 1))
    assert doubts(unanimous) == ""


def test_without_shrinkage_the_fit_maximises_the_likelihood():
    """A small change of the parameters lowers the likelihood of the answers."""
    _, answers = simulate.crowd(60, 1, 5, 5, 0.4, 0.1, seed=3)
    fit = aggregation.dawid_skene(answers, shrinkage=0, tolerance=1e-10)

    def log_likelihood(prior, confusion):
        chances = np.ones((len(answers.questions), 2)) * [1 - prior, prior]
        for q, r, a in zip(answers.question, answers.rater, answers.answer):
            chances[q] *= confusion[r, :, a]
        return np.log(chances.sum(axis=1)).sum()

    best = log_likelihood(fit.prior, fit.confusion)
    rng = np.random.default_rng(0)
    for _ in range(200):
        prior = np.clip(fit.prior + 1e-3 * rng.normal(), 1e-6, 1 - 1e-6)
        confusion = fit.confusion * np.exp(1e-3 * rng.normal(size=fit.confusion.shape))
        confusion /= confusion.sum(axis=2, keepdims=True)
        assert log_likelihood(prior, confusion) <= best + 1e-9

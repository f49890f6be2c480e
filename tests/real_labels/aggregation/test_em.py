"""Dawid & Skene's EM against crowd-kit and the plain formulas."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene
from hypothesis import given, settings
from hypothesis import strategies as st

from real_labels import aggregation
from real_labels.aggregation import Start
from real_labels.aggregation.rater_model import Parameters
from real_labels.answers import Answers, Gold
from real_labels.errors import InputError
from tests.real_labels import simulate


def crowd_kit_frame(answers):
    return pd.DataFrame(
        {"task": answers.question, "worker": answers.rater, "label": answers.answer}
    )


def crowd_kit_passes(answers, passes):
    """Crowd-kit's own steps, with two truths and any number of answers."""
    data = crowd_kit_frame(answers)
    means = answers.values[data["label"]]
    start = pd.Series(means).groupby(data["task"]).mean()
    probas = pd.DataFrame({0: 1 - start, 1: start})
    priors, errors = probas.mean(), DawidSkene._m_step(data, probas)
    for _ in range(passes):
        probas = DawidSkene._e_step(data, priors, errors)
        priors, errors = probas.mean(), DawidSkene._m_step(data, probas)
    return probas.sort_index()[1].to_numpy(), priors[1], errors


def test_em_is_crowd_kits_on_the_published_answers(raw_answers):
    expected, prior, _ = crowd_kit_passes(raw_answers, 6)
    ours = aggregation.dawid_skene(
        raw_answers, shrinkage=0, accelerate=False, max_passes=6, tolerance=0
    )
    np.testing.assert_allclose(ours.scores.probability, expected, rtol=0, atol=1e-6)
    assert ours.prior == pytest.approx(prior, abs=1e-9)


def test_converged_em_is_a_fixed_point_of_crowd_kits_steps(raw_answers):
    """One more pass of crowd-kit does not change our converged scores of the published answers."""
    ours = aggregation.dawid_skene(raw_answers, shrinkage=0, tolerance=1e-9)
    assert ours.convergence.converged
    data = crowd_kit_frame(raw_answers)
    present = pd.Series(ours.scores.probability, name=1)
    probas = pd.DataFrame({0: 1 - present, 1: present}).rename_axis("task")
    errors = DawidSkene._m_step(data, probas)
    expected = DawidSkene._e_step(data, probas.mean(), errors).sort_index()[1].to_numpy()
    np.testing.assert_allclose(expected, ours.scores.probability, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        errors.loc[(3, 2), [0, 1]].to_numpy(), ours.confusion[3, :, 2], atol=1e-6
    )


def test_em_is_crowd_kits_own_fit_where_two_answers_are_allowed(raw_answers):
    kept = raw_answers.answer != 1  # without "maybe"; one question had nothing else
    yes_no = dataclasses.replace(
        raw_answers,
        question=raw_answers.question[kept],
        rater=raw_answers.rater[kept],
        answer=raw_answers.answer[kept] // 2,
        categories=("no", "yes"),
    )
    expected = DawidSkene(n_iter=5, tol=-1).fit(crowd_kit_frame(yes_no)).probas_.sort_index()
    ours = aggregation.dawid_skene(yes_no, shrinkage=0, accelerate=False, max_passes=5, tolerance=0)
    np.testing.assert_allclose(
        ours.scores.probability[expected.index], expected[1].to_numpy(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("num_categories", [2, 3, 5])
def test_accelerated_em_ends_where_crowd_kit_does(num_categories):
    rng = np.random.default_rng(num_categories)
    truth = rng.random(600) < 0.4
    categories = tuple(str(i) for i in range(num_categories))
    answers = simulate.rate(truth, simulate.confusions(7, num_categories, rng), 5, rng, categories)
    expected, prior, errors = crowd_kit_passes(answers, 400)
    ours = aggregation.dawid_skene(answers, shrinkage=0, tolerance=1e-10)
    assert ours.convergence.converged and ours.convergence.passes < 100
    np.testing.assert_allclose(ours.scores.probability, expected, rtol=0, atol=1e-6)
    assert ours.prior == pytest.approx(prior, abs=1e-7)
    for (rater, answer), row in errors.iterrows():
        np.testing.assert_allclose(ours.confusion[rater, :, answer], row[[0, 1]], atol=1e-6)


@st.composite
def some_answers(draw):
    num_questions, num_raters = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    num_categories = draw(st.integers(2, 4))
    pairs = [(q, r) for q in range(num_questions) for r in range(num_raters)]
    asked = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1))
    answer = [draw(st.integers(0, num_categories - 1)) for _ in asked]
    question, rater = zip(*asked)
    return Answers(
        simulate.questions(num_questions),
        [str(r) for r in range(num_raters)],
        np.array(question),
        np.array(rater),
        np.array(answer),
        tuple("abcd"[:num_categories]),
    )


def log_likelihood(answers, prior, confusion, smoothing, held):
    """The objective by its definition: products over answers, question by question."""
    total = 0.0
    for q in range(len(answers.questions)):
        mine = np.flatnonzero(answers.question == q)
        if not len(mine):
            continue
        present, absent = prior, 1 - prior
        for i in mine:
            present *= confusion[answers.rater[i], 1, answers.answer[i]]
            absent *= confusion[answers.rater[i], 0, answers.answer[i]]
        total += math.log({-1: present + absent, 1: present, 0: absent}[held.get(q, -1)])
    if smoothing:
        total += smoothing * np.log(confusion).sum()
    return total


@settings(max_examples=max(150, settings().max_examples))
@given(some_answers(), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.booleans(), st.data())
def test_the_likelihood_never_falls(answers, smoothing, accelerate, fixed_prior, data):
    truths = data.draw(
        st.dictionaries(st.integers(0, len(answers.questions) - 1), st.booleans(), max_size=3)
    )
    gold = None
    if truths:
        rows = np.array(sorted(truths))
        gold = Gold(answers.questions.take(rows), np.array([truths[r] for r in rows]))
    fit = aggregation.dawid_skene(
        answers,
        smoothing=smoothing,
        shrinkage=0,
        gold=gold,
        prior=0.3 if fixed_prior else None,
        accelerate=accelerate,
        max_passes=60,
        tolerance=1e-9,
    )
    objective = np.array(fit.convergence.objective)
    assert np.isfinite(objective).all()
    assert (np.diff(objective) >= -1e-9 * (1 + np.abs(objective[1:]))).all()
    assert np.isfinite(fit.confusion).all()
    np.testing.assert_allclose(fit.confusion.sum(axis=2), 1)
    for question, truth in truths.items():
        assert fit.scores.probability[question] == truth


@settings(max_examples=max(60, settings().max_examples))
@given(some_answers(), st.integers(0, 1000), st.sampled_from([0.5, 1.0]))
def test_one_pass_is_dawid_and_skenes_formulas(answers, seed, smoothing):
    """Posterior, likelihood and the next parameters, written out with products and loops."""
    rng = np.random.default_rng(seed)
    num_raters, num_categories = len(answers.raters), len(answers.categories)
    confusion = rng.dirichlet(np.ones(num_categories), (num_raters, 2))
    prior = float(rng.uniform(0.2, 0.8))
    start = Start(answers.raters, Parameters(prior, confusion), answers.categories)
    fit = aggregation.dawid_skene(
        answers, smoothing=smoothing, shrinkage=0, start=start, max_passes=1, accelerate=False
    )
    assert fit.convergence.objective[0] == pytest.approx(
        log_likelihood(answers, prior, confusion, smoothing, {}), abs=1e-9
    )
    posterior = np.full(len(answers.questions), np.nan)
    counts = np.full((num_raters, 2, num_categories), smoothing)
    for q in range(len(answers.questions)):
        mine = [i for i in range(len(answers)) if answers.question[i] == q]
        weight = [
            p * math.prod(confusion[answers.rater[i], t, answers.answer[i]] for i in mine)
            for t, p in ((0, 1 - prior), (1, prior))
        ]
        if mine:
            posterior[q] = weight[1] / sum(weight)
        for i in mine:
            counts[answers.rater[i], :, answers.answer[i]] += np.array(weight) / sum(weight)
    asked = ~np.isnan(posterior)
    np.testing.assert_allclose(fit.scores.probability[asked], posterior[asked], atol=1e-12)
    np.testing.assert_allclose(fit.confusion, counts / counts.sum(axis=2, keepdims=True), atol=1e-9)
    assert fit.prior == pytest.approx(np.nanmean(posterior))
    np.testing.assert_allclose(fit.scores.probability[~asked], fit.prior)


def test_questions_with_many_and_few_answers_are_computed_alike():
    """Up to 30 raters per question: rectangular and ragged layouts, against crowd-kit."""
    rng = np.random.default_rng(5)
    truth = rng.random(400) < 0.5
    everyone = simulate.rate(truth, simulate.confusions(30, 3, rng), 30, rng)
    kept = rng.random(len(everyone)) < rng.choice([0.05, 0.4, 1.0], 400)[everyone.question]
    answers = dataclasses.replace(
        everyone,
        question=everyone.question[kept],
        rater=everyone.rater[kept],
        answer=everyone.answer[kept],
    )
    expected, _, _ = crowd_kit_passes(answers, 5)
    ours = aggregation.dawid_skene(
        answers, shrinkage=0, accelerate=False, max_passes=5, tolerance=0
    )
    asked = np.flatnonzero(np.diff(answers.offsets))
    assert np.diff(answers.offsets).max() > 16 and len(asked) < 400
    np.testing.assert_allclose(ours.scores.probability[asked], expected, rtol=0, atol=1e-6)


def test_parameters_are_recovered():
    rng = np.random.default_rng(0)
    truth = rng.random(40_000) < 0.3
    confusion = simulate.confusions(20, 3, rng)
    fit = aggregation.dawid_skene(simulate.rate(truth, confusion, 5, rng))
    assert fit.prior == pytest.approx(truth.mean(), abs=0.01)
    assert np.abs(fit.confusion - confusion).max() < 0.03
    decided = fit.scores.probability > 0.5
    assert (decided == truth).mean() == pytest.approx(fit.sureness.mean(), abs=0.005)


def test_acceleration_and_start_change_the_way_not_the_end(raw_answers):
    plain = aggregation.dawid_skene(raw_answers, tolerance=1e-9, accelerate=False)
    fast = aggregation.dawid_skene(raw_answers, tolerance=1e-9)
    assert fast.convergence.passes < plain.convergence.passes / 2
    np.testing.assert_allclose(fast.scores.probability, plain.scores.probability, atol=1e-7)
    again = aggregation.dawid_skene(raw_answers, start=Start.of(fast))
    assert again.convergence.passes <= 2


def test_added_answers_start_from_the_previous_fit(tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.random(3000) < 0.3
    answers = simulate.rate(truth, simulate.confusions(12, 3, rng), 5, rng)
    first = answers.take_questions(np.arange(2500))
    before = aggregation.dawid_skene(first)
    before.save(tmp_path / "fit.npz")
    cold = aggregation.dawid_skene(answers, tolerance=1e-9)
    warm = aggregation.dawid_skene(answers, tolerance=1e-9, start=Start.load(tmp_path / "fit.npz"))
    # The warm start begins a hundred times nearer to the converged objective.
    end = cold.convergence.objective[-1]
    assert end - warm.convergence.objective[0] < 0.01 * (end - cold.convergence.objective[0])
    np.testing.assert_allclose(warm.scores.probability, cold.scores.probability, atol=1e-7)
    newcomers = dataclasses.replace(answers, raters=[f"new{r}" for r in answers.raters])
    strangers = aggregation.dawid_skene(newcomers, tolerance=1e-9, start=Start.of(before))
    np.testing.assert_allclose(strangers.scores.probability, cold.scores.probability, atol=1e-7)
    other = dataclasses.replace(answers, categories=("a", "b", "c"))
    with pytest.raises(
        InputError, match="earlier fit has the answer categories no, maybe, yes; .* have a, b, c"
    ):
        aggregation.dawid_skene(other, start=Start.of(before))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (dict(confusion=np.array([[[1.5, -0.5], [0.5, 0.5]]])), "each row a distribution"),
        (dict(confusion=np.array([[["a", "b"], ["a", "b"]]])), "each row a distribution"),
        (dict(prior=np.nan), "expected a prior in"),
        (
            dict(raters=np.array(["x", "x"]), confusion=np.full((2, 2, 2), 0.5)),
            r"found the prior 0.5 and 2 raters \(1 distinct\)",
        ),
    ],
)
def test_bad_fits_are_not_started_from(tmp_path, change, complaint):
    good = dict(
        raters=np.array(["x"]), confusion=np.full((1, 2, 2), 0.5), prior=0.5,
        categories=np.array(["no", "yes"]),
    )  # fmt: skip
    np.savez(tmp_path / "fit.npz", **good | change)
    with pytest.raises(InputError, match=rf"fit.npz: .*{complaint}"):
        Start.load(tmp_path / "fit.npz")


def test_passes_are_no_more_than_allowed():
    rng = np.random.default_rng(3)
    answers = simulate.rate(rng.random(300) < 0.3, simulate.confusions(40, 3, rng), 3, rng)
    for allowed in range(1, 40):
        fit = aggregation.dawid_skene(answers, shrinkage=0, max_passes=allowed, tolerance=1e-12)
        assert fit.convergence.passes == allowed
    with pytest.raises(InputError, match="max_passes must be at least 1"):
        aggregation.dawid_skene(answers, max_passes=0)

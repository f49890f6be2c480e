import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from crowdkit.aggregation import DawidSkene
from hypothesis import given, settings
from hypothesis import strategies as st

from real_labels import LabelSets, aggregation, imagenet
from real_labels import published as recipe
from real_labels.aggregation import PseudoRater, Start
from real_labels.answers import Answers
from real_labels.errors import InputError
from real_labels.gold import Gold
from real_labels.questions import Questions
from real_labels.rater_model import Parameters
from real_labels.scores import Scores
from tests.real_labels import simulate


@pytest.fixture(scope="module")
def raw_answers(published):
    return recipe.raw_answers(published)


# ---- the published recipe -----------------------------------------------------------------------


def test_published_scores_and_labels_are_rebuilt_exactly(published, raw_answers):
    aggregate = recipe.rebuild(published, raw_answers)
    labels = aggregate.scores.label_sets(recipe.THRESHOLD, unrated=imagenet.original_labels())
    theirs = Scores.load(published / "scores.npz")
    assert len(theirs) == 184_962
    rows = aggregate.scores.questions.find(theirs.questions)
    assert len(np.unique(rows)) == 184_962 and rows.min() == 0
    np.testing.assert_allclose(
        aggregate.scores.probability[rows], theirs.probability, rtol=0, atol=1e-12
    )
    assert labels.to_lists() == LabelSets.from_json(published / "real.json").to_lists()
    assert len(labels.classes) == 57_553
    assert (labels.counts > 0).sum() == 46_837
    assert (labels.counts > 1).sum() == 7_443


def test_published_recipe_has_no_part_to_spare(published, raw_answers):
    """Leaving out the pseudo-rater or its own truth is not the published recipe."""
    gold = Gold.load(published / "golden.npz", at_least=3)
    gold_answers = Answers.load(published / "raters_golden.npz")
    theirs = Scores.load(published / "scores.npz")
    original = imagenet.original_labels()
    for voters in (
        [],
        [PseudoRater("original", original, None, gold.with_votes(2))],
        [PseudoRater("original", original, imagenet.animals())],
    ):
        scores = aggregation.gold_calibrated(
            raw_answers, gold, gold_answers, pseudo_raters=voters
        ).scores
        assert np.abs(scores.probability - theirs.probability).max() > 1e-3


def test_published_majority_is_as_precise_as_known(published, raw_answers):
    gold = Gold.load(published / "golden.npz")
    scores = aggregation.majority(raw_answers).scores
    kept = scores.probability[scores.questions.find(gold.questions)] >= 0.6
    assert (kept & gold.present).sum() / kept.sum() == pytest.approx(0.943, abs=5e-4)
    assert (kept & gold.present).sum() / gold.present.sum() == pytest.approx(0.536, abs=5e-4)


def test_maximum_likelihood_on_the_published_answers_is_as_known(published, raw_answers):
    fit = aggregation.dawid_skene(raw_answers, shrinkage=0, tolerance=1e-8)
    theirs = Scores.load(published / "scores.npz").probability
    ours = fit.scores.probability
    assert fit.convergence.converged
    assert np.corrcoef(ours, theirs)[0, 1] == pytest.approx(0.985, abs=5e-4)
    assert ((ours >= 0.8) != (theirs >= 0.8)).sum() == pytest.approx(3236, abs=3)


# ---- EM against crowd-kit -----------------------------------------------------------------------


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
    theirs, prior, _ = crowd_kit_passes(raw_answers, 6)
    ours = aggregation.dawid_skene(
        raw_answers, shrinkage=0, accelerate=False, max_passes=6, tolerance=0
    )
    np.testing.assert_allclose(ours.scores.probability, theirs, rtol=0, atol=1e-6)
    assert ours.prior == pytest.approx(prior, abs=1e-9)


def test_converged_em_is_a_fixed_point_of_crowd_kits_steps(raw_answers):
    """What ours ends with on all published answers, crowd-kit's next pass leaves as it is."""
    ours = aggregation.dawid_skene(raw_answers, shrinkage=0, tolerance=1e-9)
    assert ours.convergence.converged
    data = crowd_kit_frame(raw_answers)
    present = pd.Series(ours.scores.probability, name=1)
    probas = pd.DataFrame({0: 1 - present, 1: present}).rename_axis("task")
    errors = DawidSkene._m_step(data, probas)
    theirs = DawidSkene._e_step(data, probas.mean(), errors).sort_index()[1].to_numpy()
    np.testing.assert_allclose(theirs, ours.scores.probability, rtol=0, atol=1e-6)
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
    theirs = DawidSkene(n_iter=5, tol=-1).fit(crowd_kit_frame(yes_no)).probas_.sort_index()
    ours = aggregation.dawid_skene(yes_no, shrinkage=0, accelerate=False, max_passes=5, tolerance=0)
    np.testing.assert_allclose(
        ours.scores.probability[theirs.index], theirs[1].to_numpy(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("num_categories", [2, 3, 5])
def test_accelerated_em_ends_where_crowd_kit_does(num_categories):
    rng = np.random.default_rng(num_categories)
    truth = rng.random(600) < 0.4
    categories = tuple(str(i) for i in range(num_categories))
    answers = simulate.rate(truth, simulate.confusions(7, num_categories, rng), 5, rng, categories)
    theirs, prior, errors = crowd_kit_passes(answers, 400)
    ours = aggregation.dawid_skene(answers, shrinkage=0, tolerance=1e-10)
    assert ours.convergence.converged and ours.convergence.passes < 100
    np.testing.assert_allclose(ours.scores.probability, theirs, rtol=0, atol=1e-6)
    assert ours.prior == pytest.approx(prior, abs=1e-7)
    for (rater, answer), row in errors.iterrows():
        np.testing.assert_allclose(ours.confusion[rater, :, answer], row[[0, 1]], atol=1e-6)


# ---- EM against its definition ------------------------------------------------------------------


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
    """The objective by the book: products over answers, question by question."""
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


@settings(deadline=None, max_examples=150)
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


@settings(deadline=None, max_examples=60)
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
    """Up to 30 raters a question: side by side and ragged layouts, against crowd-kit."""
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
    theirs, _, _ = crowd_kit_passes(answers, 5)
    ours = aggregation.dawid_skene(
        answers, shrinkage=0, accelerate=False, max_passes=5, tolerance=0
    )
    asked = np.flatnonzero(np.diff(answers.offsets))
    assert np.diff(answers.offsets).max() > 16 and len(asked) < 400
    np.testing.assert_allclose(ours.scores.probability[asked], theirs, rtol=0, atol=1e-6)


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
    # It sets out a hundred times nearer to the end.
    end = cold.convergence.objective[-1]
    assert end - warm.convergence.objective[0] < 0.01 * (end - cold.convergence.objective[0])
    np.testing.assert_allclose(warm.scores.probability, cold.scores.probability, atol=1e-7)
    newcomers = dataclasses.replace(answers, raters=[f"new{r}" for r in answers.raters])
    strangers = aggregation.dawid_skene(newcomers, tolerance=1e-9, start=Start.of(before))
    np.testing.assert_allclose(strangers.scores.probability, cold.scores.probability, atol=1e-7)
    other = dataclasses.replace(answers, categories=("a", "b", "c"))
    with pytest.raises(InputError, match="earlier fit is of the answers no, maybe, yes"):
        aggregation.dawid_skene(other, start=Start.of(before))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (dict(confusion=np.array([[[1.5, -0.5], [0.5, 0.5]]])), "each row a distribution"),
        (dict(confusion=np.array([[["a", "b"], ["a", "b"]]])), "each row a distribution"),
        (dict(prior=np.nan), "expected a prior in"),
        (dict(raters=np.array(["x", "x"]), confusion=np.full((2, 2, 2), 0.5)), "1 differ"),
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


def test_gold_helps_where_raters_agree_on_nonsense():
    """Most raters answer the opposite: only gold can tell."""
    rng = np.random.default_rng(2)
    truth = rng.random(2000) < 0.5
    honest = np.array([[[0.9, 0.1], [0.1, 0.9]]] * 2)
    liars = np.array([[[0.2, 0.8], [0.8, 0.2]]] * 5)
    answers = simulate.rate(truth, np.concatenate([honest, liars]), 7, rng, ("no", "yes"))
    gold = Gold(answers.questions.take(np.arange(60)), truth[:60])
    alone = aggregation.dawid_skene(answers).scores.probability > 0.5
    helped = aggregation.dawid_skene(answers, gold=gold).scores.probability > 0.5
    assert (alone == truth)[60:].mean() < 0.2
    assert (helped == truth)[60:].mean() > 0.9


def test_few_answers_each_need_shrinkage():
    rng = np.random.default_rng(3)
    truth = rng.random(1500) < 0.3
    skills = np.repeat([[[0.8, 0.1, 0.1], [0.15, 0.15, 0.7]]], 1500, axis=0)
    answers = simulate.rate(truth, skills, 3, rng)  # about 3 answers a rater
    plain = aggregation.dawid_skene(answers, shrinkage=0)
    shrunk = aggregation.dawid_skene(answers)

    def log_loss(aggregate):
        p = np.clip(
            np.where(truth, aggregate.scores.probability, 1 - aggregate.scores.probability), 1e-9, 1
        )
        return -np.log(p).mean()

    assert log_loss(shrunk) < 0.6 * log_loss(plain)


@pytest.mark.parametrize(
    ("questions", "raters", "answers_each"),
    [(500, 250, 3), (1000, 50, 2), (300, 20, 5), (400, 5, 3)],
)
def test_the_default_is_no_worse_than_the_majority(questions, raters, answers_each):
    """Mean over five crowds; maximum likelihood collapses on the first kind."""
    right = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = rng.random(questions) < 0.3
        answers = simulate.rate(truth, simulate.confusions(raters, 3, rng), answers_each, rng)
        fits = aggregation.majority(answers), aggregation.dawid_skene(answers)
        right.append([((f.scores.probability > 0.5) == truth).mean() for f in fits])
    majority, fitted = np.mean(right, axis=0)
    assert fitted > majority - 0.005


def test_what_answers_cannot_tell_is_said():
    rng = np.random.default_rng(0)
    truth = rng.random(600) < 0.3

    def doubts(raters, each, **options):
        answers = simulate.rate(truth, simulate.confusions(raters, 3, rng), each, rng)
        return " ".join(aggregation.doubts(aggregation.dawid_skene(answers, **options), answers))

    assert doubts(20, 5) == ""
    assert "Most questions have one answer" in doubts(10, 1)
    assert "Most questions have one answer" in doubts(1, 1)
    assert "EM did not converge" in doubts(10, 5, max_passes=2)
    assert "it has given up on them" in doubts(300, 3, shrinkage=0, smoothing=1)
    unanimous = simulate.rate(truth[:50], np.array([[[0, 0, 1.0]] * 2] * 3), 3, rng)
    assert aggregation.doubts(aggregation.dawid_skene(unanimous), unanimous) == []
    answers = simulate.rate(truth, simulate.confusions(3, 3, rng), 3, rng)
    assert aggregation.doubts(aggregation.majority(answers), answers) == []


def test_passes_are_no_more_than_allowed():
    rng = np.random.default_rng(3)
    answers = simulate.rate(rng.random(300) < 0.3, simulate.confusions(40, 3, rng), 3, rng)
    for allowed in range(1, 40):
        fit = aggregation.dawid_skene(answers, shrinkage=0, max_passes=allowed, tolerance=1e-12)
        assert fit.convergence.passes == allowed
    with pytest.raises(InputError, match="max_passes must be at least 1"):
        aggregation.dawid_skene(answers, max_passes=0)


# ---- majority, gold, pseudo-raters --------------------------------------------------------------


def small_answers(rows, categories=("no", "maybe", "yes")):
    names, labels, raters, answers = zip(*rows)
    asked = Questions.from_pairs(*map(np.array, zip(*dict.fromkeys(zip(names, labels)))))
    ids = sorted(set(raters))
    question = [
        list(dict.fromkeys(zip(names, labels))).index((name, label))
        for name, label in zip(names, labels)
    ]
    return Answers(
        asked,
        ids,
        np.array(question),
        np.array([ids.index(r) for r in raters]),
        np.array([categories.index(a) for a in answers]),
        categories,
    )


def test_majority_is_the_share_of_yes():
    answers = small_answers(
        [
            ("a", 1, "x", "yes"),
            ("a", 1, "y", "yes"),
            ("a", 1, "z", "maybe"),
            ("b", 1, "x", "no"),
            ("b", 1, "y", "yes"),
            ("b", 1, "z", "no"),
        ]
    )
    aggregate = aggregation.majority(answers)
    np.testing.assert_allclose(aggregate.scores.probability, [2 / 3, 1 / 3])
    # y says yes to both; the first is present by majority, the second absent.
    np.testing.assert_array_equal(aggregate.counts[1], [[0, 0, 1], [0, 0, 1]])


@given(st.integers(0, 40), st.integers(0, 40))
def test_sureness_of_the_majority_is_a_beta_tail(yes, no):
    names = ["a"] * (yes + no)
    rows = [(n, 0, f"r{i}", "yes" if i < yes else "no") for i, n in enumerate(names)]
    if not rows:
        return
    aggregate = aggregation.majority(small_answers(rows, ("no", "yes")))
    tail = scipy.stats.beta(yes + 1, no + 1).sf(0.5)
    assert aggregate.sureness[0] == pytest.approx(max(tail, 1 - tail), abs=1e-12)


def test_gold_calibrated_by_hand():
    answers = small_answers(
        [("a", 0, "x", "yes"), ("a", 0, "y", "no"), ("b", 0, "x", "no"), ("b", 0, "z", "maybe")]
    )
    gold_answers = small_answers(
        [("g", 0, "x", "yes"), ("h", 0, "x", "no"), ("g", 0, "y", "yes"), ("h", 0, "y", "yes")]
    )
    gold = Gold(gold_answers.questions, np.array([True, False]))
    aggregate = aggregation.gold_calibrated(answers, gold, gold_answers)
    x = np.array([[2, 1, 1], [1, 1, 2]]) / 4
    y = np.array([[1, 1, 2], [1, 1, 2]]) / 4
    z = (x + y) / 2  # nothing is known of z
    np.testing.assert_allclose(aggregate.confusion, [x, y, z])
    present = [0.5 * x[1, 2] * y[1, 0], 0.5 * x[1, 0] * z[1, 1]]
    absent = [0.5 * x[0, 2] * y[0, 0], 0.5 * x[0, 0] * z[0, 1]]
    expected = np.array(present) / (np.array(present) + absent)
    np.testing.assert_allclose(aggregate.scores.probability, expected)
    assert aggregate.prior == 0.5


def test_a_pseudo_rater_is_measured_on_all_gold_and_votes_on_its_classes():
    answers = small_answers([("a", 0, "x", "yes"), ("a", 5, "x", "yes")])
    gold_answers = small_answers(
        [("g", 0, "x", "yes"), ("g", 5, "x", "no"), ("h", 0, "x", "no"), ("h", 5, "x", "yes")]
    )
    gold = Gold(gold_answers.questions, np.array([True, False, False, True]))
    votes = LabelSets.from_lists(["a", "g", "h"], [[0], [0], [5]])
    voter = PseudoRater("labels", votes, np.array([0, 1]))
    aggregate = aggregation.gold_calibrated(answers, gold, gold_answers, pseudo_raters=[voter])
    assert aggregate.raters.tolist() == ["x", "labels"]
    np.testing.assert_array_equal(aggregate.counts[1], [[2, 0, 0], [0, 0, 2]])
    without = aggregation.gold_calibrated(answers, gold, gold_answers)
    # It says yes to class 0 of a, and nothing to class 5, where its no would have counted.
    assert aggregate.scores.probability[0] > without.scores.probability[0]
    assert aggregate.scores.probability[1] == without.scores.probability[1]
    for method in (aggregation.majority, aggregation.dawid_skene):
        assert method(answers, pseudo_raters=[voter]).raters.tolist() == ["x", "labels"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (dict(smoothing=-1), "smoothing must be at least 0"),
        (dict(shrinkage=np.nan), "shrinkage must be at least 0"),
        (dict(prior=1.0), "prior must lie between"),
        (
            dict(
                gold=Gold(Questions(["other.jpg"], np.array([0]), np.array([0])), np.array([True]))
            ),
            "None of the 1 gold questions is among",
        ),
        (
            dict(pseudo_raters=[PseudoRater("x", LabelSets.from_lists(["a"], [[0]]))]),
            "rater 'x' already",
        ),
        (
            dict(pseudo_raters=[PseudoRater("n", LabelSets.from_lists(["z"], [[0]]))]),
            "nothing to say",
        ),
    ],
)
def test_dawid_skene_refuses(change, complaint):
    answers = small_answers([("a", 0, "x", "yes"), ("a", 1, "x", "no")])
    with pytest.raises(InputError, match=complaint):
        aggregation.dawid_skene(answers, **change)


def test_gold_that_nobody_answered_is_an_error():
    answers = small_answers([("a", 0, "x", "yes"), ("b", 0, "x", "no")])
    elsewhere = Gold(Questions(["z"], np.array([0]), np.array([0])), np.array([True]))
    with pytest.raises(InputError, match="None of the 1 gold questions .*gold answers"):
        aggregation.gold_calibrated(answers, elsewhere)
    all_present = Gold(answers.questions, np.array([True, True]))
    with pytest.raises(InputError, match="present and absent"):
        aggregation.gold_calibrated(answers, all_present)

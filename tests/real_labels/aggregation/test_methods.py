"""Majority, Dawid & Skene, gold-calibrated: by hand, and on simulated raters."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from real_labels import LabelSets, aggregation
from real_labels.aggregation import PseudoRater
from real_labels.answers import Answers, Gold, Questions
from real_labels.errors import InputError
from tests.real_labels import simulate


def test_gold_helps_where_raters_agree_on_nonsense():
    """Most raters answer the opposite of the truth, so only gold shows which raters are right."""
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
    """Mean over five crowds; maximum likelihood fails on crowds of the first setting."""
    right = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = rng.random(questions) < 0.3
        answers = simulate.rate(truth, simulate.confusions(raters, 3, rng), answers_each, rng)
        fits = aggregation.majority(answers), aggregation.dawid_skene(answers)
        right.append([((f.scores.probability > 0.5) == truth).mean() for f in fits])
    majority, fitted = np.mean(right, axis=0)
    assert fitted > majority - 0.005


def test_doubts_name_the_weaknesses_of_a_fit():
    rng = np.random.default_rng(0)
    truth = rng.random(600) < 0.3

    def doubts(raters, each, **options):
        answers = simulate.rate(truth, simulate.confusions(raters, 3, rng), each, rng)
        return " ".join(aggregation.doubts(aggregation.dawid_skene(answers, **options), answers))

    assert doubts(20, 5) == ""
    assert "Most questions have one answer" in doubts(10, 1)
    assert "Most questions have one answer" in doubts(1, 1)
    assert "EM did not converge" in doubts(10, 5, max_passes=2)
    assert "the fit ignores the raters" in doubts(300, 3, shrinkage=0, smoothing=1)
    unanimous = simulate.rate(truth[:50], np.array([[[0, 0, 1.0]] * 2] * 3), 3, rng)
    assert aggregation.doubts(aggregation.dawid_skene(unanimous), unanimous) == []
    answers = simulate.rate(truth, simulate.confusions(3, 3, rng), 3, rng)
    assert aggregation.doubts(aggregation.majority(answers), answers) == []


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
    # y says yes to both questions; by majority the first label is present, the second absent.
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
    z = (x + y) / 2  # z has no gold answers
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
    # The label set says yes to class 0 of a. It does not vote on class 5, where it would say no.
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
            "answers none of the",
        ),
    ],
)
def test_dawid_skene_refuses(change, complaint):
    answers = small_answers([("a", 0, "x", "yes"), ("a", 1, "x", "no")])
    with pytest.raises(InputError, match=complaint):
        aggregation.dawid_skene(answers, **change)


def test_gold_without_answers_is_an_error():
    answers = small_answers([("a", 0, "x", "yes"), ("b", 0, "x", "no")])
    elsewhere = Gold(Questions(["z"], np.array([0]), np.array([0])), np.array([True]))
    with pytest.raises(InputError, match="None of the 1 gold questions .*gold answers"):
        aggregation.gold_calibrated(answers, elsewhere)
    all_present = Gold(answers.questions, np.array([True, True]))
    with pytest.raises(InputError, match="present and absent"):
        aggregation.gold_calibrated(answers, all_present)

"""Turns answers into scores: majority, Dawid & Skene by EM, and confusions measured on gold.

Each method returns an `Aggregate`: the score and the sureness of each question, and the confusion
matrix of each rater. `docs/labels.md` describes the recipe of the published ReaL labels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.aggregation import em
from real_labels.aggregation.aggregate import Aggregate, PseudoRater, Start
from real_labels.aggregation.rater_model import normalised, probability_and_log_sum
from real_labels.answers import Answers, Gold, Scores
from real_labels.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

# The prior of dawid_skene, chosen on simulated crowds: see "Small sets" in docs/labels.md.
PRIOR_ACCURACY = 0.8  # expected share of right answers of a rater
PRIOR_ANSWERS = 100  # pseudo-answers of the average rater for each truth; they decide on small sets
_PSEUDO_QUESTIONS = 2  # present questions, and as many absent ones, added to the estimate of π


def majority(answers: Answers, *, pseudo_raters: Sequence[PseudoRater] = ()) -> Aggregate:
    """Scores a question with the share of its raters who said "yes" (the last category).

    Raters are measured against the majority itself: a label counts as present if more than half of
    the raters who were asked said yes. Questions without answers score 0.

    Args:
      answers: the raters' answers.
      pseudo_raters: label sets that vote as additional raters.

    Three raters answer two questions about one image, label 5 and label 7:

    >>> from real_labels.answers import Answers, Questions
    >>> questions = Questions(["a.jpg"], image=[0, 0], label=[5, 7])
    >>> answers = Answers(
    ...     questions,
    ...     raters=["ann", "bob", "eve"],
    ...     question=[0, 0, 0, 1, 1, 1],
    ...     rater=[0, 1, 2, 0, 1, 2],
    ...     answer=[2, 2, 1, 0, 2, 0],  # yes yes maybe; no yes no
    ... )
    >>> majority(answers).scores.probability.round(2).tolist()
    [0.67, 0.33]
    """
    answers = _with_pseudo_raters(answers, pseudo_raters)
    yes, asked = answers.votes(), answers.asked
    share = yes / np.maximum(asked, 1)
    counts = _counts(answers, (share > 0.5).astype(np.float64))
    return Aggregate(
        Scores(answers.questions, share),
        _sureness_of_majority(yes, asked),
        answers.raters,
        normalised(counts),
        counts,
        float((share > 0.5).mean()) if len(share) else 0.0,
        answers.categories,
    )


def dawid_skene(
    answers: Answers,
    *,
    smoothing: float = 0.0,
    shrinkage: float = 20.0,
    prior: float | None = None,
    gold: Gold | None = None,
    pseudo_raters: Sequence[PseudoRater] = (),
    start: Start | None = None,
    tolerance: float = 1e-6,
    max_passes: int = 1000,
    accelerate: bool = True,
) -> Aggregate:
    """Dawid & Skene's model, fitted by EM (see `em`).

    Args:
      answers: the raters' answers.
      smoothing: number of pseudo-answers of each category, for each truth, added to every rater.
      shrinkage: number of pseudo-answers for each truth added to every rater, distributed as the average
        rater's answers. The average rater is one confusion matrix for all raters; it stays near a
        plausible rater while there are few answers. The pseudo-answers decide for raters with few answers
        and hardly count beside many.
        With smoothing and shrinkage at 0 the fit is Dawid & Skene's maximum likelihood, which takes a
        rater with one answer for infallible. With shrinkage above 0, π has a Beta(3, 3) prior, too.
      prior: fixed value of P(present); None estimates it.
      gold: questions whose truth is known; the fit keeps them at their truth.
      pseudo_raters: label sets that vote as additional raters.
      start: an earlier fit. None starts from the confusions measured on gold, if the answered gold
        questions have present and absent labels; else from the mean answer ("no" 0, "maybe" ½, "yes" 1).
      tolerance: largest change of a score or parameter at which EM has converged.
      max_passes: largest number of passes over the answers.
      accelerate: False for plain EM without acceleration.

    Raises:
      InputError: if a number is out of its range, there are no answers, the gold shares no question with
        the answers, or the earlier fit has other answer categories.

    Four raters answer the same 40 questions, of which the first 20 labels are present. Three raters are
    always right; "eve" answers yes to everything:

    >>> import numpy as np
    >>> from real_labels.answers import Answers, Questions
    >>> questions = Questions(["a.jpg"], image=np.zeros(40, int), label=np.arange(40))
    >>> truth = np.arange(40) < 20
    >>> answers = Answers(
    ...     questions,
    ...     raters=["ann", "bob", "cid", "eve"],
    ...     question=np.tile(np.arange(40), 4),
    ...     rater=np.repeat(np.arange(4), 40),
    ...     answer=np.concatenate([truth, truth, truth, np.ones(40, bool)]).astype(int),
    ...     categories=("no", "yes"),
    ... )
    >>> fit = dawid_skene(answers)
    >>> fit.scores.probability[[0, 20]].round(2).tolist()  # the majority would score the second 0.25
    [1.0, 0.0]
    >>> fit.confusion[:, 0, 1].round(1).tolist()  # P(yes | absent), shrunk towards the average rater
    [0.1, 0.1, 0.1, 0.6]
    """
    for name, value in (("smoothing", smoothing), ("shrinkage", shrinkage)):
        if not (value >= 0 and math.isfinite(value)):
            raise InputError(f"{name} must be at least 0, found {value}.")
    if max_passes < 1:
        raise InputError(f"max_passes must be at least 1, found {max_passes}.")
    if prior is not None and not 0 < prior < 1:
        raise InputError(f"The prior must lie between 0 and 1, found {prior}.")
    if not len(answers):
        raise InputError("There are no answers.")
    answers = _with_pseudo_raters(answers, pseudo_raters)
    offsets, num_categories = answers.offsets, len(answers.categories)
    held = None
    if gold is not None:
        rows, gold_rows = gold.among(answers.questions, "answers")
        held = np.full(len(answers.questions), -1, np.int8)
        held[rows] = gold.present[gold_rows]
        answered = answers.asked[rows] > 0
        if start is None and len(set(gold.present[gold_rows][answered].tolist())) == 2:
            # Raters who are mostly wrong would otherwise pull EM to the mirror image of the truth.
            start = Start.of(gold_calibrated(answers, gold))
    options: dict[str, Any] = dict(
        prior=prior, held=held, tolerance=tolerance, accelerate=accelerate
    )
    means = mean_answers(answers)

    pseudo_answers = np.full((2, num_categories), float(smoothing))
    if shrinkage:
        options["pseudo_questions"] = _PSEUDO_QUESTIONS
        average = em.fit(
            answers.answer,
            offsets,
            1,
            num_categories,
            means,
            pseudo_answers=PRIOR_ANSWERS * _plausible_rater(answers),
            max_passes=max_passes,
            **options,
        )
        pseudo_answers = pseudo_answers + shrinkage * average.parameters.confusion[0]
    fit = em.fit(
        answers.rater * np.int32(num_categories) + answers.answer,
        offsets,
        len(answers.raters),
        num_categories,
        means if start is None else start.for_raters(answers),
        pseudo_answers=pseudo_answers,
        max_passes=max_passes,
        **options,
    )
    return Aggregate(
        Scores(answers.questions, fit.probability),
        np.maximum(fit.probability, 1 - fit.probability),
        answers.raters,
        fit.parameters.confusion,
        fit.counts,
        fit.parameters.prior,
        answers.categories,
        fit.convergence,
        shrinkage,
    )


def gold_calibrated(
    answers: Answers,
    gold: Gold,
    gold_answers: Answers | None = None,
    *,
    smoothing: float = 1.0,
    prior: float | None = None,
    pseudo_raters: Sequence[PseudoRater] = (),
) -> Aggregate:
    """Scores by Dawid & Skene's model with confusions measured on gold: the published recipe.

    C[r, t, a] ∝ number of r's answers a to gold questions of truth t, plus `smoothing`. Raters
    without gold answers get the mean matrix of the raters with gold answers. The score is the posterior
    P(present | answers), with answers independent given the truth.

    Args:
      answers: the raters' answers to all questions.
      gold: questions with their truth.
      gold_answers: the raters' answers to gold questions; None if they are among `answers`.
      smoothing: number added to every count; above 0, because at 0 a single answer that its rater never
        gave on gold would rule out a truth.
      prior: P(present); None takes the share of gold questions whose label is present.
      pseudo_raters: label sets that vote as additional raters.

    Raises:
      InputError: if no rater answered a gold question, the categories differ, or a number is out of its
        range.

    On two gold questions "ann" is right and "bob" is wrong, so that the score of a third question follows
    the answer of "ann":

    >>> import numpy as np
    >>> from real_labels.answers import Answers, Gold, Questions
    >>> questions = Questions(["a.jpg"], image=[0, 0, 0], label=[1, 2, 3])
    >>> answers = Answers(
    ...     questions,
    ...     raters=["ann", "bob"],
    ...     question=[0, 1, 2, 0, 1, 2],
    ...     rater=[0, 0, 0, 1, 1, 1],
    ...     answer=[1, 0, 1, 0, 1, 0],  # ann: yes no yes; bob: no yes no
    ...     categories=("no", "yes"),
    ... )
    >>> gold = Gold(questions.take([0, 1]), np.array([True, False]))
    >>> aggregate = gold_calibrated(answers, gold)
    >>> aggregate.confusion[:, 1, 1].round(2).tolist()  # P(yes | present) of each rater
    [0.67, 0.33]
    >>> round(float(aggregate.scores.probability[2]), 2)
    0.8
    """
    if not (smoothing > 0 and math.isfinite(smoothing)):
        raise InputError(f"smoothing must be above 0, found {smoothing}.")
    gold_answers = answers if gold_answers is None else gold_answers
    if gold_answers.categories != answers.categories:
        raise InputError(
            f"The gold answers have the categories {', '.join(gold_answers.categories)}; the other "
            f"answers have {', '.join(answers.categories)}."
        )
    measured = dict(zip(*_gold_counts(gold_answers, gold), strict=True))
    for pseudo in pseudo_raters:
        # The matrix is measured on all gold questions, whichever classes the label set votes on.
        no_answers = dataclasses.replace(
            gold_answers,
            raters=np.zeros(0, np.str_),
            **{c: np.zeros(0, np.int32) for c in ("question", "rater", "answer")},
        )
        pseudo_answers = no_answers.with_rater(pseudo.name, pseudo.labels)
        measured |= dict(zip(*_gold_counts(pseudo_answers, pseudo.gold or gold), strict=True))
    human_counts = [
        c for r, c in measured.items() if r not in {p.name for p in pseudo_raters} and c.any()
    ]
    if not human_counts:
        raise InputError(
            "No rater answered a gold question, so no confusion matrix can be measured."
        )
    mean = np.mean([normalised(c + smoothing) for c in human_counts], axis=0)

    answers = _with_pseudo_raters(answers, pseudo_raters)
    no_counts = np.zeros((2, len(answers.categories)))
    counts = np.array([measured.get(r, no_counts) for r in answers.raters.tolist()])
    is_measured = np.any(counts, axis=(1, 2))[:, None, None]
    confusion = np.where(is_measured, normalised(counts + smoothing), mean)
    if prior is not None and not 0 < prior < 1:
        raise InputError(f"The prior must lie between 0 and 1, found {prior}.")
    prior = float(gold.present.mean()) if prior is None else prior
    if not 0 < prior < 1:
        raise InputError(
            f"The gold questions must have present and absent labels, found {100 * prior:g}% present: "
            f"give more gold questions, or a prior."
        )
    evidence = (np.log(confusion[:, 1]) - np.log(confusion[:, 0]))[answers.rater, answers.answer]
    log_odds = np.log(prior / (1 - prior)) + np.bincount(
        answers.question, evidence, minlength=len(answers.questions)
    )
    probability, _ = probability_and_log_sum(log_odds)
    return Aggregate(
        Scores(answers.questions, probability),
        np.maximum(probability, 1 - probability),
        answers.raters,
        confusion,
        counts,
        prior,
        answers.categories,
    )


def _with_pseudo_raters(answers: Answers, pseudo_raters: Sequence[PseudoRater]) -> Answers:
    for pseudo in pseudo_raters:
        answers = answers.with_rater(pseudo.name, pseudo.labels, pseudo.classes)
    return answers


def _plausible_rater(answers: Answers) -> Float[np.ndarray, "2 categories"]:
    """(2, K) confusion matrix expected before any answer: 80% of the sure answers are right, for both truths.

    Category a of value v has P(a | present) ∝ f(a) 0.8^v 0.2^(1 - v), where f(a) is the mean frequency of
    the category and its mirror image among the answers; P(a | absent) is the mirror image.
    """
    frequency = np.bincount(answers.answer, minlength=len(answers.categories)) / len(answers)
    frequency = (frequency + frequency[::-1]) / 2 + 1e-3
    present = (
        frequency * PRIOR_ACCURACY**answers.values * (1 - PRIOR_ACCURACY) ** (1 - answers.values)
    )
    return normalised(np.stack([present[::-1], present]))


def mean_answers(answers: Answers) -> Float[np.ndarray, "questions"]:
    """(Q,) mean of each question's answers, valued from 0 ("no") to 1 ("yes"); ½ without answers."""
    values = answers.values[answers.answer]
    sums = np.bincount(answers.question, values, minlength=len(answers.questions))
    asked = answers.asked
    return np.where(asked > 0, sums / np.maximum(asked, 1), 0.5)


def _counts(answers: Answers, present: np.ndarray) -> Float[np.ndarray, "raters 2 categories"]:
    """(R, 2, K) number of answers of each rater for each truth; `present` is (Q,) P(present)."""
    shape = (len(answers.raters), len(answers.categories))
    codes = answers.rater.astype(np.int64) * shape[1] + answers.answer
    weights = present[answers.question]
    by_truth = [
        np.bincount(codes, w, minlength=shape[0] * shape[1]).reshape(shape)
        for w in (1 - weights, weights)
    ]
    return np.stack(by_truth, axis=1)


def _gold_counts(answers: Answers, gold: Gold) -> tuple[list[str], list[np.ndarray]]:
    """Returns the rater ids and each rater's (2, K) counts of answers to gold questions."""
    rows, gold_rows = gold.among(answers.questions, "gold answers")
    answers = answers.take_questions(rows)
    return answers.raters.tolist(), list(_counts(answers, gold.present[gold_rows].astype(float)))


def _sureness_of_majority(yes: np.ndarray, asked: np.ndarray) -> Float[np.ndarray, "questions"]:
    """(Q,) probability that the majority of all raters would decide as the raters who were asked.

    The prior of the share of "yes" among all raters is uniform, so its posterior is Beta(yes + 1,
    asked - yes + 1), and P(share > ½) is a binomial tail: P(Binomial(asked + 1, ½) ≤ yes).
    """
    pairs, inverse = np.unique(np.stack([yes, asked]), axis=1, return_inverse=True)
    tails = [
        sum(math.comb(n + 1, i) for i in range(y + 1)) / 2 ** (n + 1) for y, n in pairs.T.tolist()
    ]
    tail = np.array(tails)[inverse.ravel()]
    return np.maximum(tail, 1 - tail)

"""From answers to scores: majority, Dawid & Skene by EM, and confusions measured on gold.

Each method gives an `Aggregate`: the questions' scores, how sure it is of each of them, and each
rater's confusion matrix. `docs/labels.md` tells which the published ReaL labels were made with.
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
RIGHT = 0.8  # how often a rater is expected to be right
ANSWERS_BEFORE_ANY = (
    100  # for each truth, that the average rater is given: they decide on small sets
)
_PSEUDO_QUESTIONS = 2  # that are present, and as many absent, beside those of which π is the mean


def majority(answers: Answers, *, pseudo_raters: Sequence[PseudoRater] = ()) -> Aggregate:
    """Scores a question with the share of its raters who said "yes" (the last category).

    Raters are measured against the majority itself: present where more than half said yes.
    Questions without answers score 0.

    Args:
      answers: the raters' answers.
      pseudo_raters: who else votes.
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
      smoothing: pseudo-answers of each category and truth that every rater is given.
      shrinkage: pseudo-answers for each truth that every rater is given, distributed as the average
        rater's: one matrix for all raters, itself held near a plausible rater while answers are few. They
        decide for raters of few answers and vanish beside many.
        With both at 0 it is Dawid & Skene's maximum likelihood, which believes a rater with one answer
        to be infallible. Above 0, π has a Beta(3, 3) prior, too.
      prior: P(present), held; None estimates it.
      gold: questions held at their truth.
      pseudo_raters: who else votes.
      start: an earlier fit; None starts from the confusions measured on gold, if there is any with
        labels present and absent, else from the mean answer ("no" 0, "maybe" ½, "yes" 1).
      tolerance: largest change of a score or parameter at which EM has converged.
      max_passes: passes over the answers at most.
      accelerate: False for plain EM.

    Raises:
      InputError: if a number is out of its range or the gold shares no question.
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
        rows, here = gold.among(answers.questions, "answers")
        held = np.full(len(answers.questions), -1, np.int8)
        held[rows] = gold.present[here]
        answered = answers.asked[rows] > 0
        if start is None and len(set(gold.present[here][answered].tolist())) == 2:
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
            pseudo_answers=ANSWERS_BEFORE_ANY * _plausible_rater(answers),
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
    """Dawid & Skene's model with confusions measured on gold: the published recipe.

    C[r, t, a] ∝ number of r's answers a to gold questions of truth t, plus `smoothing`. Raters
    without gold answers get the mean of the others' matrices. The score is the posterior
    P(present | answers), answers being independent given the truth.

    Args:
      answers: the raters' answers to all questions.
      gold: questions with their truth.
      gold_answers: the raters' answers to gold questions; None if they are among `answers`.
      smoothing: added to every count; above 0, or an answer never given on gold rules all out.
      prior: P(present); None takes the share of gold questions whose label is present.
      pseudo_raters: who else votes.

    Raises:
      InputError: if nobody answered a gold question, or the categories differ.
    """
    if not (smoothing > 0 and math.isfinite(smoothing)):
        raise InputError(f"smoothing must be above 0, found {smoothing}.")
    gold_answers = answers if gold_answers is None else gold_answers
    if gold_answers.categories != answers.categories:
        raise InputError(
            f"The gold answers are of {', '.join(gold_answers.categories)}, the others of "
            f"{', '.join(answers.categories)}."
        )
    measured = dict(zip(*_gold_counts(gold_answers, gold), strict=True))
    for pseudo in pseudo_raters:
        # Its matrix is measured on all gold questions, whichever classes it votes on.
        alone = dataclasses.replace(
            gold_answers,
            raters=np.zeros(0, np.str_),
            **{c: np.zeros(0, np.int32) for c in ("question", "rater", "answer")},
        )
        voting = alone.with_rater(pseudo.name, pseudo.labels)
        measured |= dict(zip(*_gold_counts(voting, pseudo.gold or gold), strict=True))
    human = [c for r, c in measured.items() if r not in {p.name for p in pseudo_raters} and c.any()]
    if not human:
        raise InputError("No rater answered a gold question, so none can be measured.")
    mean = np.mean([normalised(c + smoothing) for c in human], axis=0)

    answers = _with_pseudo_raters(answers, pseudo_raters)
    nothing = np.zeros((2, len(answers.categories)))
    counts = np.array([measured.get(r, nothing) for r in answers.raters.tolist()])
    known = np.any(counts, axis=(1, 2))[:, None, None]
    confusion = np.where(known, normalised(counts + smoothing), mean)
    prior = float(gold.present.mean()) if prior is None else prior
    if not 0 < prior < 1:
        raise InputError(
            f"The prior must lie between 0 and 1, found {prior}: gold needs present and absent labels."
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
    """A confusion matrix to expect before any answer: right in 80% of the sure answers, on both sides.

    Category a of value v has P(a | present) ∝ f(a) 0.8^v 0.2^(1 - v), where f(a) is how often it and its
    mirror image are answered; P(a | absent) is the mirror image.
    """
    frequency = np.bincount(answers.answer, minlength=len(answers.categories)) / len(answers)
    frequency = (frequency + frequency[::-1]) / 2 + 1e-3
    present = frequency * RIGHT**answers.values * (1 - RIGHT) ** (1 - answers.values)
    return normalised(np.stack([present[::-1], present]))


def mean_answers(answers: Answers) -> Float[np.ndarray, "questions"]:
    """(Q,) mean of each question's answers on the scale from 0 to 1; ½ without answers."""
    values = answers.values[answers.answer]
    sums = np.bincount(answers.question, values, minlength=len(answers.questions))
    asked = answers.asked
    return np.where(asked > 0, sums / np.maximum(asked, 1), 0.5)


def _counts(answers: Answers, present: np.ndarray) -> Float[np.ndarray, "raters 2 categories"]:
    """(R, 2, K) answers of each rater, by P(present) of the questions, (Q,)."""
    shape = (len(answers.raters), len(answers.categories))
    codes = answers.rater.astype(np.int64) * shape[1] + answers.answer
    weights = present[answers.question]
    by_truth = [
        np.bincount(codes, w, minlength=shape[0] * shape[1]).reshape(shape)
        for w in (1 - weights, weights)
    ]
    return np.stack(by_truth, axis=1)


def _gold_counts(answers: Answers, gold: Gold) -> tuple[list[str], list[np.ndarray]]:
    """(ids, (2, K) counts of each) of the raters' answers to gold questions."""
    rows, here = gold.among(answers.questions, "gold answers")
    answers = answers.take_questions(rows)
    return answers.raters.tolist(), list(_counts(answers, gold.present[here].astype(float)))


def _sureness_of_majority(yes: np.ndarray, asked: np.ndarray) -> Float[np.ndarray, "questions"]:
    """P(more than half of all raters would say as those asked did), every share equally likely.

    The share of "yes" among all raters is Beta(yes + 1, asked - yes + 1) then, and its distribution
    function at ½ a binomial tail: P(share > ½) = P(Binomial(asked + 1, ½) ≤ yes).
    """
    kinds, inverse = np.unique(np.stack([yes, asked]), axis=1, return_inverse=True)
    tails = [
        sum(math.comb(n + 1, i) for i in range(y + 1)) / 2 ** (n + 1) for y, n in kinds.T.tolist()
    ]
    tail = np.array(tails)[inverse.ravel()]
    return np.maximum(tail, 1 - tail)

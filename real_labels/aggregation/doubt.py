"""Reasons not to trust a fit of the raters' model: what the answers cannot tell."""

from __future__ import annotations

import numpy as np

from real_labels.aggregation.aggregate import Aggregate
from real_labels.aggregation.methods import ANSWERS_BEFORE_ANY, RIGHT, mean_answers
from real_labels.answers import Answers

_LEAST_KAPPA = 0.1  # agreement beyond chance (Fleiss) below which answers tell nothing
_MOST_UNLIKE_MAJORITY = 0.1  # share of decisions; the published answers differ in 9.7%
_CERTAIN = 3.0  # standard errors of the agreement by chance, above which answers tell something
_FEW_FOR_A_CROWD = (
    5 * 2 * ANSWERS_BEFORE_ANY
)  # answers below which the prior of the average rater weighs
_UNANIMOUS = 0.95  # share of equal pairs of answers above which nothing is disputed


def doubts(aggregate: Aggregate, answers: Answers) -> list[str]:
    """Reasons not to trust a fit, a sentence or two each.

    Args:
      aggregate: the fit.
      answers: the raters' answers to it, without pseudo-raters.
    """
    found = []
    if aggregate.convergence is None:
        return found
    asked = answers.asked
    present = aggregate.scores.probability[asked > 0] > 0.5
    yes = answers.votes()[asked > 0]
    asked = asked[asked > 0]
    by_majority = 2 * yes > asked
    agreement, by_chance, noise = _agreement(answers)
    disputed = agreement < _UNANIMOUS
    if not aggregate.convergence.converged:
        found.append("EM did not converge; allow it more passes.")
    compared = np.count_nonzero(np.bincount(answers.rater)) > 1 and np.mean(asked > 1) >= 0.5
    if not compared:
        found.append(
            "Most questions have one answer, so raters cannot be compared: scores tell no more than "
            "the answers, whatever their sureness says. Ask more raters, or use the majority."
        )
        return found
    extreme = not 1e-3 < aggregate.prior < 1 - 1e-3
    if extreme and abs(aggregate.prior - mean_answers(answers).mean()) > 0.05:
        found.append(
            f"By this fit nearly {'all' if aggregate.prior > 0.5 else 'none'} of the labels are present, "
            f"whatever the raters say: it has given up on them. Compare it with the majority; more "
            f"shrinkage, a prior or gold questions help."
        )
    beyond = agreement - by_chance
    if disputed and beyond < min(_LEAST_KAPPA * (1 - by_chance), _CERTAIN * noise):
        found.append(
            f"Raters agree hardly more often than random answers would: two answers to a question are "
            f"equal in {100 * agreement:.0f}% of the cases, {100 * by_chance:.0f}% by chance. No method can "
            f"find the labels in such answers; look at the guidelines and at the raters."
        )
    differ = float(np.mean(present != by_majority))
    if differ > _MOST_UNLIKE_MAJORITY:
        found.append(
            f"{100 * differ:.0f}% of the questions are decided otherwise than by the majority of yes. "
            f"Compare the two on gold questions (--gold), or look at some of them."
        )
    if disputed and (present == present[0]).all() and not (by_majority == by_majority[0]).all():
        found.append(
            f"{'Every' if present[0] else 'No'} label comes out present, though raters disagree: compare "
            f"with the majority."
        )
    per_rater = np.bincount(answers.rater)
    typical = float(np.median(per_rater[per_rater > 0]))
    if disputed and aggregate.shrinkage:
        if len(answers) < _FEW_FOR_A_CROWD:
            found.append(
                f"With {len(answers):,} answers in all and {typical:.0f} of a typical rater, the scores lean "
                f"on the prior that raters are right in {100 * RIGHT:.0f}% of the cases. More answers or "
                f"gold questions help."
            )
        elif typical < aggregate.shrinkage:
            found.append(
                f"A typical rater gave {typical:.0f} answers: the scores lean on the average rater, and "
                f"raters are hardly told apart. More answers of each or gold questions help."
            )
    return found


def _agreement(answers: Answers) -> tuple[float, float, float]:
    """(share of equal pairs of answers to one question, share by chance, its spread by chance).

    Fleiss 1971, "Measuring nominal scale agreement among many raters"; the spread is of its equation 13, with
    the mean number of answers.
    """
    num_categories = len(answers.categories)
    codes = answers.question.astype(np.int64) * num_categories + answers.answer
    counts = np.bincount(codes, minlength=len(answers.questions) * num_categories)
    counts = counts.reshape(-1, num_categories)
    asked = counts.sum(axis=1)
    several = asked > 1
    if not several.any():
        return 1.0, 1.0, 0.0
    pairs = (counts * (counts - 1)).sum(axis=1)[several] / (asked * (asked - 1))[several]
    shares = counts.sum(axis=0) / counts.sum()
    squares, cubes = float((shares**2).sum()), float((shares**3).sum())
    m, n = float(asked[several].mean()), int(several.sum())
    variance = 2 * (squares - (2 * m - 3) * squares**2 + 2 * (m - 2) * cubes) / (n * m * (m - 1))
    return float(pairs.mean()), squares, float(np.sqrt(max(variance, 0.0)))

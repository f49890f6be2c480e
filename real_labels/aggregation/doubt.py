"""Reasons not to trust a fit of the rater model."""

from __future__ import annotations

import numpy as np

from real_labels.aggregation.aggregate import Aggregate
from real_labels.aggregation.methods import PRIOR_ACCURACY, PRIOR_ANSWERS, mean_answers
from real_labels.answers import Answers

_LEAST_KAPPA = 0.1  # Fleiss' kappa below which answers carry hardly any information
_MOST_UNLIKE_MAJORITY = 0.1  # share of decisions; 9.7% for the published answers
_CERTAIN = 3.0  # standard errors above chance agreement at which answers surely carry information
_FEW_FOR_A_CROWD = 5 * 2 * PRIOR_ANSWERS  # answers below which the average rater's prior matters
_UNANIMOUS = 0.95  # share of equal pairs of answers above which raters do not disagree


def doubts(aggregate: Aggregate, answers: Answers) -> list[str]:
    """Returns reasons not to trust a fit, one to three sentences each; none for a result without EM.

    Args:
      aggregate: the fit.
      answers: the fitted answers of the raters, without pseudo-raters.
    """
    reasons = []
    if aggregate.convergence is None:
        return reasons
    asked = answers.asked
    present = aggregate.scores.probability[asked > 0] > 0.5
    yes = answers.votes()[asked > 0]
    asked = asked[asked > 0]
    by_majority = 2 * yes > asked
    agreement, by_chance, noise = _agreement(answers)
    disputed = agreement < _UNANIMOUS
    if not aggregate.convergence.converged:
        reasons.append("EM did not converge; allow more passes.")
    compared = np.count_nonzero(np.bincount(answers.rater)) > 1 and np.mean(asked > 1) >= 0.5
    if not compared:
        reasons.append(
            "Most questions have one answer, so raters cannot be compared: the scores hold no more "
            "information than the answers, even where the sureness is high. Ask more raters, or use the "
            "majority."
        )
        return reasons
    extreme = not 1e-3 < aggregate.prior < 1 - 1e-3
    if extreme and abs(aggregate.prior - mean_answers(answers).mean()) > 0.05:
        reasons.append(
            f"In this fit nearly {'all' if aggregate.prior > 0.5 else 'none'} of the labels are present, "
            f"whatever the raters answered: the fit ignores the raters. Compare it with the majority; "
            f"more shrinkage, a fixed prior or gold questions help."
        )
    beyond = agreement - by_chance
    if disputed and beyond < min(_LEAST_KAPPA * (1 - by_chance), _CERTAIN * noise):
        reasons.append(
            f"Raters agree hardly more often than random answers: two answers to the same question are "
            f"equal in {100 * agreement:.0f}% of the cases, by chance in {100 * by_chance:.0f}%. No method "
            f"can recover the labels from such answers; check the guidelines and the raters."
        )
    differ = float(np.mean(present != by_majority))
    if differ > _MOST_UNLIKE_MAJORITY:
        reasons.append(
            f"For {100 * differ:.0f}% of the questions the fit decides differently from the majority. "
            f"Compare the fit and the majority on gold questions (--gold), or inspect some of these "
            f"questions."
        )
    if disputed and (present == present[0]).all() and not (by_majority == by_majority[0]).all():
        reasons.append(
            f"{'Every' if present[0] else 'No'} label comes out present, although raters disagree: compare "
            f"the fit with the majority."
        )
    per_rater = np.bincount(answers.rater)
    typical = float(np.median(per_rater[per_rater > 0]))
    if disputed and aggregate.shrinkage:
        if len(answers) < _FEW_FOR_A_CROWD:
            reasons.append(
                f"With {len(answers):,} answers in total and {typical:.0f} from a typical rater, the scores "
                f"depend on the prior that raters are right in {100 * PRIOR_ACCURACY:.0f}% of the cases. "
                f"More answers or gold questions help."
            )
        elif typical < aggregate.shrinkage:
            reasons.append(
                f"A typical rater gave {typical:.0f} answers, so the scores depend on the average rater and "
                f"hardly distinguish raters. More answers from each rater or gold questions help."
            )
    return reasons


def _agreement(answers: Answers) -> tuple[float, float, float]:
    """Returns the share of equal pairs of answers to a question, its expectation and spread by chance.

    Fleiss 1971, "Measuring nominal scale agreement among many raters"; the spread is the standard deviation
    of its equation 13, with the mean number of answers.
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

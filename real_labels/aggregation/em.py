"""Fits the rater model by EM (Dawid & Skene 1979).

From "Maximum likelihood estimation of observer error-rates using the EM algorithm", with a binary truth
and any number of answers (rater_model defines the symbols). EM alternates

    E: logit p[q] = logit π + Σ over q's answers of log C[r, 1, a] - log C[r, 0, a]
    M: π = mean of p;  C[r, t, a] ∝ Σ over r's answers a of P(t | q), plus pseudo-answers[r, t, a]

and never lowers Σ log P(answers to q) + Σ pseudo-answers · log C. Acceleration proposes the next
parameters. A proposal is accepted only if it does not lower this objective, so the fixed point is EM's.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.acceleration import Anderson
from real_labels.aggregation.answer_patterns import AnswerPatterns
from real_labels.aggregation.rater_model import Parameters, normalised

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_TINY = 1e-300  # stands for the probability 0 where a logarithm is taken


@dataclasses.dataclass(frozen=True)
class Convergence:
    """The course of EM.

    Attributes:
      objective: log-likelihood, plus the terms of pseudo-answers and pseudo-questions if there are any,
        after each accepted step; never falls.
      passes: number of passes over the answers, including the passes of rejected proposals.
      change: largest change of a question's probability in the last step.
      converged: whether all changes of probabilities and parameters fell to the tolerance before the
        passes ran out.
    """

    objective: tuple[float, ...]
    passes: int
    change: float
    converged: bool

    def __str__(self) -> str:
        end = "converged" if self.converged else "stopped before it converged"
        return (
            f"EM {end} after {self.passes} passes: objective {self.objective[-1]:.3f}, "
            f"last change of a score {self.change:.1e}"
        )


@dataclasses.dataclass(frozen=True)
class Fit:
    """The result of EM.

    Attributes:
      parameters: prior and confusion matrices.
      probability: (Q,) P(label present | answers).
      counts: (R, 2, K) expected number of answers behind each entry of the confusion matrices.
      convergence: the course of EM.
    """

    parameters: Parameters
    probability: Float[np.ndarray, "questions"]
    counts: Float[np.ndarray, "raters 2 categories"]
    convergence: Convergence


def fit(
    codes: Int[np.ndarray, "answers"],
    offsets: Int[np.ndarray, "questions_plus_1"],
    num_raters: int,
    num_categories: int,
    start: Float[np.ndarray, "questions"] | Parameters,
    *,
    pseudo_answers: Float[np.ndarray, "raters 2 categories"] | float = 0.0,
    prior: float | None = None,
    pseudo_questions: float = 0.0,
    held: Int[np.ndarray, "questions"] | None = None,
    tolerance: float = 1e-6,
    max_passes: int = 1000,
    accelerate: bool = True,
) -> Fit:
    """Runs EM to its fixed point.

    Args:
      codes: rater · K + answer of each answer, question by question.
      offsets: question q has the answers offsets[q] to offsets[q + 1].
      num_raters: R.
      num_categories: K.
      start: (Q,) initial P(present) of each question, or initial parameters.
      pseudo_answers: prior counts of each rater's answers (a Dirichlet prior, each parameter one higher).
      prior: fixed value of π; None estimates π.
      pseudo_questions: number of present questions, and of absent ones, added to the estimate of π (a Beta
        prior, both parameters one higher).
      held: (Q,) truth of each gold question, -1 for all others.
      tolerance: largest change of any probability and parameter at which EM has converged.
      max_passes: largest number of passes over the answers; at least 1.
      accelerate: False for plain EM without acceleration.
    """
    pseudo = np.broadcast_to(
        np.asarray(pseudo_answers, np.float64), (num_raters, 2, num_categories)
    ).transpose(1, 0, 2)
    starts_from_parameters = isinstance(start, Parameters)
    patterns = AnswerPatterns(
        codes,
        offsets,
        num_raters * num_categories,
        None if starts_from_parameters else start,
        held,
    )
    totals = patterns.totals.reshape(num_raters, num_categories)

    def m_step(present: np.ndarray, sum_present: float) -> tuple[Parameters, np.ndarray]:
        present = present.reshape(totals.shape)
        counts = np.stack([np.maximum(totals - present, 0.0), present])
        confusion = normalised(counts + pseudo)
        questions = patterns.num_answered + 2 * pseudo_questions
        estimated = (sum_present + pseudo_questions) / questions if questions else 0.5
        parameters = Parameters(estimated if prior is None else prior, confusion.transpose(1, 0, 2))
        return parameters, counts.transpose(1, 0, 2)

    def e_step(parameters: Parameters) -> tuple[np.ndarray, float, float]:
        logs = np.log(np.maximum(parameters.confusion.transpose(1, 0, 2), _TINY))
        present, sum_present, likelihood = patterns.e_step(
            parameters.prior, logs[0].ravel(), logs[1].ravel()
        )
        penalty = float((pseudo * logs).sum())
        if pseudo_questions:
            penalty += pseudo_questions * float(
                np.log(max(parameters.prior, _TINY)) + np.log1p(-min(parameters.prior, 1 - 1e-16))
            )
        return present, sum_present, likelihood + penalty

    current = start if starts_from_parameters else m_step(*patterns.sums_of_start())[0]
    if prior is not None:
        current = dataclasses.replace(current, prior=prior)
    anderson = Anderson(totals.sum(axis=1), patterns.num_answered) if accelerate else None
    history: list[float] = []
    plain, passes = current, 0
    while True:
        present, sum_present, objective = e_step(current)
        passes += 1
        if history and objective < history[-1] and current is not plain:
            # The proposal lowered the objective: continue from the plain EM step instead.
            current = plain
            if anderson is not None:
                anderson.forget()
            continue
        history.append(float(objective))
        plain, counts = m_step(present, sum_present)
        step = np.abs(plain.confusion - current.confusion).max(
            initial=abs(plain.prior - current.prior)
        )
        converged = max(patterns.change, step) <= tolerance
        if converged or passes >= max_passes:
            break
        # The last pass is a plain EM step, so that EM never ends on an unchecked proposal.
        is_last = passes >= max_passes - 1
        current = plain if anderson is None or is_last else anderson.propose(current, plain)
    return Fit(
        plain,
        patterns.probabilities(plain.prior),
        counts,
        Convergence(tuple(history), passes, float(patterns.change), bool(converged)),
    )

"""Anderson acceleration of EM: proposing parameters from where the last steps led."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.rater_model import Parameters, normalised

if TYPE_CHECKING:
    from jaxtyping import Float

_MEMORY = 8  # steps that it looks back
_LEAST_EIGENVALUE = 1e-12  # of the greatest one: directions of less are noise
_FLOOR = 1e-3  # of plain EM's value, under which no proposal puts a probability


class Anderson:
    """Anderson acceleration of a fixed-point iteration (Walker & Ni 2011, "Anderson acceleration").

    It works on square roots of probabilities, scaled by the square root of the number of answers:
    there, distance is what the likelihood feels (Fisher's metric), and no step leaves the simplex.
    """

    def __init__(self, answers_of_rater: Float[np.ndarray, "raters"], num_questions: int):
        """Begins without memory.

        Args:
          answers_of_rater: (R,) number of answers of each rater.
          num_questions: number of questions with answers.
        """
        self._scale = np.sqrt(answers_of_rater)[:, None, None]
        self._prior_scale = np.sqrt(num_questions)
        self.forget()

    def forget(self) -> None:
        """Starts afresh."""
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # where EM was, and its move
        self._move_steps: list[np.ndarray] = []  # how the move changed from step to step
        self._steps: list[np.ndarray] = []  # how the point that EM moved to changed
        self._gram = np.zeros((0, 0))  # products of the move steps

    def propose(self, now: Parameters, plain: Parameters) -> Parameters:
        """Parameters to go on with, from where EM was and where it went."""
        at = self._vector(now)
        move = self._vector(plain)
        move -= at
        if self._last is not None:
            self._remember(at, move, *self._last)
        self._last = at, move
        if not self._steps:
            return plain
        # Least squares by the normal equations: the vectors are long, and there are few of them.
        products = np.array([step @ move for step in self._move_steps])
        values, vectors = np.linalg.eigh(self._gram)
        sure = values > _LEAST_EIGENVALUE * values[-1]
        weights = vectors[:, sure] @ ((products @ vectors[:, sure]) / values[sure])
        proposal = at + move
        for weight, step in zip(weights, self._steps, strict=True):
            proposal -= weight * step
        return self._parameters(proposal, plain)

    def _remember(
        self, at: np.ndarray, move: np.ndarray, last_at: np.ndarray, last_move: np.ndarray
    ) -> None:
        if len(self._steps) == _MEMORY:
            del self._steps[0], self._move_steps[0]
            self._gram = self._gram[1:, 1:]
        last_at += last_move  # where EM moved to; nobody needs the old values
        np.subtract(move, last_move, out=last_move)
        np.subtract(at + move, last_at, out=last_at)
        self._move_steps.append(last_move)
        self._steps.append(last_at)
        new = np.array([step @ last_move for step in self._move_steps])
        self._gram = np.block([[self._gram, new[:-1, None]], [new[None, :-1], new[-1:, None]]])

    def _vector(self, parameters: Parameters) -> np.ndarray:
        prior = np.sqrt([parameters.prior, 1 - parameters.prior]) * self._prior_scale
        return np.append((np.sqrt(parameters.confusion) * self._scale).ravel(), prior)

    def _parameters(self, vector: np.ndarray, plain: Parameters) -> Parameters:
        confusion = vector[:-2].reshape(plain.confusion.shape) ** 2
        # What plain EM keeps above zero stays there: EM could never leave zero again.
        confusion = np.maximum(confusion, _FLOOR * plain.confusion * self._scale**2)
        floor = _FLOOR * self._prior_scale**2 * np.array([plain.prior, 1 - plain.prior])
        present, absent = np.maximum(vector[-2:] ** 2, floor)
        total = present + absent
        prior = float(present / total) if total > 0 else plain.prior
        return Parameters(prior, normalised(confusion))

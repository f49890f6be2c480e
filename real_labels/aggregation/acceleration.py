"""Anderson acceleration of EM: extrapolates parameters from the last steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.rater_model import Parameters, normalised

if TYPE_CHECKING:
    from jaxtyping import Float

_MEMORY = 8  # earlier steps that a proposal combines
_LEAST_EIGENVALUE = 1e-12  # relative to the largest one; smaller eigenvalues belong to noise
_FLOOR = 1e-3  # lowest probability of a proposal, relative to the plain EM step's


class Anderson:
    """Anderson acceleration of a fixed-point iteration (Walker & Ni 2011, "Anderson acceleration").

    Its vectors are square roots of probabilities, scaled by the square root of the number of answers.
    Distances between such vectors measure the change of the likelihood (Fisher's metric), and no step
    leaves the simplex.
    """

    def __init__(self, answers_of_rater: Float[np.ndarray, "raters"], num_questions: int):
        """Creates an accelerator with an empty memory.

        Args:
          answers_of_rater: (R,) number of answers of each rater.
          num_questions: number of questions with answers.
        """
        self._scale = np.sqrt(answers_of_rater)[:, None, None]
        self._prior_scale = np.sqrt(num_questions)
        self.forget()

    def forget(self) -> None:
        """Empties the memory of earlier steps."""
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # the last point and its EM move
        self._move_steps: list[np.ndarray] = []  # changes of the move between steps
        self._steps: list[np.ndarray] = []  # changes of the point after the move
        self._gram = np.zeros((0, 0))  # inner products of the move steps

    def propose(self, current: Parameters, plain: Parameters) -> Parameters:
        """Proposes parameters to continue from.

        Args:
          current: the parameters before the last EM step.
          plain: the parameters after it; returned as they are while the memory is empty.
        """
        point = self._vector(current)
        move = self._vector(plain)
        move -= point
        if self._last is not None:
            self._remember(point, move, *self._last)
        self._last = point, move
        if not self._steps:
            return plain
        # Least squares by the normal equations, because the vectors are few and long.
        products = np.array([step @ move for step in self._move_steps])
        values, vectors = np.linalg.eigh(self._gram)
        kept = values > _LEAST_EIGENVALUE * values[-1]
        weights = vectors[:, kept] @ ((products @ vectors[:, kept]) / values[kept])
        proposal = point + move
        for weight, step in zip(weights, self._steps, strict=True):
            proposal -= weight * step
        return self._parameters(proposal, plain)

    def _remember(
        self, point: np.ndarray, move: np.ndarray, last_point: np.ndarray, last_move: np.ndarray
    ) -> None:
        if len(self._steps) == _MEMORY:
            del self._steps[0], self._move_steps[0]
            self._gram = self._gram[1:, 1:]
        # Both arrays are overwritten to save memory: their old values are not needed any more.
        last_point += last_move  # the point after the last move
        np.subtract(move, last_move, out=last_move)
        np.subtract(point + move, last_point, out=last_point)
        self._move_steps.append(last_move)
        self._steps.append(last_point)
        new = np.array([step @ last_move for step in self._move_steps])
        self._gram = np.block([[self._gram, new[:-1, None]], [new[None, :-1], new[-1:, None]]])

    def _vector(self, parameters: Parameters) -> np.ndarray:
        prior = np.sqrt([parameters.prior, 1 - parameters.prior]) * self._prior_scale
        return np.append((np.sqrt(parameters.confusion) * self._scale).ravel(), prior)

    def _parameters(self, vector: np.ndarray, plain: Parameters) -> Parameters:
        confusion = vector[:-2].reshape(plain.confusion.shape) ** 2
        # A probability that plain EM keeps positive stays positive: EM cannot leave zero again.
        confusion = np.maximum(confusion, _FLOOR * plain.confusion * self._scale**2)
        floor = _FLOOR * self._prior_scale**2 * np.array([plain.prior, 1 - plain.prior])
        present, absent = np.maximum(vector[-2:] ** 2, floor)
        total = present + absent
        prior = float(present / total) if total > 0 else plain.prior
        return Parameters(prior, normalised(confusion))

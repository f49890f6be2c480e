"""Anderson acceleration of EM: proposing parameters from where the last steps led."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.rater_model import Parameters, normalised

if TYPE_CHECKING:
    from jaxtyping import Float

_MEMORY = 8  # steps that it looks back
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
        self._at: list[np.ndarray] = []
        self._moves: list[np.ndarray] = []

    def propose(self, now: Parameters, plain: Parameters) -> Parameters:
        """Parameters to go on with, from where EM was and where it went."""
        at = self._vector(now)
        self._at.append(at)
        self._moves.append(self._vector(plain) - at)
        del self._at[: -_MEMORY - 1], self._moves[: -_MEMORY - 1]
        if len(self._at) < 2:
            return plain
        at_steps = np.diff(self._at, axis=0)
        move_steps = np.diff(self._moves, axis=0)
        weights = np.linalg.lstsq(move_steps.T, self._moves[-1], rcond=1e-10)[0]
        proposal = at + self._moves[-1] - weights @ (at_steps + move_steps)
        return self._parameters(proposal, plain)

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

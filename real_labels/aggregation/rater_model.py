"""The model of raters that every method but the majority shares (Dawid & Skene 1979).

A question's label is present with probability π; given that (t = 1) or not (t = 0), rater r gives
answer a with probability C[r, t, a], independently of the other raters.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What is to be known of raters and questions.

    Attributes:
      prior: π, in [0, 1].
      confusion: (R, 2, K), C[r, t, a]; sums to 1 over a.
    """

    prior: float
    confusion: Float[np.ndarray, "raters 2 categories"]


def normalised(
    counts: Float[np.ndarray, "*more categories"],
) -> Float[np.ndarray, "*more categories"]:
    """Counts as distributions over the last axis; even ones where there is nothing to count."""
    sums = counts.sum(axis=-1, keepdims=True)
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), 1 / counts.shape[-1])


def probability_and_log_sum(
    log_odds: Float[np.ndarray, "n"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """(odds / (1 + odds), log(1 + odds)) of any log-odds, without overflow."""
    small = np.exp(-np.abs(log_odds))
    one_plus = 1 + small
    return np.where(log_odds >= 0, 1.0, small) / one_plus, np.maximum(log_odds, 0) + np.log(
        one_plus
    )

"""The rater model of Dawid & Skene (1979), shared by all methods but the majority.

The label of a question is present (t = 1) with probability π, else absent (t = 0). Given t, rater r
gives answer a with probability C[r, t, a], independently of the other raters.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Prior and confusion matrices of the rater model.

    Attributes:
      prior: π, in [0, 1].
      confusion: (R, 2, K), C[r, t, a]; sums to 1 over a.
    """

    prior: float
    confusion: Float[np.ndarray, "raters 2 categories"]


def normalised(
    counts: Float[np.ndarray, "*more categories"],
) -> Float[np.ndarray, "*more categories"]:
    """Normalises counts over the last axis; the distribution is uniform where all counts are 0."""
    sums = counts.sum(axis=-1, keepdims=True)
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), 1 / counts.shape[-1])


def probability_and_log_sum(
    log_odds: Float[np.ndarray, "n"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Returns odds / (1 + odds) and log(1 + odds) for any log-odds, without overflow."""
    small = np.exp(-np.abs(log_odds))
    one_plus = 1 + small
    return np.where(log_odds >= 0, 1.0, small) / one_plus, np.maximum(log_odds, 0) + np.log(
        one_plus
    )

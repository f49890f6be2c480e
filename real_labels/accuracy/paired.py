"""Compares two models on the same images: the difference of their accuracies, its interval and its test."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.accuracy.top_k import top_k_hits
from real_labels.errors import InputError
from real_labels.files.records import with_nan
from real_labels.intervals import Estimate, mcnemar
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

_Z = statistics.NormalDist().inv_cdf(0.975)

if TYPE_CHECKING:
    from jaxtyping import Bool


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference of two models' accuracies on the same images.

    Attributes:
      first, second: accuracy of each model, in [0, 1]; NaN where n is 0.
      value: the first accuracy minus the second, in [-1, 1]; NaN where n is 0.
      low, high: 95% bootstrap interval over images.
      only_first, only_second: number of images that only the first, or only the second, model gets right.
      p_value: of the exact McNemar test that both models are equally often the only one that is right.
      n: number of images counted.
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float
    n: int

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Difference:
        """Reads a record of `records.as_json`."""
        return cls(**with_nan(record))

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval."""
        return Estimate(self.value, self.low, self.high, self.n)


def paired_difference(
    first: Predictions,
    second: Predictions,
    labels: LabelSets,
    k: int = 1,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> Difference:
    """Compares two models' top-k accuracy image by image.

    Args:
      first, second: predictions for the same images, in any order.
      labels: label sets of every predicted image.
      k: at least 1.
      seed: seed of the bootstrap.
      draws: number of draws of the bootstrap.

    Raises:
      InputError: if the models predicted different images, or the seed is negative.
    """
    second = second.take(second.rows(first.file_names))
    labelled, first_hits = top_k_hits(first, labels, k)
    _, second_hits = top_k_hits(second, labels, k)
    n = int(np.count_nonzero(labelled))
    return difference_of_hits(first_hits, second_hits, n, seed=seed, draws=draws)


def difference_of_hits(
    first_hits: Bool[np.ndarray, "images"],
    second_hits: Bool[np.ndarray, "images"],
    n: int,
    *,
    seed: int = 0,
    draws: int | None = 10_000,
) -> Difference:
    """Compares two models by the images that each gets right (see `top_k_hits`).

    Args:
      first_hits, second_hits: whether the first and the second model is right; False without a label.
      n: number of images with a label.
      seed: seed of the bootstrap.
      draws: number of draws of the bootstrap; None: the normal approximation with the same variance.

    Raises:
      InputError: if the seed is negative.
    """
    if seed < 0:
        raise InputError(f"The seed must be at least 0, found {seed}.")
    n = int(n)
    only_first = int(np.count_nonzero(first_hits & ~second_hits))
    only_second = int(np.count_nonzero(second_hits & ~first_hits))
    p_value = mcnemar(only_first, only_second)
    if not n:
        nan = math.nan
        return Difference(nan, nan, nan, -1.0, 1.0, 0, 0, p_value, 0)
    # Drawing n images with replacement draws the numbers of these kinds of images from a multinomial.
    value = (only_first - only_second) / n
    if draws is None:
        half = _Z * math.sqrt(((only_first + only_second) / n - value**2) / n)
        low, high = max(value - half, -1.0), min(value + half, 1.0)
    else:
        shares = np.array([only_first, only_second, n - only_first - only_second]) / n
        drawn = np.random.default_rng(seed).multinomial(n, shares, size=draws)
        low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return Difference(
        first=np.count_nonzero(first_hits) / n,
        second=np.count_nonzero(second_hits) / n,
        value=value,
        low=float(low),
        high=float(high),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        n=n,
    )

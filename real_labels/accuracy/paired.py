"""Two models on the same images: the difference of their accuracies, its interval and its test."""

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
      first, second: accuracy of each, in [0, 1]; NaN where n is 0.
      value: their difference, in [-1, 1]; NaN where n is 0.
      low, high: 95% bootstrap interval over images.
      only_first, only_second: images that one of them alone gets right.
      p_value: exact McNemar test that both are equally often right alone.
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
        """What `records.as_json` made of it."""
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
      labels: must know every predicted image.
      k: at least 1.
      seed: of the bootstrap.
      draws: of the bootstrap.

    Raises:
      InputError: if they are about different images, or the seed is negative.
    """
    second = second.take(second.rows(first.file_names))
    labelled, ours = top_k_hits(first, labels, k)
    _, theirs = top_k_hits(second, labels, k)
    n = int(np.count_nonzero(labelled))
    return difference_of_hits(ours, theirs, n, seed=seed, draws=draws)


def difference_of_hits(
    ours: Bool[np.ndarray, "images"],
    theirs: Bool[np.ndarray, "images"],
    n: int,
    *,
    seed: int = 0,
    draws: int | None = 10_000,
) -> Difference:
    """Compares two models by the images that each gets right (see `top_k_hits`).

    Args:
      ours, theirs: whether the first and the second model is right; False where there is no label.
      n: number of images with a label.
      seed: of the bootstrap.
      draws: of the bootstrap; None for the normal distribution that it tends to, of the same variance.

    Raises:
      InputError: if the seed is negative.
    """
    if seed < 0:
        raise InputError(f"The seed must be at least 0, found {seed}.")
    n = int(n)
    only_first = int(np.count_nonzero(ours & ~theirs))
    only_second = int(np.count_nonzero(theirs & ~ours))
    p_value = mcnemar(only_first, only_second)
    if not n:
        nan = math.nan
        return Difference(nan, nan, nan, -1.0, 1.0, 0, 0, p_value, 0)
    # Drawing n images with replacement draws these four kinds of images from a multinomial.
    value = (only_first - only_second) / n
    if draws is None:
        half = _Z * math.sqrt(((only_first + only_second) / n - value**2) / n)
        low, high = max(value - half, -1.0), min(value + half, 1.0)
    else:
        shares = np.array([only_first, only_second, n - only_first - only_second]) / n
        drawn = np.random.default_rng(seed).multinomial(n, shares, size=draws)
        low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return Difference(
        first=np.count_nonzero(ours) / n,
        second=np.count_nonzero(theirs) / n,
        value=value,
        low=float(low),
        high=float(high),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        n=n,
    )

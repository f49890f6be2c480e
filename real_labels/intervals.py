"""Intervals and tests: Wilson, bootstrap, McNemar, Holm."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from real_labels.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

DRAWS = 2_000
_QUANTILES = (0.025, 0.975)
_MOST_EXACT = 1_000  # discordant pairs up to which McNemar's test uses whole numbers; slow beyond
# Near the smallest numbers, SciPy's incomplete beta function loses digits.
_SMALLEST_OF_BETA = 1e-250


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A share, or a difference of shares, with its 95% interval.

    Attributes:
      value: the estimate; NaN if no image was counted.
      low, high: ends of the interval; NaN if there is no interval.
      n: number of images counted.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of_share(cls, hits: int, n: int, confidence: float = 0.95, **more: Any) -> Self:
        """Returns the share `hits / n` with its Wilson interval.

        Args:
          hits, n, confidence: see `wilson_interval`.
          more: the additional fields of a subclass.
        """
        low, high = wilson_interval(hits, n, confidence)
        return cls(hits / n if n else math.nan, low, high, n, **more)

    @classmethod
    def of_nothing(cls, n: int = 0) -> Estimate:
        """Returns an estimate without a value: NaN, with `n` images."""
        return cls(math.nan, math.nan, math.nan, n)

    @property
    def is_known(self) -> bool:
        """Whether the estimate has a value."""
        return not math.isnan(self.value)


def percent(
    estimate: Estimate, digits: int = 2, *, scale: float = 100, sign: str = "", unit: str = "%"
) -> str:
    """Returns an estimate as text, "12.34% [11.90, 12.80]"; "–" if it has no value.

    Args:
      estimate: the share or difference.
      digits: number of digits after the decimal point.
      scale: factor of the printed value and interval.
      sign: "+" prints the sign of positive values, too.
      unit: printed after the value.
    """
    if not estimate.is_known:
        return "–"
    value, low, high = (
        f"{scale * end:{sign}.{digits}f}" for end in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{unit} [{low}, {high}]"


def bootstrap_estimate(value: float, drawn: Float[np.ndarray, "draws"], n: int) -> Estimate:
    """Returns `value` with the 95% percentile interval of the finite bootstrap draws (Efron 1979).

    The interval is widened to contain `value` if rounding puts it outside. Without finite draws, the
    interval is the value itself; the estimate is NaN if `n` is 0 or the value is NaN.
    """
    if n == 0 or math.isnan(value):
        return Estimate.of_nothing(int(n))
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, _QUANTILES) if len(finite) else (value, value)
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(float(value), low, high, int(n))


def bootstrap_counts(
    cells: Int[np.ndarray, "cells"], seed: int, draws: int = DRAWS
) -> Int[np.ndarray, "draws cells"]:
    """Returns the number of images of each kind in each bootstrap draw, from one multinomial per draw.

    `cells` holds the number of images of each kind in the data. Images of one kind are interchangeable, so
    they need not be drawn one by one.
    """
    n = int(cells.sum())
    return np.random.default_rng(seed).multinomial(n, cells / max(n, 1), size=draws)


def bootstrap_means(
    values: Float[np.ndarray, "images columns"], seed: int, draws: int = DRAWS
) -> Float[np.ndarray, "draws columns"]:
    """Returns the column means of each bootstrap draw; fast if the data have few distinct rows.

    Args:
      values: (N, D), at least one row.
      seed: seed of the draws.
      draws: number of draws.
    """
    kinds, counts = np.unique(values, axis=0, return_counts=True)
    return bootstrap_counts(counts, seed, draws) @ kinds / len(values)


def wilson_interval(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the Wilson score interval of a binomial proportion (Wilson 1927).

    With p = hits / n and z the normal quantile of the confidence:
    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Args:
      hits: number of successes, 0 to n; a fraction if it is the average of several counts.
      n: number of trials, at least 0; n = 0 gives (0, 1).
      confidence: two-sided confidence level, in (0, 1).
    """
    if not 0 <= hits <= n:
        raise InputError(f"hits must be between 0 and n = {n}, found {hits}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, found {confidence}.")
    if n == 0:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    p = hits / n
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # At 0 and n hits the exact bound is 0 or 1; rounding must not move it outside [0, 1].
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947): p-value of b against c discordant pairs.

    Under the null hypothesis b is Binomial(b + c, ½); p = min(1, 2 P(X ≤ min(b, c))). For up to 1,000 pairs,
    the largest term of the sum is an exact ratio of whole numbers. For more, n pairs, P(X ≤ k) is the
    regularised incomplete beta function I(½; n - k, k + 1) (relative error below 1e-12); if p is below
    1e-250, the largest term comes from logarithms of factorials (relative error below 1e-9).
    """
    if only_first < 0 or only_second < 0:
        raise InputError(f"Counts must be at least 0, found {only_first} and {only_second}.")
    n, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    if n > _MOST_EXACT:
        from scipy import special  # here, because importing it takes longer than --help

        p = 2 * float(special.betainc(n - fewer, fewer + 1, 0.5))
        if p > _SMALLEST_OF_BETA:
            return min(1.0, p)
    term = total = 1.0  # in units of the largest term
    for i in range(fewer, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < 1e-20 * total:
            break
    if n <= _MOST_EXACT:
        return min(1.0, total * (math.comb(n, fewer) / (1 << (n - 1))))
    log = math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1)
    return total * math.exp(log - (n - 1) * math.log(2))


def mcnemar_z(first: Bool[np.ndarray, "n"], second: Bool[np.ndarray, "n"]) -> float:
    """Returns McNemar's statistic (b - c) / √(b + c); positive if `first` has more hits than `second`.

    b and c count the images that only `first` and only `second` hit; without any, the statistic is 0.

    Args:
      first, second: whether each of the same n images is a hit.
    """
    gained, lost = np.count_nonzero(first & ~second), np.count_nonzero(second & ~first)
    return (gained - lost) / math.sqrt(gained + lost) if gained + lost else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values with Holm's step-down correction (Holm 1979), in the order given.

    Rejecting the corrected p-values below a level keeps the chance of any false rejection below that level.
    The p-values in ascending order are multiplied by n, n - 1, …, 1, made monotone and cut at 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    steps = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(steps, 1)
    return corrected.tolist()

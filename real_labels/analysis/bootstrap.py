"""95% intervals by drawing images anew, with replacement (Efron 1979)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

DRAWS = 2_000
_QUANTILES = (0.025, 0.975)


def estimate(value: float, drawn: Float[np.ndarray, "draws"], n: int) -> dict[str, Any]:
    """A record {"value", "low", "high", "n"}: percentile interval of the drawn values; null for NaN.

    Rounding never puts the value outside.
    """
    if n == 0 or math.isnan(value):
        return {"value": None, "low": None, "high": None, "n": int(n)}
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, _QUANTILES) if len(finite) else (value, value)
    low, high = min(float(low), value), max(float(high), value)
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}


def counts(
    cells: Int[np.ndarray, "cells"], seed: int, draws: int = DRAWS
) -> Int[np.ndarray, "draws cells"]:
    """How many images of each kind a draw has, where the data have `cells` of each: multinomial.

    Images that are alike in all that matters need not be drawn one by one.
    """
    n = int(cells.sum())
    return np.random.default_rng(seed).multinomial(n, cells / max(n, 1), size=draws)


def means(
    values: Float[np.ndarray, "images columns"], seed: int, draws: int = DRAWS
) -> Float[np.ndarray, "draws columns"]:
    """Means of the columns over the images of each draw; fast where few rows differ.

    Args:
      values: (N, D), at least one row.
      seed: of the draws.
      draws: how many.
    """
    kinds, number = np.unique(values, axis=0, return_counts=True)
    return counts(number, seed, draws) @ kinds / len(values)

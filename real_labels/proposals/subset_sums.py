"""Counts proposals of all subsets of models at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_ROW = 12  # bits of the index within a row; a row is added as a whole and fits into the cache


def proposed_by_subset(
    by: Bool[np.ndarray, "pairs models"], counts: Int[np.ndarray, "pairs"], dtype: type
) -> Int[np.ndarray, "subsets"]:
    """(2^M,) number of pairs that at least one model of each subset proposes.

    Bit m of a subset's index is model m. A pair is proposed unless all of its models are outside the subset:
    count(S) = total - Σ counts of pairs whose models are a subset of S's complement. These sums over subsets
    come from one zeta transform, M · 2^(M - 1) additions in place of 2^M passes over the pairs.

    Args:
      by: (P, M) whether the model proposes the pair.
      counts: (P,) number of times that each pair counts.
      dtype: an integer type that can hold the total.
    """
    num_models = by.shape[1]
    weights = 1 << np.arange(num_models, dtype=np.int64)
    sums = np.bincount(by @ weights, counts, minlength=1 << num_models).astype(dtype)
    total = sums.dtype.type(int(np.sum(counts)))
    low = min(_ROW, num_models)
    high = num_models - low
    table = sums.reshape(1 << high, 1 << low)
    _add_subsets(table, high)
    table = np.ascontiguousarray(table.T)
    _add_subsets(table, low)
    sums = np.ascontiguousarray(table.T).ravel()
    return total - sums[::-1]  # the complement of S is 2^M - 1 - S


def _add_subsets(table: Int[np.ndarray, "subsets rest"], bits: int) -> None:
    """Adds to each row, in place, all other rows whose index is a subset of the row's index."""
    for bit in range(bits):
        pairs = table.reshape(-1, 2, 1 << bit, table.shape[1])
        pairs[:, 1] += pairs[:, 0]

"""Ranks the k best classes of each row of scores, and turns scores into probabilities."""

from __future__ import annotations

import concurrent.futures
import functools
import os
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ROUNDING = 1e-3  # how far probabilities may lie outside [0, 1]
_FEW = 32  # classes that are found faster one after the other than by sorting
_BLOCK = 1 << 18  # scores ranked at a time: a block stays in the cache for all k passes


def top_k(
    scores: Float[np.ndarray, "images classes"], k: int
) -> tuple[Int[np.ndarray, "images k"], Float[np.ndarray, "images k"]]:
    """Ranks classes by score; of equal scores the lower class comes first.

    Args:
      scores: (N, C) logits or probabilities of any float type; may be memory-mapped.
      k: at least 1; at most C are returned.

    Returns:
      classes (N, min(k, C)) int32 and their scores, float32 (float64 if `scores` is).

    Raises:
      InputError: if a row has a NaN, or fewer than k finite scores among its best.
    """
    n, num_classes = scores.shape
    k = min(k, num_classes)
    dtype = np.float64 if scores.dtype == np.float64 else np.float32
    classes, values = np.empty((n, k), np.int32), np.empty((n, k), dtype)
    rows = max(1, _BLOCK // num_classes)

    def rank(start: int) -> None:
        block = np.array(scores[start : start + rows], dtype=dtype)
        row_numbers = np.arange(len(block))
        if k > _FEW and np.isfinite(block).all():
            order = np.argsort(-block, axis=1, kind="stable")[:, :k]
            classes[start : start + rows] = order
            values[start : start + rows] = np.take_along_axis(block, order, axis=1)
            return
        for place in range(k):
            best = block.argmax(axis=1)  # the first NaN, if there is one
            value = block[row_numbers, best]
            if not np.isfinite(value).all():
                row = int(np.argmin(np.isfinite(value)))
                raise InputError(
                    f"row {start + row + 1} has the score {value[row]} at class {best[row]} (rank "
                    f"{place + 1}); expected finite logits or probabilities."
                )
            classes[start : start + rows, place] = best
            values[start : start + rows, place] = value
            block[row_numbers, best] = -np.inf

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(rank, range(0, n, rows)))
    return classes, values


def first_classes(scores: Float[np.ndarray, "images classes"]) -> Int[np.ndarray, "images"]:
    """(N,) class with the highest score of each row, the lowest of tied classes; NaN counts as -inf."""
    rows = max(1, _BLOCK // scores.shape[1])
    classes = np.empty(len(scores), np.int64)
    for start in range(0, len(scores), rows):
        block = np.array(scores[start : start + rows], np.float64)
        block[np.isnan(block)] = -np.inf
        classes[start : start + rows] = block.argmax(axis=1)
    return classes


def scale_of(scores: Float[np.ndarray, "images classes"]) -> int | None:
    """Returns 1 for scores that are probabilities, 100 for percentages, None for others, such as logits.

    Probabilities lie in [0, 1], up to rounding, and need not add up to 1 (sigmoids). Percentages lie in
    [0, 100], and each row adds up to 100.
    """
    rows = max(1, _BLOCK // scores.shape[1])

    def fits(scale: int, start: int) -> bool:
        block = scores[start : start + rows]
        inside = block.min() >= -ROUNDING * scale and block.max() <= (1 + ROUNDING) * scale
        return bool(inside and (scale == 1 or np.allclose(block.sum(axis=1), scale, rtol=0.01)))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for scale in (1, 100):
            if all(pool.map(functools.partial(fits, scale), range(0, len(scores), rows))):
                return scale
    return None


def probabilities(
    scores: Float[np.ndarray, "images classes"], best: Float[np.ndarray, "images k"]
) -> Float[np.ndarray, "images k"]:
    """Probabilities of selected scores of each row.

    Args:
      scores: (N, C), scores of every class.
      best: (N, k), the selected scores of each row.

    Returns:
      (N, k) in [0, 1]: `best` itself if the scores are probabilities, `best` / 100 if they are percentages
      (see `scale_of`), else exp(best - logsumexp(row)), the softmax.
    """
    scale = scale_of(scores)
    if scale is not None:
        return (best / scale).clip(0, 1)
    rows = max(1, _BLOCK // scores.shape[1])
    starts = range(0, len(scores), rows)

    def log_sum(start: int) -> np.ndarray:
        block = np.asarray(scores[start : start + rows], np.float32)
        highest = block.max(axis=1, keepdims=True)
        return np.log(np.exp(block - highest).sum(axis=1, dtype=np.float64)) + highest[:, 0]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        total = np.concatenate(list(pool.map(log_sum, starts)))
    return np.exp(best - total[:, None]).clip(0, 1)

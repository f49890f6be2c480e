"""The one definition of accuracy: top-k against label sets, with intervals and paired tests.

ReaL accuracy (Beyer et al. 2020, section 4): the share of the images *with at least one ReaL label*
whose prediction is among their ReaL labels. The accuracy on the original labels is the same measure
against label sets of one class each.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.intervals import wilson_interval
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.predictions.predictions import TOP_K

if TYPE_CHECKING:
    from jaxtyping import Bool

LABEL_NAMES = {"original": "original", "real": "ReaL"}  # of the label sets, for a reader


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """A share of images with its interval.

    Attributes:
      value: share in [0, 1]; NaN where n is 0.
      low, high: 95% Wilson interval, within [0, 1]; (0, 1) where n is 0.
      n: number of images counted.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, hits: int, n: int) -> Accuracy:
        """So many hits among n images."""
        hits, n = int(hits), int(n)
        return cls(hits / n if n else math.nan, *wilson_interval(hits, n), n)

    def as_json(self) -> dict[str, float | int | None]:
        """A dict for JSON; the value of nothing is null."""
        return without_nan(dataclasses.asdict(self))


def top_k_hits(
    predictions: Predictions, labels: LabelSets, k: int = 1
) -> tuple[Bool[np.ndarray, "images"], Bool[np.ndarray, "images"]]:
    """Which images count, and on which of them one of the first k predicted classes is valid.

    Args:
      predictions: ranked classes; where fewer than k are given, all of them count.
      labels: must know every predicted image.
      k: at least 1.

    Returns:
      labelled (N,), whether the image has a label; hits (N,), always False where not.

    Raises:
      InputError: if k is below 1 or a predicted image is not among the labels.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, found {k}.")
    labelled, valid = _valid(predictions, labels)
    return labelled, valid[:, :k].any(axis=1)


def _valid(
    predictions: Predictions, labels: LabelSets
) -> tuple[Bool[np.ndarray, "images"], Bool[np.ndarray, "images k"]]:
    """(whether each image has a label, whether each of its predicted classes is one)."""
    rows = labels.rows(predictions.file_names)
    return labels.counts[rows] > 0, labels.contains(rows, predictions.classes)


def _share(labelled: Bool[np.ndarray, "images"], correct: Bool[np.ndarray, "images"]) -> Accuracy:
    return Accuracy.of(np.count_nonzero(correct), np.count_nonzero(labelled))


def top_k_accuracy(predictions: Predictions, labels: LabelSets, k: int = 1) -> Accuracy:
    """Share of the images with a label whose first k predicted classes hold a valid one.

    Images are matched by file name; those whose label set is empty are left out. Arguments and
    errors are those of `top_k_hits`.
    """
    return _share(*top_k_hits(predictions, labels, k))


def results(
    predictions: Predictions, original: LabelSets | None, real: LabelSets | None
) -> dict[str, Any]:
    """Scores one model on the label sets that there are.

    Returns:
      {"original": {"top1": {"value", "low", "high", "n"}, "top5": …}, "real": {…},
      "original_labels": {"real_top1": {…}}}: the original labels' own ReaL accuracy, on the same
      images, is the mark above which a model knows more than the labels it learned from. Parts
      whose labels are not given are left out. Where fewer than 5 classes of more are predicted,
      the value of "top5" is null.
    """
    label_sets = {"original": original, "real": real}
    scored: dict[str, Any] = {
        name: _every_top_k(predictions, labels)
        for name, labels in label_sets.items()
        if labels is not None
    }
    if original is not None and real is not None:
        seen = original.take(original.rows(predictions.file_names))
        itself = Predictions.from_labels(seen)
        scored["original_labels"] = {"real_top1": top_k_accuracy(itself, real).as_json()}
    return scored


def _every_top_k(predictions: Predictions, labels: LabelSets) -> dict[str, dict]:
    labelled, valid = _valid(predictions, labels)
    unknown = Accuracy(math.nan, 0.0, 1.0, 0)
    return {
        f"top{k}": (
            _share(labelled, valid[:, :k].any(axis=1))
            if can_measure(predictions, labels, k)
            else unknown
        ).as_json()
        for k in TOP_K
    }


def can_measure(predictions: Predictions, labels: LabelSets, k: int) -> bool:
    """Whether k classes were predicted, or all that there are."""
    return predictions.classes.shape[1] >= min(k, 1 + int(labels.classes.max(initial=0)))


def without_nan(record: dict[str, Any]) -> dict[str, Any]:
    """For JSON, which knows no NaN: the value of nothing is null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in record.items()
    }

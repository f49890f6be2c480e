"""The one definition of accuracy: top-k against label sets, with Wilson intervals.

ReaL accuracy (Beyer et al. 2020, section 4): the share of the images *with at least one ReaL label*
whose prediction is among their ReaL labels. The accuracy on the original labels is the same measure
against label sets of one class each.
"""

from __future__ import annotations

import dataclasses
import math
import statistics

import numpy as np

from real_labels.errors import InputError
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

TOP_K = (1, 5)


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

    def as_json(self) -> dict[str, float | int | None]:
        """A dict for JSON, which knows no NaN: the value of nothing is null."""
        record = dataclasses.asdict(self)
        return record | {"value": None if math.isnan(self.value) else self.value}


def wilson_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a binomial proportion (Wilson 1927).

    With p = hits / n and z the normal quantile of the confidence:
    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Args:
      hits: successes, 0 to n.
      n: trials, at least 0; none give (0, 1).
      confidence: two-sided, in (0, 1).
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
    # At 0 and n hits the exact bound is 0 or 1; rounding must not push it past.
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == n else (centre + half) / scale
    return low, high


def top_k_accuracy(predictions: Predictions, labels: LabelSets, k: int = 1) -> Accuracy:
    """Share of the images with a label whose first k predicted classes hold a valid one.

    Images are matched by file name; those whose label set is empty are left out.

    Args:
      predictions: ranked classes; where fewer than k are given, all of them count.
      labels: must know every predicted image.
      k: at least 1.

    Raises:
      InputError: if k is below 1 or a predicted image is not among the labels.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, found {k}.")
    rows = labels.rows(predictions.file_names)
    labelled = labels.counts[rows] > 0
    correct = labels.contains(rows, predictions.classes[:, :k]).any(axis=1)
    hits, n = int(np.count_nonzero(correct & labelled)), int(np.count_nonzero(labelled))
    return Accuracy(hits / n if n else math.nan, *wilson_interval(hits, n), n)


def results(predictions: Predictions, original: LabelSets, real: LabelSets | None) -> dict:
    """Scores one model on both label sets.

    Returns:
      {"original": {"top1": {"value", "low", "high", "n"}, "top5": …}, "real": {…},
      "original_labels": {"real_top1": {…}}}: the original labels' own ReaL accuracy is the mark
      above which a model knows more than the labels it learned from. "real" and
      "original_labels" are there only if `real` is given.
    """
    label_sets = {"original": original} | ({"real": real} if real is not None else {})
    scored = {
        name: {f"top{k}": top_k_accuracy(predictions, labels, k).as_json() for k in TOP_K}
        for name, labels in label_sets.items()
    }
    if real is not None:
        seen = original.take(original.rows(predictions.file_names))
        itself = Predictions.from_labels(seen)
        scored["original_labels"] = {"real_top1": top_k_accuracy(itself, real).as_json()}
    return scored


def as_table(record: dict) -> str:
    """A record of `results` as the table a person reads, percent with intervals."""

    def cell(accuracy: dict) -> str:
        if accuracy["value"] is None:
            return "no labelled image"
        value, low, high = (100 * accuracy[key] for key in ("value", "low", "high"))
        return f"{value:6.2f}%  [{low:.2f}, {high:.2f}]  n={accuracy['n']:,}"

    rows = [("", "top-1", "top-5")]
    names = {"original": "original labels", "real": "ReaL labels"}
    rows += [
        (title, cell(record[key]["top1"]), cell(record[key]["top5"]))
        for key, title in names.items()
        if key in record
    ]
    if "original_labels" in record:
        itself = record["original_labels"]["real_top1"]
        rows.append(("original labels scored on ReaL", cell(itself), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    rule = "─" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:]])

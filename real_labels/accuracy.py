"""The one definition of accuracy: top-k against label sets, with intervals and paired tests.

ReaL accuracy (Beyer et al. 2020, section 4): the share of the images *with at least one ReaL label*
whose prediction is among their ReaL labels. The accuracy on the original labels is the same measure
against label sets of one class each.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.text_table import text_table

if TYPE_CHECKING:
    from jaxtyping import Bool

TOP_K = (1, 5)
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
        return _without_nan(dataclasses.asdict(self))


def wilson_interval(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a binomial proportion (Wilson 1927).

    With p = hits / n and z the normal quantile of the confidence:
    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Args:
      hits: successes, 0 to n; an average of several counts need not be whole.
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


def _without_nan(record: dict[str, Any]) -> dict[str, Any]:
    """For JSON, which knows no NaN: the value of nothing is null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in record.items()
    }


@dataclasses.dataclass(frozen=True)
class Difference:
    """Two models on the same images.

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

    def as_json(self) -> dict[str, float | int | None]:
        """A dict for JSON; the value of nothing is null."""
        return _without_nan(dataclasses.asdict(self))


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
    return difference_of_hits(ours, theirs, np.count_nonzero(labelled), seed=seed, draws=draws)


def difference_of_hits(
    ours: Bool[np.ndarray, "images"],
    theirs: Bool[np.ndarray, "images"],
    n: int,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> Difference:
    """Compares two models by the images that each gets right (see `top_k_hits`).

    Args:
      ours, theirs: whether the first and the second model is right; False where there is no label.
      n: number of images with a label.
      seed: of the bootstrap.
      draws: of the bootstrap.

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
        nothing = (math.nan,) * 3
        return Difference(*nothing, -1.0, 1.0, 0, 0, p_value, 0)
    # Drawing n images with replacement draws these four kinds of images from a multinomial.
    shares = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=draws)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return Difference(
        first=np.count_nonzero(ours) / n,
        second=np.count_nonzero(theirs) / n,
        value=(only_first - only_second) / n,
        low=float(low),
        high=float(high),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        n=n,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947): p-value of b against c discordant pairs.

    Under the null hypothesis b is Binomial(b + c, ½); p = min(1, 2 P(X ≤ min(b, c))). The largest
    term is a ratio of whole numbers, so that nothing is lost for any size; the others follow from it.
    """
    if only_first < 0 or only_second < 0:
        raise InputError(f"Counts must be at least 0, found {only_first} and {only_second}.")
    n, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    term = total = 1.0  # in units of the largest
    for i in range(fewer, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < 1e-20 * total:
            break
    return min(1.0, total * (math.comb(n, fewer) / (1 << (n - 1))))


def as_table(record: dict) -> str:
    """A record of `results` as the table a person reads, percent with intervals."""

    def cell(accuracy: dict, nothing: str = "no labelled image") -> str:
        if accuracy["value"] is None:
            return nothing
        value, low, high = (100 * accuracy[key] for key in ("value", "low", "high"))
        return f"{value:6.2f}%  [{low:.2f}, {high:.2f}]  n={accuracy['n']:,}"

    rows = [("", "top-1", "top-5")]
    rows += [
        (f"{name} labels", cell(record[key]["top1"]), cell(record[key]["top5"], "–"))
        for key, name in LABEL_NAMES.items()
        if key in record
    ]
    if "original_labels" in record:
        itself = record["original_labels"]["real_top1"]
        rows.append(("original labels scored on ReaL", cell(itself), ""))
    return text_table(rows)

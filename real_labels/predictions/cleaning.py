"""Rules that drop training images whose label a cross-validated model does not support."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from real_labels.predictions.out_of_fold import OutOfFold

_TOP_K = re.compile(r"top-k=(\d{1,4})")
_TOLERANCE = 1e-6  # how far a probability may lie below its threshold, as in cleanlab
# How far the sum of all probabilities may lie from 1: in a file with score_sum, and where probabilities may
# be rounded.
_EXACT, _ROUNDED = 1e-3, 0.05
RULES = "top1, top-k=K, confident"


def keeps(rule: str, predictions: OutOfFold) -> Bool[np.ndarray, "images"]:
    """(N,) whether the rule keeps each image.

    Args:
      rule: "top1" (the first prediction is the label, as in "Are we done with ImageNet?", section 6),
        "top-k=K" (the label is among the first K), or "confident" (see `keeps_confident`).
      predictions: out-of-fold predictions.

    Raises:
      InputError: if the rule is unknown, or the file holds too few classes for the rule.
    """
    if rule == "confident":
        return keeps_confident(predictions)
    match = _TOP_K.fullmatch(rule)
    if rule != "top1" and (match is None or int(match[1]) < 1):
        raise InputError(f"--rule {rule}: expected one of {RULES}.")
    k = 1 if match is None else int(match[1])
    if k > predictions.classes.shape[1]:
        raise InputError(
            f"--rule {rule}: needs the first {k} classes of each image; the file holds "
            f"{predictions.classes.shape[1]}."
        )
    return (predictions.classes[:, :k] == predictions.label[:, None]).any(axis=1)


def thresholds(predictions: OutOfFold) -> Float[np.ndarray, "classes"]:
    """(C,) mean probability of each class over the images with this label; infinite without such images.

    As in cleanlab, no threshold is below twice the tolerance, so a class that is never predicted is never
    confident.
    """
    size = predictions.num_classes
    total = np.bincount(
        predictions.label, weights=predictions.label_score.astype(np.float64), minlength=size
    )
    count = np.bincount(predictions.label, minlength=size)
    mean = np.divide(total, count, out=np.full(size, np.inf), where=count > 0)
    return np.maximum(mean, 2 * _TOLERANCE)


def keeps_confident(predictions: OutOfFold) -> Bool[np.ndarray, "images"]:
    """(N,) whether confident learning keeps each image (Northcutt, Jiang, Chuang 2021).

    A class is confident on an image if its probability reaches its threshold (see `thresholds`). An image is
    dropped if its confident class is not its label. The result is the same as cleanlab's: if several classes
    are confident, the first prediction is used; an image without a confident class is kept; and an image
    whose label is as likely as its first prediction is kept. Scores of a sigmoid are first normalised to add
    up to 1 (see `_normalised`).

    Raises:
      InputError: if a class that the file does not hold might decide about an image, or the sum of the
        probabilities of all classes is not known.
    """
    predictions = _normalised(predictions)
    threshold = thresholds(predictions)
    is_confident = predictions.scores >= threshold[predictions.classes] - _TOLERANCE
    num_confident, first = is_confident.sum(axis=1), predictions.classes[:, 0]
    is_likeliest = predictions.label_score >= predictions.scores[:, 0] - _TOLERANCE
    confident = predictions.classes[np.arange(len(predictions)), is_confident.argmax(axis=1)]
    if not predictions.has_all_classes:
        _check_missing_classes(
            predictions, threshold, (num_confident < 2) & ~is_likeliest & ~is_confident[:, 0]
        )
    guess = np.where(num_confident > 1, first, confident)
    return (num_confident == 0) | (guess == predictions.label) | is_likeliest


def _check_missing_classes(
    predictions: OutOfFold, threshold: np.ndarray, is_undecided: np.ndarray
) -> None:
    """Refuses undecided images on which a class that the file does not hold may be confident."""
    for row in np.flatnonzero(is_undecided).tolist():
        other_thresholds = np.delete(threshold, predictions.classes[row])
        if (
            other_thresholds.size
            and predictions.scores[row, -1] >= other_thresholds.min() - _TOLERANCE
        ):
            raise InputError(
                f"--rule confident: {predictions.file_names[row]} may have a confident class beyond the "
                f"{predictions.classes.shape[1]} classes in the file: the last of them has a probability of "
                f"{predictions.scores[row, -1]:.3g}, and the lowest threshold of the other classes is "
                f"{other_thresholds.min():.3g}. Choose another rule."
            )


def _normalised(predictions: OutOfFold) -> OutOfFold:
    """Returns the predictions with probabilities that add up to 1 over all classes.

    A file with score_sum has exact sums, so sums other than 1 are those of a sigmoid. Probabilities of
    another program may be rounded, and are used as they are, as cleanlab uses them, unless the sum of more
    than a tenth of the images is off by more than _ROUNDED.
    """
    total = predictions.total
    if total is None:
        raise InputError(
            "--rule confident: the file holds only some of the classes, and no score_sum over all classes. "
            "Choose another rule."
        )
    off = np.abs(total - 1)
    is_exact = predictions.score_sum is not None
    if off.max() <= _EXACT or (not is_exact and np.quantile(off, 0.9) <= _ROUNDED):
        return predictions
    total = np.maximum(total, np.finfo(np.float32).tiny)
    scores, label_score = predictions.scores / total[:, None], predictions.label_score / total
    return dataclasses.replace(
        predictions, scores=scores, label_score=label_score, score_sum=np.ones_like(total)
    )


def suspicion(predictions: OutOfFold) -> Float[np.ndarray, "images"]:
    """(N,) probability of the most likely other class minus the probability of the label."""
    is_label = predictions.classes == predictions.label[:, None]
    other = np.where(is_label, -np.inf, predictions.scores).max(axis=1)
    return other - predictions.label_score

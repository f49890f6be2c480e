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
_TOLERANCE = 1e-6  # by which a probability may miss its threshold, as in cleanlab
RULES = "top1, top-k=K, confident"


def keeps(rule: str, found: OutOfFold) -> Bool[np.ndarray, "images"]:
    """(N,) whether a rule keeps each image.

    Args:
      rule: "top1" (the first prediction is the label, as in "Are we done with ImageNet?", section 6),
        "top-k=K" (the label is among the first K), or "confident" (see `keeps_confident`).
      found: out-of-fold predictions.

    Raises:
      InputError: if there is no such rule, or the file holds too few classes for it.
    """
    if rule == "confident":
        return keeps_confident(found)
    number = _TOP_K.fullmatch(rule)
    if rule != "top1" and (number is None or int(number[1]) < 1):
        raise InputError(f"--rule {rule}: expected one of {RULES}.")
    k = 1 if number is None else int(number[1])
    if k > found.classes.shape[1]:
        raise InputError(
            f"--rule {rule}: the file holds the first {found.classes.shape[1]} classes of each image."
        )
    return (found.classes[:, :k] == found.label[:, None]).any(axis=1)


def thresholds(found: OutOfFold) -> Float[np.ndarray, "classes"]:
    """(C,) of each class the mean of its probability over the images labelled so; infinite where none is.

    None is below twice the tolerance, as in cleanlab: a class that is never predicted is confident nowhere.
    """
    size = found.num_classes
    total = np.bincount(found.label, weights=found.label_score.astype(np.float64), minlength=size)
    number = np.bincount(found.label, minlength=size)
    mean = np.divide(total, number, out=np.full(size, np.inf), where=number > 0)
    return np.maximum(mean, 2 * _TOLERANCE)


def keeps_confident(found: OutOfFold) -> Bool[np.ndarray, "images"]:
    """(N,) whether confident learning keeps each image (Northcutt, Jiang, Chuang 2021).

    A class is confident where its probability reaches its threshold (see `thresholds`). The image is dropped
    if its confident class is not its label. As in cleanlab, whose result this is, the class of an image with
    several confident ones is its first prediction, and an image whose label is as likely as its first
    prediction is kept, as is one without a confident class. Scores of a sigmoid are made to add up to 1
    first.

    Raises:
      InputError: if a class beyond those that the file holds might decide over an image.
    """
    found = _normalised(found)
    least = thresholds(found)
    is_confident = found.scores >= least[found.classes] - _TOLERANCE
    number, first = is_confident.sum(axis=1), found.classes[:, 0]
    is_likeliest = found.label_score >= found.scores[:, 0] - _TOLERANCE
    only = found.classes[np.arange(len(found)), is_confident.argmax(axis=1)]
    if not found.has_all_classes:
        _check_the_rest(found, least, (number < 2) & ~is_likeliest & ~is_confident[:, 0])
    guess = np.where(number > 1, first, only)
    return (number == 0) | (guess == found.label) | is_likeliest


def _check_the_rest(found: OutOfFold, least: np.ndarray, is_open: np.ndarray) -> None:
    """Refuses open images whose last score does not exclude that a class beyond it is confident."""
    for row in np.flatnonzero(is_open).tolist():
        others = np.delete(least, found.classes[row])
        if others.size and found.scores[row, -1] >= others.min() - _TOLERANCE:
            raise InputError(
                f"--rule confident: {found.file_names[row]} may have a confident class beyond the "
                f"{found.classes.shape[1]} that the file holds: the last of them has a probability of "
                f"{found.scores[row, -1]:.3g}, and a threshold is {others.min():.3g}. Take another rule."
            )


def _normalised(found: OutOfFold) -> OutOfFold:
    """The same with probabilities that add up to 1 over all classes."""
    total = found.total
    if total is None:
        raise InputError(
            "--rule confident: the file holds some of the classes, and no score_sum over all of them. Take "
            "another rule."
        )
    if np.allclose(total, 1, atol=1e-3):
        return found
    total = np.maximum(total, np.finfo(np.float32).tiny)
    scores, own = found.scores / total[:, None], found.label_score / total
    return dataclasses.replace(found, scores=scores, label_score=own, score_sum=np.ones_like(total))


def suspicion(found: OutOfFold) -> Float[np.ndarray, "images"]:
    """(N,) how much more likely the best other class is than the label: its probability minus the label's."""
    is_label = found.classes == found.label[:, None]
    other = np.where(is_label, -np.inf, found.scores).max(axis=1)
    return other - found.label_score

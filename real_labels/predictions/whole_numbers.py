"""Whether whole numbers in several columns are ranked classes, or scores such as votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import listed
from real_labels.intervals import mcnemar_z
from real_labels.predictions.fields import Field
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.roles import Role

if TYPE_CHECKING:
    from jaxtyping import Bool, Num

MOST_RANKED = 20  # more columns of whole numbers than this are seldom a ranking
FEWEST = 20  # images below which agreement with the labels tells nothing
_CLEARLY = 3.0  # standard errors
_ROWS = 200  # by which more columns than MOST_RANKED are told to be no ranking


def are_whole(numbers: Num[np.ndarray, "rows k"]) -> bool:
    """Whether all are whole numbers, and not true and false."""
    if numbers.dtype.kind != "f":
        return numbers.dtype.kind in "iu"
    head = numbers[:_ROWS]
    if not (np.isfinite(head) & (head == np.floor(head))).all():
        return False
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def is_ranking(
    numbers: Num[np.ndarray, "rows k"],
    field: Field,
    labels: KnownLabels,
    file_names: np.ndarray | None = None,
) -> bool:
    """Whether whole numbers (N, k), k at least 2, are ranked classes, and not scores of k classes.

    Args:
      numbers: (N, k).
      field: where they stand.
      labels: what is known of the dataset.
      file_names: (N,) of the images.

    Raises:
      InputError: if they may be either.
    """
    k, lowest_of_all = numbers.shape[1], numbers.min()
    if lowest_of_all == -1 and field.role is not Role.SCORE and k <= MOST_RANKED:
        raise InputError(
            f"{field.title} has -1 in some rows, as lists of classes that are filled up have; expected {k} "
            f"classes in each row. Keep the first column, or name it with --column '{field.columns[0]}'."
        )
    ordered = np.sort(numbers if k <= MOST_RANKED else numbers[:_ROWS], axis=1)
    repeats = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeats.any() or lowest_of_all < 0:  # a ranking names no class twice
        _check_scores(numbers, repeats, field, labels.num_classes)
        return False
    if field.role is Role.SCORE or (k == 2 and numbers.max() <= 1):
        return False
    lowest, highest = ordered[:, 0], ordered[:, -1]
    if (lowest == lowest[0]).all() and (highest == lowest[0] + k - 1).all() and lowest[0] in (0, 1):
        told = _told_by_labels(numbers, labels, file_names)
        if told is not None:
            return told
        is_called_classes = field.role in (Role.PREDICTED, Role.CLASS)
        if k > MOST_RANKED or (is_called_classes and field.key not in ("output", "outputs")):
            return True
        raise InputError(
            f"{field.title} may hold {k} ranked classes or a whole score for each of {k}; every row has all "
            f"numbers from {int(lowest[0])} to {int(highest[0])}. Call it ranking or scores."
        )
    return not (labels.num_classes == k and numbers.max() >= k)


def _check_scores(
    numbers: Num[np.ndarray, "rows k"],
    repeats: Bool[np.ndarray, "head"],
    field: Field,
    known: int | None,
) -> None:
    """Refuses whole numbers that are no ranking, unless they can only be scores of every class.

    They can where the name says so, in more columns than a ranking has, in rows of equal sums (one-hot rows,
    votes), and where a number is no class.
    """
    k = numbers.shape[1]
    row = int(np.argmax(repeats))
    shown = numbers[row].astype(np.int64).tolist()[:20]
    if known is not None and k < known and repeats.any():
        raise InputError(f"row {row + 1} of {field.title} names a class twice: {shown}.")
    sums = numbers.sum(axis=1)
    if field.role is Role.SCORE or k > MOST_RANKED or (sums == sums[0]).all() or numbers.min() < 0:
        return
    if numbers.max() < (k if known is None else known):
        raise InputError(
            f"several columns may be the predictions: {listed(list(field.columns))}. Row {row + 1} has "
            f"{shown}: with a number twice it is no ranking, and these may be classes of several models or "
            f"the true ones. Name the one that is with --column, as --column '{field.columns[0]}'."
        )


def _told_by_labels(
    numbers: Num[np.ndarray, "rows k"], labels: KnownLabels, file_names: np.ndarray | None
) -> bool | None:
    """Whether the labels speak for ranked classes (True) or scores (False); None where they do not tell."""
    ranked = labels.hits(file_names, numbers.astype(np.int64))
    scored = labels.hits(file_names, numbers.argmax(axis=1)[:, None].astype(np.int64))
    if ranked is None or scored is None or len(ranked) < FEWEST:
        return None
    for ours, theirs, answer in ((ranked, scored, True), (scored, ranked, False)):
        if clearly_more(ours, theirs) and ours.mean() > max(0.5, 2 * theirs.mean()):
            return answer
    return None


def clearly_more(ours: Bool[np.ndarray, "n"], theirs: Bool[np.ndarray, "n"]) -> bool:
    """Whether more of the same images are hit, by more than chance."""
    return ours.shape == theirs.shape and mcnemar_z(ours, theirs) > _CLEARLY

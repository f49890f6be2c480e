"""Decides whether whole numbers in several columns are ranked classes, or scores such as votes."""

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

MOST_RANKED = 20  # a ranking seldom has more columns of whole numbers
FEWEST_IMAGES = 20  # on fewer images, agreement with the labels means nothing
_CLEAR_Z = 3.0  # standard errors
_ROWS = 200  # first rows, the only ones checked if there are more than MOST_RANKED columns


def are_whole(numbers: Num[np.ndarray, "rows k"]) -> bool:
    """Whether all values are whole numbers; true and false are not."""
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
      field: the field of the numbers.
      labels: the known labels of the dataset.
      file_names: (N,) file names of the images.

    Raises:
      InputError: if the numbers may be either, or if lists of classes are padded with -1.
    """
    k, lowest_of_all = numbers.shape[1], numbers.min()
    if lowest_of_all == -1 and field.role is not Role.SCORE and k <= MOST_RANKED:
        raise InputError(
            f"{field.title} has -1 in some rows, as in lists of classes that are padded with -1; expected "
            f"{k} classes in each row. Keep only the first column, or name it with --column "
            f"'{field.columns[0]}'."
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
        decision = _decided_by_labels(numbers, labels, file_names)
        if decision is not None:
            return decision
        is_called_classes = field.role in (Role.PREDICTED, Role.CLASS)
        if k > MOST_RANKED or (is_called_classes and field.key not in ("output", "outputs")):
            return True
        raise InputError(
            f"{field.title} may hold {k} ranked classes or a whole-number score for each of {k} classes: "
            f"every row has all numbers from {int(lowest[0])} to {int(highest[0])}. Rename it to "
            f"'ranking' or 'scores'."
        )
    return not (labels.num_classes == k and numbers.max() >= k)


def _check_scores(
    numbers: Num[np.ndarray, "rows k"],
    repeats: Bool[np.ndarray, "head"],
    field: Field,
    known: int | None,
) -> None:
    """Refuses whole numbers that are not a ranking, unless they can only be scores of every class.

    They can only be scores if the name says so, if there are more columns than a ranking has, if all rows
    have the same sum (one-hot rows, votes), or if a number cannot be a class.
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
            f"{shown}: a ranking has no number twice, so these may be the classes of several models, or true "
            f"labels. Name the right column with --column, for example --column '{field.columns[0]}'."
        )


def _decided_by_labels(
    numbers: Num[np.ndarray, "rows k"], labels: KnownLabels, file_names: np.ndarray | None
) -> bool | None:
    """Whether the labels show ranked classes (True) or scores (False); None if they show neither."""
    ranked = labels.hits(file_names, numbers.astype(np.int64))
    scored = labels.hits(file_names, numbers.argmax(axis=1)[:, None].astype(np.int64))
    if ranked is None or scored is None or len(ranked) < FEWEST_IMAGES:
        return None
    for hits, other_hits, answer in ((ranked, scored, True), (scored, ranked, False)):
        if clearly_more(hits, other_hits) and hits.mean() > max(0.5, 2 * other_hits.mean()):
            return answer
    return None


def clearly_more(hits: Bool[np.ndarray, "n"], other_hits: Bool[np.ndarray, "n"]) -> bool:
    """Whether the first hits are clearly more than the second, on the same images; beyond chance."""
    return hits.shape == other_hits.shape and mcnemar_z(hits, other_hits) > _CLEAR_Z

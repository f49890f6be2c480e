"""A field read as predictions, and how it agrees with the labels."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import listed
from real_labels.predictions import ranking
from real_labels.predictions.fields import Content, Field, Fields
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.roles import Role
from real_labels.predictions.whole_numbers import FEWEST, are_whole, is_ranking

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_LEAST_SHARE = 0.1  # right, below which a field beside others is none of predictions
_BEYOND = 3.0  # standard errors above chance
_ROWS = 200  # by which one-hot rows are told


class FieldReading:
    """A field read as predictions.

    Attributes:
      field: which.
      problem: why it cannot be read, or None.
      classes: (N, k) ranked classes; None where there are `scores`, or a problem.
      scores: (N, C) scores of every class, or None.
      is_plain: whether it has one class an image and nothing more, as true labels have.
    """

    def __init__(self, found: Fields, field: Field, labels: KnownLabels):
        """Reads it; a problem is kept, and not raised."""
        self._found, self._labels = found, labels
        self.field = field
        self.problem: InputError | None = None
        self.classes: Int[np.ndarray, "images k"] | None = None
        self.scores: np.ndarray | None = None
        self.is_plain = field.width == 1
        try:
            self._read()
        except InputError as error:
            self.problem = error

    def _read(self) -> None:
        found, field = self._found, self.field
        if field.content is Content.TEXT:
            raise no_list_explains(found, field)
        if field.content is Content.NOTHING:
            raise InputError(f"row 1 has no {field.title}.")
        if field.width == 1 or found.are_words(field) or found.are_boxes(field):
            self.classes = found.classes(field)
            self.is_plain = self.classes.shape[1] == 1
            return
        numbers = found.numbers(field)
        if are_whole(numbers) and is_ranking(numbers, field, self._labels, found.names):
            self.classes = found.classes(field)
            return
        self.scores = numbers.astype(np.int8) if numbers.dtype == bool else numbers
        self.is_plain = _is_one_hot(self.scores)
        _check_width(self.scores, self._labels.num_classes)

    @property
    def is_every_score(self) -> bool:
        """Whether it has a score for every class."""
        return self.scores is not None

    @functools.cached_property
    def top1(self) -> Int[np.ndarray, "images"] | None:
        """(N,) first class of each image; None where it cannot be read."""
        if self.scores is None:
            return None if self.classes is None else self.classes[:, 0]
        return ranking.first_classes(self.scores)

    @functools.cached_property
    def hits(self) -> Bool[np.ndarray, "n"] | None:
        """Which images it is right on; None where that is not known."""
        if self.top1 is None:
            return None
        classes = self.top1[:, None] if self.classes is None else self.classes
        return self._labels.hits(self._found.names, classes)

    @property
    def telling_hits(self) -> Bool[np.ndarray, "n"] | None:
        """The hits; None of so few images that agreement tells nothing."""
        return None if self.hits is None or len(self.hits) < FEWEST else self.hits

    @property
    def says_something(self) -> bool:
        """Whether it agrees with the labels far beyond chance, if that is known."""
        hits = self.telling_hits
        if hits is None:
            return True
        chance = 1 / max(self._labels.num_classes or 2, 2)
        spread = math.sqrt(chance * (1 - chance) / len(hits))
        return bool(hits.mean() > max(_LEAST_SHARE, chance + _BEYOND * spread))

    def says_the_same_as(self, other: FieldReading) -> bool:
        """Whether both are the same predictions: index and WordNet id, or logits and their softmax."""
        ours, theirs = self.classes, other.classes
        if self.is_every_score and other.is_every_score:
            ours, theirs = self.top1, other.top1
        return ours is not None and theirs is not None and np.array_equal(ours, theirs)


def no_list_explains(found: Fields, field: Field) -> InputError:
    """The error of a field of names that are no classes."""
    first = next((text for text in found.texts(field) if text), "")
    if found.class_names is not None:
        return InputError(
            f"the predictions in {field.title} are names, of which '{first[:40]}' is none of --class-names "
            f"({listed(found.class_names.names, 3)})."
        )
    return InputError(
        f"the predictions in {field.title} are names, such as '{first[:40]}'. Give the names of the classes, "
        f"in the order of the class indices, with --class-names FILE; or save class indices (timm's "
        f"inference.py writes them with --include-index)."
    )


def _check_width(scores: np.ndarray, known: int | None) -> None:
    """Refuses scores of fewer classes than are known."""
    if known is not None and scores.shape[1] < known:
        raise InputError(
            f"has scores in {scores.shape[1]:,} columns; expected {known:,}, one for each class. If these "
            f"are the scores of the best classes, their indices are missing: timm's inference.py writes them "
            f"with --include-index."
        )


def _is_one_hot(scores: np.ndarray) -> bool:
    head = np.asarray(scores[:_ROWS])
    return bool(np.isin(head, (0, 1)).all() and (head.sum(axis=1) == 1).all())


def scores_of(found: Fields, ranked: Int[np.ndarray, "images k"]) -> np.ndarray | None:
    """(N, k) scores of ranked classes: a field of as many scores a row, or None."""
    for field in found.fields:
        if field.role is Role.SCORE and field.width == ranked.shape[1] and field.is_numeric:
            try:
                scores = found.numbers(field)
            except InputError:
                continue
            if scores.shape == ranked.shape:
                return scores
    return None

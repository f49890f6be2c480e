"""Reads a field as predictions and compares it with the known labels."""

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
from real_labels.predictions.whole_numbers import FEWEST_IMAGES, are_whole, is_ranking

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_LEAST_SHARE = 0.1  # of hits; below it, a field beside other fields does not hold predictions
_CHANCE_Z = 3.0  # standard errors above chance that hits must exceed
_ROWS = 200  # the first rows, which show whether rows are one-hot


class FieldReading:
    """A field read as predictions.

    Attributes:
      field: the field.
      problem: the error if the field cannot be read, or None.
      classes: (N, k) ranked classes; None if there are `scores`, or a problem.
      scores: (N, C) score of every class, or None.
      is_plain: whether the field holds one class per image and nothing more (one-hot rows, too), as true
        labels do.
    """

    def __init__(self, fields: Fields, field: Field, labels: KnownLabels):
        """Reads the field; an error is kept as `problem`, not raised."""
        self._fields, self._labels = fields, labels
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
        fields, field = self._fields, self.field
        if field.content is Content.TEXT:
            raise class_names_error(fields, field)
        if field.content is Content.NOTHING:
            raise InputError(f"row 1 has no {field.title}.")
        if field.width == 1 or fields.are_words(field) or fields.are_boxes(field):
            self.classes = fields.classes(field)
            self.is_plain = self.classes.shape[1] == 1
            return
        numbers = fields.numbers(field)
        if are_whole(numbers) and is_ranking(numbers, field, self._labels, fields.names):
            self.classes = fields.classes(field)
            return
        self.scores = numbers.astype(np.int8) if numbers.dtype == bool else numbers
        self.is_plain = _is_one_hot(self.scores)
        _check_width(self.scores, self._labels.num_classes)

    @property
    def is_every_score(self) -> bool:
        """Whether the field has a score for every class."""
        return self.scores is not None

    @functools.cached_property
    def top1(self) -> Int[np.ndarray, "images"] | None:
        """(N,) first class of each image; None if the field cannot be read."""
        if self.scores is None:
            return None if self.classes is None else self.classes[:, 0]
        return ranking.first_classes(self.scores)

    @functools.cached_property
    def hits(self) -> Bool[np.ndarray, "n"] | None:
        """(n,) whether the first class of each labelled image is its label; None if that is not known."""
        if self.top1 is None:
            return None
        classes = self.top1[:, None] if self.classes is None else self.classes
        return self._labels.hits(self._fields.names, classes)

    @property
    def hits_if_enough(self) -> Bool[np.ndarray, "n"] | None:
        """(n,) the hits; None if they are of too few images to tell anything."""
        return None if self.hits is None or len(self.hits) < FEWEST_IMAGES else self.hits

    @property
    def beats_chance(self) -> bool:
        """Whether the field agrees with the labels far beyond chance; True if that is not known."""
        hits = self.hits_if_enough
        if hits is None:
            return True
        chance = 1 / max(self._labels.num_classes or 2, 2)
        spread = math.sqrt(chance * (1 - chance) / len(hits))
        return bool(hits.mean() > max(_LEAST_SHARE, chance + _CHANCE_Z * spread))

    def has_same_predictions_as(self, other: FieldReading) -> bool:
        """Whether both hold the same predictions: index and WordNet id, or logits and their softmax."""
        classes, other_classes = self.classes, other.classes
        if self.is_every_score and other.is_every_score:
            classes, other_classes = self.top1, other.top1
        return (
            classes is not None
            and other_classes is not None
            and np.array_equal(classes, other_classes)
        )


def class_names_error(fields: Fields, field: Field) -> InputError:
    """Returns the error for a field of texts that are not class names."""
    first = next((text for text in fields.texts(field) if text), "")
    if fields.class_names is not None:
        return InputError(
            f"the predictions in {field.title} are names, but '{first[:40]}' is not in --class-names "
            f"({listed(fields.class_names.names, 3)})."
        )
    return InputError(
        f"the predictions in {field.title} are names, such as '{first[:40]}'. Give the names of the classes, "
        f"in the order of the class indices, with --class-names FILE; or save class indices (timm's "
        f"inference.py writes them with --include-index)."
    )


def _check_width(scores: np.ndarray, known: int | None) -> None:
    """Refuses scores with fewer columns than there are known classes."""
    if known is not None and scores.shape[1] < known:
        raise InputError(
            f"has scores in {scores.shape[1]:,} columns; expected {known:,}, one for each class. If these "
            f"are the scores of the best classes, their indices are missing: timm's inference.py writes them "
            f"with --include-index."
        )


def _is_one_hot(scores: np.ndarray) -> bool:
    head = np.asarray(scores[:_ROWS])
    return bool(np.isin(head, (0, 1)).all() and (head.sum(axis=1) == 1).all())


def scores_of(fields: Fields, ranked: Int[np.ndarray, "images k"]) -> np.ndarray | None:
    """(N, k) scores of ranked classes, from a field with as many scores in a row, or None."""
    for field in fields.fields:
        if field.role is Role.SCORE and field.width == ranked.shape[1] and field.is_numeric:
            try:
                scores = fields.numbers(field)
            except InputError:
                continue
            if scores.shape == ranked.shape:
                return scores
    return None

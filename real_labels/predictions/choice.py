"""Chooses the field of a file that holds the predictions: by name, by content and by the known labels.

1. `--column` names the field; else
2. take a field whose name says that it holds predictions, or scores of every class;
3. else take a field whose name says classes, or whose name says nothing. If such a field equals the original
   label on at least 99% of the images, and clearly more often than another field, it holds the true labels.
4. If several fields remain, refuse the file and list the candidates. Also refuse a class column that equals
   the original labels on every image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.tables import key_of
from real_labels.files.text import listed
from real_labels.predictions.field_reading import FieldReading, class_names_error, scores_of
from real_labels.predictions.fields import Content, Field, Fields
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.roles import Role
from real_labels.predictions.whole_numbers import MOST_RANKED, clearly_more

if TYPE_CHECKING:
    from jaxtyping import Int

# A field that equals the original label on at least this share of the images may hold the true labels.
TRUTH_SHARE = 0.99
_MOST_CANDIDATES = 40  # fields that are read to choose among them


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenField:
    """The field that holds the predictions.

    Attributes:
      field: the chosen field.
      classes: (N, k) ranked classes; None where `scores` holds a score for every class.
      scores: (N, C) score of every class; else (N, k) scores of `classes`, or None.
      rivals: titles of other fields that may be the predictions; empty if a name or the user decided.
    """

    field: Field
    classes: Int[np.ndarray, "images k"] | None
    scores: np.ndarray | None
    rivals: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Fields, reading: FieldReading, rivals: tuple[str, ...] = ()) -> ChosenField:
        """Returns the field of a reading, with the scores of its classes if the file has them."""
        if reading.classes is None:
            return cls(reading.field, None, reading.scores, rivals)
        return cls(reading.field, reading.classes, scores_of(fields, reading.classes), rivals)


def choose(fields: Fields, column: str | None, labels: KnownLabels) -> ChosenField:
    """Finds the predictions among the fields of a file.

    Args:
      fields: the fields of the file.
      column: the field that the user named with --column, or None.
      labels: the known labels of the dataset.

    Raises:
      InputError: if no field can be the predictions, several fields can and no rule decides between them, or
        the field may hold the true labels.
    """
    _adopt_file_names(fields, labels)
    if column is None:
        return _Choice(fields, labels).chosen()
    reading = FieldReading(fields, _field_named(fields, column), labels)
    if reading.problem is not None:
        raise reading.problem
    return ChosenField.of(fields, reading)


def _adopt_file_names(fields: Fields, labels: KnownLabels) -> None:
    """Uses a field that holds the names of the images as the file names, whatever the field is called."""
    if fields.names is not None:
        return
    for field in fields.fields:
        if field.width > 1 or field.content is Content.REAL:
            continue
        texts = fields.texts(field)
        if texts and len(set(texts)) == len(texts) and labels.know(np.array(texts)):
            fields.names = np.array(texts, dtype=np.str_)
            fields.fields = [other for other in fields.fields if other is not field]
            return


def _field_named(fields: Fields, column: str) -> Field:
    """Returns the field that --column names: by its title, by its key, or as a single column of a field."""
    by_title = [f for f in fields.fields if column in (f.title, f.columns[0])]
    for field in by_title or [f for f in fields.fields if key_of(column) == f.key]:
        if column == field.columns[0] and len(field.columns) > 1 and column != field.key:
            return dataclasses.replace(field, columns=(column,), width=1)
        return field
    group = next((f for f in fields.fields if column in f.columns), None)
    if group is not None:
        return dataclasses.replace(group, columns=(column,), width=1)
    raise InputError(
        f"has no column '{column}' of classes; there are {listed([f.title for f in fields.fields])}."
    )


class _Choice:
    """The choice if --column is not given."""

    def __init__(self, fields: Fields, labels: KnownLabels):
        self._fields, self._labels = fields, labels
        excluded = (Role.METADATA, Role.ABOUT_PREDICTION, Role.TRUTH, Role.FILE_NAME)
        self._relevant = relevant = [f for f in fields.fields if f.role not in excluded]
        self._text_predictions = [
            f for f in relevant if f.content is Content.TEXT and f.role is Role.PREDICTED
        ]
        numeric = [f for f in relevant if f.is_numeric]
        # Row numbers are read as classes only if no other field can be the predictions.
        row_numbers = [f for f in numeric if self._is_row_number(f)]
        candidates = [f for f in numeric if f not in row_numbers and self._may_be_predicted(f)]
        if not candidates and not self._text_predictions:
            candidates = [f for f in row_numbers if self._may_be_predicted(f)]
        if len(candidates) > _MOST_CANDIDATES:
            raise _undecided_error(candidates)
        self._unread = [f for f in relevant if f not in candidates and f not in row_numbers]
        self._readings = [FieldReading(fields, field, labels) for field in candidates]

    def _is_row_number(self, field: Field) -> bool:
        if field.content is not Content.WHOLE or field.width > 1 or field.role is Role.PREDICTED:
            return False
        try:
            numbers = self._fields.numbers(field)[:, 0]
        except InputError:
            return False
        return bool((np.diff(numbers) == 1).all())

    def _may_be_predicted(self, field: Field) -> bool:
        """Whether a field can hold classes, or scores of every class; a single column of scores cannot."""
        if field.width > 1:
            # Scores beside a ranking of the same width are the scores of the ranked classes.
            return field.role is not Role.SCORE or not any(
                other.width == field.width
                and other.content is Content.WHOLE
                and other.role is not Role.SCORE
                for other in self._relevant
                if other is not field
            )
        if field.role is Role.SCORE:
            return False
        return field.content is Content.WHOLE or field.role in (Role.PREDICTED, Role.CLASS)

    def chosen(self) -> ChosenField:
        """Returns the field that holds the predictions."""
        usable = [r for r in self._readings if r.problem is None and not self._are_features(r)]
        if not usable:
            raise self._no_predictions()
        sure = [r for r in usable if _is_sure(r)]
        if not sure and self._text_predictions:
            text_field = self._text_predictions[0]
            matching = [
                r for r in usable if r.is_plain and not self._adds_information(text_field, r)
            ]
            if not matching:
                raise class_names_error(self._fields, text_field)
            sure = matching[:1]  # the indices of the same predictions
        reading = self._choose_sure(sure) if sure else self._choose_unsure(usable)
        rivals = () if sure else tuple(self._rivals(reading))
        _check_not_truth(reading, rivals)
        return ChosenField.of(self._fields, reading, rivals)

    def _are_features(self, reading: FieldReading) -> bool:
        """Whether unnamed numbers beside other candidates are features: not one column for each class."""
        known = self._labels.num_classes
        return (
            reading.scores is not None
            and reading.field.role is Role.UNKNOWN
            and known is not None
            and len(self._readings) > 1
            and reading.scores.shape[1] != known
        )

    def _choose_sure(self, sure: list[FieldReading]) -> FieldReading:
        """Chooses among fields whose names say that they hold predictions or scores."""
        scores = _distinct([r for r in sure if r.field.role is Role.SCORE])
        predicted = _distinct([r for r in sure if r.field.role is not Role.SCORE])
        if len(predicted) > 1:
            raise _undecided_error([r.field for r in predicted])
        if not predicted and len(scores) > 1:
            raise _undecided_error([r.field for r in scores])
        if not predicted:
            return scores[0]
        # Scores of every class hold more information than the predicted class beside them.
        wide = scores and scores[0].field.width > max(MOST_RANKED, predicted[0].field.width)
        return scores[0] if wide else predicted[0]

    def _choose_unsure(self, usable: list[FieldReading]) -> FieldReading:
        """Chooses among fields that may hold predictions or true labels: by the labels, then by the names."""
        remaining = _without_truth(_distinct(usable))
        informative = [r for r in remaining if r.beats_chance]
        if len(remaining) > 1:
            remaining = informative or remaining
        elif remaining[0].field.role is Role.UNKNOWN and len(usable) > 1 and not informative:
            raise _undecided_error([r.field for r in usable])
        if len(remaining) == 1:
            return remaining[0]
        every_score = [r for r in remaining if r.is_every_score and not r.is_plain]
        widest = max((r.field.width for r in remaining if not r.is_every_score), default=0)
        every_score = [r for r in every_score if r.field.width > widest]
        if len(every_score) == 1 and (
            every_score[0].hits_if_enough is None or _have_same_top1(remaining)
        ):
            return every_score[0]
        classes = [r for r in remaining if r.field.role is Role.CLASS and not r.is_every_score]
        others = [r for r in remaining if r not in classes]
        if others and (not classes or others[0].hits_if_enough is not None):
            raise _undecided_error([r.field for r in remaining])
        if len(ranked := [r for r in classes if not r.is_plain]) == 1:
            return ranked[0]
        if index := [r for r in classes if r.field.key in ("index", "indices")]:
            return index[0]
        if len(classes) != 1:
            raise _undecided_error([r.field for r in classes])
        return classes[0]

    def _rivals(self, reading: FieldReading) -> list[str]:
        """Titles of the other fields that may hold the predictions, including fields that were not read."""
        single_scores = [f for f in self._unread if f.role is Role.SCORE and f.width == 1]
        fields = [
            f for f in self._unread if f not in single_scores and self._adds_information(f, reading)
        ]
        # One column of scores may be the predictions if there are two classes: scores of the second.
        if len(single_scores) > 1 or (single_scores and self._labels.num_classes == 2):
            fields += single_scores
        # A column such as "correct" may belong to predictions that are missing, beside the true labels.
        fields += [f for f in self._fields.fields if f.role is Role.ABOUT_PREDICTION]
        rest = [r for r in self._readings if r is not reading]
        fields += [r.field for r in rest if not r.has_same_predictions_as(reading)]
        return [f.title for f in fields] + list(self._fields.unread)

    def _adds_information(self, field: Field, reading: FieldReading) -> bool:
        """Whether a field that was not read holds more than one name for each class of a reading."""
        if field.content is not Content.TEXT:
            return field.content is not Content.NOTHING
        texts = self._fields.texts(field)
        if len(set(texts)) == 1:
            return False
        assert reading.top1 is not None  # the reading has no problem
        pairs = set(zip(texts, reading.top1.tolist(), strict=True))
        return len(pairs) > len(set(texts)) or len(set(texts)) == len(texts)

    def _no_predictions(self) -> InputError:
        """Returns the error that says why there are no predictions."""
        if self._text_predictions:
            return class_names_error(self._fields, self._text_predictions[0])
        problems = [r.problem for r in self._readings if r.problem is not None]
        if problems:
            return problems[0]
        fields = self._fields.fields
        names = listed(self._fields.all_names) or "nothing"
        truths = [f for f in fields if f.role is Role.TRUTH and f.content is Content.WHOLE]
        scores = [f for f in fields if f.role is Role.SCORE and f.is_numeric]
        classes = [f for f in fields if f.role is Role.CLASS and f.content is Content.TEXT]
        if scores:
            return InputError(
                f"has a column of scores ({scores[0].title}) but no column of classes; found {names}. timm's "
                f"inference.py writes class indices with --include-index."
            )
        if truths:
            return InputError(
                f"has the true labels ({truths[0].title}) but no predictions; found {names}. If this column "
                f"holds the predictions, pass --column '{truths[0].title}'."
            )
        if empty := [
            f for f in fields if f.content is Content.NOTHING and f.role is not Role.UNKNOWN
        ]:
            return InputError(f"row 1 has no {empty[0].title}.")
        if classes:
            return class_names_error(self._fields, classes[0])
        return InputError(
            f"expected file names with class indices, WordNet ids or a score for every class (logits); found "
            f"{self._fields.kind}{names}, and none of them holds classes or scores. Call the column "
            f"'index' or 'logits', or name it with --column; timm's inference.py writes class indices with "
            f"--include-index."
        )


def _is_sure(reading: FieldReading) -> bool:
    """Whether the name says predictions, or the name says scores and the scores are not one-hot."""
    role = reading.field.role
    return role is Role.PREDICTED or (
        role is Role.SCORE and reading.is_every_score and not reading.is_plain
    )


def _without_truth(readings: list[FieldReading]) -> list[FieldReading]:
    """Returns the readings without the field that the labels show to hold the true labels.

    Raises:
      InputError: if several fields may hold the true labels, or the labels do not show which field does.
    """
    hits = {r: r.hits_if_enough for r in readings if r.hits_if_enough is not None}
    truths = [r for r in hits if r.is_plain and hits[r].mean() >= TRUTH_SHARE]
    if not truths or len(readings) < 2:
        return readings
    if len(truths) > 1:
        raise _undecided_error([r.field for r in truths])
    truth = truths[0]
    others = [r for r in hits if r is not truth]
    if not any(clearly_more(hits[truth], hits[other]) for other in others):
        dense = [r for r in others if r.is_every_score and not r.is_plain]
        if len(dense) != 1:  # unless one field has scores with decimals, as true labels never do
            raise _undecided_error([r.field for r in readings])
    remaining = [r for r in readings if r is not truth and r.beats_chance]
    if not remaining:
        raise _undecided_error([r.field for r in readings])
    return remaining


def _check_not_truth(reading: FieldReading, rivals: tuple[str, ...]) -> None:
    """Refuses a field that equals the labels on all images, or on nearly all and beside other candidates."""
    hits = reading.hits if reading.is_plain else None
    if hits is None or not len(hits):
        return
    title = reading.field.title
    if reading.hits_if_enough is not None and hits.all():
        raise InputError(
            f"{title} equals the original labels on all {len(hits):,} images, so it may hold the labels "
            f"themselves, not predictions. To score it anyway, pass --column '{title}'."
        )
    if rivals and hits.mean() >= TRUTH_SHARE:
        raise InputError(may_be_true_message(title, rivals, float(hits.mean())))


def may_be_true_message(title: str, rivals: Sequence[str], share: float) -> str:
    """Message about a column that may hold the true labels, while other columns may hold the predictions."""
    return (
        f"{title} is the original label of {100 * share:.1f}% of the images, so it may hold the true labels, "
        f"and the predictions may be in {listed(list(rivals), 5)}. If {title} holds the predictions, pass "
        f"--column '{title}'."
    )


def _have_same_top1(readings: list[FieldReading]) -> bool:
    first = readings[0].top1
    return all(
        r.top1 is first
        or (r.top1 is not None and first is not None and np.array_equal(r.top1, first))
        for r in readings
    )


def _distinct(readings: list[FieldReading]) -> list[FieldReading]:
    """Returns the readings without repetitions of the same predictions."""
    kept: list[FieldReading] = []
    for reading in readings:
        if not any(reading.has_same_predictions_as(other) for other in kept):
            kept.append(reading)
    return kept


def _undecided_error(fields: Sequence[Field]) -> InputError:
    titles = [field.title for field in fields]
    return InputError(
        f"several columns may be the predictions: {listed(titles)}. Name the right one with --column, for "
        f"example --column '{titles[0]}'."
    )

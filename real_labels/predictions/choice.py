"""Which field of a file holds the predictions, and which the truth: by name, by content, by the labels.

1. `--column` names it; else
2. a field that its name says is predicted, or scores of every class;
3. else one called a class, or one whose name says nothing. One of these that is the original label of
   at least 99% of the images, and clearly more often than another field, is the truth and no prediction.
4. What is left undecided is refused, with the candidates; so is a class column that equals the
   original labels on every image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.tables import key_of
from real_labels.files.text import listed
from real_labels.predictions.field_reading import FieldReading, no_list_explains, scores_of
from real_labels.predictions.fields import Content, Field, Fields
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.roles import Role
from real_labels.predictions.whole_numbers import MOST_RANKED, clearly_more

if TYPE_CHECKING:
    from jaxtyping import Int

TRUTH = 0.99  # share of images on which what agrees with the original labels may be these
_MOST_CANDIDATES = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """The field of the predictions.

    Attributes:
      field: which.
      classes: (N, k) ranked classes; None where `scores` are of every class.
      scores: (N, C) scores of every class; else those of `classes`, (N, k), or None.
      rivals: other fields that may be the predictions, where neither a name nor the user decided.
    """

    field: Field
    classes: Int[np.ndarray, "images k"] | None
    scores: np.ndarray | None
    rivals: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Fields, reading: FieldReading, rivals: tuple[str, ...] = ()) -> Chosen:
        """The field that was read, with the scores of its classes where there are any."""
        if reading.classes is None:
            return cls(reading.field, None, reading.scores, rivals)
        return cls(reading.field, reading.classes, scores_of(found, reading.classes), rivals)


def choose(found: Fields, column: str | None, labels: KnownLabels) -> Chosen:
    """Finds the predictions among a file's fields.

    Args:
      found: the fields.
      column: the one that the user says holds the predictions, or None.
      labels: what is known of the dataset.

    Raises:
      InputError: if no field can be the predictions, or several can and nothing tells which.
    """
    _adopt_file_names(found, labels)
    if column is None:
        return _Choice(found, labels).made()
    reading = FieldReading(found, _named(found, column), labels)
    if reading.problem is not None:
        raise reading.problem
    return Chosen.of(found, reading)


def _adopt_file_names(found: Fields, labels: KnownLabels) -> None:
    """Takes a field of the images' names, whatever it is called, for the file names."""
    if found.names is not None:
        return
    for field in found.fields:
        if field.width > 1 or field.content is Content.REAL:
            continue
        texts = found.texts(field)
        if texts and len(set(texts)) == len(texts) and labels.know(np.array(texts)):
            found.names = np.array(texts, dtype=np.str_)
            found.fields = [other for other in found.fields if other is not field]
            return


def _named(found: Fields, column: str) -> Field:
    """The field that --column names: by its title, its key, or one of its columns alone."""
    by_title = [f for f in found.fields if column in (f.title, f.columns[0])]
    for field in by_title or [f for f in found.fields if key_of(column) == f.key]:
        if column == field.columns[0] and len(field.columns) > 1 and column != field.key:
            return dataclasses.replace(field, columns=(column,), width=1)
        return field
    alone = next((f for f in found.fields if column in f.columns), None)
    if alone is not None:
        return dataclasses.replace(alone, columns=(column,), width=1)
    raise InputError(
        f"has no column '{column}' of classes; there are {listed([f.title for f in found.fields])}."
    )


class _Choice:
    """The choice where no column is named."""

    def __init__(self, found: Fields, labels: KnownLabels):
        self._found, self._labels = found, labels
        aside = (Role.ASIDE, Role.ABOUT_PREDICTION, Role.TRUTH, Role.FILE_NAME)
        self._asked = asked = [f for f in found.fields if f.role not in aside]
        self._predicted_names = [
            f for f in asked if f.content is Content.TEXT and f.role is Role.PREDICTED
        ]
        numeric = [f for f in asked if f.is_numeric]
        # What merely numbers the rows is read as classes only if there is nothing else.
        rows = [f for f in numeric if self._numbers_rows(f)]
        candidates = [f for f in numeric if f not in rows and self._may_be_predicted(f)]
        if not candidates and not self._predicted_names:
            candidates = [f for f in rows if self._may_be_predicted(f)]
        if len(candidates) > _MOST_CANDIDATES:
            raise _undecided(candidates)
        self._unread = [f for f in asked if f not in candidates and f not in rows]
        self._readings = [FieldReading(found, field, labels) for field in candidates]

    def _numbers_rows(self, field: Field) -> bool:
        if field.content is not Content.WHOLE or field.width > 1 or field.role is Role.PREDICTED:
            return False
        try:
            numbers = self._found.numbers(field)[:, 0]
        except InputError:
            return False
        return bool((np.diff(numbers) == 1).all())

    def _may_be_predicted(self, field: Field) -> bool:
        """Whether it can be classes, or scores of every class; a score alone is of something else."""
        if field.width > 1:
            # Beside a ranking, as many scores are those of its classes.
            return field.role is not Role.SCORE or not any(
                other.width == field.width
                and other.content is Content.WHOLE
                and other.role is not Role.SCORE
                for other in self._asked
                if other is not field
            )
        if field.role is Role.SCORE:
            return False
        return field.content is Content.WHOLE or field.role in (Role.PREDICTED, Role.CLASS)

    def made(self) -> Chosen:
        """The predictions."""
        usable = [r for r in self._readings if r.problem is None and not self._are_features(r)]
        if not usable:
            raise self._nothing()
        sure = [r for r in usable if _is_sure(r)]
        if not sure and self._predicted_names:
            named = self._predicted_names[0]
            same = [r for r in usable if r.is_plain and not self._says_more(named, r)]
            if not same:
                raise no_list_explains(self._found, named)
            sure = same[:1]  # the same predictions as indices
        reading = self._of_sure(sure) if sure else self._of_unsure(usable)
        rivals = () if sure else tuple(self._rivals(reading))
        _check_no_truth(reading, rivals)
        return Chosen.of(self._found, reading, rivals)

    def _are_features(self, reading: FieldReading) -> bool:
        """Whether numbers that no name calls scores are in other columns than one for each class."""
        known = self._labels.num_classes
        return (
            reading.scores is not None
            and reading.field.role is Role.UNKNOWN
            and known is not None
            and len(self._readings) > 1
            and reading.scores.shape[1] != known
        )

    def _of_sure(self, sure: list[FieldReading]) -> FieldReading:
        scores = _distinct([r for r in sure if r.field.role is Role.SCORE])
        predicted = _distinct([r for r in sure if r.field.role is not Role.SCORE])
        if len(predicted) > 1:
            raise _undecided([r.field for r in predicted])
        if not predicted and len(scores) > 1:
            raise _undecided([r.field for r in scores])
        if not predicted:
            return scores[0]
        # The scores of every class say more than the class beside them.
        wide = scores and scores[0].field.width > max(MOST_RANKED, predicted[0].field.width)
        return scores[0] if wide else predicted[0]

    def _of_unsure(self, usable: list[FieldReading]) -> FieldReading:
        """Of fields that may be predicted or true: by the labels, then by their names."""
        left = _without_truth(_distinct(usable))
        saying = [r for r in left if r.says_something]
        if len(left) > 1:
            left = saying or left
        elif left[0].field.role is Role.UNKNOWN and len(usable) > 1 and not saying:
            raise _undecided([r.field for r in usable])
        if len(left) == 1:
            return left[0]
        every = [r for r in left if r.is_every_score and not r.is_plain]
        widest = max((r.field.width for r in left if not r.is_every_score), default=0)
        every = [r for r in every if r.field.width > widest]
        if len(every) == 1 and (every[0].telling_hits is None or _are_of_the_same_top1(left)):
            return every[0]
        classes = [r for r in left if r.field.role is Role.CLASS and not r.is_every_score]
        others = [r for r in left if r not in classes]
        if others and (not classes or others[0].telling_hits is not None):
            raise _undecided([r.field for r in left])
        if len(ranked := [r for r in classes if not r.is_plain]) == 1:
            return ranked[0]
        if index := [r for r in classes if r.field.key in ("index", "indices")]:
            return index[0]
        if len(classes) != 1:
            raise _undecided([r.field for r in classes])
        return classes[0]

    def _rivals(self, reading: FieldReading) -> list[str]:
        """Fields beside this one that may hold the predictions, read or not."""
        alone = [f for f in self._unread if f.role is Role.SCORE and f.width == 1]
        fields = [f for f in self._unread if f not in alone and self._says_more(f, reading)]
        if len(alone) > 1 or (alone and self._labels.num_classes == 2):  # of the second of two
            fields += alone
        # Whether a prediction is right stands beside the prediction, or beside the truth alone.
        fields += [f for f in self._found.fields if f.role is Role.ABOUT_PREDICTION]
        rest = [r for r in self._readings if r is not reading]
        fields += [r.field for r in rest if not r.says_the_same_as(reading)]
        return [f.title for f in fields] + list(self._found.unread)

    def _says_more(self, field: Field, reading: FieldReading) -> bool:
        """Whether a field that is not read is more than another word for the classes that are."""
        if field.content is not Content.TEXT:
            return field.content is not Content.NOTHING
        texts = self._found.texts(field)
        if len(set(texts)) == 1:
            return False
        assert reading.top1 is not None  # of the chosen reading
        pairs = set(zip(texts, reading.top1.tolist(), strict=True))
        return len(pairs) > len(set(texts)) or len(set(texts)) == len(texts)

    def _nothing(self) -> InputError:
        """Why there are no predictions."""
        if self._predicted_names:
            return no_list_explains(self._found, self._predicted_names[0])
        problems = [r.problem for r in self._readings if r.problem is not None]
        if problems:
            return problems[0]
        fields = self._found.fields
        found = listed(self._found.found) or "nothing"
        truths = [f for f in fields if f.role is Role.TRUTH and f.content is Content.WHOLE]
        scores = [f for f in fields if f.role is Role.SCORE and f.is_numeric]
        classes = [f for f in fields if f.role is Role.CLASS and f.content is Content.TEXT]
        if scores:
            return InputError(
                f"has a score ({scores[0].title}) but no class; it holds {found}. From timm's inference.py, "
                f"ask for --include-index."
            )
        if truths:
            return InputError(
                f"has the true labels ({truths[0].title}) but no predictions; it holds {found}. If these are "
                f"the predictions, say --column '{truths[0].title}'."
            )
        if empty := [
            f for f in fields if f.content is Content.NOTHING and f.role is not Role.UNKNOWN
        ]:
            return InputError(f"row 1 has no {empty[0].title}.")
        if classes:
            return no_list_explains(self._found, classes[0])
        return InputError(
            f"expected file names, and classes or scores of every class: class indices, WordNet ids or "
            f"logits; found {self._found.kind}{found}, none of which holds them. Call them 'index' or "
            f"'logits', or name one with --column; timm's inference.py writes it with --include-index."
        )


def _is_sure(reading: FieldReading) -> bool:
    """Whether its name says that it is predicted, or that it is scores, and it has decimals."""
    role = reading.field.role
    return role is Role.PREDICTED or (
        role is Role.SCORE and reading.is_every_score and not reading.is_plain
    )


def _without_truth(readings: list[FieldReading]) -> list[FieldReading]:
    """Without the fields that the labels show to be the truth.

    Raises:
      InputError: if two agree with the labels as much as the truth does.
    """
    hits = {r: r.telling_hits for r in readings if r.telling_hits is not None}
    truths = [r for r in hits if r.is_plain and hits[r].mean() >= TRUTH]
    if not truths or len(readings) < 2:
        return readings
    if len(truths) > 1:
        raise _undecided([r.field for r in truths])
    truth = truths[0]
    others = [r for r in hits if r is not truth]
    if not any(clearly_more(hits[truth], hits[other]) for other in others):
        dense = [r for r in others if r.is_every_score and not r.is_plain]
        if len(dense) != 1:  # true labels have no scores with decimals
            raise _undecided([r.field for r in readings])
    left = [r for r in readings if r is not truth and r.says_something]
    if not left:
        raise _undecided([r.field for r in readings])
    return left


def _check_no_truth(reading: FieldReading, rivals: tuple[str, ...]) -> None:
    """Refuses what may be the true labels: equal to them, or nearly and not the only candidate."""
    hits = reading.hits if reading.is_plain else None
    if hits is None or not len(hits):
        return
    title = reading.field.title
    if reading.telling_hits is not None and hits.all():
        raise InputError(
            f"{title} equals the original labels on all {len(hits):,} images: are these predictions, or "
            f"the labels themselves? --column '{title}' scores it all the same."
        )
    if rivals and hits.mean() >= TRUTH:
        raise InputError(may_be_true(title, rivals, float(hits.mean())))


def may_be_true(title: str, rivals: Sequence[str], share: float) -> str:
    """The complaint about a column that agrees with the labels as the true labels do, beside others."""
    return (
        f"{title} is the original label of {100 * share:.1f}% of the images, so it may be the true labels, "
        f"and {listed(list(rivals), 5)} the predictions. If it is the predictions, say --column '{title}'."
    )


def _are_of_the_same_top1(readings: list[FieldReading]) -> bool:
    first = readings[0].top1
    return all(
        r.top1 is first
        or (r.top1 is not None and first is not None and np.array_equal(r.top1, first))
        for r in readings
    )


def _distinct(readings: list[FieldReading]) -> list[FieldReading]:
    """Without those that say the same as one before."""
    kept: list[FieldReading] = []
    for reading in readings:
        if not any(reading.says_the_same_as(other) for other in kept):
            kept.append(reading)
    return kept


def _undecided(fields: Sequence[Field]) -> InputError:
    titles = [field.title for field in fields]
    return InputError(
        f"several columns may be the predictions: {listed(titles)}. Name the one that is with --column, as "
        f"--column '{titles[0]}'."
    )

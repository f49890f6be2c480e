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
import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import listed
from real_labels.predictions import ranking, roles
from real_labels.predictions.fields import Content, Field, Fields
from real_labels.predictions.roles import Role

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

MOST_RANKED = 20  # more columns of whole numbers than this are seldom a ranking
TRUTH = 0.99  # share of images on which what agrees with the original labels may be these
_FEWEST = 20  # images below which agreement tells nothing
_LEAST_SHARE = 0.1  # right, below which a field beside others is none of predictions
_MOST_CANDIDATES = 40
_OF_PREDICTIONS = re.compile(r"(pred|top_?\d|is_correct|correct|hit)")
_CLEARLY = 3.0  # standard errors
_ROWS = 200  # by which wide rows of whole numbers are told to be no ranking


@dataclasses.dataclass(frozen=True)
class Labels:
    """What is known of a dataset, to tell predictions from the truth.

    Attributes:
      num_classes: number of classes, at least as many as occur; None if it is not known.
      hits: called with a file's names (N,), or None, and the classes (N, k) of a field: which images' first
        class is the original label, (n,) bool; None where that cannot be said, as of other images.
      know: whether these are file names of the dataset's images.
    """

    num_classes: int | None
    hits: Callable[[np.ndarray | None, Int[np.ndarray, "images k"]], Bool[np.ndarray, "n"] | None]
    know: Callable[[np.ndarray], bool] = lambda names: False


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


def choose(found: Fields, column: str | None, labels: Labels | None) -> Chosen:
    """Finds the predictions among a file's fields.

    Args:
      found: the fields.
      column: the one that the user says holds the predictions, or None.
      labels: what is known of the dataset; None: nothing.

    Raises:
      InputError: if no field can be the predictions, or several can and nothing tells which.
    """
    _adopt_file_names(found, labels)
    if column is not None:
        reading = _Reading(found, _named(found, column), labels)
        if reading.problem is not None:
            raise reading.problem
        return reading.chosen(found)
    return _Choice(found, labels).made()


def _adopt_file_names(found: Fields, labels: Labels | None) -> None:
    """Takes a field of the images' names, whatever it is called, for the file names."""
    if found.names is not None or labels is None:
        return
    for field in found.fields:
        if len(field.columns) > 1 or field.width > 1 or field.content is Content.REAL:
            continue
        texts = list(map(str, found.texts(field)))
        if texts and len(set(texts)) == len(texts) and labels.know(np.array(texts)):
            found.names = np.array(texts, dtype=np.str_)
            found.fields = [other for other in found.fields if other is not field]
            return


def _named(found: Fields, column: str) -> Field:
    """The field that --column names: by its title, its key, or one of its columns alone."""
    by_title = [f for f in found.fields if column in (f.title, f.columns[0])]
    for field in by_title or [f for f in found.fields if roles.key_of(column) == f.key]:
        if column == field.columns[0] and len(field.columns) > 1 and column != field.key:
            return dataclasses.replace(field, columns=(column,), width=1)
        return field
    alone = next((f for f in found.fields if column in f.columns), None)
    if alone is not None:
        return dataclasses.replace(alone, columns=(column,), width=1)
    raise InputError(
        f"has no column '{column}' of classes; there are {listed([f.title for f in found.fields])}."
    )


class _Reading:
    """A field read as predictions.

    Attributes:
      field: which.
      problem: why it cannot be read, or None.
      is_plain: whether it has one class an image and nothing more, as true labels have.
    """

    def __init__(self, found: Fields, field: Field, labels: Labels | None):
        self.field = field
        self.problem: InputError | None = None
        self.classes: np.ndarray | None = None
        self.scores: np.ndarray | None = None
        self.is_plain = field.width == 1
        try:
            self._read(found, labels)
        except InputError as error:
            self.problem = error

    def _read(self, found: Fields, labels: Labels | None) -> None:
        field = self.field
        if field.content is Content.TEXT:
            raise InputError(_names_no_list_explains(found, field))
        if field.content is Content.NOTHING:
            raise InputError(f"row 1 has no {field.title}.")
        if field.width == 1 or found.are_words(field) or found.are_boxes(field):
            self.classes = found.classes(field)
            self.is_plain = self.classes.shape[1] == 1
        else:
            numbers = found.numbers(field)
            if are_whole(numbers) and is_ranking(numbers, field, labels, found.names):
                self.classes = found.classes(field)
            else:
                self.scores = numbers.astype(np.int8) if numbers.dtype == bool else numbers
                self.is_plain = _is_one_hot(self.scores)
                _check_width(self.scores, field, labels)

    @functools.cached_property
    def top1(self) -> np.ndarray | None:
        """(N,) first class of each image; None where it cannot be read."""
        if self.scores is None:
            return None if self.classes is None else self.classes[:, 0]
        return ranking.first_classes(self.scores)

    @property
    def is_every_score(self) -> bool:
        """Whether it has a score for every class."""
        return self.scores is not None

    def chosen(self, found: Fields) -> Chosen:
        """The field, with the scores of its classes where there are any."""
        if self.scores is not None:
            return Chosen(self.field, None, self.scores)
        return Chosen(self.field, self.classes, _scores_of(found, self))


def _scores_of(found: Fields, ranked: _Reading) -> np.ndarray | None:
    """(N, k) scores of ranked classes: a field of as many scores a row, or None."""
    for field in found.fields:
        if field.role is Role.SCORE and field.width == ranked.classes.shape[1] and field.is_numeric:
            try:
                scores = found.numbers(field)
            except InputError:
                continue
            if scores.shape == ranked.classes.shape:
                return scores
    return None


def are_whole(numbers: np.ndarray) -> bool:
    """Whether all are whole numbers, and not true and false."""
    if numbers.dtype.kind in "iub":
        return numbers.dtype != bool
    head = numbers[:_ROWS]
    if not (np.isfinite(head) & (head == np.floor(head))).all():
        return False
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def is_ranking(
    numbers: np.ndarray, field: Field, labels: Labels | None, file_names: np.ndarray | None = None
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
    k = numbers.shape[1]
    head = np.sort(numbers if k <= MOST_RANKED else numbers[:_ROWS], axis=1)
    known = None if labels is None else labels.num_classes
    if (
        numbers.min() < 0
        and field.role is not Role.SCORE
        and numbers.min() == -1
        and k <= MOST_RANKED
    ):
        raise InputError(
            f"{field.title} has -1 in some rows, as lists of classes that are filled up have; expected {k} "
            f"classes in each row. Keep the first column, or name it with --column '{field.columns[0]}'."
        )
    if (head[:, 1:] == head[:, :-1]).any() or numbers.min() < 0:  # a ranking names no class twice
        _check_scores(numbers, field, known)
        return False
    if k == 2 and numbers.max() <= 1:
        return False
    if field.role is Role.SCORE:
        return False
    named = field.role in (Role.PREDICTED, Role.CLASS) and field.key not in ("output", "outputs")
    lowest, highest = head[:, 0], head[:, -1]
    if (lowest == lowest[0]).all() and (highest == lowest[0] + k - 1).all() and lowest[0] in (0, 1):
        told = _told_by_labels(numbers, labels, file_names)
        if told is not None:
            return told
        if named or k > MOST_RANKED:
            return True
        raise InputError(
            f"{field.title} may hold {k} ranked classes or a whole score for each of {k}; every row has all "
            f"numbers from {int(lowest[0])} to {int(highest[0])}. Call it ranking or scores."
        )
    return not (known == k and numbers.max() >= k)


def _check_scores(numbers: np.ndarray, field: Field, known: int | None) -> None:
    """Refuses whole numbers that are no ranking, unless they can only be scores of every class.

    They can where the name says so, in more columns than a ranking has, in rows of equal sums (one-hot rows,
    votes), and where a number is no class.
    """
    k = numbers.shape[1]
    sums = numbers.sum(axis=1)
    ordered = np.sort(numbers, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    row = int(np.argmax(twice))
    shown = numbers[row].astype(np.int64).tolist()[:20]
    if known is not None and k < known and twice.any():
        raise InputError(f"row {row + 1} of {field.title} names a class twice: {shown}.")
    if field.role is Role.SCORE or k > MOST_RANKED or (sums == sums[0]).all() or numbers.min() < 0:
        return
    if numbers.max() < (k if known is None else known):
        raise InputError(
            f"several columns may be the predictions: {listed(list(field.columns))}. Row {row + 1} has "
            f"{shown}: with a number twice it is no ranking, and these may be classes of several models or "
            f"the true ones. Name the one that is with --column, as --column '{field.columns[0]}'."
        )


def _check_width(scores: np.ndarray, field: Field, labels: Labels | None) -> None:
    """Refuses scores of another number of classes, as far as that is known."""
    known = None if labels is None else labels.num_classes
    if known is None or scores.shape[1] == known:
        return
    if scores.shape[1] < known:
        raise InputError(
            f"has scores in {scores.shape[1]:,} columns; expected {known:,}, one for each class. If these "
            f"are the scores of the best classes, their indices are missing: timm's inference.py writes them "
            f"with --include-index."
        )


def _told_by_labels(
    numbers: np.ndarray, labels: Labels | None, file_names: np.ndarray | None
) -> bool | None:
    """Whether the labels speak for ranked classes (True) or scores (False); None where they do not tell."""
    if labels is None:
        return None
    ranked = labels.hits(file_names, numbers.astype(np.int64))
    scored = labels.hits(file_names, numbers.argmax(axis=1)[:, None].astype(np.int64))
    if ranked is None or scored is None or len(ranked) < _FEWEST:
        return None
    for ours, theirs, answer in ((ranked, scored, True), (scored, ranked, False)):
        if _clearly_more(ours, theirs) and ours.mean() > max(0.5, 2 * theirs.mean()):
            return answer
    return None


def _is_one_hot(scores: np.ndarray) -> bool:
    head = np.asarray(scores[:_ROWS])
    return bool(np.isin(head, (0, 1)).all() and (head.sum(axis=1) == 1).all())


def _names_no_list_explains(found: Fields, field: Field) -> str:
    first = next((text for text in found.texts(field) if text), "")
    if found.class_names is not None:
        return (
            f"the predictions in {field.title} are names, of which '{first[:40]}' is none of --class-names "
            f"({listed(found.class_names.names, 3)})."
        )
    return (
        f"the predictions in {field.title} are names, such as '{first[:40]}'. Give the names of the classes, "
        f"in the order of the class indices, with --class-names FILE; or save class indices (timm's "
        f"inference.py writes them with --include-index)."
    )


class _Choice:
    """The choice where no column is named."""

    def __init__(self, found: Fields, labels: Labels | None):
        self._found, self._labels = found, labels
        self._known_hits: dict[int, np.ndarray | None] = {}
        asked = [f for f in found.fields if f.role not in (Role.ASIDE, Role.TRUTH, Role.FILE_NAME)]
        self._texts = [f for f in asked if f.content is Content.TEXT]
        numeric = [f for f in asked if f.is_numeric]
        # What merely numbers the rows is read as classes only if there is nothing else.
        rows = [f for f in numeric if self._numbers_rows(f)]
        candidates = [f for f in numeric if f not in rows and self._may_be_predicted(f)]
        if not candidates and not self._predicted_names():
            candidates = [f for f in rows if self._may_be_predicted(f)]
        if len(candidates) > _MOST_CANDIDATES:
            raise _undecided([f.title for f in candidates])
        self._unread = [f for f in asked if f not in candidates and f not in rows]
        self._readings = [_Reading(found, field, labels) for field in candidates]

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
                for other in self._found.fields
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
        sure = [r for r in usable if self._is_sure(r)]
        if not sure and (named := self._predicted_names()):
            same = [r for r in usable if r.is_plain and not self._says_more(named[0], r)]
            if not same:
                raise InputError(_names_no_list_explains(self._found, named[0]))
            sure = same[:1]  # the same predictions as indices
        reading = self._of_sure(sure) if sure else self._of_unsure(usable)
        rivals = () if sure else tuple(self._rivals(reading))
        self._check_no_truth(reading, rivals)
        return dataclasses.replace(reading.chosen(self._found), rivals=rivals)

    def _is_sure(self, reading: _Reading) -> bool:
        """Whether its name says that it is predicted, or that it is scores, and it has decimals."""
        role = reading.field.role
        return role is Role.PREDICTED or (
            role is Role.SCORE and reading.is_every_score and not reading.is_plain
        )

    def _are_features(self, reading: _Reading) -> bool:
        """Whether numbers that no name calls scores are in other columns than one for each class."""
        known = None if self._labels is None else self._labels.num_classes
        return (
            reading.is_every_score
            and reading.field.role is Role.UNKNOWN
            and known is not None
            and len(self._readings) > 1
            and reading.scores.shape[1] != known
        )

    def _predicted_names(self) -> list[Field]:
        return [f for f in self._texts if f.role is Role.PREDICTED]

    def _of_sure(self, sure: list[_Reading]) -> _Reading:
        scores = _distinct([r for r in sure if r.field.role is Role.SCORE])
        predicted = _distinct([r for r in sure if r.field.role is not Role.SCORE])
        if len(predicted) > 1:
            raise _undecided([r.field.title for r in predicted])
        if not predicted:
            if len(scores) > 1:
                raise _undecided([r.field.title for r in scores])
            return scores[0]
        # The scores of every class say more than the class beside them.
        wide = scores and scores[0].field.width > max(MOST_RANKED, predicted[0].field.width)
        return scores[0] if wide else predicted[0]

    def _of_unsure(self, usable: list[_Reading]) -> _Reading:
        """Of fields that may be predicted or true: by the labels, then by their names."""
        left = self._without_truth(_distinct(usable))
        saying = [r for r in left if self._says_something(r)]
        if len(left) > 1:
            left = saying or left
        elif left[0].field.role is Role.UNKNOWN and len(usable) > 1 and not saying:
            raise _undecided([r.field.title for r in usable])
        if len(left) == 1:
            return left[0]
        every = [r for r in left if r.is_every_score and not r.is_plain]
        widest = max((r.field.width for r in left if not r.is_every_score), default=0)
        every = [r for r in every if r.field.width > widest]
        if len(every) == 1 and (self._hits(every[0]) is None or _is_same_top1(left)):
            return every[0]
        classes = [r for r in left if r.field.role is Role.CLASS and not r.is_every_score]
        others = [r for r in left if r not in classes]
        if others and self._hits(others[0]) is not None:
            raise _undecided([r.field.title for r in left])
        if others and not classes:
            raise _undecided([r.field.title for r in left])
        if len(ranked := [r for r in classes if not r.is_plain]) == 1:
            return ranked[0]
        if index := [r for r in classes if r.field.key in ("index", "indices")]:
            return index[0]
        if len(classes) != 1:
            raise _undecided([r.field.title for r in classes or left])
        return classes[0]

    def _without_truth(self, readings: list[_Reading]) -> list[_Reading]:
        """Without the fields that the labels show to be the truth.

        Raises:
          InputError: if two agree with the labels as much as the truth does.
        """
        known = [r for r in readings if self._hits(r) is not None]
        truths = [r for r in known if r.is_plain and self._hits(r).mean() >= TRUTH]
        if not truths or len(readings) < 2:
            return readings
        titles = [r.field.title for r in readings]
        if len(truths) > 1:
            raise _undecided([r.field.title for r in truths])
        truth = truths[0]
        others = [r for r in known if r is not truth]
        if not any(_clearly_more(self._hits(truth), self._hits(other)) for other in others):
            dense = [r for r in others if r.is_every_score and not r.is_plain]
            if len(dense) != 1:  # true labels have no scores with decimals
                raise _undecided(titles)
        left = [r for r in readings if r is not truth and self._says_something(r)]
        if not left:
            raise _undecided(titles)
        return left

    def _says_something(self, reading: _Reading) -> bool:
        """Whether a field agrees with the labels far beyond chance, if that is known."""
        hits = self._hits(reading)
        if hits is None:
            return True
        chance = 1 / max(self._labels.num_classes or 2, 2)
        spread = math.sqrt(chance * (1 - chance) / len(hits))
        least = max(_LEAST_SHARE, chance + _CLEARLY * spread)
        return bool(hits.mean() > least)

    def _hits(self, reading: _Reading) -> np.ndarray | None:
        """Which images it is right on; None where that is not known, or of too few."""
        hits = self._all_hits(reading)
        return hits if hits is not None and len(hits) >= _FEWEST else None

    def _all_hits(self, reading: _Reading) -> np.ndarray | None:
        if id(reading) not in self._known_hits:
            hits = None
            if self._labels is not None and reading.top1 is not None:
                classes = reading.top1[:, None] if reading.classes is None else reading.classes
                hits = self._labels.hits(self._found.names, classes)
            self._known_hits[id(reading)] = hits
        return self._known_hits[id(reading)]

    def _check_no_truth(self, reading: _Reading, rivals: tuple[str, ...]) -> None:
        """Refuses what may be the true labels: equal to them, or nearly and not the only candidate."""
        hits = self._all_hits(reading) if reading.is_plain else None
        if hits is None or not len(hits):
            return
        title = reading.field.title
        if hits.all() and len(hits) >= _FEWEST:
            raise InputError(
                f"{title} equals the original labels on all {len(hits):,} images: are these predictions, or "
                f"the labels themselves? --column '{title}' scores it all the same."
            )
        if rivals and hits.mean() >= TRUTH:
            raise InputError(may_be_true(title, rivals, float(hits.mean())))

    def _rivals(self, reading: _Reading) -> list[str]:
        """Fields beside this one that may hold the predictions, read or not."""
        binary = self._labels is not None and self._labels.num_classes == 2
        alone = [f for f in self._unread if f.role is Role.SCORE and f.width == 1]
        fields = [f for f in self._unread if f not in alone and self._says_more(f, reading)]
        if len(alone) > 1 or (alone and binary):  # of one class each; of the second of two
            fields += alone
        # Whether a prediction is right stands beside the prediction, or beside the truth alone.
        fields += [
            f for f in self._found.fields if f.role is Role.ASIDE and _OF_PREDICTIONS.match(f.key)
        ]
        rest = [r.field for r in self._readings if r is not reading and not _is_same(r, reading)]
        return [f.title for f in (*fields, *rest)] + list(self._found.unread)

    def _says_more(self, field: Field, reading: _Reading) -> bool:
        """Whether a field that is not read is more than another word for the classes that are."""
        if field.content is not Content.TEXT:
            return field.content is not Content.NOTHING
        texts = self._found.texts(field)
        if len(set(texts)) == 1:
            return False
        pairs = set(zip(texts, reading.top1.tolist(), strict=True))
        return len(pairs) > len(set(texts)) or len(set(texts)) == len(texts)

    def _nothing(self) -> InputError:
        """Why there are no predictions."""
        if named := self._predicted_names():
            return InputError(_names_no_list_explains(self._found, named[0]))
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
            return InputError(_names_no_list_explains(self._found, classes[0]))
        return InputError(
            f"expected file names, and classes or scores of every class: class indices, WordNet ids or "
            f"logits; found {self._found.kind}{found}, none of which holds them. Call them 'index' or "
            f"'logits', or name one with --column; timm's inference.py writes it with --include-index."
        )


def may_be_true(title: str, rivals: Sequence[str], share: float) -> str:
    """The complaint about a column that agrees with the labels as the true labels do, beside others."""
    return (
        f"{title} is the original label of {100 * share:.1f}% of the images, so it may be the true labels, "
        f"and {listed(list(rivals), 5)} the predictions. If it is the predictions, say --column '{title}'."
    )


def _is_same_top1(readings: list[_Reading]) -> bool:
    return all(np.array_equal(r.top1, readings[0].top1) for r in readings)


def _distinct(readings: list[_Reading]) -> list[_Reading]:
    """Without those that say the same as one before (index and WordNet id of the same classes)."""
    kept: list[_Reading] = []
    for reading in readings:
        if not any(_is_same(reading, other) for other in kept):
            kept.append(reading)
    return kept


def _is_same(first: _Reading, second: _Reading) -> bool:
    if first.is_every_score and second.is_every_score:
        return np.array_equal(first.top1, second.top1)  # logits and their softmax
    ours, theirs = first.classes, second.classes
    return ours is not None and theirs is not None and np.array_equal(ours, theirs)


def _clearly_more(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether more images are hit, by more than chance (McNemar)."""
    if ours.shape != theirs.shape:
        return False
    gained, lost = np.count_nonzero(ours & ~theirs), np.count_nonzero(theirs & ~ours)
    return gained - lost > _CLEARLY * math.sqrt(gained + lost)


def _undecided(titles: list[str]) -> InputError:
    return InputError(
        f"several columns may be the predictions: {listed(titles)}. Name the one that is with --column, as "
        f"--column '{titles[0]}'."
    )

"""Scoring files of predictions against a dataset's labels, with a look at what may be mixed up."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.accuracy import text, top_k
from real_labels.accuracy.top_k import Accuracy, Results
from real_labels.errors import InputError, naming
from real_labels.labels import ClassNames, Reference, check_classes, imagenet, match, require_all
from real_labels.predictions import Predictions, choice, mixups, several_models
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.reading import PredictionFile

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_SUSPICIOUS = 20  # images, on all of which no model is right


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """One file of predictions, scored.

    Attributes:
      file: its path.
      predictions: what was scored, under the reference's file names.
      results: its accuracy by every label set.
      warnings: what the reader should know, a sentence or two each.
      repair: what `assume` would undo the mix-up that was found, or None.
      repaired: its accuracy if that were undone, or None.
      evidence: why a mix-up is suspected, or None; it is among the warnings, too.
      model: its name, where the file holds several.
    """

    file: str
    predictions: Predictions
    results: Results
    warnings: tuple[str, ...]
    repair: str | None
    repaired: Results | None
    evidence: str | None = None
    model: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The schema of results.json, with "file", "model" where there are several, and "warnings"."""
        record: dict[str, Any] = {"file": self.file}
        if self.model is not None:
            record["model"] = self.model
        record |= {"num_images": len(self.predictions), **self.results.as_json()}
        record["warnings"] = list(self.warnings)
        if self.repair is not None and self.repaired is not None:
            record["repair"] = {"assume": self.repair, **self.repaired.as_json()}
        return record


def score(
    path: str | os.PathLike[str], reference: Reference, assume: Sequence[str] = (), **options: Any
) -> Scored:
    """The scores of a file of one model.

    Arguments and errors are those of `score_all`.

    Raises:
      InputError: if the file holds several models.
    """
    scored = score_all(path, reference, assume, **options)
    if len(scored) > 1:
        models = ", ".join(str(one.model) for one in scored[:3])
        raise InputError(
            f"{path}: holds {len(scored):,} models ({models}, …); expected one. `score` and `report` take "
            f"them all."
        )
    return scored[0]


def score_all(
    path: str | os.PathLike[str],
    reference: Reference,
    assume: Sequence[str] = (),
    *,
    column: str | None = None,
    class_names: ClassNames | None = None,
    probabilities: bool = False,
) -> list[Scored]:
    """Reads a file of predictions, looks for mix-ups, and scores each model of it.

    Args:
      path: the file, of one model (see reading.read) or several (several_models.read_each).
      reference: the labels.
      assume: mix-ups to undo first, in all models (mixups.REPAIRS); nothing else is ever repaired.
      column: the column of the predictions (see reading.read).
      class_names: names that stand for classes.
      probabilities: whether logits of every class become probabilities in the predictions' scores.

    Raises:
      InputError: naming the file, if it cannot be read or does not fit the labels.
    """
    labels = _ReferenceLabels(reference, assume)
    ranked = PredictionFile.with_probabilities if probabilities else None
    scored = []
    for name, found in several_models.read_each(path, column, labels, class_names):
        where = str(path) if name is None else f"{path}: {name}"
        one = _score_read(where, found, labels, class_names, ranked)
        scored.append(dataclasses.replace(one, file=str(path), model=name))
    return scored


def score_each(
    path: str | os.PathLike[str],
    reference: Reference,
    assume: Sequence[str] = (),
    *,
    column: str | None = None,
    class_names: ClassNames | None = None,
    ranked: Callable[[PredictionFile], PredictionFile] | None = None,
) -> Iterator[tuple[str | None, Scored, PredictionFile]]:
    """(model's name, its scores, what the file says) of each model of a file; see several_models.read_each.

    Args:
      path, reference, column, class_names: see `score`.
      assume: mix-ups to undo first in the models that show just these; the others are left as they are.
      ranked: what is taken of a model's file; None: the classes that are scored.
    """
    labels = _ReferenceLabels(reference, ())
    for name, found in several_models.read_each(path, column, labels, class_names):
        where = str(path) if name is None else f"{path}: {name}"
        if found.file_names is None and not reference.is_imagenet:
            remark = (
                "Has no file names: its rows are taken for the images in the order of their names."
            )
            found = dataclasses.replace(found, remarks=(*found.remarks, remark))
        scored = _score_read(where, found, labels, class_names, ranked)
        if assume and scored.repair is not None and set(scored.repair.split(",")) <= set(assume):
            repairing = _ReferenceLabels(reference, assume)
            scored = _score_read(where, found, repairing, class_names, ranked)
        yield name, scored, found


def _score_read(
    where: str,
    found: PredictionFile,
    labels: _ReferenceLabels,
    class_names: ClassNames | None,
    ranked: Callable[[PredictionFile], PredictionFile] | None,
) -> Scored:
    with naming(where):
        if found.are_wordnet_ids and class_names is None:
            _check_wordnet_ids(found, labels.reference)
        return _score(where, ranked(found) if ranked else found, labels)


def _check_wordnet_ids(found: PredictionFile, reference: Reference) -> None:
    """Refuses WordNet ids of a dataset that numbers its classes otherwise than ILSVRC-2012."""
    ours = np.unique(reference.truth.classes)
    if not reference.is_imagenet and np.isin(found.classes[:, 0], ours).mean() < 0.5:
        raise InputError(
            f"has WordNet ids, which stand for ILSVRC-2012's {imagenet.NUM_CLASSES:,} classes, while the "
            f"labels are of another dataset ({len(ours):,} classes) or numbered otherwise. Name the classes "
            f"in their order with --class-names FILE (WordNet ids will do), or save class indices."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Images:
    """The images of a file, sorted by name, and their labels.

    Attributes:
      rows: (n,) row of each in the reference.
      order: (n,) row of each in the file.
      names: (n,) str.
      truth: (n,) original label, or the only label of the first reassessment where there are none.
      known: (n,) whether an image has that.
    """

    rows: Int[np.ndarray, "n"]
    order: Int[np.ndarray, "n"]
    names: np.ndarray
    truth: Int[np.ndarray, "n"]
    known: Bool[np.ndarray, "n"]

    @classmethod
    def of(cls, file_names: np.ndarray | None, number: int, reference: Reference) -> _Images:
        rows = _match(file_names, number, reference)
        by_name = np.argsort(reference.file_names[rows], kind="stable")
        rows = rows[by_name]
        names = reference.file_names  # itself where it can be: find_rows knows it again at once
        if len(rows) < len(names) or (rows != np.arange(len(rows))).any():
            names = names[rows]
        sets = reference.truth
        known = sets.counts[rows] == 1
        truth = np.zeros(len(rows), np.int64)
        truth[known] = sets.only(rows[known])
        return cls(rows, by_name, names, truth, known)


@dataclasses.dataclass(frozen=True, eq=False)
class _Aligned:
    """Predictions beside the labels of their images, sorted by file name: mix-ups are about that order.

    Attributes:
      images: the images.
      classes: (n, k) int64, any range.
      scores: (n, k), or None.
    """

    images: _Images
    classes: Int[np.ndarray, "n k"]
    scores: np.ndarray | None = None

    def known_rank(self, rank: int) -> Int[np.ndarray, "known"]:
        """The class of this rank of each image that has an original label."""
        return self.classes[self.images.known, rank]

    @property
    def known_truth(self) -> Int[np.ndarray, "known"]:
        """The label of each image that has an original one."""
        return self.images.truth[self.images.known]

    def may_undo(self, names: Sequence[str]) -> bool:
        """Whether the labels are there that undoing these mix-ups needs."""
        return bool(self.images.known.all()) or not set(names) & set(mixups.NEED_LABELS)

    def repaired(self, names: Sequence[str], num_classes: int) -> _Aligned:
        """Without the named mix-ups."""
        if not self.may_undo(names):
            raise InputError(
                "A mix-up can only be undone where each image has its original label; give them with "
                "--original."
            )
        about = (self.images.truth, self.images.names, num_classes)
        classes = mixups.repair(self.classes, names, *about)
        scores = self.scores
        if scores is not None:
            moved = [n for n in names if n in (*mixups.ORDERS, mixups.ASCENDING)]
            scores = mixups.repair(scores, moved, *about)
        return dataclasses.replace(self, classes=classes, scores=scores)

    def predictions(self, num_classes: int) -> Predictions:
        """With an index that is nobody's label for those below 0."""
        beyond = 1 + max(num_classes, int(self.classes.max()))
        classes = np.where(self.classes < 0, beyond, self.classes)
        scores = self.scores if _fall(self.scores) else None
        return Predictions(self.images.names, classes, scores)


class _ReferenceLabels(KnownLabels):
    """The reference beside a file, whose images are matched once for all its columns.

    Attributes:
      reference: the labels.
      assume: mix-ups to undo.
    """

    def __init__(self, reference: Reference, assume: Sequence[str]):
        self.reference, self.assume = reference, assume
        self.num_classes = reference.num_known_classes
        self._matched: tuple[np.ndarray | None, _Images] | None = None

    def aligned(
        self,
        file_names: np.ndarray | None,
        classes: Int[np.ndarray, "images k"],
        scores: np.ndarray | None = None,
    ) -> _Aligned:
        """Predictions of a file, (N, k), beside the labels.

        Raises:
          InputError: if the images are not the reference's.
        """
        if self._matched is None or self._matched[0] is not file_names:
            self._matched = file_names, _Images.of(file_names, len(classes), self.reference)
        images = self._matched[1]
        return _Aligned(
            images, classes[images.order], None if scores is None else scores[images.order]
        )

    def hits(
        self, file_names: np.ndarray | None, classes: Int[np.ndarray, "images k"]
    ) -> Bool[np.ndarray, "n"] | None:
        """As given, or with the mix-ups undone, whichever hits more."""
        try:
            ways = [self.aligned(file_names, classes)]
            if self.assume:
                ways.append(ways[0].repaired(self.assume, self.reference.num_known_classes))
        except InputError:
            return None  # of other images; that is said when they are scored
        return max((way.known_rank(0) == way.known_truth for way in ways), key=np.count_nonzero)

    def know(self, file_names: np.ndarray) -> bool:
        return bool((match(self.reference.file_names, file_names) >= 0).all())


def _fall(scores: np.ndarray | None) -> bool:
    """Whether scores are finite and never rise along a ranking."""
    return scores is not None and bool(np.isfinite(scores).all() and (np.diff(scores) <= 0).all())


def original_on_reassessments(reference: Reference) -> dict[str, Accuracy]:
    """The original labels' own accuracy by each reassessment, on all images; empty without them."""
    if reference.original is None:
        return {}
    itself = Predictions.from_labels(reference.original)
    return {
        name: top_k.top_k_accuracy(itself, one.labels)
        for name, one in reference.reassessments.items()
    }


def _score(path: str, found: PredictionFile, labels: _ReferenceLabels) -> Scored:
    reference, assume = labels.reference, labels.assume
    num_classes = reference.num_known_classes
    _check_columns(found, reference)
    check_classes(np.abs(found.classes), "classes")
    aligned = labels.aligned(found.file_names, found.classes, found.scores)
    warnings = _remarks(aligned, found, reference)
    if found.scores is not None and not (_fall(found.scores) or _fall(-found.scores)):
        warnings.append(
            "The scores beside the classes are not finite or not in falling order; they are left out."
        )
    if assume:
        aligned = aligned.repaired(assume, num_classes)
        warnings.append(f"Repaired as asked: {'; '.join(mixups.REPAIRS[name] for name in assume)}.")
    is_ranked = aligned.classes.shape[1] > 1 and found.every_score is None  # by the file itself
    mixup = mixups.diagnose(
        aligned.known_rank(0),
        aligned.known_truth,
        aligned.images.names[aligned.images.known],
        num_classes,
        reference.describe_class,
        last=aligned.known_rank(-1) if is_ranked else None,
    )
    names = mixup.repair.split(",") if mixup is not None and mixup.repair is not None else []
    if not aligned.may_undo(names):
        names = []
    undone = aligned.repaired(names, num_classes) if names else aligned
    _check_range(undone, found, reference, allow_background=bool(names or assume))
    predictions = aligned.predictions(num_classes)
    results = _results(predictions, reference)
    scored = Scored(path, predictions, results, tuple(warnings), None, None)
    if mixup is None:
        return scored
    warnings.append(mixup.evidence)
    scored = dataclasses.replace(scored, evidence=mixup.evidence)
    if not names:
        return dataclasses.replace(scored, warnings=tuple(warnings))
    repaired = _results(undone.predictions(num_classes), reference)
    if mixups.RENUMBERED in names and _is_taste(results, repaired):
        return dataclasses.replace(scored, evidence=None)
    would_be = repaired.original.top1.value if repaired.original is not None else 0.0
    if found.rivals and aligned.classes.shape[1] == 1 and would_be >= choice.TRUTH:
        raise InputError(
            f"With {'; '.join(mixups.REPAIRS[name] for name in names)}, "
            + choice.may_be_true("the column", found.rivals, would_be)
        )
    repair = ",".join([*assume, *names])
    fitted = " (of a numbering fitted to all of them)" if mixups.RENUMBERED in names else ""
    shares = text.shares(repaired, reference.titles)
    warnings.append(
        f"Nothing was repaired. With --assume={repair} it would score {shares}{fitted}."
    )
    return dataclasses.replace(scored, warnings=tuple(warnings), repair=repair, repaired=repaired)


def _results(predictions: Predictions, reference: Reference) -> Results:
    return top_k.results(predictions, reference.original, reference.reassessments)


def _is_taste(results: Results, repaired: Results) -> bool:
    """Whether another numbering would gain on the original labels alone.

    Then a model merely prefers the other of two classes that are both valid (sunglass, sunglasses).
    """
    if results.original is None or repaired.original is None:
        return False
    gain = repaired.original.top1.value - results.original.top1.value
    gains = [
        repaired.reassessments[name].top1.value - one.top1.value
        for name, one in results.reassessments.items()
        if one.top1.n
    ]
    return bool(gains) and max(gains) < gain / 2


def _remarks(aligned: _Aligned, found: PredictionFile, reference: Reference) -> list[str]:
    remarks = []
    n = len(aligned.images.rows)
    if reference.num_classes is None and (found.num_columns or 0) > reference.num_known_classes:
        remarks.append(
            f"Has scores in {found.num_columns:,} columns, while the labels have "
            f"{reference.num_known_classes:,} classes; --num-classes says how many there are."
        )
    remarks += found.remarks
    if n < len(reference.file_names):
        remarks.append(
            f"Covers {n:,} of the {len(reference.file_names):,} images; scored on these."
        )
    right = aligned.known_rank(0) == aligned.known_truth
    if len(right) >= _SUSPICIOUS and right.all():
        remarks.append(
            "Every top-1 prediction is the image's label: are these predictions, or the labels "
            "themselves?"
        )
    return remarks


def _check_columns(found: PredictionFile, reference: Reference) -> None:
    """Refuses scores of too many classes; one more may be a background class."""
    columns, needed = found.num_columns, reference.num_classes
    if columns is not None and needed is not None and columns > needed + 1:
        raise InputError(
            f"has scores in {columns:,} columns; expected {needed:,}, one for each class."
        )


def _match(
    names: np.ndarray | None, number: int, reference: Reference
) -> Int[np.ndarray, "images"]:
    """Row in the reference of each of `number` predictions: by name, or by place among the sorted names."""
    known = reference.file_names
    if names is None:
        if number != len(known):
            raise InputError(
                f"has {number:,} rows and no file names; expected {len(known):,}, one for each "
                f"image in the order of the sorted file names. Save file names beside the predictions "
                f"to score a part."
            )
        return np.argsort(known, kind="stable")
    rows = match(known, names)
    require_all(
        rows,
        known,
        names,
        "{missing:,} of {total:,} file names are of no image that has labels (first: row {row}, {first}; "
        "the labels begin with {begin}). Labels of other images are named with --original FILE.json.",
    )
    order = np.argsort(rows, kind="stable")
    twice = np.flatnonzero(np.diff(rows[order]) == 0)
    if len(twice):
        a, b = order[twice[0]], order[twice[0] + 1]
        raise InputError(
            f"{len(twice):,} images are predicted more than once (first: {names[a]}, rows {a + 1} "
            f"and {b + 1})."
        )
    return rows


def _check_range(
    aligned: _Aligned, found: PredictionFile, reference: Reference, allow_background: bool
) -> None:
    """Refuses classes that there are not; a repair gives the index after the last to a background."""
    lowest_beyond = np.inf if reference.num_classes is None else reference.num_classes
    lowest_beyond += allow_background
    outside = ((aligned.classes < 0) | (aligned.classes >= lowest_beyond)).any(axis=1)
    if outside.any():
        where = int(np.argmax(outside))
        n = reference.num_known_classes
        columns = (
            f", though the file has {found.num_columns:,} columns" if found.num_columns else ""
        )
        raise InputError(
            f"{np.count_nonzero(outside):,} images have a class out of range (first: "
            f"{aligned.images.names[where]}, {aligned.classes[where].tolist()}); there are {n:,} classes, "
            f"0 to {n - 1:,}{columns}."
        )

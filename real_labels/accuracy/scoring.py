"""Scores files of predictions against the labels of a dataset, and looks for mix-ups.

A mix-up is a systematic error of a prediction file, such as another order of the images or another numbering
of the classes.
"""

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

_FEWEST_SUSPICIOUS = 20  # images on which predictions that are 100% correct are suspicious


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """One file of predictions, scored.

    Attributes:
      file: path of the file.
      predictions: the predictions that were scored, under the reference's file names.
      results: accuracy on every label set.
      warnings: warnings for the user, one or two sentences each.
      repair: value of --assume, names joined by commas, that undoes the suspected mix-up and those
        undone already; or None.
      repaired: accuracy with the mix-up undone, or None.
      evidence: why a mix-up is suspected, or None; also among the warnings.
      model: name of the model if the file holds several models, else None.
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
        """Returns the fields of results.json for one model.

        They are "file", "num_images", the accuracies and "warnings"; also "model" if the file holds several
        models, and "repair" if a mix-up can be undone.
        """
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
    """Scores a file of one model.

    Arguments and errors are those of `score_all`.

    Raises:
      InputError: if the file holds several models.
    """
    scored = score_all(path, reference, assume, **options)
    if len(scored) > 1:
        models = ", ".join(str(model.model) for model in scored[:3])
        raise InputError(
            f"{path}: holds {len(scored):,} models ({models}, …); expected one. The commands "
            f"`score` and `report` accept several."
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
      assume: mix-ups to undo first, in all models (names from mixups.REPAIRS); no other mix-up is undone.
      column: the column of the predictions (see reading.read).
      class_names: names of the classes, if the file may hold names; or None.
      probabilities: whether to replace logits of every class by probabilities (softmax) as the scores of
        the predictions.

    Raises:
      InputError: naming the file, if it cannot be read or does not fit the labels.
    """
    labels = _ReferenceLabels(reference, assume)
    prepare = PredictionFile.with_probabilities if probabilities else None
    scored = []
    for name, content in several_models.read_each(path, column, labels, class_names):
        where = str(path) if name is None else f"{path}: {name}"
        result = _score_named(where, content, labels, class_names, prepare)
        scored.append(dataclasses.replace(result, file=str(path), model=name))
    return scored


def score_each(
    path: str | os.PathLike[str],
    reference: Reference,
    assume: Sequence[str] = (),
    *,
    column: str | None = None,
    class_names: ClassNames | None = None,
    prepare: Callable[[PredictionFile], PredictionFile] | None = None,
) -> Iterator[tuple[str | None, Scored, PredictionFile]]:
    """Yields, for each model of a file, its name, its result and its predictions as read.

    Args:
      path, reference, column, class_names: see `score_all`.
      assume: mix-ups to undo in each model whose suspected mix-ups are all in this list; other models stay
        as they are.
      prepare: function applied to a model's predictions before they are scored; None: they are scored as
        read.
    """
    labels = _ReferenceLabels(reference, ())
    for name, content in several_models.read_each(path, column, labels, class_names):
        where = str(path) if name is None else f"{path}: {name}"
        if content.file_names is None and not reference.is_imagenet:
            remark = (
                "Has no file names: its rows are taken to be in the order of the sorted file names."
            )
            content = dataclasses.replace(content, remarks=(*content.remarks, remark))
        scored = _score_named(where, content, labels, class_names, prepare)
        if assume and scored.repair is not None and set(scored.repair.split(",")) <= set(assume):
            repairing = _ReferenceLabels(reference, assume)
            scored = _score_named(where, content, repairing, class_names, prepare)
        yield name, scored, content


def _score_named(
    where: str,
    content: PredictionFile,
    labels: _ReferenceLabels,
    class_names: ClassNames | None,
    prepare: Callable[[PredictionFile], PredictionFile] | None,
) -> Scored:
    """Scores the predictions of one model; error messages begin with `where`."""
    with naming(where):
        if content.are_wordnet_ids and class_names is None:
            _check_wordnet_ids(content, labels.reference)
        return _score(where, prepare(content) if prepare else content, labels)


def _check_wordnet_ids(content: PredictionFile, reference: Reference) -> None:
    """Refuses WordNet ids if the labels seem to number the classes differently from ILSVRC-2012.

    They seem to if they are not ImageNet's, and fewer than half of the top-1 classes occur in them.
    """
    label_classes = np.unique(reference.truth.classes)
    if not reference.is_imagenet and np.isin(content.classes[:, 0], label_classes).mean() < 0.5:
        raise InputError(
            f"has WordNet ids, which stand for ILSVRC-2012's {imagenet.NUM_CLASSES:,} classes, but the "
            f"labels are of another dataset ({len(label_classes):,} classes) or numbered differently. Give "
            f"the names or WordNet ids of the classes, in their order, with --class-names FILE, or save "
            f"class indices."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Images:
    """The images of a file, sorted by name, and their labels.

    Attributes:
      rows: (n,) row of each image in the reference.
      order: (n,) row of each image in the file.
      names: (n,) str file names.
      truth: (n,) the single label of each image in the original labels or, if there are none, in the first
        reassessment; 0 for an image without exactly one label.
      known: (n,) whether the image has exactly one label.
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
        # Keep the array of the reference if no row changes: find_rows compares by identity first.
        names = reference.file_names
        if len(rows) < len(names) or (rows != np.arange(len(rows))).any():
            names = names[rows]
        sets = reference.truth
        known = sets.counts[rows] == 1
        truth = np.zeros(len(rows), np.int64)
        truth[known] = sets.only(rows[known])
        return cls(rows, by_name, names, truth, known)


@dataclasses.dataclass(frozen=True, eq=False)
class _Aligned:
    """Predictions and labels of the same images, sorted by file name; mix-ups of rows refer to this order.

    Attributes:
      images: the images.
      classes: (n, k) int64 predicted classes, best first; may be negative or too large.
      scores: (n, k) scores of the classes, or None.
    """

    images: _Images
    classes: Int[np.ndarray, "n k"]
    scores: np.ndarray | None = None

    def known_classes(self, rank: int) -> Int[np.ndarray, "known"]:
        """(m,) class at this rank (0 is the first) of each image with a known label."""
        return self.classes[self.images.known, rank]

    @property
    def known_labels(self) -> Int[np.ndarray, "known"]:
        """(m,) label of each image with a known label."""
        return self.images.truth[self.images.known]

    def can_undo(self, names: Sequence[str]) -> bool:
        """Whether these mix-ups can be undone: for some, every image must have a known label."""
        return bool(self.images.known.all()) or not set(names) & set(mixups.NEED_LABELS)

    def repaired(self, names: Sequence[str], num_classes: int) -> _Aligned:
        """Returns the predictions with the named mix-ups undone.

        Raises:
          InputError: if undoing them needs labels that are not known.
        """
        if not self.can_undo(names):
            raise InputError(
                "This mix-up can only be undone if every image has an original label; give the labels with "
                "--original."
            )
        arguments = (self.images.truth, self.images.names, num_classes)
        classes = mixups.repair(self.classes, names, *arguments)
        scores = self.scores
        if scores is not None:
            moved = [n for n in names if n in (*mixups.ORDERS, mixups.ASCENDING)]
            scores = mixups.repair(scores, moved, *arguments)
        return dataclasses.replace(self, classes=classes, scores=scores)

    def predictions(self, num_classes: int) -> Predictions:
        """Returns the predictions, with an index that no label has in the place of negative classes.

        Scores that are not descending are dropped.
        """
        no_label = 1 + max(num_classes, int(self.classes.max()))
        classes = np.where(self.classes < 0, no_label, self.classes)
        scores = self.scores if _are_descending(self.scores) else None
        return Predictions(self.images.names, classes, scores)


class _ReferenceLabels(KnownLabels):
    """The labels of a reference, and the mix-ups to undo.

    The images of a file are matched once, because several columns of the file may be tried.

    Attributes:
      reference: the labels.
      assume: names of the mix-ups to undo.
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
        """Returns the predictions of a file, (N, k), together with the labels.

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
        """Whether each top-1 prediction is the known label; None if the images are not the reference's.

        Of the predictions as given and the predictions with the mix-ups undone, those with more hits count.
        """
        try:
            variants = [self.aligned(file_names, classes)]
            if self.assume:
                variants.append(variants[0].repaired(self.assume, self.reference.num_known_classes))
        except InputError:
            return None  # other images; scoring them raises the error
        hits = (variant.known_classes(0) == variant.known_labels for variant in variants)
        return max(hits, key=np.count_nonzero)

    def know(self, file_names: np.ndarray) -> bool:
        return bool((match(self.reference.file_names, file_names) >= 0).all())


def _are_descending(scores: np.ndarray | None) -> bool:
    """Whether scores are finite and never rise along a ranking."""
    return scores is not None and bool(np.isfinite(scores).all() and (np.diff(scores) <= 0).all())


def original_on_reassessments(reference: Reference) -> dict[str, Accuracy]:
    """Accuracy of the original labels, as if they were predictions, on each reassessment and all its images.

    Empty without original labels.
    """
    if reference.original is None:
        return {}
    predictions = Predictions.from_labels(reference.original)
    return {
        name: top_k.top_k_accuracy(predictions, reassessment.labels)
        for name, reassessment in reference.reassessments.items()
    }


def _score(path: str, content: PredictionFile, labels: _ReferenceLabels) -> Scored:
    """Scores the predictions of one model, and looks for a mix-up.

    A suspected mix-up becomes a warning; its repair and the repaired accuracy are returned beside the result.
    """
    reference, assume = labels.reference, labels.assume
    num_classes = reference.num_known_classes
    _check_columns(content, reference)
    check_classes(np.abs(content.classes), "classes")  # negative classes are reported below
    aligned = labels.aligned(content.file_names, content.classes, content.scores)
    warnings = _remarks(aligned, content, reference)
    if content.scores is not None and not (
        _are_descending(content.scores) or _are_descending(-content.scores)
    ):
        warnings.append(
            "The scores beside the classes are not finite or not in falling order; they are left out."
        )
    if assume:
        aligned = aligned.repaired(assume, num_classes)
        warnings.append(f"Repaired as asked: {'; '.join(mixups.REPAIRS[name] for name in assume)}.")
    is_ranked = (
        aligned.classes.shape[1] > 1 and content.every_score is None
    )  # the file ranks the classes
    mixup = mixups.diagnose(
        aligned.known_classes(0),
        aligned.known_labels,
        aligned.images.names[aligned.images.known],
        num_classes,
        reference.describe_class,
        last=aligned.known_classes(-1) if is_ranked else None,
    )
    names = mixup.repair.split(",") if mixup is not None and mixup.repair is not None else []
    if not aligned.can_undo(names):
        names = []
    undone = aligned.repaired(names, num_classes) if names else aligned
    _check_range(undone, content, reference, allow_background=bool(names or assume))
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
    if mixups.RENUMBERED in names and _is_preference(results, repaired):
        # No mix-up: the model prefers the other of two equivalent classes.
        return dataclasses.replace(scored, evidence=None)
    accuracy = repaired.original.top1.value if repaired.original is not None else 0.0
    if content.rivals and aligned.classes.shape[1] == 1 and accuracy >= choice.TRUTH_SHARE:
        raise InputError(
            f"With this mix-up undone ({'; '.join(mixups.REPAIRS[name] for name in names)}), "
            + choice.may_be_true_message(content.column, content.rivals, accuracy)
        )
    repair = ",".join([*assume, *names])
    fitted = " (with a numbering fitted to all images)" if mixups.RENUMBERED in names else ""
    shares = text.shares(repaired, reference.titles)
    warnings.append(
        f"Nothing was repaired. With --assume={repair} it would score {shares}{fitted}."
    )
    return dataclasses.replace(scored, warnings=tuple(warnings), repair=repair, repaired=repaired)


def _results(predictions: Predictions, reference: Reference) -> Results:
    return top_k.results(predictions, reference.original, reference.reassessments)


def _is_preference(results: Results, repaired: Results) -> bool:
    """Whether renumbering gains over twice as much on the original labels as on every reassessment.

    In this case the numbering is right, and the model prefers one of two equivalent classes, such as sunglass
    and sunglasses.
    """
    if results.original is None or repaired.original is None:
        return False
    gain = repaired.original.top1.value - results.original.top1.value
    gains = [
        repaired.reassessments[name].top1.value - accuracy.top1.value
        for name, accuracy in results.reassessments.items()
        if accuracy.top1.n
    ]
    return bool(gains) and max(gains) < gain / 2


def _remarks(aligned: _Aligned, content: PredictionFile, reference: Reference) -> list[str]:
    remarks = []
    n = len(aligned.images.rows)
    if reference.num_classes is None and (content.num_columns or 0) > reference.num_known_classes:
        remarks.append(
            f"Has scores in {content.num_columns:,} columns, while the labels have "
            f"{reference.num_known_classes:,} classes; set the number of classes with --num-classes."
        )
    remarks += content.remarks
    if n < len(reference.file_names):
        remarks.append(
            f"Covers {n:,} of the {len(reference.file_names):,} images; scored on these."
        )
    right = aligned.known_classes(0) == aligned.known_labels
    if len(right) >= _FEWEST_SUSPICIOUS and right.all():
        remarks.append(
            "Every top-1 prediction is the image's label: are these predictions, or the labels "
            "themselves?"
        )
    return remarks


def _check_columns(content: PredictionFile, reference: Reference) -> None:
    """Refuses scores of too many classes; one extra column may be a background class."""
    columns, needed = content.num_columns, reference.num_classes
    if columns is not None and needed is not None and columns > needed + 1:
        raise InputError(
            f"has scores in {columns:,} columns; expected {needed:,}, one for each class."
        )


def _match(
    names: np.ndarray | None, number: int, reference: Reference
) -> Int[np.ndarray, "images"]:
    """Returns the reference row of each prediction, matched by file name.

    Without file names, the predictions are in the order of the sorted file names of the reference.
    """
    known = reference.file_names
    if names is None:
        if number != len(known):
            raise InputError(
                f"has {number:,} rows and no file names; expected {len(known):,} rows, one for each "
                f"image in the order of the sorted file names. To score a part of the images, save "
                f"file names with the predictions."
            )
        return np.argsort(known, kind="stable")
    rows = match(known, names)
    require_all(
        rows,
        known,
        names,
        "{missing:,} of {total:,} file names are of no image that has labels (first: row {row}, {first}; "
        "the labels begin with {begin}). Give the labels of other images with --original FILE.json.",
    )
    order = np.argsort(rows, kind="stable")
    repeated = np.flatnonzero(np.diff(rows[order]) == 0)
    if len(repeated):
        a, b = order[repeated[0]], order[repeated[0] + 1]
        raise InputError(
            f"{len(repeated):,} images are predicted more than once (first: {names[a]}, rows {a + 1} "
            f"and {b + 1})."
        )
    return rows


def _check_range(
    aligned: _Aligned, content: PredictionFile, reference: Reference, allow_background: bool
) -> None:
    """Refuses classes that do not exist.

    After a repair, the index num_classes is allowed, too: it stands for a background class.
    """
    upper_limit = np.inf if reference.num_classes is None else reference.num_classes
    upper_limit += allow_background
    outside = ((aligned.classes < 0) | (aligned.classes >= upper_limit)).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        n = reference.num_known_classes
        columns = (
            f", though the file has {content.num_columns:,} columns" if content.num_columns else ""
        )
        raise InputError(
            f"{np.count_nonzero(outside):,} images have a class out of range (first: "
            f"{aligned.images.names[first]}, {aligned.classes[first].tolist()}); there are {n:,} classes, "
            f"0 to {n - 1:,}{columns}."
        )

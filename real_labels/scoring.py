"""Scoring files of predictions against a dataset's labels, with a look at what may be mixed up."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from real_labels import accuracy, imagenet, mixups, prediction_files, published
from real_labels.errors import InputError
from real_labels.labels import LabelSets, find_rows
from real_labels.prediction_files import PredictionFile
from real_labels.predictions import Predictions


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The labels that predictions are held against.

    Attributes:
      original: the original labels, one class an image; None if there are none.
      real: the reassessed labels, of the same images; None if there are none. Not both are None.
      num_classes: number of classes there are; None if that is not known.
      describe_class: what to call a class.
    """

    original: LabelSets | None
    real: LabelSets | None
    num_classes: int | None
    is_imagenet: bool

    @classmethod
    def load(
        cls,
        labels: str | os.PathLike[str] | None = None,
        original: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        num_classes: int | None = None,
    ) -> Reference:
        """Reads the labels of a dataset; without arguments those of ILSVRC-2012's validation set.

        Args:
          labels: reassessed labels, in `real.json`'s layout; None for the published ReaL labels, or
            for none where `original` is given.
          original: original labels in that layout, one class an image; None for those of
            ILSVRC-2012 where the images are of its validation set.
          data_dir: folder of the published files.
          num_classes: number of classes, if it is not ILSVRC-2012.

        Raises:
          InputError: if a file is missing or damaged, or the two are about different images.
        """
        real = LabelSets.from_json(labels) if labels is not None else None
        given = LabelSets.from_json(original) if original is not None else None
        if real is None and given is None:
            real = published.real_labels(data_dir)
        first = given if given is not None else real
        is_imagenet = imagenet.is_validation_set(first.file_names)
        if is_imagenet:
            num_classes = imagenet.NUM_CLASSES if num_classes is None else num_classes
            if given is None:
                given = imagenet.original_labels()
        if given is not None:
            if (given.counts != 1).any():
                where = int(np.argmax(given.counts != 1))
                raise InputError(
                    f"{original}: original labels are one class an image; {given.file_names[where]} "
                    f"has {given.counts[where]}."
                )
            real = None if real is None else _like(real, given, labels)
        for what, sets in ((labels, real), (original, given)):
            highest = int(sets.classes.max(initial=0)) if sets is not None else 0
            if num_classes is not None and highest >= num_classes:
                raise InputError(
                    f"{what}: class {highest} is out of range; there are {num_classes} classes, 0 to "
                    f"{num_classes - 1}."
                )
        return cls(given, real, num_classes, is_imagenet)

    @property
    def file_names(self) -> np.ndarray:
        """(N,) str, the images that have labels."""
        return (self.original if self.original is not None else self.real).file_names

    @property
    def num_known_classes(self) -> int:
        """Number of classes, at least as many as occur."""
        if self.num_classes is not None:
            return self.num_classes
        sets = [s for s in (self.original, self.real) if s is not None]
        return 1 + max(int(s.classes.max(initial=0)) for s in sets)

    def describe_class(self, class_: int) -> str:
        """What to call a class."""
        return mixups.describe_imagenet(class_) if self.is_imagenet else str(class_)

    def results(self, predictions: Predictions) -> dict[str, Any]:
        """Both accuracies (see accuracy.results)."""
        return accuracy.results(predictions, self.original, self.real)

    def original_on_real(self) -> accuracy.Accuracy | None:
        """The original labels' own ReaL accuracy on all images; None without both label sets."""
        if self.original is None or self.real is None:
            return None
        return accuracy.top_k_accuracy(Predictions.from_labels(self.original), self.real)


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """One file of predictions, scored.

    Attributes:
      file: its path.
      predictions: what was scored, under the reference's file names.
      results: both accuracies (see accuracy.results).
      warnings: what the reader should know, a sentence or two each.
      repair: what `assume` would undo the mix-up that was found, or None.
      repaired: both accuracies if it were undone, or None.
      num_reference: number of images that have labels.
    """

    file: str
    predictions: Predictions
    results: dict[str, Any]
    warnings: tuple[str, ...]
    repair: str | None
    repaired: dict[str, Any] | None
    num_reference: int

    def as_json(self) -> dict[str, Any]:
        """The schema of results.json, with "file" and "warnings"."""
        record = {"file": self.file, "num_images": len(self.predictions), **self.results}
        record["warnings"] = list(self.warnings)
        if self.repair is not None:
            record["repair"] = {"assume": self.repair, **self.repaired}
        return record


def score(path: str | os.PathLike[str], reference: Reference, assume: Sequence[str] = ()) -> Scored:
    """Reads a file of predictions, looks for mix-ups, and scores it.

    Args:
      path: the file (see prediction_files.read).
      reference: the labels.
      assume: mix-ups to undo first (mixups.REPAIRS); nothing else is ever repaired.

    Raises:
      InputError: naming the file, if it cannot be read or does not fit the labels.
    """
    found = prediction_files.read(path)
    try:
        return _score(str(path), found, reference, assume)
    except InputError as error:
        prefix = "" if str(error).startswith(str(path)) else f"{path}: "
        raise InputError(f"{prefix}{error}") from None


def _score(path: str, found: PredictionFile, reference: Reference, assume: Sequence[str]) -> Scored:
    rows = _match(found, reference)
    # From here on images stand sorted by file name, the order mix-ups are defined by.
    by_name = np.argsort(reference.file_names[rows], kind="stable")
    if (np.diff(by_name) == 1).all():
        by_name = slice(None)
    rows, classes = rows[by_name], found.classes[by_name]
    scores = None if found.scores is None else found.scores[by_name]
    names, num_classes = reference.file_names[rows], reference.num_known_classes
    truth, known = _single_labels(reference, rows)
    warnings = []
    if assume:
        if not known.all():
            raise InputError(
                "A mix-up can only be undone where each image has its original label; give them with "
                "--original."
            )
        classes = mixups.repair(classes, assume, truth, names, num_classes)
        if set(assume) & set(mixups.ORDERS):
            scores = (
                None
                if scores is None
                else mixups.repair(
                    scores, [a for a in assume if a in mixups.ORDERS], truth, names, num_classes
                )
            )
        warnings.append(f"Repaired as asked: {'; '.join(mixups.REPAIRS[name] for name in assume)}.")
    mixup = mixups.diagnose(
        classes[known, 0], truth[known], names[known], num_classes, reference.describe_class
    )
    repair, repaired = None, None
    if mixup is not None:
        warnings.append(mixup.evidence)
    if mixup is not None and mixup.repair is not None and known.all():
        undone = mixups.repair(classes, mixup.repair.split(","), truth, names, num_classes)
        repaired = reference.results(_predictions(names, undone, None, num_classes))
        repair = ",".join([*assume, mixup.repair])
        warnings.append(
            f"Nothing was repaired. With --assume={repair} it would score {_shares(repaired)}."
        )
    elif reference.num_classes is not None and mixup is None and not assume:
        _check_range(classes, names, reference.num_classes)
    if len(rows) < len(reference.file_names):
        warnings.insert(
            0, f"Covers {len(rows):,} of the {len(reference.file_names):,} images; scored on these."
        )
    predictions = _predictions(names, classes, scores, num_classes)
    return Scored(
        file=path,
        predictions=predictions,
        results=reference.results(predictions),
        warnings=tuple(warnings),
        repair=repair,
        repaired=repaired,
        num_reference=len(reference.file_names),
    )


def _predictions(
    names: np.ndarray, classes: np.ndarray, scores: np.ndarray | None, num_classes: int
) -> Predictions:
    """Predictions in which an index below 0 is nobody's label."""
    beyond = 1 + max(num_classes, int(classes.max()))
    return Predictions(names, np.where(classes < 0, beyond, classes), scores)


def _match(found: PredictionFile, reference: Reference) -> Int[np.ndarray, "images"]:
    """Row in the reference of each prediction: by file name, or by place among the sorted names."""
    known = reference.file_names
    if found.file_names is None:
        if len(found) != len(known):
            raise InputError(
                f"has {len(found):,} rows and no file names; expected {len(known):,}, one for each "
                f"image in the order of the sorted file names. Save file names beside the predictions "
                f"to score a part."
            )
        return np.argsort(known, kind="stable")
    names = found.file_names
    if len(names) == len(known) and (names == known).all():
        return np.arange(len(known))
    for shorten in (str, _base, _stem):
        theirs = np.array([shorten(n) for n in names.tolist()])
        ours = np.array([shorten(n) for n in known.tolist()])
        rows = find_rows(ours, theirs)
        if (rows >= 0).all() and len(set(ours.tolist())) == len(ours):
            break
    unknown = rows < 0
    if unknown.any():
        where = int(np.argmax(unknown))
        raise InputError(
            f"{np.count_nonzero(unknown):,} of {len(names):,} file names are of no image that has "
            f"labels (first: row {where + 1}, {names[where]}; the labels begin with {known[0]})."
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


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    return pathlib.PurePosixPath(_base(name)).stem


def _single_labels(reference: Reference, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(original class of each image, whether it has one); without original labels, single ReaL ones."""
    sets = reference.original if reference.original is not None else reference.real
    known = sets.counts[rows] == 1
    truth = np.zeros(len(rows), np.int64)
    truth[known] = sets.classes[sets.offsets[rows[known]]]
    return truth, known


def _check_range(classes: np.ndarray, names: np.ndarray, num_classes: int) -> None:
    outside = ((classes < 0) | (classes >= num_classes)).any(axis=1)
    if outside.any():
        where = int(np.argmax(outside))
        raise InputError(
            f"{np.count_nonzero(outside):,} images have a class out of range (first: {names[where]}, "
            f"{classes[where].tolist()}); there are {num_classes:,} classes, 0 to {num_classes - 1:,}."
        )


def _like(real: LabelSets, original: LabelSets, path: object) -> LabelSets:
    """The ReaL labels of the original labels' images; those that have none stay empty."""
    rows = find_rows(original.file_names, real.file_names)
    unknown = rows < 0
    if unknown.any():
        raise InputError(
            f"{path}: {np.count_nonzero(unknown)} of its {len(real)} images have no original label "
            f"(first: {real.file_names[int(np.argmax(unknown))]}; the original labels begin with "
            f"{original.file_names[0]})."
        )
    image = np.repeat(rows, real.counts)
    return LabelSets.from_pairs(original.file_names, image, real.classes)


def _shares(record: dict[str, Any]) -> str:
    names = {"original": "original", "real": "ReaL"}
    return " and ".join(
        f"{title} top-1 {100 * record[key]['top1']['value']:.2f}%"
        for key, title in names.items()
        if key in record and record[key]["top1"]["value"] is not None
    )

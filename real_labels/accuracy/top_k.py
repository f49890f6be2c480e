"""The only definition of accuracy: top-k against label sets, with intervals.

ReaL accuracy (Beyer et al. 2020, section 4): the share of the images *with at least one ReaL label*
whose prediction is among their ReaL labels. The accuracy on the original labels is the same measure
against label sets of one class each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from real_labels.errors import InputError
from real_labels.files.records import as_json, with_nan
from real_labels.intervals import Estimate
from real_labels.labels import ORIGINAL, LabelSets, Reassessment, label_sets_of
from real_labels.labels.reassessment import REAL
from real_labels.predictions import Predictions
from real_labels.predictions.predictions import TOP_K

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


@dataclasses.dataclass(frozen=True)
class Accuracy(Estimate):
    """A share of images with its 95% Wilson interval.

    Attributes:
      value: share in [0, 1]; NaN where n is 0.
      low, high: ends of the interval, within [0, 1]; (0, 1) where n is 0.
      n: number of images counted.
    """

    @classmethod
    def of(cls, hits: int, n: int, **more: Any) -> Self:
        """Accuracy of `hits` correct out of `n` images, with its interval.

        Args:
          hits: number of correct images.
          n: number of images.
          more: further fields of a subclass.
        """
        return cls.of_share(int(hits), int(n), **more)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Accuracy:
        """Reads a record of `records.as_json`."""
        return cls(**with_nan(record))

    @classmethod
    def of_nothing(cls, n: int = 0) -> Accuracy:
        """An accuracy without a value."""
        return cls(math.nan, 0.0, 1.0, n)


@dataclasses.dataclass(frozen=True)
class TopK:
    """A model's accuracy by one label set.

    Attributes:
      top1, top5: see Accuracy; top5 has no value if fewer than five of more classes were predicted.
    """

    top1: Accuracy
    top5: Accuracy

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TopK:
        """Reads a record of `records.as_json`."""
        return cls(Accuracy.from_json(record["top1"]), Accuracy.from_json(record["top5"]))

    def at(self, k: int) -> Accuracy:
        """Top-k accuracy, for k of TOP_K."""
        return {1: self.top1, 5: self.top5}[k]


@dataclasses.dataclass(frozen=True)
class OnReassessment(TopK):
    """A model's accuracy by a reassessment, with figures for comparison on the same images.

    Attributes:
      original_labels: top-1 accuracy of the original labels; a model above it knows more than the labels it
        learned from; None without original labels.
      original_top1: the model's top-1 accuracy by the original labels; None without original labels.
      paper: (name, value) of the accuracy as the authors of the reassessment count it, if they count
        differently from top1; else None.
      covered: number of the predicted images that the reassessment covers; None if that is not known.
    """

    original_labels: Accuracy | None = None
    original_top1: Accuracy | None = None
    paper: tuple[str, float] | None = None
    covered: int | None = None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OnReassessment:
        """Reads a record of `as_json`."""
        own, same = record.get("original_labels"), record.get("original_top1")
        paper = record.get("paper")
        return cls(
            Accuracy.from_json(record["top1"]),
            Accuracy.from_json(record["top5"]),
            own and Accuracy.from_json(own["top1"]),
            same and Accuracy.from_json(same),
            paper and (paper["name"], with_nan(paper)["value"]),
            record.get("covered"),
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the fields; "original_labels" is {"top1"}, "paper" is {"name", "value"}."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["original_labels"] = self.original_labels and {"top1": self.original_labels}
        fields["paper"] = self.paper and dict(zip(("name", "value"), self.paper, strict=True))
        return as_json(fields)


@dataclasses.dataclass(frozen=True)
class Results:
    """A model's accuracy by every label set.

    Attributes:
      original: accuracy by the original labels; None without original labels.
      reassessments: accuracy by each reassessment, under its name.
    """

    original: TopK | None
    reassessments: Mapping[str, OnReassessment]

    @property
    def by_label_set(self) -> dict[str, TopK]:
        """Accuracy by every label set, the original labels first."""
        first = {} if self.original is None else {ORIGINAL: self.original}
        return first | dict(self.reassessments)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Results:
        """Reads a record of `as_json`, or one without "label_sets" and with only "original" and "real"."""
        sets = record.get("label_sets")
        if sets is None:
            own = record.get("original_labels", {}).get("real_top1")
            real = {"original_labels": own and {"top1": own}}
            sets = {REAL: record[REAL] | real} if REAL in record else {}
        original = TopK.from_json(record[ORIGINAL]) if ORIGINAL in record else None
        return cls(original, {name: OnReassessment.from_json(one) for name, one in sets.items()})

    def as_json(self) -> dict[str, Any]:
        """Returns {"original", "real": {"top1", "top5"}, "original_labels": {"real_top1"}, "label_sets"}.

        "label_sets" holds all reassessments by name.
        """
        record: dict[str, Any] = {}
        if self.original is not None:
            record[ORIGINAL] = self.original
        if REAL in self.reassessments:
            real = self.reassessments[REAL]
            record[REAL] = TopK(real.top1, real.top5)
            if real.original_labels is not None:
                record["original_labels"] = {"real_top1": real.original_labels}
        return as_json({**record, "label_sets": self.reassessments})


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """A model's ranked predictions, judged by one label set.

    Attributes:
      labelled: (N,) whether the image has a label.
      valid: (N, k) whether each predicted class is a label of the image.
      can: the k of TOP_K for which enough classes were predicted.
      own: (N,) whether the original label is a label of the image; None without original labels.
    """

    labelled: Bool[np.ndarray, "images"]
    valid: Bool[np.ndarray, "images k"]
    can: tuple[int, ...]
    own: Bool[np.ndarray, "images"] | None = None

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        labels: LabelSets,
        original: Int[np.ndarray, "images"] | None = None,
    ) -> Judged:
        """Looks up each prediction, and the original label of each image if it is given.

        Raises:
          InputError: if a predicted image is not among the labels.
        """
        rows = labels.rows(predictions.file_names)
        valid = labels.contains(rows, predictions.classes)
        can = tuple(k for k in TOP_K if can_measure(predictions, labels, k))
        own = None if original is None else labels.contains(rows, original[:, None])[:, 0]
        return cls(labels.counts[rows] > 0, valid, can, own)

    def hits(self, k: int = 1) -> Bool[np.ndarray, "images"]:
        """(N,) whether one of the first k classes is valid; always False for images without a label."""
        return self.valid[:, 0] if k == 1 else np.any(self.valid[:, :k], axis=1)

    def accuracy(self, k: int) -> Accuracy:
        """Top-k accuracy, for k of TOP_K; without a value if too few classes were predicted."""
        return _share(self.labelled, self.hits(k)) if k in self.can else Accuracy.of_nothing()


def top_k_hits(
    predictions: Predictions, labels: LabelSets, k: int = 1
) -> tuple[Bool[np.ndarray, "images"], Bool[np.ndarray, "images"]]:
    """Which images have a label, and on which of them one of the first k predicted classes is valid.

    Args:
      predictions: ranked classes; where fewer than k are given, all of them count.
      labels: label sets of every predicted image.
      k: at least 1.

    Returns:
      labelled (N,), whether the image has a label; hits (N,), always False for images without a label.

    Raises:
      InputError: if k is below 1 or a predicted image is not among the labels.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, found {k}.")
    judged = Judged.of(predictions, labels)
    return judged.labelled, judged.hits(k)


def _share(labelled: Bool[np.ndarray, "images"], correct: Bool[np.ndarray, "images"]) -> Accuracy:
    return Accuracy.of(int(np.count_nonzero(correct)), int(np.count_nonzero(labelled)))


def top_k_accuracy(predictions: Predictions, labels: LabelSets, k: int = 1) -> Accuracy:
    """Share of the images with a label for which one of the first k predicted classes is valid.

    Images are matched by file name; images with an empty label set are left out. Arguments and
    errors are those of `top_k_hits`.
    """
    return _share(*top_k_hits(predictions, labels, k))


def judge(
    predictions: Predictions,
    original: LabelSets | None,
    reassessments: Mapping[str, Reassessment],
) -> dict[str, Judged]:
    """Judges one model's predictions by every label set; arguments are those of `results`."""
    sets = label_sets_of(original, reassessments)
    own = None if original is None else original.only(original.rows(predictions.file_names))
    return {name: Judged.of(predictions, labels, own) for name, labels in sets.items()}


def results(
    predictions: Predictions,
    original: LabelSets | None,
    reassessments: Mapping[str, Reassessment],
    judged: Mapping[str, Judged] | None = None,
) -> Results:
    """Scores one model on every label set.

    Args:
      predictions: ranked classes.
      original: the original labels, one class per image; None if there are none.
      reassessments: reassessments by name; each must contain every predicted image.
      judged: the result of `judge`, if it was computed already.
    """
    judged = judge(predictions, original, reassessments) if judged is None else judged
    names = predictions.file_names
    on_original = None
    if original is not None:
        on_original = TopK(*map(judged[ORIGINAL].accuracy, TOP_K))
    scored = {}
    for name, reassessment in reassessments.items():
        judgement = judged[name]
        own = same_images = paper = None
        if original is not None and judgement.own is not None:
            own = _share(judgement.labelled, judgement.own)
            same_images = _share(judgement.labelled, judged[ORIGINAL].hits() & judgement.labelled)
            if reassessment.counting == "classes" and judgement.labelled.any():
                classes = original.only(original.rows(names))
                mean = _mean_over_classes(classes, judgement.labelled, judgement.hits())
                paper = "mean over the original classes", mean
        scored[name] = OnReassessment(
            *map(judgement.accuracy, TOP_K),
            original_labels=own,
            original_top1=same_images,
            paper=paper,
            covered=int(np.count_nonzero(reassessment.covers(names))),
        )
    return Results(on_original, scored)


def _mean_over_classes(
    classes: Int[np.ndarray, "images"],
    labelled: Bool[np.ndarray, "images"],
    hits: Bool[np.ndarray, "images"],
) -> float:
    """Mean over the classes of the share of labelled images that are right; NaN without labelled images."""
    images = np.bincount(classes[labelled])
    right = np.bincount(classes[hits], minlength=len(images))
    counted = images > 0
    return float((right[counted] / images[counted]).mean()) if counted.any() else math.nan


def can_measure(predictions: Predictions, labels: LabelSets, k: int) -> bool:
    """Whether at least k classes, or all existing classes, were predicted."""
    return predictions.classes.shape[1] >= min(k, 1 + int(labels.classes.max(initial=0)))

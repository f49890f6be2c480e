"""Out-of-fold predictions: the predictions for each image by a model that was not trained on the image."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.errors import InputError, naming
from real_labels.files import npz
from real_labels.intervals import Estimate, percent
from real_labels.labels import check_classes, check_file_names
from real_labels.predictions.ranking import top_k

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_ARRAYS = ("file_names", "classes", "scores", "label", "label_score", "fold")
_SUM = "score_sum"
_ROUNDING = 1e-5  # rounding error of probabilities saved as float32 or in a smaller type


@dataclasses.dataclass(frozen=True, eq=False)
class OutOfFold:
    """Ranked classes of N images, each by a model that was not trained on the image.

    Attributes:
      file_names: (N,) str, distinct.
      classes: (N, k) int, the most likely class first; k is the number of classes, and at most 20 in the
        file of a cross-validation.
      scores: (N, k) float, probabilities of these classes in [0, 1], never rising along a row.
      label: (N,) int, the label of the image.
      label_score: (N,) float, the probability of the label.
      fold: (N,) int, the fold of the image.
      score_sum: (N,) float, sum of the probabilities of all classes (not 1 for a sigmoid), or None.
    """

    file_names: np.ndarray
    classes: Int[np.ndarray, "images k"]
    scores: Float[np.ndarray, "images k"]
    label: Int[np.ndarray, "images"]
    label_score: Float[np.ndarray, "images"]
    fold: Int[np.ndarray, "images"]
    score_sum: Float[np.ndarray, "images"] | None = None

    def __post_init__(self):
        names = check_file_names(self.file_names, "Out-of-fold predictions")
        classes = check_classes(np.asarray(self.classes), "classes")
        label = check_classes(np.asarray(self.label), "label")
        shape = (len(names), classes.shape[-1])
        columns = {"classes": (classes, 2), "scores": (self.scores, 2), "label": (label, 1)}
        columns |= {"label_score": (self.label_score, 1), "fold": (self.fold, 1)}
        if self.score_sum is not None:
            columns["score_sum"] = (self.score_sum, 1)
        for name, (column, ndim) in columns.items():
            if np.shape(column) != shape[:ndim] or not len(names):
                raise InputError(
                    f"{name}: expected an array of shape {shape[:ndim]}, found {np.shape(column)}."
                )
        for name in ("scores", "label_score"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind != "f":
                raise InputError(f"{name}: expected floats, found {values.dtype}.")
            if not (np.isfinite(values) & (values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():
                raise InputError(f"{name}: expected probabilities, 0 to 1.")
            object.__setattr__(self, name, np.clip(values, 0, 1))
        if self.score_sum is not None:
            sums = np.asarray(self.score_sum)
            if sums.dtype.kind != "f" or not (np.isfinite(sums) & (sums >= -_ROUNDING)).all():
                raise InputError(
                    "score_sum: expected sums of probabilities, finite and not negative."
                )
        if (np.diff(self.scores, axis=1) > _ROUNDING).any():
            raise InputError("scores: expected the most likely class first, found rising scores.")
        if (np.diff(np.sort(classes, axis=1), axis=1) == 0).any():
            raise InputError("classes: an image has the same class twice.")
        for name, value in (("file_names", names), ("classes", classes), ("label", label)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "fold", np.asarray(self.fold))

    def __len__(self) -> int:
        return len(self.label)

    def __str__(self) -> str:
        agreed = int(np.count_nonzero(self.classes[:, 0] == self.label))
        return (
            f"{len(self):,} images in {len(np.unique(self.fold))} folds. The first prediction is the label "
            f"on {percent(Estimate.of_share(agreed, len(self)))} of them."
        )

    @property
    def num_classes(self) -> int:
        """One more than the highest class index."""
        return 1 + int(max(self.classes.max(), self.label.max()))

    @property
    def total(self) -> Float[np.ndarray, "images"] | None:
        """(N,) the sum of the probabilities of all classes; None if unknown."""
        if self.score_sum is not None:
            return np.asarray(self.score_sum, np.float64)
        return self.scores.sum(axis=1, dtype=np.float64) if self.has_all_classes else None

    @property
    def has_all_classes(self) -> bool:
        """Whether every row has a score for every class."""
        return self.classes.shape[1] >= self.num_classes

    @classmethod
    def of_probabilities(
        cls,
        file_names: np.ndarray,
        probabilities: Float[np.ndarray, "images classes"],
        label: np.ndarray,
    ) -> OutOfFold:
        """Takes a probability for every class, such as cleanlab's pred_probs; the fold is unknown, and 0.

        Raises:
          InputError: if a label is not one of the classes, or the numbers of labels and rows differ.
        """
        label = np.asarray(label)
        num_classes = probabilities.shape[1]
        if len(label) != len(probabilities):
            raise InputError(
                f"has {len(label):,} labels for {len(probabilities):,} rows of scores; expected one per row."
            )
        beyond = (label < 0) | (label >= num_classes)
        if beyond.any():
            row = int(np.argmax(beyond))
            raise InputError(
                f"row {row + 1} has the label {label[row]}; the scores are of {num_classes:,} classes, 0 to "
                f"{num_classes - 1:,}."
            )
        classes, scores = top_k(probabilities, num_classes)
        label_score = probabilities[np.arange(len(label)), label]
        return cls(file_names, classes, scores, label, label_score, np.zeros(len(label), np.int32))

    @classmethod
    def joined(cls, parts: Sequence[OutOfFold]) -> OutOfFold:
        """Joins the images of all parts, sorted by file name.

        Raises:
          InputError: if two parts have the same image, or different numbers of classes.
        """
        names = _ARRAYS + (_SUM,) * all(part.score_sum is not None for part in parts)
        columns = {name: [getattr(part, name) for part in parts] for name in names}
        if len({part.classes.shape[1] for part in parts}) > 1:
            raise InputError(
                "the folds hold different numbers of classes; expected folds of the same run."
            )
        order = np.argsort(np.concatenate(columns["file_names"]), kind="stable")
        return cls(**{name: np.concatenate(column)[order] for name, column in columns.items()})

    @staticmethod
    def is_in(path: str | os.PathLike[str]) -> bool:
        """Whether a file is an out_of_fold.npz, recognised by its arrays.

        Raises:
          InputError: naming the file, if it is a damaged .npz.
        """
        if not os.fspath(path).endswith(".npz"):
            return False
        with npz.opened(path) as archive:
            return set(_ARRAYS) <= set(archive.files)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutOfFold:
        """Reads out_of_fold.npz.

        Raises:
          InputError: naming the file, if it is not an out_of_fold.npz.
        """
        with npz.opened(path, _ARRAYS) as archive, naming(path):
            names = [name for name in (*_ARRAYS, _SUM) if name in archive.files]
            return cls(**{name: archive[name] for name in names})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes out_of_fold.npz."""
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            names = _ARRAYS if self.score_sum is None else (*_ARRAYS, _SUM)
            np.savez(file, **{name: getattr(self, name) for name in names})

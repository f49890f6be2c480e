"""Predictions: for each image, classes ranked from the most to the least likely."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.errors import InputError, naming
from real_labels.files import npz
from real_labels.labels import LabelSets, check_classes, check_file_names, rows_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TOP_K = (1, 5)  # the k of the top-k accuracies that are reported
MOCK = "mock"  # an array in predictions.npz: the images were random
MOCK_REMARK = (
    "These are predictions for random images (a debug run, input.mock): the accuracy means nothing."
)


def is_mock_set(array: np.ndarray) -> bool:
    """Whether the array `mock` of a file says that the images were random."""
    return array.dtype.kind == "b" and bool(array.all())


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """A model's ranked classes for N images.

    Attributes:
      file_names: (N,) str, distinct.
      classes: (N, k) int32, the most likely class first, no class twice in a row.
      scores: (N, k) float32 score of each class (a probability in [0, 1] from our own program),
        never rising along a row, or None.
      is_mock: whether the images were random, in a debug run.
    """

    file_names: np.ndarray
    classes: Int[np.ndarray, "images k"]
    scores: Float[np.ndarray, "images k"] | None = None
    is_mock: bool = False

    def __post_init__(self):
        names = check_file_names(self.file_names, "Predictions")
        classes = np.asarray(self.classes)
        if classes.ndim != 2 or len(classes) != len(names) or classes.shape[1] < 1:
            raise InputError(
                f"Predictions: classes must have shape ({len(names)}, k) for {len(names)} file "
                f"names, found {classes.shape}."
            )
        classes = check_classes(classes, "Predictions: classes")
        ordered = np.sort(classes, axis=1)
        repeats = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
        if repeats.any():
            where = int(np.argmax(repeats))
            raise InputError(
                f"Predictions: {names[where]} names a class twice: {classes[where].tolist()}."
            )
        object.__setattr__(self, "file_names", names)
        object.__setattr__(self, "classes", classes)
        if self.scores is not None:
            scores = np.asarray(self.scores, dtype=np.float32)
            if scores.shape != classes.shape:
                raise InputError(
                    f"Predictions: scores must have the classes' shape {classes.shape}, "
                    f"found {scores.shape}."
                )
            bad = ~np.isfinite(scores).all(axis=1) | (np.diff(scores, axis=1) > 0).any(axis=1)
            if bad.any():
                where = int(np.argmax(bad))
                raise InputError(
                    f"Predictions: the scores of {names[where]} must be finite and never rise "
                    f"along the ranking, found {scores[where].tolist()}."
                )
            object.__setattr__(self, "scores", scores)

    def __len__(self) -> int:
        return len(self.file_names)

    @classmethod
    def from_labels(cls, labels: LabelSets) -> Predictions:
        """Returns labels as predictions: the single label of each image, such as the original label.

        Raises:
          InputError: if an image has no label or several.
        """
        if (labels.counts != 1).any():
            where = int(np.argmax(labels.counts != 1))
            raise InputError(
                f"{labels.file_names[where]} has {labels.counts[where]} labels; expected exactly one "
                f"label per image to use the labels as predictions."
            )
        return cls(labels.file_names, labels.classes[:, None])

    def rows(self, file_names: np.ndarray) -> Int[np.ndarray, "names"]:
        """Row of each file name in these predictions.

        Raises:
          InputError: naming the first image that was not predicted, if there is one.
        """
        return rows_of(
            self.file_names,
            file_names,
            "Predictions: {missing} of {total} images were not predicted (first: {first}).",
        )

    def take(self, rows: Int[np.ndarray, "n"]) -> Predictions:
        """Returns the predictions in these rows, in this order."""
        scores = None if self.scores is None else self.scores[rows]
        return Predictions(self.file_names[rows], self.classes[rows], scores, self.is_mock)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `predictions.npz` (`file_names`, `classes`, `scores`), atomically.

        The bytes depend on the arrays alone, so equal predictions give equal files.
        """
        arrays = {"file_names": self.file_names, "classes": self.classes}
        if self.scores is not None:
            arrays["scores"] = self.scores
        if self.is_mock:
            arrays[MOCK] = np.array(True)
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictions:
        """Reads a file that `save` wrote.

        Raises:
          InputError: naming the file, if it is not a `.npz`, is cut short, or lacks an array.
        """
        with npz.opened(path, ("file_names", "classes")) as archive:
            arrays = {name: archive[name] for name in archive.files}
        with naming(path):
            scores = arrays.get("scores")
            if scores is not None and scores.dtype.kind not in "iuf":
                raise InputError(f"scores must be numbers, found {scores.dtype}.")
            is_mock = MOCK in arrays and is_mock_set(arrays[MOCK])
            names = npz.as_text(arrays["file_names"], "file_names")
            return cls(names, arrays["classes"], scores, is_mock)

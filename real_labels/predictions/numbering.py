"""Fits a numbering to predictions: the class that each predicted index stands for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


@dataclasses.dataclass(frozen=True)
class Numbering:
    """The class that each predicted index stands for, fitted to predictions.

    Attributes:
      indices: (m,) predicted indices, ascending.
      classes: (m,) class of each index, all different; an index that the predictions assign to no class gets
        an unused class.
      supported: (m,) whether the predictions clearly support a class other than the index itself.
    """

    indices: Int[np.ndarray, "indices"]
    classes: Int[np.ndarray, "indices"]
    supported: Bool[np.ndarray, "indices"]

    @classmethod
    def fit(cls, top1: Int[np.ndarray, "n"], original: Int[np.ndarray, "n"]) -> Numbering:
        """Pairs each index with the class that it occurs with most often, the most frequent pairs first.

        Args:
          top1: (n,) predicted index of each image.
          original: (n,) original label of each image.
        """
        indices, index = np.unique(top1, return_inverse=True)
        span = 1 + int(original.max())
        cells, counts = np.unique(index * span + original, return_counts=True)
        # Of equally frequent pairs, prefer the pair whose index is the class already.
        stays = indices[cells // span] == cells % span
        best = np.lexsort((~stays, -counts))
        classes = np.full(len(indices), -1, np.int64)
        paired = np.zeros(len(indices), np.int64)
        taken: set[int] = set()
        for row, class_, count in zip(
            (cells[best] // span).tolist(),
            (cells[best] % span).tolist(),
            counts[best].tolist(),
            strict=True,
        ):
            if classes[row] < 0 and class_ not in taken:
                classes[row], paired[row] = class_, count
                taken.add(class_)
        unchanged = np.zeros(len(indices), np.int64)
        unchanged[(cells // span)[stays]] = counts[stays]
        gain = paired - unchanged
        supported = (classes != indices) & (gain > 2 * np.sqrt(paired + unchanged))
        # Indices without a class get the unused classes in order, then numbers beyond the last class.
        without_class = np.flatnonzero(classes < 0)
        unused = np.setdiff1d(np.arange(span + len(without_class)), classes)
        classes[without_class] = unused[: len(without_class)]
        return cls(indices, classes, supported)

    def supported_classes_of(self, top1: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Class of each predicted index if it is clearly supported, else the index itself."""
        place, known = self._find(top1)
        return np.where(known & self.supported[place], self.classes[place], top1)

    def classes_of(self, predicted: Int[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
        """Class of each predicted index; different indices, even unknown ones, get different classes."""
        place, known = self._find(predicted)
        classes = self.classes[place]
        _, group = np.unique(predicted[~known], return_inverse=True)
        classes[~known] = 1 + int(self.classes.max()) + group
        return classes

    def _find(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (place of each predicted index in `indices`, whether it is in `indices`)."""
        place = np.minimum(np.searchsorted(self.indices, predicted), len(self.indices) - 1)
        return place, self.indices[place] == predicted

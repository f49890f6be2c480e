"""Fitting to predictions which class each predicted index stands for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


@dataclasses.dataclass(frozen=True)
class Numbering:
    """A class for each predicted index, fitted to predictions.

    Attributes:
      indices: (m,) predicted indices, ascending.
      classes: (m,) class of each, all different; where the predictions do not tell, one of those left.
      supported: (m,) whether the predictions clearly speak for another class than the index.
    """

    indices: Int[np.ndarray, "indices"]
    classes: Int[np.ndarray, "indices"]
    supported: Bool[np.ndarray, "indices"]

    @classmethod
    def fit(cls, top1: Int[np.ndarray, "n"], original: Int[np.ndarray, "n"]) -> Numbering:
        """Pairs each index with the class it occurs with most, the surest pairs first.

        Args:
          top1: (n,) predicted index of each image.
          original: (n,) original label of each.
        """
        indices, index = np.unique(top1, return_inverse=True)
        span = 1 + int(original.max())
        cells, counts = np.unique(index * span + original, return_counts=True)
        # Ties go to the pair whose index is the class already.
        stays = indices[cells // span] == cells % span
        best = np.lexsort((~stays, -counts))
        classes = np.full(len(indices), -1, np.int64)
        found = np.zeros(len(indices), np.int64)
        taken: set[int] = set()
        for row, class_, count in zip(
            (cells[best] // span).tolist(),
            (cells[best] % span).tolist(),
            counts[best].tolist(),
            strict=True,
        ):
            if classes[row] < 0 and class_ not in taken:
                classes[row], found[row] = class_, count
                taken.add(class_)
        own = np.zeros(len(indices), np.int64)
        own[(cells // span)[stays]] = counts[stays]
        gain = found - own
        supported = (classes != indices) & (gain > 2 * np.sqrt(found + own))
        # Indices whose class was not found share what is left, in order, and then what lies beyond.
        lacking = np.flatnonzero(classes < 0)
        left = np.setdiff1d(np.arange(span + len(lacking)), classes)
        classes[lacking] = left[: len(lacking)]
        return cls(indices, classes, supported)

    def sure_classes_of(self, top1: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Class of each predicted index where the predictions clearly speak for one, else the index."""
        place, known = self._find(top1)
        return np.where(known & self.supported[place], self.classes[place], top1)

    def classes_of(self, predicted: Int[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
        """Class of each predicted index; different ones for different indices, new ones included."""
        place, known = self._find(predicted)
        classes = self.classes[place]
        _, which = np.unique(predicted[~known], return_inverse=True)
        classes[~known] = 1 + int(self.classes.max()) + which
        return classes

    def _find(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(place of each index here, whether it is here)."""
        place = np.minimum(np.searchsorted(self.indices, predicted), len(self.indices) - 1)
        return place, self.indices[place] == predicted

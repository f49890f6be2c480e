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
      classes: (m,) class of each, as far as the predictions tell; the index itself elsewhere.
      supported: (m,) whether the predictions clearly speak for another class than the index.
      free: classes that no index was given.
    """

    indices: Int[np.ndarray, "indices"]
    classes: Int[np.ndarray, "indices"]
    supported: Bool[np.ndarray, "indices"]
    free: Int[np.ndarray, "free"]

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
        free = np.setdiff1d(np.arange(span), classes)
        return cls(indices, classes, supported, free)

    def apply(self, top1: np.ndarray, complete: bool = False) -> np.ndarray:
        """The classes of predicted indices.

        Args:
          top1: indices of any shape.
          complete: whether every index gets a class of its own; otherwise those that are not
            supported stay.
        """
        classes = np.where(self.supported, self.classes, self.indices)
        if complete:
            # Indices whose class was not found share what is left, in order; new ones lie beyond.
            classes = self.classes.copy()
            lacking = np.flatnonzero(classes < 0)
            beyond = 1 + int(max(classes.max(initial=-1), self.free.max(initial=-1)))
            rest = np.concatenate([self.free, np.arange(beyond, beyond + len(lacking))])
            classes[lacking] = rest[: len(lacking)]
        place = np.minimum(np.searchsorted(self.indices, top1), len(self.indices) - 1)
        known = self.indices[place] == top1
        if complete:
            strangers, which = np.unique(top1[~known], return_inverse=True)
            others = 1 + int(classes.max()) + np.arange(len(strangers))
            result = classes[place]
            result[~known] = others[which]
            return result
        return np.where(known, classes[place], top1)

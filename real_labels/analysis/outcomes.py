"""A model's first predictions compared with the original and the valid labels, image by image."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """A model's first predictions, original labels and valid labels of N images.

    Attributes:
      file_names: (N,) str.
      row: (N,) row of each image in the original labels.
      predicted: (N,) int32, the most likely class.
      original: (N,) int32, the original label.
      num_labels: (N,) int64, number of valid labels.
      predicted_valid, original_valid: (N,), whether the predicted class and the original label are valid.
      confidence: (N,) float32, the model's score of its prediction, or None.
    """

    file_names: np.ndarray
    row: Int[np.ndarray, "images"]
    predicted: Int[np.ndarray, "images"]
    original: Int[np.ndarray, "images"]
    num_labels: Int[np.ndarray, "images"]
    predicted_valid: Bool[np.ndarray, "images"]
    original_valid: Bool[np.ndarray, "images"]
    confidence: Float[np.ndarray, "images"] | None

    @classmethod
    def of(cls, predictions: Predictions, original: LabelSets, real: LabelSets) -> Outcomes:
        """Compares each first prediction with the original labels and with the valid labels `real`.

        Raises:
          InputError: if a predicted image is not among the labels.
        """
        names = predictions.file_names
        of_original = original.rows(names)
        label = original.only(of_original)
        rows = real.rows(names)
        valid = real.contains(rows, np.stack([predictions.classes[:, 0], label], axis=1))
        return cls(
            file_names=names,
            row=of_original,
            predicted=predictions.classes[:, 0],
            original=label,
            num_labels=real.counts[rows],
            predicted_valid=valid[:, 0],
            original_valid=valid[:, 1],
            confidence=None if predictions.scores is None else predictions.scores[:, 0],
        )

    def __len__(self) -> int:
        return len(self.file_names)

    @functools.cached_property
    def mistake(self) -> Bool[np.ndarray, "images"]:
        """(N,) whether the prediction is not the original label."""
        return self.predicted != self.original

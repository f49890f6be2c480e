"""The known labels of a dataset, which help to tell the predictions in a file from the true labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


class KnownLabels:
    """The known labels of a dataset; this base class knows no labels.

    Attributes:
      num_classes: number of classes, at least the number of classes that occur; None if it is not known.
    """

    num_classes: int | None = None

    def hits(
        self, file_names: np.ndarray | None, classes: Int[np.ndarray, "images k"]
    ) -> Bool[np.ndarray, "n"] | None:
        """Whether the first class of each image is its original label.

        Args:
          file_names: (N,) str; None if the rows are in the order of the sorted file names.
          classes: (N, k), of any range.

        Returns:
          (n,) bool, of the images that have an original label; None if that is not known, for example for
          images of another dataset.
        """
        return None

    def know(self, file_names: np.ndarray) -> bool:
        """Whether every name is the file name of an image in the dataset."""
        return False

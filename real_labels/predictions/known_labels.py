"""What is known of a dataset's labels, to tell a file's predictions from the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


class KnownLabels:
    """What is known of a dataset; here, nothing.

    Attributes:
      num_classes: number of classes, at least as many as occur; None if it is not known.
    """

    num_classes: int | None = None

    def hits(
        self, file_names: np.ndarray | None, classes: Int[np.ndarray, "images k"]
    ) -> Bool[np.ndarray, "n"] | None:
        """Which images' first class is the original label.

        Args:
          file_names: (N,) str; None where rows stand for the sorted file names.
          classes: (N, k), of any range.

        Returns:
          (n,) of the images that have an original label; None where that cannot be said, as of images of
          another dataset.
        """
        return None

    def know(self, file_names: np.ndarray) -> bool:
        """Whether all these are file names of the dataset's images."""
        return False

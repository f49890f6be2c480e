"""A config on a TPU slice."""

from __future__ import annotations

import dataclasses

from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.remedies import Remedy
from big_transfer.compilation.slices import Slice


@dataclasses.dataclass(frozen=True)
class Plan:
    """A config on a slice.

    Attributes:
      slice: the slice.
      train: needs of the training step; None for a config without training.
      evaluate: needs of the evaluation step.
      remedy: a change with which the training step fits; None if it fits, or if none was found.
      num_steps: length of the run; None if the number of training images is not known.
    """

    slice: Slice
    train: Needs | None
    evaluate: Needs
    remedy: Remedy | None
    num_steps: int | None

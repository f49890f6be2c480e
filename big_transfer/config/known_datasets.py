"""Sizes of ImageNet and ImageNet-21k, to plan a run where its dataset is not at hand."""

from __future__ import annotations

import dataclasses
import re

from big_transfer import family

_SLICE = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of a training set.

    Attributes:
      num_examples: number of images; None if not known.
      area: height · width of a typical image, in pixels; None if not known.
      num_classes: number of classes; None if not known.
    """

    num_examples: int | None = None
    area: float | None = None
    num_classes: int | None = None


# Russakovsky et al. 2015, table 2; image-net.org for the release of fall 2011, with the classes of BiT-M.
# Both have images of about 500×375 pixels.
_TRAINING = {
    "imagenet2012": Size(family.IMAGENET_EXAMPLES, family.IMAGENET_AREA, 1000),
    "imagenet21k": Size(14_197_122, family.IMAGENET_AREA, 21_843),
}


def size_of(dataset: str, split: str) -> Size:
    """The size of a part of the training split of ImageNet or ImageNet-21k; unknown for other datasets.

    Args:
      dataset: TFDS name, perhaps with a version.
      split: such as "train" or "train[51200:]".
    """
    known = _TRAINING.get(re.split("[/:]", dataset)[0])
    found = _SLICE.fullmatch(split)
    if known is None or known.num_examples is None or found is None or found[1] != "train":
        return Size(None, known.area, known.num_classes) if known else Size()
    begin, end = (_place(bound, known.num_examples) for bound in found.groups()[1:])
    rows = slice(begin, end).indices(known.num_examples)
    return dataclasses.replace(known, num_examples=max(0, rows[1] - rows[0]))


def _place(bound: str | None, num_examples: int) -> int | None:
    """The row of a bound, such as "51200", "-10" or "50%"."""
    if bound is None or not bound.endswith("%"):
        return None if bound is None else int(bound)
    return round(int(bound[:-1]) * num_examples / 100)

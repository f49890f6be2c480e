"""The labels of a dataset that predictions are held against."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.labels import imagenet, published
from real_labels.labels.file_names import rows_of
from real_labels.labels.label_sets import LabelSets

_MOST_CLASSES = 10_000_000  # beyond, a class index is a slip, and tables over classes need memory


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The labels that predictions are held against.

    Attributes:
      original: the original labels, one class an image; None if there are none.
      real: the reassessed labels, of the same images; None if there are none. Not both are None.
      num_classes: number of classes there are; None if that is not known.
      is_imagenet: whether the images are ILSVRC-2012's validation images, by the first one's name.
    """

    original: LabelSets | None
    real: LabelSets | None
    num_classes: int | None
    is_imagenet: bool

    @classmethod
    def load(
        cls,
        labels: str | os.PathLike[str] | None = None,
        original: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        num_classes: int | None = None,
    ) -> Reference:
        """Reads the labels of a dataset; without arguments those of ILSVRC-2012's validation set.

        Args:
          labels: reassessed labels, in `real.json`'s layout; None for the published ReaL labels, or
            for none where `original` is given.
          original: original labels in that layout, one class an image; None for those of
            ILSVRC-2012 where the images are of its validation set.
          data_dir: folder of the published files.
          num_classes: number of classes, if it is not ILSVRC-2012.

        Raises:
          InputError: if a file is missing or damaged, or the two are about different images.
        """
        real = LabelSets.from_json(labels) if labels is not None else None
        given = LabelSets.from_json(original) if original is not None else None
        if real is None and given is None:
            real = published.real_labels(data_dir)
        first = given if given is not None else real
        if not len(first):
            raise InputError(f"{original or labels}: holds no labels.")
        if num_classes is not None and num_classes < 2:
            raise InputError(f"The number of classes must be at least 2, found {num_classes}.")
        is_imagenet = imagenet.is_validation_set(first.file_names)
        if is_imagenet:
            num_classes = imagenet.NUM_CLASSES if num_classes is None else num_classes
            if given is None:
                given = imagenet.original_labels()
        if given is not None:
            if (given.counts != 1).any():
                where = int(np.argmax(given.counts != 1))
                exchanged = ""
                if real is not None and (real.counts == 1).all():
                    exchanged = " Are --labels and --original exchanged?"
                raise InputError(
                    f"{original}: original labels are one class an image; {given.file_names[where]} "
                    f"has {given.counts[where]}.{exchanged}"
                )
            real = None if real is None else _like(real, given, labels)
        most = _MOST_CLASSES if num_classes is None else num_classes
        for what, sets in ((labels, real), (original, given)):
            highest = int(sets.classes.max(initial=0)) if sets is not None else 0
            if highest >= most:
                raise InputError(
                    f"{what}: class {highest} is out of range; there are "
                    f"{'at most ' if num_classes is None else ''}{most:,} classes, 0 to {most - 1:,}."
                )
        return cls(given, real, num_classes, is_imagenet)

    @property
    def file_names(self) -> np.ndarray:
        """(N,) str, the images that have labels."""
        return (self.original if self.original is not None else self.real).file_names

    @property
    def num_known_classes(self) -> int:
        """Number of classes, at least as many as occur."""
        if self.num_classes is not None:
            return self.num_classes
        sets = [s for s in (self.original, self.real) if s is not None]
        return 1 + max(int(s.classes.max(initial=0)) for s in sets)

    def describe_class(self, class_: int) -> str:
        """What to call a class."""
        return imagenet.describe(class_) if self.is_imagenet else str(class_)


def _like(real: LabelSets, original: LabelSets, path: str | os.PathLike[str] | None) -> LabelSets:
    """The ReaL labels of the original labels' images; those that have none stay empty."""
    with naming(path or "the published ReaL labels"):
        rows = rows_of(
            original.file_names,
            real.file_names,
            "{missing} of its {total} images have no original label (first: {first}; the original "
            "labels begin with {begin}).",
        )
    return LabelSets.from_pairs(original.file_names, np.repeat(rows, real.counts), real.classes)

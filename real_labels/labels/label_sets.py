"""LabelSets: the set of valid classes of each image."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.errors import InputError, naming
from real_labels.labels import label_json
from real_labels.labels.classes import check_classes
from real_labels.labels.file_names import check_file_names, imagenet_file_names, rows_of

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_MOST_BITS = 1 << 26  # largest lookup table, one bit per image and class


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSets:
    """The set of valid classes of each of N images; a set may be empty.

    The valid classes of image i are `classes[offsets[i]:offsets[i + 1]]`, ascending and distinct.

    Attributes:
      file_names: (N,) str, distinct.
      offsets: (N + 1,) int64, from 0 to len(classes), non-decreasing.
      classes: (L,) int32 class indices, at least 0.
    """

    file_names: np.ndarray
    offsets: Int[np.ndarray, "images_plus_1"]
    classes: Int[np.ndarray, "labels"]

    def __post_init__(self):
        names = check_file_names(self.file_names, "LabelSets")
        offsets = np.asarray(self.offsets)
        classes = check_classes(self.classes, "LabelSets: classes")
        if offsets.dtype.kind not in "iu":
            raise InputError(f"LabelSets: offsets must be integers, found {offsets.dtype}.")
        if offsets.shape != (len(names) + 1,):
            raise InputError(
                f"LabelSets: offsets must have shape ({len(names) + 1},), one more than the "
                f"{len(names)} file names; found {offsets.shape}."
            )
        if offsets[0] != 0 or offsets[-1] != len(classes) or (np.diff(offsets) < 0).any():
            raise InputError(
                f"LabelSets: offsets must rise from 0 to the number of labels ({len(classes)}); "
                f"found {offsets[0]} to {offsets[-1]}."
            )
        image = np.repeat(np.arange(len(names)), np.diff(offsets))
        unsorted = (np.diff(image) == 0) & (np.diff(classes.astype(np.int64)) <= 0)
        if unsorted.any():
            where = names[image[int(np.argmax(unsorted))]]
            raise InputError(
                f"LabelSets: the classes of {where} must be ascending and distinct; "
                f"LabelSets.from_lists sorts them."
            )
        object.__setattr__(self, "file_names", names)
        object.__setattr__(self, "offsets", offsets.astype(np.int64))
        object.__setattr__(self, "classes", classes)

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def counts(self) -> Int[np.ndarray, "images"]:
        """Returns the number of valid classes of each image, (N,)."""
        return np.diff(self.offsets)

    @classmethod
    def from_lists(
        cls, file_names: Sequence[str] | np.ndarray, lists: Iterable[Iterable[int]]
    ) -> LabelSets:
        """Builds label sets from one iterable of classes per image; any order, repeats allowed."""
        lists = [list(classes) for classes in lists]
        if len(lists) != len(file_names):
            raise InputError(
                f"LabelSets: {len(file_names)} file names but {len(lists)} label lists."
            )
        image = np.repeat(np.arange(len(lists)), np.fromiter(map(len, lists), np.int64, len(lists)))
        classes = np.array(list(itertools.chain.from_iterable(lists)) or np.zeros(0, np.int64))
        return cls.from_pairs(file_names, image, classes)

    @classmethod
    def from_pairs(
        cls,
        file_names: Sequence[str] | np.ndarray,
        image: Int[np.ndarray, "pairs"],
        classes: Int[np.ndarray, "pairs"],
    ) -> LabelSets:
        """Builds label sets from (image, class) pairs; any order, repeats allowed.

        Args:
          file_names: (N,) file names of the images.
          image: row in file_names of each pair.
          classes: class of each pair, at least 0.
        """
        classes = check_classes(classes, "LabelSets: classes")
        span = 1 + int(classes.max(initial=0))
        keys = np.sort(image.astype(np.int64) * span + classes)
        keys = keys[np.diff(keys, prepend=-1) > 0]
        image, classes = np.divmod(keys, span)
        offsets = np.searchsorted(image, np.arange(len(file_names) + 1))
        return cls(np.asarray(file_names, dtype=np.str_), offsets, classes)

    def to_lists(self) -> list[list[int]]:
        """Returns one ascending list of classes per image."""
        return [part.tolist() for part in np.split(self.classes, self.offsets[1:-1])][: len(self)]

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> LabelSets:
        """Reads label sets from JSON, in the layout of the published `real.json` or another one.

        The published layout ("Are we done with ImageNet?") is a list with one list of classes per image in
        the order of the sorted file names of ILSVRC-2012's validation set (`ILSVRC2012_val_00000001.JPEG`
        first). Other layouts are an object from file name to list of classes, and those of `label_json.read`.

        Raises:
          InputError: naming the file and the place, if the file has none of these layouts.
        """
        with naming(path):
            return cls.from_lists(*label_json.read(path))

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes label sets as JSON (see `from_json`), atomically.

        Images 1…N of ILSVRC-2012's validation set are written as the published list, others as an object.
        """
        if (self.file_names == imagenet_file_names(len(self))).all():
            content = self.to_lists()
        else:
            content = dict(zip(self.file_names.tolist(), self.to_lists(), strict=True))
        files.write_json(path, content)

    def rows(self, file_names: np.ndarray, owner: str = "predictions") -> Int[np.ndarray, "names"]:
        """Returns the row of each image in these label sets, ignoring folders as file_names.match does.

        Args:
          file_names: (M,) str.
          owner: the object that has the file names, for errors.

        Raises:
          InputError: naming the first image that has no entry here.
        """
        return rows_of(
            self.file_names,
            file_names,
            "{missing} of the {total} images of the "
            + owner
            + " have no entry in the labels (first: "
            "{first}; the labels begin with {begin}): are they of the same dataset?",
        )

    def only(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Returns the only class of each image, (n,); for sets of one class per image (original labels)."""
        return self.classes[self.offsets[rows]]

    def take(self, rows: Int[np.ndarray, "n"]) -> LabelSets:
        """Returns the label sets of the images in `rows`, in this order."""
        counts = self.counts[rows]
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        # Label j of the result is label j - (offset of its image in the result) + (its offset in self).
        shift = np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts)
        classes = self.classes[np.arange(offsets[-1]) + shift]
        return LabelSets(self.file_names[rows], offsets, classes)

    def contains(
        self, rows: Int[np.ndarray, "n"], classes: Int[np.ndarray, "n k"]
    ) -> Bool[np.ndarray, "n k"]:
        """Returns whether `classes[j, r]` is a valid class of image `rows[j]`, (n, k) bool."""
        span, bits = self._bits
        if bits is not None:
            inside = (classes >= 0) & (classes < span)
            at = np.asarray(rows)[:, None] * span + np.where(inside, classes, 0)
            return inside & ((bits[at >> 3] >> (7 - (at & 7)).astype(np.uint8)) & 1).astype(bool)
        # All pairs are found by one binary search in the sorted array of image * span + class.
        span = max(span, 1 + int(classes.max(initial=-1)))
        keys = np.repeat(np.arange(len(self)), self.counts) * span + self.classes
        wanted = np.where(classes >= 0, np.asarray(rows)[:, None] * span + classes, -1)
        place = np.searchsorted(keys, wanted)
        is_valid = np.zeros(wanted.shape, bool)
        inside = place < len(keys)
        is_valid[inside] = keys[place[inside]] == wanted[inside]
        return is_valid

    @functools.cached_property
    def _bits(self) -> tuple[int, np.ndarray | None]:
        """(number of classes, one bit per image and class); the bits are None if there are too many."""
        span = 1 + int(self.classes.max(initial=-1))
        if not 0 < len(self) * span <= _MOST_BITS:
            return span, None
        bits = np.zeros(len(self) * span, bool)
        bits[np.repeat(np.arange(len(self)), self.counts) * span + self.classes] = True
        return span, np.packbits(bits)

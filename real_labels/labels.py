"""LabelSets: for each image, the set of classes that are valid for it."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int

from real_labels import files

_SHOWN = 3
_IMAGENET_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def check_file_names(file_names: Sequence[str] | np.ndarray, what: str) -> np.ndarray:
    """Returns the file names as an (N,) str array.

    Args:
      file_names: one per image.
      what: named in the error.

    Raises:
      ValueError: if a name is empty or stands for two images.
    """
    names = np.asarray(file_names, dtype=np.str_)
    if names.ndim != 1:
        raise ValueError(f"{what}: file_names must have shape (N,), found {names.shape}.")
    if names.size and not names.astype(bool).all():
        raise ValueError(
            f"{what}: row {int(np.argmin(names.astype(bool)))} has an empty file name."
        )
    if len(set(names.tolist())) != len(names):
        repeated = [n for n, count in collections.Counter(names.tolist()).items() if count > 1]
        raise ValueError(
            f"{what}: {len(repeated)} file names stand for several images "
            f"({', '.join(repeated[:_SHOWN])}…); every image needs a name of its own."
        )
    return names


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSets:
    """For each of N images the set of its valid classes, possibly empty.

    Image i has the classes `classes[offsets[i]:offsets[i + 1]]`, ascending and distinct.

    Attributes:
      file_names: (N,) str, distinct.
      offsets: (N + 1,) int64, from 0 to len(classes), never falling.
      classes: (L,) int32 class indices, at least 0.
    """

    file_names: np.ndarray
    offsets: Int[np.ndarray, "images_plus_1"]
    classes: Int[np.ndarray, "labels"]

    def __post_init__(self):
        names = check_file_names(self.file_names, "LabelSets")
        offsets = np.asarray(self.offsets)
        classes = np.asarray(self.classes)
        for name, array in (("offsets", offsets), ("classes", classes)):
            if array.size and array.dtype.kind not in "iu":
                raise ValueError(f"LabelSets: {name} must be integers, found {array.dtype}.")
        if offsets.shape != (len(names) + 1,):
            raise ValueError(
                f"LabelSets: offsets must have shape ({len(names) + 1},), one more than the "
                f"{len(names)} file names; found {offsets.shape}."
            )
        if offsets[0] != 0 or offsets[-1] != len(classes) or (np.diff(offsets) < 0).any():
            raise ValueError(
                f"LabelSets: offsets must rise from 0 to the number of labels ({len(classes)}); "
                f"found {offsets[0]} to {offsets[-1]}."
            )
        if classes.size and classes.min() < 0:
            raise ValueError(f"LabelSets: class {classes.min()} is negative.")
        image = np.repeat(np.arange(len(names)), np.diff(offsets))
        unsorted = (np.diff(image) == 0) & (np.diff(classes.astype(np.int64)) <= 0)
        if unsorted.any():
            where = names[image[int(np.argmax(unsorted))]]
            raise ValueError(
                f"LabelSets: the classes of {where} must be ascending and distinct; "
                f"LabelSets.from_lists sorts them."
            )
        object.__setattr__(self, "file_names", names)
        object.__setattr__(self, "offsets", offsets.astype(np.int64))
        object.__setattr__(self, "classes", classes.astype(np.int32))

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def counts(self) -> Int[np.ndarray, "images"]:
        """(N,) number of valid classes of each image."""
        return np.diff(self.offsets)

    @classmethod
    def from_lists(cls, file_names: Sequence[str], lists: Iterable[Iterable[int]]) -> LabelSets:
        """Builds label sets from one iterable of classes per image, in any order, repeats allowed."""
        sets = [np.unique(np.asarray(list(classes))) for classes in lists]
        sets = [s if s.size else s.astype(np.int32) for s in sets]
        if len(sets) != len(file_names):
            raise ValueError(
                f"LabelSets: {len(file_names)} file names but {len(sets)} label lists."
            )
        return cls(
            file_names=np.asarray(file_names, dtype=np.str_),
            offsets=np.concatenate([[0], np.cumsum([len(s) for s in sets], dtype=np.int64)]),
            classes=np.concatenate(sets) if sets else np.zeros(0, np.int32),
        )

    def to_lists(self) -> list[list[int]]:
        """One ascending list of classes per image."""
        return [part.tolist() for part in np.split(self.classes, self.offsets[1:-1])][: len(self)]

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> LabelSets:
        """Reads `real.json`'s layout.

        Either a list with one list of classes per image in the order of the sorted file names of
        ILSVRC-2012's validation set (`ILSVRC2012_val_00000001.JPEG` first), as published with
        "Are we done with ImageNet?", or an object from file name to list of classes.

        Raises:
          ValueError: if the file holds neither, naming the file and the place.
        """
        with open(path, encoding="utf-8") as file:
            try:
                content = json.load(file)
            except ValueError as error:
                raise ValueError(f"{path}: is no JSON, or cut short ({error}).") from None
        if isinstance(content, list):
            names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, len(content) + 1)]
            lists = content
        elif isinstance(content, dict):
            names, lists = list(content), list(content.values())
        else:
            raise ValueError(
                f"{path}: expected a list of label lists or an object from file name to label "
                f"list, found {type(content).__name__}."
            )
        for name, classes in zip(names, lists, strict=True):
            if not isinstance(classes, list) or not all(type(c) is int for c in classes):
                raise ValueError(
                    f"{path}: the labels of {name} must be a list of class indices, "
                    f"found {json.dumps(classes)[:60]}."
                )
        return cls.from_lists(names, lists)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes `real.json`'s layout (see `from_json`), atomically.

        Images 1…N of ILSVRC-2012's validation set give the published list; others an object.
        """
        numbers = [_IMAGENET_VALIDATION.fullmatch(name) for name in self.file_names]
        if all(m and int(m[1]) == i for i, m in enumerate(numbers, 1)):
            content = self.to_lists()
        else:
            content = dict(zip(self.file_names.tolist(), self.to_lists(), strict=True))
        with files.replacing(path) as temporary:
            temporary.write_text(json.dumps(content))

    def rows(self, file_names: np.ndarray, what: str = "predictions") -> Int[np.ndarray, "names"]:
        """Row of each file name in these label sets.

        Raises:
          ValueError: if an image is not here, with the first of them.
        """
        if len(file_names) == len(self) and (self.file_names == file_names).all():
            return np.arange(len(self))
        row = {name: i for i, name in enumerate(self.file_names.tolist())}
        missing = [name for name in np.asarray(file_names).tolist() if name not in row]
        if missing:
            raise ValueError(
                f"{len(missing)} of the {len(file_names)} images of the {what} have no entry in the "
                f"labels (first: {missing[0]}; the labels begin with "
                f"{self.file_names[0] if len(self) else 'nothing'}): are they of the same dataset?"
            )
        return np.array([row[name] for name in np.asarray(file_names).tolist()], dtype=np.int64)

    def take(self, rows: Int[np.ndarray, "n"]) -> LabelSets:
        """The label sets of these images, in this order."""
        counts = self.counts[rows]
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        # Label j of the result is label j - (where its image begins there) + (where it begins here).
        shift = np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts)
        classes = self.classes[np.arange(offsets[-1]) + shift]
        return LabelSets(self.file_names[rows], offsets, classes)

    def contains(
        self, rows: Int[np.ndarray, "n"], classes: Int[np.ndarray, "n k"]
    ) -> Bool[np.ndarray, "n k"]:
        """Whether `classes[j, r]` is among the valid classes of image `rows[j]`."""
        # One sorted array of image * span + class answers all questions with one binary search.
        span = 1 + max(int(self.classes.max(initial=-1)), int(classes.max(initial=-1)))
        keys = np.repeat(np.arange(len(self)), self.counts) * span + self.classes
        asked = np.where(classes >= 0, np.asarray(rows)[:, None] * span + classes, -1)
        place = np.searchsorted(keys, asked)
        found = np.zeros(asked.shape, bool)
        inside = place < len(keys)
        found[inside] = keys[place[inside]] == asked[inside]
        return found

"""Questions: image and label pairs that raters are asked about."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.answers import answer_tables
from real_labels.errors import InputError, naming
from real_labels.files import tables
from real_labels.files.text import all_normalised
from real_labels.labels import ClassNames, check_classes, check_distinct, check_file_names, match

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclasses.dataclass(frozen=True, eq=False)
class Questions:
    """Q distinct (image, label) pairs over I images.

    Attributes:
      file_names: (I,) str, distinct.
      image: (Q,) int32 row in file_names of each question.
      label: (Q,) int32 class each question asks about, at least 0.
    """

    file_names: np.ndarray
    image: Int[np.ndarray, "questions"]
    label: Int[np.ndarray, "questions"]

    def __post_init__(self):
        names = check_file_names(self.file_names, "Questions")
        image = np.asarray(self.image)
        label = check_classes(self.label, "Questions: label")
        if image.ndim != 1 or image.shape != label.shape:
            raise InputError(
                f"Questions: image and label must have the same shape (Q,), found {image.shape} and "
                f"{label.shape}."
            )
        if image.size and image.dtype.kind not in "iu":
            raise InputError(f"Questions: image must be integers, found {image.dtype}.")
        if image.size and not (image.min() >= 0 and image.max() < len(names)):
            raise InputError(
                f"Questions: image must lie in 0 to {len(names) - 1}, found {image.min()} to "
                f"{image.max()}."
            )
        object.__setattr__(self, "file_names", names)
        object.__setattr__(self, "image", image.astype(np.int32, copy=False))
        object.__setattr__(self, "label", label)
        keys = self._keys(self.image, self.label)
        if (np.diff(keys) <= 0).any():
            keys = np.sort(keys)
            repeated = keys[1:][np.diff(keys) == 0]
            if len(repeated):
                where, what = divmod(int(repeated[0]), self._span)
                raise InputError(
                    f"Questions: {len(repeated)} (image, label) pairs occur more than once (first: "
                    f"{names[where]}, label {what})."
                )

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def from_pairs(cls, file_names: Sequence[str] | np.ndarray, label: np.ndarray) -> Questions:
        """Builds questions from one file name and one label each, (Q,) both."""
        index: dict[str, int] = {}
        names = all_normalised(np.asarray(file_names, dtype=np.str_)).tolist()
        image = np.fromiter((index.setdefault(n, len(index)) for n in names), np.int32, len(names))
        return cls(np.array(list(index), dtype=np.str_), image, label)

    @classmethod
    def load(cls, path: str | os.PathLike[str], class_names: ClassNames | None = None) -> Questions:
        """Reads a table of file_name and label, such as proposals.csv.

        Args:
          path: the file (.csv, .tsv, .jsonl, .json, .parquet).
          class_names: names that stand for classes.

        Raises:
          InputError: naming the file, and the row where one is at fault; if a pair occurs twice.
        """
        with naming(path):
            return cls(*answer_tables.pairs_of(tables.read(path), class_names=class_names))

    def file_name(self) -> np.ndarray:
        """(Q,) str, the image of each question by name."""
        return self.file_names[self.image] if len(self) else np.zeros(0, np.str_)

    def take(self, rows: Int[np.ndarray, "n"]) -> Questions:
        """These questions, in this order; images without any are left out."""
        kept, image = np.unique(self.image[rows], return_inverse=True)
        return Questions(self.file_names[kept], image, self.label[rows])

    def named_as(self, file_names: np.ndarray, *, strict: bool = False) -> Questions:
        """The same questions, with the images called as they are in `file_names` where they are there.

        Args:
          file_names: (N,) str; matched whatever the folders (see labels.match).
          strict: whether contradicting folders are other images.

        Raises:
          InputError: if two images here are the same one there.
        """
        rows = match(file_names, self.file_names, strict=strict)
        check_distinct(rows, self.file_names)
        names = self.file_names.astype(object)
        names[rows >= 0] = file_names[rows[rows >= 0]]
        return dataclasses.replace(self, file_names=np.array(names, dtype=np.str_))

    def find(self, other: Questions) -> Int[np.ndarray, "other_questions"]:
        """(len(other),) int64: row here of each of the other's questions, -1 where it is not.

        Images are matched whatever their folders (see labels.match).
        """
        return self.lookup(other.file_names).rows(other.image, other.label)

    def lookup(self, file_names: np.ndarray) -> QuestionLookup:
        """For looking questions about these images up again and again.

        Args:
          file_names: (N,) str, distinct; matched whatever their folders (see labels.match).
        """
        keys = self._keys(self.image, self.label)
        order = np.argsort(keys)
        image = match(self.file_names, file_names) if len(self) else np.full(len(file_names), -1)
        return QuestionLookup(image, self._span, keys[order], order)

    def find_pairs(
        self, file_names: np.ndarray, label: Int[np.ndarray, "n"]
    ) -> Int[np.ndarray, "n"]:
        """(n,) int64: row here of the question about each image and label, -1 where it is not.

        Args:
          file_names: (n,) str, distinct.
          label: (n,) classes.
        """
        return self.find(Questions(file_names, np.arange(len(file_names)), label))

    @property
    def _span(self) -> int:
        return 1 + int(self.label.max(initial=0))

    def _keys(self, image: np.ndarray, label: np.ndarray) -> Int[np.ndarray, "n"]:
        return image.astype(np.int64) * self._span + label


@dataclasses.dataclass(frozen=True, eq=False)
class QuestionLookup:
    """Finds questions about N images by image and class (see Questions.lookup).

    Attributes:
      image: (N,) row of each image among the questions' images, -1 where none is about it.
      span: more than every class asked about.
      keys: (Q,) image * span + class, ascending.
      order: (Q,) question of each key.
    """

    image: Int[np.ndarray, "images"]
    span: int
    keys: Int[np.ndarray, "questions"]
    order: Int[np.ndarray, "questions"]

    def rows(
        self, image: Int[np.ndarray, "n"], label: Int[np.ndarray, "n"]
    ) -> Int[np.ndarray, "n"]:
        """(n,) int64: the question about each image (its row here, 0 to N - 1) and class; -1 without one."""
        if not len(self.keys):
            return np.full(len(image), -1, np.int64)
        asked_image = self.image[image]
        known = (asked_image >= 0) & (label < self.span)
        asked = np.where(known, asked_image.astype(np.int64) * self.span + label, -1)
        place = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        return np.where(self.keys[place] == asked, self.order[place], -1)


def info_array(questions: Questions) -> np.ndarray:
    """(Q, 2) str of file name and label, as the published files have it."""
    return np.stack([questions.file_name(), questions.label.astype(np.str_)], axis=1)


def questions_of_info(info: np.ndarray, path: str | os.PathLike[str]) -> Questions:
    """Questions from a published file's `info` array, (Q, 2) str.

    Raises:
      InputError: naming the file, if it is none.
    """
    if info.ndim != 2 or info.shape[1] != 2 or info.dtype.kind != "U":
        raise InputError(
            f"{path}: info must be (questions, 2) of str, file name and label; found "
            f"{info.shape} of {info.dtype}."
        )
    try:
        label = info[:, 1].astype(np.int64)
    except (ValueError, OverflowError):
        row = next((i for i, t in enumerate(info[:, 1].tolist()) if not t.strip().isdecimal()), 0)
        raise InputError(
            f"{path}: info row {row + 1} has the label '{info[row, 1]}', expected a class index."
        ) from None
    return Questions.from_pairs(info[:, 0], label)

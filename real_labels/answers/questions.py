"""Questions: (image, label) pairs; a question asks whether the label is present in the image."""

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
      label: (Q,) int32 class of each question, at least 0.

    Two questions about a.jpg and one about b.jpg:

    >>> from real_labels.answers import Questions
    >>> questions = Questions(["a.jpg", "b.jpg"], image=[0, 0, 1], label=[5, 7, 5])
    >>> len(questions), questions.file_name().tolist()
    (3, ['a.jpg', 'a.jpg', 'b.jpg'])
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
                image_row, first_label = divmod(int(repeated[0]), self._span)
                raise InputError(
                    f"Questions: {len(repeated)} (image, label) pairs occur more than once (first: "
                    f"{names[image_row]}, label {first_label})."
                )

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def from_pairs(cls, file_names: Sequence[str] | np.ndarray, label: np.ndarray) -> Questions:
        """Builds questions from the file name and the label of each question, both (Q,)."""
        index: dict[str, int] = {}
        names = all_normalised(np.asarray(file_names, dtype=np.str_)).tolist()
        image = np.fromiter((index.setdefault(n, len(index)) for n in names), np.int32, len(names))
        return cls(np.array(list(index), dtype=np.str_), image, label)

    @classmethod
    def load(cls, path: str | os.PathLike[str], class_names: ClassNames | None = None) -> Questions:
        """Reads a table of file_name and label, such as proposals.csv.

        Args:
          path: the file (.csv, .tsv, .jsonl, .json, .parquet).
          class_names: class names that may occur as labels.

        Raises:
          InputError: naming the file, and the row if it is wrong; if a pair occurs twice.
        """
        with naming(path):
            return cls(*answer_tables.pairs_of(tables.read(path), class_names=class_names))

    def file_name(self) -> np.ndarray:
        """Returns the file name of each question, (Q,) str."""
        return self.file_names[self.image] if len(self) else np.zeros(0, np.str_)

    def take(self, rows: Int[np.ndarray, "n"]) -> Questions:
        """Returns the questions in `rows`, in this order, without images that have no question."""
        kept, image = np.unique(self.image[rows], return_inverse=True)
        return Questions(self.file_names[kept], image, self.label[rows])

    def named_as(self, file_names: np.ndarray, *, strict: bool = False) -> Questions:
        """Returns the same questions with images renamed to the matching names in `file_names`.

        Images without a matching name keep their name.

        Args:
          file_names: (N,) str; matched although folders may differ (see labels.match).
          strict: whether images in contradicting folders differ.

        Raises:
          InputError: if two images of the questions match one of `file_names`.
        """
        rows = match(file_names, self.file_names, strict=strict)
        check_distinct(rows, self.file_names)
        names = self.file_names.astype(object)
        names[rows >= 0] = file_names[rows[rows >= 0]]
        return dataclasses.replace(self, file_names=np.array(names, dtype=np.str_))

    def find(self, other: Questions) -> Int[np.ndarray, "other_questions"]:
        """Returns the row here of each question of `other`, (len(other),) int64; -1 for missing questions.

        Images are matched although folders may differ (see labels.match).
        """
        return self.lookup(other.file_names).rows(other.image, other.label)

    def lookup(self, file_names: np.ndarray) -> QuestionLookup:
        """Returns a table for repeated look-ups of questions about these images.

        Args:
          file_names: (N,) str, distinct; matched although folders may differ (see labels.match).
        """
        keys = self._keys(self.image, self.label)
        order = np.argsort(keys)
        image = match(self.file_names, file_names) if len(self) else np.full(len(file_names), -1)
        return QuestionLookup(image, self._span, keys[order], order)

    def find_pairs(
        self, file_names: np.ndarray, label: Int[np.ndarray, "n"]
    ) -> Int[np.ndarray, "n"]:
        """Returns the row of the question about each image and label, (n,) int64; -1 for missing questions.

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
      image: (N,) row of each image in the file names of the questions; -1 for images without a question.
      span: 1 + the highest class of a question.
      keys: (Q,) image * span + class, ascending.
      order: (Q,) row of the question of each key.
    """

    image: Int[np.ndarray, "images"]
    span: int
    keys: Int[np.ndarray, "questions"]
    order: Int[np.ndarray, "questions"]

    def rows(
        self, image: Int[np.ndarray, "n"], label: Int[np.ndarray, "n"]
    ) -> Int[np.ndarray, "n"]:
        """Returns the question of each image (its row, 0 to N - 1) and class, (n,) int64; -1 if missing."""
        if not len(self.keys):
            return np.full(len(image), -1, np.int64)
        question_image = self.image[image]
        known = (question_image >= 0) & (label < self.span)
        key = np.where(known, question_image.astype(np.int64) * self.span + label, -1)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, self.order[place], -1)


def info_array(questions: Questions) -> np.ndarray:
    """Returns the file name and label of each question, (Q, 2) str, as in the published files."""
    return np.stack([questions.file_name(), questions.label.astype(np.str_)], axis=1)


def questions_of_info(info: np.ndarray, path: str | os.PathLike[str]) -> Questions:
    """Returns the questions in the `info` array of a published file, (Q, 2) str.

    Raises:
      InputError: naming the file, if the array has another shape or dtype, or a label is not a class index.
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

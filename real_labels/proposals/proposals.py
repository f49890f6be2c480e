"""Proposals: pairs of image and label worth asking about, and the models that propose each pair."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.answers import Questions
from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.labels import LabelSets, find_rows
from real_labels.predictions import Predictions
from real_labels.proposals.rules import Rules

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

SEPARATOR = ";"  # between the models of a pair, in proposals.csv


@dataclasses.dataclass(frozen=True, eq=False)
class Proposals:
    """The proposals of M models and of the original labels for I images.

    Attributes:
      models: (M,) distinct names.
      questions: the Q proposed pairs, image by image, labels ascending.
      by: (Q, M) whether the model proposes the pair.
      original: (Q,) whether the label is the image's original label, which is always proposed.
      differs: (I, M) whether the model's first class differs from the original label.
      covers: (I, M) whether the model has a prediction for the image.
      ask_all: whether an image is rated whenever a class beside the original label is proposed (see Rules).
    """

    models: tuple[str, ...]
    questions: Questions
    by: Bool[np.ndarray, "questions models"]
    original: Bool[np.ndarray, "questions"]
    differs: Bool[np.ndarray, "images models"]
    covers: Bool[np.ndarray, "images models"]
    ask_all: bool = False

    @classmethod
    def of(
        cls, original: LabelSets, models: Iterable[tuple[str, Predictions]], rules: Rules
    ) -> Proposals:
        """Collects the proposals.

        Args:
          original: one label per image; images that no model predicts are left out.
          models: name and predictions of each model. All predicted images must have an original label, under
            the same file name. The models are read one after another, so that only one model needs to be in
            memory.
          rules: the rules that choose the proposed classes of a model.

        Raises:
          InputError: if there are no models, or two models have the same name.
        """
        names, parts, covers, differs = [], [], [], []
        label = original.classes.astype(np.int64)
        span = np.int64(1) << 32  # a pair as one number: row of the image · span + class
        for name, predictions in models:
            rows = find_rows(original.file_names, predictions.file_names)
            image, rank = np.nonzero(rules.taken(predictions))
            parts.append(np.sort(rows[image] * span + predictions.classes[image, rank]))
            covered = np.zeros(len(original), bool)
            covered[rows] = True
            differing = np.zeros(len(original), bool)
            differing[rows] = predictions.classes[:, 0] != label[rows]
            names.append(name)
            covers.append(covered)
            differs.append(differing)
        if not names:
            raise InputError("There are no models, so there is nothing to propose.")
        if repeated := next((n for n in names if names.count(n) > 1), None):
            raise InputError(f"Two models are called {repeated}; give each model its own name.")
        kept = np.flatnonzero(np.any(covers, axis=0))
        original_keys = kept * span + label[kept]
        keys = np.unique(np.concatenate([original_keys, *parts]))
        by = np.zeros((len(keys), len(names)), bool)
        for column, part in enumerate(parts):
            by[np.searchsorted(keys, part), column] = True
        image, labels = np.divmod(keys, span)
        return cls(
            tuple(names),
            Questions(original.file_names[kept], np.searchsorted(kept, image), labels),
            by,
            labels == label[image],
            np.stack(differs, axis=1)[kept],
            np.stack(covers, axis=1)[kept],
            rules.ask_all,
        )

    @property
    def num_images(self) -> int:
        """I, the number of images that at least one model predicts."""
        return len(self.questions.file_names)

    def columns(self, pool: Sequence[str]) -> list[int]:
        """The columns of these models, in the order of `models`.

        Raises:
          InputError: if a name is unknown, or `pool` is empty.
        """
        if unknown := [name for name in pool if name not in self.models]:
            raise InputError(
                f"There is no model {unknown[0]!r}; there are {', '.join(self.models)}."
            )
        if not pool:
            raise InputError("A pool needs at least one model.")
        return sorted({self.models.index(name) for name in pool})

    def proposed(self, columns: Sequence[int]) -> Bool[np.ndarray, "questions"]:
        """(Q,) whether each pair is an original label or is proposed by one of these models."""
        return self.original | self.by[:, list(columns)].any(axis=1)

    def unrated(self, columns: Sequence[int]) -> Bool[np.ndarray, "images"]:
        """(I,) which images stay unrated: a model covers the image, and no model differs in its first class.

        With ask_all, no model may propose any class beside the original label.
        """
        if self.ask_all:
            others = self.questions.image[self.proposed(columns) & ~self.original]
            unrated = np.any(self.covers[:, list(columns)], axis=1)
            unrated[others] = False
            return unrated
        differs = np.any(self.differs[:, list(columns)], axis=1)
        return ~differs & np.any(self.covers[:, list(columns)], axis=1)

    def to_ask(self, columns: Sequence[int]) -> Bool[np.ndarray, "questions"]:
        """(Q,) which pairs are asked about: the proposed pairs of all images that do not stay unrated."""
        return self.proposed(columns) & ~self.unrated(columns)[self.questions.image]

    def unrated_labels(self, columns: Sequence[int]) -> LabelSets:
        """The unrated images with their original labels."""
        kept = self.original & self.unrated(columns)[self.questions.image]
        names = self.questions.file_names[self.questions.image[kept]]
        return LabelSets.from_pairs(names, np.arange(len(names)), self.questions.label[kept])

    def save(self, path: str | os.PathLike[str], columns: Sequence[int]) -> None:
        """Writes the pairs to ask about: file_name, label, models (joined by ";"), as .csv or .parquet.

        A pair that is the original label and that no model proposes has an empty `models`.
        """
        rows = np.flatnonzero(self.to_ask(columns))
        patterns, pattern, _ = distinct_rows(self.by[rows][:, list(columns)])
        names = [self.models[column] for column in columns]
        texts = [
            SEPARATOR.join(n for n, is_by in zip(names, row, strict=True) if is_by)
            for row in patterns
        ]
        content = {
            "file_name": self.questions.file_names[self.questions.image[rows]],
            "label": self.questions.label[rows],
            "models": np.array(texts or [""], dtype=object)[pattern],
        }
        tables.write(path, content)


def distinct_rows(
    matrix: Bool[np.ndarray, "rows columns"],
) -> tuple[
    Bool[np.ndarray, "distinct columns"], Int[np.ndarray, "rows"], Int[np.ndarray, "distinct"]
]:
    """Returns the distinct rows, the index of each row among them, and how often each distinct row occurs."""
    packed = np.ascontiguousarray(np.packbits(matrix, axis=1))
    # A row of bytes is viewed as one value, because values sort much faster than rows.
    row_bytes = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    rows, inverse, counts = np.unique(row_bytes, return_inverse=True, return_counts=True)
    bits = rows.view(np.uint8).reshape(len(rows), packed.shape[1])
    return np.unpackbits(bits, axis=1, count=matrix.shape[1]).astype(bool), inverse, counts

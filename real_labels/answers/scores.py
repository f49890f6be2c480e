"""Scores: how probable it is that each question's label is present."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.answers.questions import Questions, info_array, questions_of_info
from real_labels.errors import InputError, naming
from real_labels.files import npz
from real_labels.labels import LabelSets, match

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Q questions, each with the probability that its label is present in its image.

    Attributes:
      questions: the questions.
      probability: (Q,) float64 in [0, 1].
    """

    questions: Questions
    probability: Float[np.ndarray, "questions"]

    def __post_init__(self):
        probability = np.asarray(self.probability, np.float64)
        if probability.shape != (len(self.questions),):
            raise InputError(
                f"Scores: probability must have shape ({len(self.questions)},), found "
                f"{probability.shape}."
            )
        bad = ~((probability >= 0) & (probability <= 1))
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"Scores: probability must lie in [0, 1], found {probability[row]} at question {row + 1}."
            )
        object.__setattr__(self, "probability", probability)

    def __len__(self) -> int:
        return len(self.questions)

    def label_sets(self, threshold: float, unrated: LabelSets | None = None) -> LabelSets:
        """The labels whose score is at least `threshold`.

        Args:
          threshold: in [0, 1]; the published labels have 0.8.
          unrated: labels of all images of the dataset, in the order of the result; those without a question
            keep them (the paper's 25,111 images on which all models agreed). Or of the other images, and of
            less than half of those that were asked about, such as gold: then the result is of both, sorted by
            name. None: the images that were asked about, as ordered in the questions.

        Raises:
          InputError: if `unrated` has half or more of the images that were asked about, but not all.
        """
        if not 0 <= threshold <= 1:
            raise InputError(f"The threshold must lie in [0, 1], found {threshold}.")
        asked = self.questions
        kept = self.probability >= threshold
        image, label = asked.image[kept].astype(np.int64), asked.label[kept]
        if unrated is None:
            return LabelSets.from_pairs(asked.file_names, image, label)
        is_missing = match(unrated.file_names, asked.file_names) < 0
        if 2 * np.count_nonzero(is_missing) > len(is_missing):
            unrated = _with_images(unrated, asked.file_names[is_missing])
        rows = unrated.rows(asked.file_names, "questions")
        rated = np.zeros(len(unrated), bool)
        rated[rows] = True
        theirs = np.repeat(np.arange(len(unrated)), unrated.counts)
        stays = ~rated[theirs]
        return LabelSets.from_pairs(
            unrated.file_names,
            np.concatenate([rows[image], theirs[stays]]),
            np.concatenate([label, unrated.classes[stays]]),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the published layout of `scores.npz` (`tensor`, `info`), atomically."""
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, tensor=self.probability, info=info_array(self.questions))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scores:
        """Reads the published layout of `scores.npz`.

        Raises:
          InputError: naming the file.
        """
        with npz.opened(path, ("tensor", "info")) as archive:
            tensor, info = archive["tensor"], archive["info"]
        with naming(path):
            if tensor.dtype.kind not in "fiu":
                raise InputError(f"tensor must hold numbers, found {tensor.dtype}.")
            return cls(questions_of_info(info, path), tensor)


def _with_images(labels: LabelSets, file_names: np.ndarray) -> LabelSets:
    """The label sets and other images without labels, sorted by name."""
    names = np.concatenate([labels.file_names, file_names])
    image = np.repeat(np.arange(len(labels)), labels.counts)
    together = LabelSets.from_pairs(names, image, labels.classes)
    return together.take(np.argsort(names, kind="stable"))

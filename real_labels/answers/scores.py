"""Scores: the probability that the label of each question is present in its image."""

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
    """The probability of each of Q questions that its label is present in its image.

    Attributes:
      questions: the questions.
      probability: (Q,) float64 in [0, 1].

    Labels are the classes that reach a threshold:

    >>> from real_labels.answers import Questions, Scores
    >>> questions = Questions(["a.jpg", "b.jpg"], image=[0, 0, 1], label=[5, 7, 5])
    >>> scores = Scores(questions, [0.9, 0.2, 0.8])
    >>> scores.label_sets(threshold=0.8).to_lists()
    [[5], [5]]
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
        """Returns the labels with a score of at least `threshold`, as label sets.

        Args:
          threshold: in [0, 1]; 0.8 for the published labels.
          unrated: labels of images without questions. If it has all images of the dataset, the result has
            these images in this order, and images without a question keep these labels (the paper's 25,111
            images on which all models agreed). If it has less than half of the images with questions (such
            as only gold), the result has the images of both, sorted by name. If it is None, the result has
            the images with questions, in the order of the questions.

        Raises:
          InputError: if `unrated` has half or more of the images with questions, but not all.
        """
        if not 0 <= threshold <= 1:
            raise InputError(f"The threshold must lie in [0, 1], found {threshold}.")
        questions = self.questions
        kept = self.probability >= threshold
        image, label = questions.image[kept].astype(np.int64), questions.label[kept]
        if unrated is None:
            return LabelSets.from_pairs(questions.file_names, image, label)
        is_missing = match(unrated.file_names, questions.file_names) < 0
        if 2 * np.count_nonzero(is_missing) > len(is_missing):
            unrated = _with_images(unrated, questions.file_names[is_missing])
        rows = unrated.rows(questions.file_names, "questions")
        rated = np.zeros(len(unrated), bool)
        rated[rows] = True
        unrated_image = np.repeat(np.arange(len(unrated)), unrated.counts)
        stays = ~rated[unrated_image]
        return LabelSets.from_pairs(
            unrated.file_names,
            np.concatenate([rows[image], unrated_image[stays]]),
            np.concatenate([label, unrated.classes[stays]]),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the scores in the layout of the published `scores.npz` (`tensor`, `info`), atomically."""
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, tensor=self.probability, info=info_array(self.questions))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scores:
        """Reads scores in the layout of the published `scores.npz`.

        Raises:
          InputError: naming the file, if it is missing, damaged or has another layout.
        """
        with npz.opened(path, ("tensor", "info")) as archive:
            tensor, info = archive["tensor"], archive["info"]
        with naming(path):
            if tensor.dtype.kind not in "fiu":
                raise InputError(f"tensor must hold numbers, found {tensor.dtype}.")
            return cls(questions_of_info(info, path), tensor)


def _with_images(labels: LabelSets, file_names: np.ndarray) -> LabelSets:
    """Returns the label sets and further images without labels, sorted by name."""
    names = np.concatenate([labels.file_names, file_names])
    image = np.repeat(np.arange(len(labels)), labels.counts)
    combined = LabelSets.from_pairs(names, image, labels.classes)
    return combined.take(np.argsort(names, kind="stable"))

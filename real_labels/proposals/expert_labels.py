"""Expert labels: the truth about some images, against which pools of models are measured."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.answers import CATEGORIES, Questions, load_truth
from real_labels.errors import InputError, naming
from real_labels.labels import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Bool


@dataclasses.dataclass(frozen=True, eq=False)
class ExpertLabels:
    """Labels of some images, by experts.

    Attributes:
      questions: pairs of image and label whose truth is known.
      present: (G,) whether the label is present.
      are_complete: whether every label that is not among the questions is absent from these images. True
        for label sets; False for gold questions, where the truth of all other pairs is unknown.
    """

    questions: Questions
    present: Bool[np.ndarray, "gold"]
    are_complete: bool

    def __post_init__(self):
        if not self.present.any():
            raise InputError("no label of the gold is present, so recall cannot be measured.")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        at_least: int | None = None,
        categories: Sequence[str] = CATEGORIES,
        columns: Mapping[str, str] | None = None,
    ) -> ExpertLabels:
        """Reads gold questions (see Gold.load), or complete label sets (see LabelSets.from_json).

        Raises:
          InputError: naming the file, if it holds neither, or no label is present.
        """
        truth = load_truth(path, at_least, categories, columns)
        with naming(path):
            if isinstance(truth, LabelSets):
                return cls.of_label_sets(truth)
            return cls(truth.questions, truth.present, are_complete=False)

    @classmethod
    def of_label_sets(cls, labels: LabelSets) -> ExpertLabels:
        """Builds expert labels from label sets that hold all labels of their images."""
        image = np.repeat(np.arange(len(labels)), labels.counts)
        questions = Questions(labels.file_names, image, labels.classes)
        return cls(questions, np.ones(len(questions), bool), are_complete=True)

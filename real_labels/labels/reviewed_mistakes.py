"""Mistakes of two strong models that people reviewed one by one (Vasudevan et al. 2022).

"When does dough become a bagel? Analyzing the remaining mistakes on ImageNet", arXiv 2205.04596. The
authors' panel confirmed each prediction as a mistake, so a label set that contains it is too lenient.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import json_text
from real_labels.labels import imagenet, published
from real_labels.labels.reassessment import Reassessment

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

# File -> (model, number of mistakes).
_MODELS = {
    "vit3b_mistakes.json": ("ViT-3B", 378),
    "greedy_soups_mistakes.json": ("Greedy Soups", 249),
}
_PREDICTION, _CATEGORY, _SEVERITY = "top_prediction", "failure category", "failure severity"


@dataclasses.dataclass(frozen=True, eq=False)
class ReviewedMistakes:
    """The M reviewed mistakes of one model.

    Attributes:
      model: name of the model.
      file_names: (M,) str, ILSVRC-2012's validation images.
      predicted: (M,) int64, the model's first prediction.
      category: (M,) str, kind of each mistake.
      severity: (M,) str: Borderline, Minor or Major.
    """

    model: str
    file_names: np.ndarray
    predicted: Int[np.ndarray, "mistakes"]
    category: np.ndarray
    severity: np.ndarray

    def __len__(self) -> int:
        return len(self.file_names)

    def called_valid(self, reassessment: Reassessment) -> Bool[np.ndarray, "mistakes"]:
        """Returns whether the reassessment, which must have all images, calls each prediction valid, (M,)."""
        labels = reassessment.labels
        return labels.contains(labels.rows(self.file_names), self.predicted[:, None])[:, 0]

    def judged_by(self, reassessment: Reassessment) -> ReviewedMistakes:
        """Returns the mistakes on images that the reassessment covers."""
        kept = reassessment.covers(self.file_names)
        return ReviewedMistakes(
            self.model,
            self.file_names[kept],
            self.predicted[kept],
            self.category[kept],
            self.severity[kept],
        )


def sentence(reviewed: Sequence[ReviewedMistakes], reassessment: Reassessment) -> str:
    """Returns a sentence on the reviewed mistakes that a reassessment calls valid; "" if there are none."""
    shares, total = [], 0
    for mistakes in reviewed:
        judged = mistakes.judged_by(reassessment)
        if len(judged):
            valid = int(judged.called_valid(reassessment).sum())
            total += valid
            shares.append(
                f"{valid:,} of {len(judged):,} of {mistakes.model} ({100 * valid / len(judged):.1f}%)"
            )
    if not total:
        return ""
    return (
        f"Triage by label sets flatters strong models: people reviewed these models' mistakes one by one and "
        f"confirmed them, yet the {reassessment.title} labels call {' and '.join(shares)} valid."
    )


def load(folder: str | os.PathLike[str] | None = None) -> tuple[ReviewedMistakes, ...]:
    """Reads the files of reviewed mistakes that are in the data folder (see published.data_dir).

    Raises:
      InputError: if a file is damaged, has other images, or has another number of mistakes.
    """
    models = []
    for name, (model, number) in _MODELS.items():
        try:
            path = published.locate(name, folder)
        except published.NotThereError:
            continue
        mistakes = read(path, model)
        if len(mistakes) != number:
            raise InputError(
                f"{path}: has {len(mistakes):,} mistakes; expected {number:,}. Is it cut short, or another "
                f"model's?"
            )
        models.append(mistakes)
    return tuple(models)


def read(path: str | os.PathLike[str], model: str) -> ReviewedMistakes:
    """Reads a file of reviewed mistakes: an object from file name to prediction, category and severity.

    Raises:
      InputError: naming the file, if it has another layout, other images, or a prediction that is right.
    """
    with naming(path):
        content = json_text.read(path)
        if not isinstance(content, dict) or not content:
            raise InputError(
                "expected an object from file name to a mistake, as in vit3b_mistakes.json."
            )
        names = list(content)
        unknown = [name for name in names if not imagenet.is_validation_name(name)]
        if unknown:
            raise InputError(
                f"is about {unknown[0]}, which is not one of ILSVRC-2012's validation images."
            )
        rows = []
        for name, record in content.items():
            fields = (_PREDICTION, _CATEGORY, _SEVERITY)
            if not isinstance(record, dict) or not set(fields) <= set(record):
                raise InputError(f"{name}: expected {', '.join(fields)}.")
            prediction = record[_PREDICTION]
            if type(prediction) is not int or not 0 <= prediction < imagenet.NUM_CLASSES:
                raise InputError(f"{name}: the {_PREDICTION} is {prediction!r}; expected 0 to 999.")
            rows.append((prediction, str(record[_CATEGORY]), str(record[_SEVERITY])))
        predicted, category, severity = zip(*rows, strict=True)
        mistakes = ReviewedMistakes(
            model,
            np.array(names, np.str_),
            np.array(predicted, np.int64),
            np.array(category, np.str_),
            np.array(severity, np.str_),
        )
        original = imagenet.original_labels()
        right = original.classes[original.rows(mistakes.file_names)] == mistakes.predicted
        if right.any():
            raise InputError(
                f"{np.count_nonzero(right):,} of its {len(right):,} predictions are the original label "
                f"(first: {names[int(np.argmax(right))]}), so they are not mistakes. Are its "
                f"rows about other images?"
            )
        return mistakes

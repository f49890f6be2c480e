"""Mistakes of two strong models that people reviewed one by one (Vasudevan et al. 2022).

"When does dough become a bagel? Analyzing the remaining mistakes on ImageNet", arXiv 2205.04596. Their panel
looked at each prediction and called it a mistake; so what a label set calls valid among them, it forgives.
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

# Files: the model, and how many mistakes it has.
_MODELS = {
    "vit3b_mistakes.json": ("ViT-3B", 378),
    "greedy_soups_mistakes.json": ("Greedy Soups", 249),
}
_PREDICTION, _CATEGORY, _SEVERITY = "top_prediction", "failure category", "failure severity"


@dataclasses.dataclass(frozen=True, eq=False)
class ReviewedMistakes:
    """One model's mistakes.

    Attributes:
      model: its name.
      file_names: (M,) str, ILSVRC-2012's validation images.
      predicted: (M,) int64, the model's first prediction.
      category: (M,) str, of what kind the mistake is.
      severity: (M,) str: Borderline, Minor or Major.
    """

    model: str
    file_names: np.ndarray
    predicted: Int[np.ndarray, "mistakes"]
    category: np.ndarray
    severity: np.ndarray

    def __len__(self) -> int:
        return len(self.file_names)

    def called_valid(self, one: Reassessment) -> Bool[np.ndarray, "mistakes"]:
        """(M,) whether a reassessment, which must know the images, calls the prediction valid."""
        return one.labels.contains(one.labels.rows(self.file_names), self.predicted[:, None])[:, 0]

    def judged_by(self, one: Reassessment) -> ReviewedMistakes:
        """Those on images that a reassessment looked at."""
        kept = one.covers(self.file_names)
        return ReviewedMistakes(
            self.model,
            self.file_names[kept],
            self.predicted[kept],
            self.category[kept],
            self.severity[kept],
        )


def sentence(reviewed: Sequence[ReviewedMistakes], one: Reassessment) -> str:
    """How far a triage by a reassessment flatters models; "" where it calls none of the mistakes valid."""
    said, total = [], 0
    for mistakes in reviewed:
        judged = mistakes.judged_by(one)
        if len(judged):
            valid = int(judged.called_valid(one).sum())
            total += valid
            said.append(
                f"{valid:,} of {len(judged):,} of {mistakes.model} ({100 * valid / len(judged):.1f}%)"
            )
    if not total:
        return ""
    return (
        f"A triage by label sets flatters strong models: of mistakes that people reviewed one by one and "
        f"called mistakes, the {one.title} labels call valid {' and '.join(said)}."
    )


def load(folder: str | os.PathLike[str] | None = None) -> tuple[ReviewedMistakes, ...]:
    """The reviewed mistakes whose files are in the data folder (see published.data_dir).

    Raises:
      InputError: if one of them is damaged, or of other images.
    """
    found = []
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
        found.append(mistakes)
    return tuple(found)


def read(path: str | os.PathLike[str], model: str) -> ReviewedMistakes:
    """Reads a file of them: an object from file name to prediction, category and severity.

    Raises:
      InputError: naming the file, if it is another one.
    """
    with naming(path):
        content = json_text.read(path)
        if not isinstance(content, dict) or not content:
            raise InputError(
                "expected an object from file name to a mistake, as in vit3b_mistakes.json."
            )
        names = list(content)
        strangers = [name for name in names if not imagenet.is_validation_name(name)]
        if strangers:
            raise InputError(
                f"is about {strangers[0]}, which is none of ILSVRC-2012's validation images."
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
                f"(first: {names[int(np.argmax(right))]}), which no mistake is: are its rows of other images?"
            )
        return mistakes

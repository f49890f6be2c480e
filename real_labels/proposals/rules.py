"""Which classes of a model's ranking are its proposals."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.predictions import Predictions, ranking
from real_labels.predictions.reading import PredictionFile

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_FIRST_DEPTH = 8  # ranks looked at first, where a rule asks for scores


@dataclasses.dataclass(frozen=True)
class Rules:
    """A model proposes every class that one of the rules takes; its first class always.

    Attributes:
      top_k: the first k classes of each image; at least 1.
      above: every class of a probability above this, in [0, 1); None: no such rule.
      most_confident: the model's N pairs of image and class of the highest probability; None: no such rule.
      ask_all: whether an image is rated whenever a class beside the original label is proposed. Else it
        stands unrated where the first class of every model is the original label, as in the paper, and
        its other proposals are dropped.
    """

    top_k: int = 1
    above: float | None = None
    most_confident: int | None = None
    ask_all: bool = False

    def __post_init__(self):
        if self.top_k < 1:
            raise InputError(f"--top-k {self.top_k}: expected at least 1.")
        if self.above is not None and not 0 <= self.above < 1:
            raise InputError(f"--above {self.above}: expected a probability, 0 <= P < 1.")
        if self.most_confident is not None and self.most_confident < 1:
            raise InputError(f"--most-confident {self.most_confident}: expected at least 1.")

    @property
    def need_scores(self) -> bool:
        """Whether a rule looks at probabilities."""
        return self.above is not None or self.most_confident is not None

    def ranked(self, found: PredictionFile) -> PredictionFile:
        """A file with as many ranks as the rules may take, and probabilities for scores.

        Files that hold ranked classes are left as they are.

        Raises:
          InputError: without the file's name (see errors.naming), if it has too few ranks, or no scores
            where a rule needs them.
        """
        if found.every_score is None:
            if found.classes.shape[1] < self.top_k:
                raise InputError(
                    f"has {found.classes.shape[1]} ranked classes an image, and --top-k {self.top_k} needs "
                    f"{self.top_k}."
                )
            if self.need_scores and found.scores is None:
                raise InputError(
                    "has no scores; --above and --most-confident need probabilities beside the classes."
                )
            return self._with_remark(found) if self.need_scores else found
        num_classes = found.every_score.shape[1]
        if num_classes < self.top_k:
            raise InputError(f"has {num_classes} classes, fewer than --top-k {self.top_k}.")
        depth = min(max(self.top_k, _FIRST_DEPTH), num_classes)
        while True:
            classes, best = ranking.top_k(found.every_score, depth)
            scores = ranking.probabilities(found.every_score, best)
            if depth == num_classes or not self._may_take_more(scores):
                break
            depth = min(2 * depth, num_classes)
        return dataclasses.replace(found, classes=classes.astype(np.int64), scores=scores)

    def _with_remark(self, found: PredictionFile) -> PredictionFile:
        """Ranked classes with probabilities, and a remark where more ranks might be taken than there are."""
        scores = found.scores
        if scores is None or not _are_probabilities(scores):
            raise InputError(
                "has scores that are no probabilities (outside 0 to 1) and not those of every class, so no "
                "probabilities can be made of them; --above and --most-confident need them."
            )
        if (np.diff(scores, axis=1) > 0).any():
            raise InputError(
                "has scores that rise along the ranking; --above and --most-confident need probabilities "
                "in falling order."
            )
        missing = int(np.count_nonzero(self._by_scores(scores)[:, -1]))
        if not missing:
            return found
        remark = (
            f"On {missing:,} images the last of its {scores.shape[1]} ranked classes is proposed by its "
            f"probability, so classes behind it may be missing: save more ranks, or scores of all classes."
        )
        return dataclasses.replace(found, remarks=(*found.remarks, remark))

    def _may_take_more(self, scores: Float[np.ndarray, "images k"]) -> bool:
        """Whether classes behind the last rank may be taken."""
        return bool(self._by_scores(scores)[:, -1].any())

    def taken(self, predictions: Predictions) -> Bool[np.ndarray, "images k"]:
        """(N, k) which of the ranked classes are proposed."""
        taken = np.zeros(predictions.classes.shape, bool)
        taken[:, : self.top_k] = True
        if self.need_scores:
            if predictions.scores is None:
                raise InputError("Rules by probability need predictions with scores.")
            taken |= self._by_scores(predictions.scores)
        return taken

    def _by_scores(self, scores: Float[np.ndarray, "images k"]) -> Bool[np.ndarray, "images k"]:
        taken = np.zeros(scores.shape, bool)
        if self.above is not None:
            taken |= scores > self.above
        if self.most_confident is not None:
            n = min(self.most_confident, scores.size)
            lowest = np.partition(scores.ravel(), scores.size - n)[scores.size - n]
            taken |= scores >= lowest
        return taken

    def __str__(self) -> str:
        parts = ["the first class" if self.top_k == 1 else f"the first {self.top_k} classes"]
        if self.above is not None:
            parts.append(f"every class of a probability above {self.above:g}")
        if self.most_confident is not None:
            parts.append(f"its {self.most_confident:,} most confident pairs")
        return " and ".join(parts)


def _are_probabilities(scores: np.ndarray) -> bool:
    return bool(scores.min() >= -ranking.ROUNDING and scores.max() <= 1 + ranking.ROUNDING)

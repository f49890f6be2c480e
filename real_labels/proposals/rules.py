"""The rules that choose a model's proposals from its ranked classes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.predictions import Predictions, ranking
from real_labels.predictions.reading import PredictionFile

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_FIRST_DEPTH = 8  # ranks read first if a rule needs scores


@dataclasses.dataclass(frozen=True)
class Rules:
    """A model proposes its first class, and every class that one of the rules selects.

    Attributes:
      top_k: the first k classes of each image; at least 1.
      above: every class with a probability above this value, in [0, 1); None for no such rule.
      most_confident: the N pairs of image and class with the model's highest probabilities; None for no such
        rule.
      ask_all: whether an image is rated whenever a class beside the original label is proposed. If False, an
        image stays unrated if the first class of every model is the original label, as in the paper, and
        the image's other proposals are dropped.
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
        """Whether a rule uses probabilities."""
        return self.above is not None or self.most_confident is not None

    def ranked(self, file: PredictionFile) -> PredictionFile:
        """Returns the file with as many ranks as the rules may select, and with probabilities as scores.

        The classes and scores of files that hold ranked classes are left as they are.

        Raises:
          InputError: without the file's name (see errors.naming), if the file has too few ranks, or no
            usable scores although a rule needs probabilities.
        """
        if file.every_score is None:
            if file.classes.shape[1] < self.top_k:
                raise InputError(
                    f"has {file.classes.shape[1]} ranked classes per image, but --top-k {self.top_k} needs "
                    f"{self.top_k}."
                )
            if self.need_scores and file.scores is None:
                raise InputError(
                    "has no scores; --above and --most-confident need probabilities beside the classes."
                )
            return self._with_remark(file) if self.need_scores else file
        num_classes = file.every_score.shape[1]
        if num_classes < self.top_k:
            raise InputError(f"has {num_classes} classes, fewer than --top-k {self.top_k}.")
        depth = min(max(self.top_k, _FIRST_DEPTH), num_classes)
        while True:
            classes, best = ranking.top_k(file.every_score, depth)
            scores = ranking.probabilities(file.every_score, best)
            if depth == num_classes or not self._may_take_more(scores):
                break
            depth = min(2 * depth, num_classes)
        return dataclasses.replace(file, classes=classes.astype(np.int64), scores=scores)

    def _with_remark(self, file: PredictionFile) -> PredictionFile:
        """Returns the file, with a remark if the rules might select classes below its last rank.

        Raises:
          InputError: if the scores are not probabilities in falling order.
        """
        scores = file.scores
        if scores is None or not _are_probabilities(scores):
            raise InputError(
                "has scores that are not probabilities (outside 0 to 1). They are not the scores of all "
                "classes, so they cannot be converted to probabilities; --above and --most-confident need "
                "probabilities."
            )
        if (np.diff(scores, axis=1) > 0).any():
            raise InputError(
                "has scores that rise along the ranking; --above and --most-confident need probabilities "
                "in falling order."
            )
        missing = int(np.count_nonzero(self._by_scores(scores)[:, -1]))
        if not missing:
            return file
        remark = (
            f"On {missing:,} images the last of the {scores.shape[1]} ranked classes is proposed because of "
            f"its probability, so lower-ranked classes may be missing: save more ranks, or the scores of all "
            f"classes."
        )
        return dataclasses.replace(file, remarks=(*file.remarks, remark))

    def _may_take_more(self, scores: Float[np.ndarray, "images k"]) -> bool:
        """Whether the rules might select classes below the last rank."""
        return bool(self._by_scores(scores)[:, -1].any())

    def taken(self, predictions: Predictions) -> Bool[np.ndarray, "images k"]:
        """(N, k) which of the ranked classes the rules select."""
        taken = np.zeros(predictions.classes.shape, bool)
        taken[:, : self.top_k] = True
        if self.need_scores:
            if predictions.scores is None:
                raise InputError("Rules that use probabilities need predictions with scores.")
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

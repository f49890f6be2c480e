"""Reliability of each rater, and which raters to drop."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.aggregate import Aggregate

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KEEP, DROP, INVERTED, FEW = "keep", "drop", "inverted", "too few answers"
_USELESS = (
    0.2  # informedness below which even five raters together decide hardly better than chance
)
_UNSURE = 0.5  # width of the interval above which a rater cannot be judged


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """Informedness, interval and verdict of each rater.

    With each category valued from 0 ("no") to 1 ("yes"), informedness is the mean answer to labels
    that are present minus the mean answer to labels that are absent: 1 for a rater who is always
    right, 0 for a rater who answers without looking, below 0 for a rater who answers the opposite.
    For two categories it is Youden's J, sensitivity + specificity - 1.

    Attributes:
      raters: (R,) str ids.
      answers: (R,) number of answers behind the figures.
      informedness: (R,) in [-1, 1].
      low, high: (R,) 95% interval of the informedness (normal, from the spread of the answers).
      bits: (R,) mutual information of an answer and the truth, in bits, at the aggregate's prior.
      yes_if_present: (R,) P("yes" | present), the last category.
      yes_if_absent: (R,) P("yes" | absent).
      verdict: (R,) str: "drop" where even `high` is below 0.2, "inverted" where `high` is below 0,
        "too few answers" where the interval is wider than 0.5, else "keep".
    """

    raters: np.ndarray
    answers: Int[np.ndarray, "raters"]
    informedness: Float[np.ndarray, "raters"]
    low: Float[np.ndarray, "raters"]
    high: Float[np.ndarray, "raters"]
    bits: Float[np.ndarray, "raters"]
    yes_if_present: Float[np.ndarray, "raters"]
    yes_if_absent: Float[np.ndarray, "raters"]
    verdict: np.ndarray

    @classmethod
    def of(cls, aggregate: Aggregate) -> Reliability:
        """Measures the raters by their confusion matrices."""
        confusion, counts = aggregate.confusion, aggregate.counts
        values = np.linspace(0, 1, confusion.shape[2])
        mean = confusion @ values
        spread = confusion @ values**2 - mean**2
        # Adding one keeps the error finite for raters without answers.
        error = np.sqrt((spread / (counts.sum(axis=2) + 1)).sum(axis=1))
        informedness = mean[:, 1] - mean[:, 0]
        z = statistics.NormalDist().inv_cdf(0.975)
        low = np.maximum(informedness - z * error, -1)
        high = np.minimum(informedness + z * error, 1)
        verdict = np.full(len(error), KEEP, dtype=f"<U{len(FEW)}")
        verdict[high < _USELESS] = DROP
        verdict[high < 0] = INVERTED
        verdict[(high - low > _UNSURE) | (counts.sum(axis=(1, 2)) == 0)] = FEW
        return cls(
            raters=aggregate.raters,
            answers=np.rint(counts.sum(axis=(1, 2))).astype(np.int64),
            informedness=informedness,
            low=low,
            high=high,
            bits=_mutual_information(confusion, aggregate.prior),
            yes_if_present=confusion[:, 1, -1],
            yes_if_absent=confusion[:, 0, -1],
            verdict=verdict,
        )

    def columns(self) -> dict[str, np.ndarray]:
        """All attributes as columns of a table, the rater of the highest informedness first."""
        order = np.argsort(-self.informedness, kind="stable")
        columns = {f.name: getattr(self, f.name)[order] for f in dataclasses.fields(self)}
        return {"rater": columns.pop("raters"), **columns}


def _mutual_information(confusion: np.ndarray, prior: float) -> Float[np.ndarray, "raters"]:
    truth = np.array([1 - prior, prior])[:, None]
    answer = (truth * confusion).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = truth * confusion * np.log2(confusion / answer)
    return np.maximum(np.where((confusion > 0) & (truth > 0), terms, 0).sum(axis=(1, 2)), 0)

"""The result of an aggregation, an earlier fit to start from, and label sets that vote as raters."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.aggregation.em import Convergence
from real_labels.aggregation.rater_model import Parameters
from real_labels.answers import Answers, Gold, Scores
from real_labels.errors import InputError
from real_labels.files import npz
from real_labels.labels import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class PseudoRater:
    """A label set, or a classifier's predictions as one, that votes as one more rater.

    It answers "yes" where a question's label is among the image's labels, else "no". In the
    published recipe the original ImageNet label does so on animals, where raters are unsure.

    Attributes:
      name: its rater id.
      labels: what it holds for valid.
      classes: the labels that it votes on; None for all. Where its confusion matrix is measured on
        gold questions, all of them count.
      gold: the truth its matrix is measured against, if not that of the other raters; for
        gold_calibrated, which alone measures on gold.
    """

    name: str
    labels: LabelSets
    classes: Int[np.ndarray, "n"] | None = None
    gold: Gold | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Aggregate:
    """What a method makes of the answers.

    Attributes:
      scores: of each question.
      sureness: (Q,) in [0.5, 1], the probability that deciding by "more likely than not" is right,
        if the model is: max(score, 1 - score) for the two models; for the majority, that all raters,
        if asked, would decide as those who were. The questions with the least are the ones to ask
        again.
      raters: (R,) str ids, pseudo-raters last.
      confusion: (R, 2, K) P(answer | absent), P(answer | present) of each rater.
      counts: (R, 2, K) answers behind it (expected ones where the truth is a probability).
      prior: P(present) before any answer.
      categories: what may be answered.
      convergence: how EM went, or None.
      shrinkage: pseudo-answers for each truth that every rater was given, like the average rater's.
    """

    scores: Scores
    sureness: Float[np.ndarray, "questions"]
    raters: np.ndarray
    confusion: Float[np.ndarray, "raters 2 categories"]
    counts: Float[np.ndarray, "raters 2 categories"]
    prior: float
    categories: tuple[str, ...]
    convergence: Convergence | None = None
    shrinkage: float = 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what a later `dawid_skene` can start from, as `.npz`, atomically."""
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                raters=self.raters,
                confusion=self.confusion,
                prior=np.float64(self.prior),
                categories=np.array(self.categories),
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where an earlier fit ended, to start EM from (`Start.of`, `Start.load`).

    Attributes:
      raters: (R,) str ids.
      parameters: prior, and confusion (R, 2, K) of these raters.
      categories: what may be answered.
    """

    raters: np.ndarray
    parameters: Parameters
    categories: tuple[str, ...]

    @classmethod
    def of(cls, aggregate: Aggregate) -> Start:
        """The parameters of an aggregate."""
        parameters = Parameters(aggregate.prior, aggregate.confusion)
        return cls(aggregate.raters, parameters, aggregate.categories)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Start:
        """Reads what `Aggregate.save` wrote.

        Raises:
          InputError: naming the file.
        """
        with npz.opened(path, ("raters", "confusion", "prior", "categories")) as archive:
            raters = npz.as_text(archive["raters"], "raters")
            categories = tuple(npz.as_text(archive["categories"], "categories").tolist())
            confusion, prior = archive["confusion"], archive["prior"]
            if prior.shape != () or prior.dtype.kind not in "iuf":
                raise InputError(f"prior must be a number, found {prior.shape} of {prior.dtype}.")
            prior = float(prior)
        shape = (len(raters), 2, len(categories))
        if (
            confusion.shape != shape
            or confusion.dtype.kind != "f"
            or not (confusion >= 0).all()
            or not np.allclose(confusion.sum(axis=2), 1)
        ):
            raise InputError(
                f"{path}: confusion must be {shape}, each row a distribution; found "
                f"{confusion.shape} of {confusion.dtype}."
            )
        if not 0 <= prior <= 1 or len(set(raters.tolist())) < len(raters):
            raise InputError(
                f"{path}: expected a prior in [0, 1] and distinct raters, found {prior} and "
                f"{len(raters)} of which {len(set(raters.tolist()))} differ."
            )
        return cls(raters, Parameters(prior, confusion), categories)

    def for_raters(self, answers: Answers) -> Parameters:
        """The parameters in the order of these raters; new ones get the mean matrix.

        Raises:
          InputError: if the categories differ.
        """
        if self.categories != answers.categories:
            raise InputError(
                f"The earlier fit is of the answers {', '.join(self.categories)}, these are of "
                f"{', '.join(answers.categories)}."
            )
        row = {rater: i for i, rater in enumerate(self.raters.tolist())}
        confusion = self.parameters.confusion
        mean = confusion.mean(axis=0)
        ours = [confusion[row[r]] if r in row else mean for r in answers.raters.tolist()]
        return Parameters(self.parameters.prior, np.array(ours))

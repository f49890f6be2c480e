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
    """A label set, or a classifier's predictions as a label set, that votes as an additional rater.

    It answers "yes" if a question's label is among the image's labels, else "no". In the published
    recipe the original ImageNet labels vote on animal classes, where raters are unsure.

    Attributes:
      name: rater id of the label set.
      labels: the valid labels of each image, according to the label set.
      classes: the classes that the label set votes on; None for all. gold_calibrated measures its
        confusion matrix on the gold questions of all classes.
      gold: the truth that its confusion matrix is measured against; None for the gold of the other
        raters. Only gold_calibrated uses it.

    The label set below holds class 5 for the image, so it answers yes to class 5 and no to class 7:

    >>> from real_labels.aggregation import majority
    >>> from real_labels.answers import Answers, Questions
    >>> from real_labels.labels import LabelSets
    >>> questions = Questions(["a.jpg"], image=[0, 0], label=[5, 7])
    >>> answers = Answers(questions, raters=["ann"], question=[0, 1], rater=[0, 0], answer=[2, 2])
    >>> original = PseudoRater("original", LabelSets.from_lists(["a.jpg"], [[5]]))
    >>> majority(answers, pseudo_raters=[original]).scores.probability.tolist()
    [1.0, 0.5]
    """

    name: str
    labels: LabelSets
    classes: Int[np.ndarray, "n"] | None = None
    gold: Gold | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Aggregate:
    """The result of an aggregation method.

    Attributes:
      scores: P(present) of each question.
      sureness: (Q,) in [0.5, 1], the probability that the decision "present if the score is above ½" is
        right, provided that the model is right. For the two models it is max(score, 1 - score); for the
        majority, the probability that the majority of all raters would decide as the raters who were
        asked. Ask the questions of the lowest sureness again first.
      raters: (R,) str ids, pseudo-raters last.
      confusion: (R, 2, K) P(answer | absent), P(answer | present) of each rater.
      counts: (R, 2, K) number of answers behind each entry of `confusion`; an expected number where the
        truth is a probability.
      prior: P(present) before any answer.
      categories: the possible answers, from "surely absent" to "surely present".
      convergence: the course of EM; None for methods without EM.
      shrinkage: number of pseudo-answers for each truth that were added to every rater, distributed as
        the average rater's answers.

    Label sets are made from the scores:

    >>> from real_labels.aggregation import majority
    >>> from real_labels.answers import Answers, Questions
    >>> questions = Questions(["a.jpg"], image=[0, 0], label=[5, 7])
    >>> answers = Answers(questions, raters=["ann"], question=[0, 1], rater=[0, 0], answer=[2, 0])
    >>> aggregate = majority(answers)
    >>> aggregate.raters.tolist(), aggregate.sureness.tolist()
    (['ann'], [0.75, 0.75])
    >>> aggregate.scores.label_sets(0.5).to_lists()
    [[5]]
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
        """Writes the fit as `.npz`, atomically; a later `dawid_skene` can start from it (`Start.load`)."""
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
    """The parameters of an earlier fit, for EM to start from (`Start.of`, `Start.load`).

    Attributes:
      raters: (R,) str ids.
      parameters: prior, and confusion (R, 2, K) of these raters.
      categories: the possible answers.
    """

    raters: np.ndarray
    parameters: Parameters
    categories: tuple[str, ...]

    @classmethod
    def of(cls, aggregate: Aggregate) -> Start:
        """Returns the parameters of an aggregate."""
        parameters = Parameters(aggregate.prior, aggregate.confusion)
        return cls(aggregate.raters, parameters, aggregate.categories)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Start:
        """Reads a file written by `Aggregate.save`.

        Raises:
          InputError: naming the file, if the file does not hold a fit.
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
                f"{path}: expected a prior in [0, 1] and distinct raters, found the prior {prior} and "
                f"{len(raters)} raters ({len(set(raters.tolist()))} distinct)."
            )
        return cls(raters, Parameters(prior, confusion), categories)

    def for_raters(self, answers: Answers) -> Parameters:
        """Returns the parameters in the order of the answers' raters; new raters get the mean matrix.

        Raises:
          InputError: if the categories differ.
        """
        if self.categories != answers.categories:
            raise InputError(
                f"The earlier fit has the answer categories {', '.join(self.categories)}; the new "
                f"answers have {', '.join(answers.categories)}."
            )
        row = {rater: i for i, rater in enumerate(self.raters.tolist())}
        confusion = self.parameters.confusion
        mean = confusion.mean(axis=0)
        matrices = [confusion[row[r]] if r in row else mean for r in answers.raters.tolist()]
        return Parameters(self.parameters.prior, np.array(matrices))

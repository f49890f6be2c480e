"""Several models together: the mean of their scores, or the votes of their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.labels import find_rows
from real_labels.predictions import ranking
from real_labels.predictions.predictions import TOP_K, Predictions
from real_labels.predictions.reading import PredictionFile

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Ensemble:
    """Models whose predictions are added up one after the other.

    Where every model has a score for every class, its probabilities are averaged (scores within [0, 1] are
    probabilities already, others become their softmax). Where some have probabilities of their first classes
    only, such as our own predictions.npz, those of these classes are averaged, and count as 0 for the others.
    Where one has ranked classes alone, each class gets votes: k for a model's first class, k - 1 for its
    second, …, 1 for its k-th, where k is the least number of classes that a model ranks (Borda's count).
    Equal ones go by the best rank, then by the model that was named first.
    """

    def __init__(self) -> None:
        self._names: np.ndarray | None = None
        self._classes: list[Int[np.ndarray, "images k"]] = []
        self._probabilities: list[Float[np.ndarray, "images k"] | None] = []
        # Of every class; None once a model has scores of its first classes only, or none.
        self._total: Float[np.ndarray, "images classes"] | None = None

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def by_scores(self) -> bool:
        """Whether scores are averaged, not ranks counted."""
        return all(one is not None for one in self._probabilities)

    def add(self, file_names: np.ndarray, found: PredictionFile) -> None:
        """Adds a model.

        Args:
          file_names: (N,) str of its images, in the order of its rows.
          found: its predictions.

        Raises:
          InputError: if it is about other images than the first, or scores another number of classes.
        """
        if self._names is None:
            self._names = file_names
        rows = find_rows(file_names, self._names)
        if (rows < 0).any() or len(file_names) != len(self._names):
            missing = int(np.count_nonzero(rows < 0))
            raise InputError(
                f"is about other images than the first file: {len(file_names):,} beside "
                f"{len(self._names):,}, of which it lacks {missing:,}."
            )
        if found.every_score is None:
            self._total, best = None, found.scores
        else:
            every = ranking.probabilities(
                found.every_score, np.asarray(found.every_score, np.float32)
            )
            best = np.take_along_axis(every, found.classes, axis=1)
            self._add_scores(every[rows])
        self._classes.append(found.classes[rows].astype(np.int32))
        self._probabilities.append(
            best[rows].astype(np.float32) if best is not None and _are_probabilities(best) else None
        )

    def _add_scores(self, probabilities: Float[np.ndarray, "images classes"]) -> None:
        """Adds a model's probabilities of every class, if all models before it had them."""
        if not self._classes:
            self._total = np.zeros(probabilities.shape, np.float32)
        if self._total is None:
            return
        if self._total.shape != probabilities.shape:
            raise InputError(
                f"scores {probabilities.shape[1]:,} classes, the first file {self._total.shape[1]:,}."
            )
        self._total += probabilities

    def predictions(self) -> Predictions:
        """What the models say together; with mean probabilities as scores, or without scores.

        Raises:
          InputError: if there are fewer than two models.
        """
        if len(self) < 2 or self._names is None:
            raise InputError("an ensemble needs two models or more.")
        if self._total is not None:
            k = min(max(TOP_K), self._total.shape[1])
            classes, scores = ranking.top_k(self._total / len(self), k)
            return Predictions(self._names, classes, scores)
        probabilities = [one for one in self._probabilities if one is not None]
        if len(probabilities) == len(self):
            k = min(max(TOP_K), *(one.shape[1] for one in self._classes))
            classes, votes = _votes(self._classes, probabilities, k)
            return Predictions(self._names, classes, votes / len(self))
        k = min(one.shape[1] for one in self._classes)
        shares = [np.broadcast_to(np.arange(k, 0, -1), (len(one), k)) for one in self._classes]
        return Predictions(self._names, _votes([one[:, :k] for one in self._classes], shares, k)[0])


def _are_probabilities(scores: Float[np.ndarray, "images k"]) -> bool:
    """Whether scores may be probabilities of ranked classes: within [0, 1], never rising."""
    falls = bool((np.diff(scores, axis=1) <= 0).all())
    return falls and scores.min() >= 0 and scores.max() <= 1


def _votes(
    ranked: Sequence[Int[np.ndarray, "images _"]],
    shares: Sequence[Float[np.ndarray, "images _"]],
    k: int,
) -> tuple[Int[np.ndarray, "images k"], Float[np.ndarray, "images k"]]:
    """The k classes of the most votes, and these: the sum of what each model gives (see Ensemble)."""
    classes = np.concatenate(ranked, axis=1).astype(np.int64)
    given = np.concatenate(shares, axis=1)
    rank = np.concatenate([np.arange(one.shape[1]) for one in ranked])
    model = np.repeat(np.arange(len(ranked)), [one.shape[1] for one in ranked])
    # Of each image: the distinct classes, their votes, their best rank, the first model that gives it.
    order = np.argsort(classes, axis=1, kind="stable")
    ordered = np.take_along_axis(classes, order, axis=1)
    votes = np.zeros(classes.shape, np.float64)
    best = np.full(classes.shape, rank.max() + 1)
    first = np.full(classes.shape, len(ranked))
    new = np.ones(classes.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(new, axis=1) - 1
    image = np.arange(len(classes))[:, None]
    np.add.at(votes, (image, group), np.take_along_axis(given, order, axis=1))
    np.minimum.at(best, (image, group), rank[order])
    is_best = rank[order] == np.take_along_axis(best, group, axis=1)
    np.minimum.at(first, (image, group), np.where(is_best, model[order], len(ranked)))
    label = np.full(classes.shape, -1)
    np.put_along_axis(label, group, ordered, axis=1)
    place = np.lexsort([first, best, -np.where(label < 0, -1, votes)], axis=1)[:, :k]
    return np.take_along_axis(label, place, axis=1), np.take_along_axis(votes, place, axis=1)

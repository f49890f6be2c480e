"""Ensembles of several models: the mean of their scores, or votes by rank."""

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
    """An ensemble of models, which are added one after the other.

    If every model has a score for every class, the probabilities are averaged: scores within [0, 1] are
    probabilities already, and other scores are turned into their softmax. If some models have probabilities
    of their first classes only, such as our own predictions.npz, these are averaged, and all other classes of
    such a model count as 0. If a model has ranked classes without scores, classes get votes (Borda count): k
    for a model's first class, k - 1 for its second, …, 1 for its k-th, where k is the smallest number of
    classes that a model ranks. Ties are broken by the best rank, then by the model that was added first.
    """

    def __init__(self) -> None:
        self._names: np.ndarray | None = None
        self._classes: list[Int[np.ndarray, "images k"]] = []
        self._probabilities: list[Float[np.ndarray, "images k"] | None] = []
        # Sum of the probabilities of every class; None once a model lacks a score for some class.
        self._total: Float[np.ndarray, "images classes"] | None = None

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def by_scores(self) -> bool:
        """Whether scores are averaged; otherwise ranks are counted."""
        return all(probabilities is not None for probabilities in self._probabilities)

    def add(self, file_names: np.ndarray, model: PredictionFile) -> None:
        """Adds a model.

        Args:
          file_names: (N,) str, file names of the model's images, in the order of its rows.
          model: predictions of the model.

        Raises:
          InputError: if the model has other images, or scores of another number of classes, than the first.
        """
        if self._names is None:
            self._names = file_names
        rows = find_rows(file_names, self._names)
        if (rows < 0).any() or len(file_names) != len(self._names):
            missing = int(np.count_nonzero(rows < 0))
            raise InputError(
                f"has other images than the first file: found {len(file_names):,} images, expected the "
                f"same {len(self._names):,}, of which {missing:,} are missing."
            )
        if model.every_score is None:
            self._total, best = None, model.scores
        else:
            every = ranking.probabilities(
                model.every_score, np.asarray(model.every_score, np.float32)
            )
            best = np.take_along_axis(every, model.classes, axis=1)
            self._add_scores(every[rows])
        self._classes.append(model.classes[rows].astype(np.int32))
        self._probabilities.append(
            best[rows].astype(np.float32) if best is not None and _are_probabilities(best) else None
        )

    def _add_scores(self, probabilities: Float[np.ndarray, "images classes"]) -> None:
        """Adds a model's probabilities of every class, if all earlier models had a score for every class."""
        if not self._classes:
            self._total = np.zeros(probabilities.shape, np.float32)
        if self._total is None:
            return
        if self._total.shape != probabilities.shape:
            raise InputError(
                f"has scores of {probabilities.shape[1]:,} classes; expected {self._total.shape[1]:,}, as in "
                f"the first file."
            )
        self._total += probabilities

    def predictions(self) -> Predictions:
        """Returns the predictions of the ensemble, with mean probabilities as scores, or without scores.

        Raises:
          InputError: if there are fewer than two models.
        """
        if len(self) < 2 or self._names is None:
            raise InputError("an ensemble needs two models or more.")
        if self._total is not None:
            k = min(max(TOP_K), self._total.shape[1])
            classes, scores = ranking.top_k(self._total / len(self), k)
            return Predictions(self._names, classes, scores)
        probabilities = [shares for shares in self._probabilities if shares is not None]
        if len(probabilities) == len(self):
            k = min(max(TOP_K), *(classes.shape[1] for classes in self._classes))
            classes, votes = _votes(self._classes, probabilities, k)
            return Predictions(self._names, classes, votes / len(self))
        k = min(classes.shape[1] for classes in self._classes)
        shares = [
            np.broadcast_to(np.arange(k, 0, -1), (len(classes), k)) for classes in self._classes
        ]
        return Predictions(
            self._names, _votes([classes[:, :k] for classes in self._classes], shares, k)[0]
        )


def _are_probabilities(scores: Float[np.ndarray, "images k"]) -> bool:
    """Whether the scores of ranked classes can be probabilities: within [0, 1], never rising along a row."""
    falls = bool((np.diff(scores, axis=1) <= 0).all())
    return falls and scores.min() >= 0 and scores.max() <= 1


def _votes(
    ranked: Sequence[Int[np.ndarray, "images _"]],
    shares: Sequence[Float[np.ndarray, "images _"]],
    k: int,
) -> tuple[Int[np.ndarray, "images k"], Float[np.ndarray, "images k"]]:
    """Returns the k classes with the most votes, and their votes: the sum over the models (see Ensemble)."""
    classes = np.concatenate(ranked, axis=1).astype(np.int64)
    share = np.concatenate(shares, axis=1)
    rank = np.concatenate([np.arange(ranks.shape[1]) for ranks in ranked])
    model = np.repeat(np.arange(len(ranked)), [ranks.shape[1] for ranks in ranked])
    # For each image: the distinct classes, their votes, their best rank, and the first model with that rank.
    order = np.argsort(classes, axis=1, kind="stable")
    ordered = np.take_along_axis(classes, order, axis=1)
    votes = np.zeros(classes.shape, np.float64)
    best = np.full(classes.shape, rank.max() + 1)
    first = np.full(classes.shape, len(ranked))
    new = np.ones(classes.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(new, axis=1) - 1
    image = np.arange(len(classes))[:, None]
    np.add.at(votes, (image, group), np.take_along_axis(share, order, axis=1))
    np.minimum.at(best, (image, group), rank[order])
    is_best = rank[order] == np.take_along_axis(best, group, axis=1)
    np.minimum.at(first, (image, group), np.where(is_best, model[order], len(ranked)))
    label = np.full(classes.shape, -1)
    np.put_along_axis(label, group, ordered, axis=1)
    place = np.lexsort([first, best, -np.where(label < 0, -1, votes)], axis=1)[:, :k]
    return np.take_along_axis(label, place, axis=1), np.take_along_axis(votes, place, axis=1)

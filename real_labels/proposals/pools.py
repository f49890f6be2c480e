"""Pools: the proposals of any set of models, and the share of the experts' labels that they find."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.intervals import Estimate, bootstrap_estimate, bootstrap_means
from real_labels.labels import check_distinct, match
from real_labels.proposals.expert_labels import ExpertLabels
from real_labels.proposals.proposals import Proposals, distinct_rows
from real_labels.proposals.subset_sums import proposed_by_subset

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool of models, measured on its proposals together with the original labels.

    Attributes:
      models: names of the models.
      proposals_per_image: mean number of proposals over all images.
      unrated: number of images on which all models agree with the original label.
      questions: number of pairs to ask about, on the other images.
      recall: share of the experts' labels that are proposed; n is the number of labels. None without gold.
      recall_asked: share of the experts' labels that are asked about, or are the original label of an unrated
        image; all other proposals on unrated images are dropped. None without gold.
      precision: share of the proposals of known truth that are present; n is the number of these proposals.
        None without gold.
    """

    models: tuple[str, ...]
    proposals_per_image: float
    unrated: int
    questions: int
    recall: Estimate | None = None
    recall_asked: Estimate | None = None
    precision: Estimate | None = None


class Pools:
    """Measures pools of a set of models.

    Attributes:
      proposals: the proposals of the models.
      experts: the experts' labels, or None.
      present: (L, M) which models propose each of the L labels of the experts.
      always_found: (L,) which of these labels are the original label, which every pool proposes.
      present_image: (L,) gold image of each label, from 0 to the number of gold images - 1.
      num_gold_images: number of images with experts' labels.
      left_out: number of the experts' images that no model predicts.
    """

    def __init__(self, proposals: Proposals, experts: ExpertLabels | None = None, seed: int = 0):
        """Matches proposals with experts' labels.

        Args:
          proposals: the proposals of the models.
          experts: labels of some of the images.
          seed: random seed of the bootstrap.

        Raises:
          InputError: if none of the experts' present labels belongs to an image that a model predicts.
        """
        self.proposals, self.experts, self._seed = proposals, experts, seed
        asked = proposals.questions
        num_models = len(proposals.models)
        is_present = np.zeros(len(asked), bool)
        is_judged = np.zeros(len(asked), bool)
        gold_image = np.full(proposals.num_images, -1)  # gold image of each image, or -1
        self.present = np.zeros((0, num_models), bool)
        self.present_image: Int[np.ndarray, "labels"] = np.zeros(0, np.int64)
        self.always_found: Bool[np.ndarray, "labels"] = np.zeros(0, bool)
        self._image_of_gold: Int[np.ndarray, "gold_images"] = np.zeros(0, np.int64)
        self.num_gold_images = self.left_out = 0
        if experts is not None:
            gold = experts.questions
            rows = match(asked.file_names, gold.file_names)
            check_distinct(rows, gold.file_names)
            known = rows >= 0
            if not (known[gold.image] & experts.present).any():
                raise InputError(
                    f"none of the gold labels belongs to a predicted image (the first gold image is "
                    f"{gold.file_names[0]}, the first predicted image {asked.file_names[0]})."
                )
            self.left_out = int(np.count_nonzero(~known))
            self.num_gold_images = int(np.count_nonzero(known))
            self._image_of_gold = rows[known]
            gold_image[rows[known]] = np.arange(self.num_gold_images)
            pair = asked.find(gold)
            is_proposed = pair >= 0
            is_present[pair[is_proposed & experts.present]] = True
            is_judged[pair[is_proposed]] = True
            if experts.are_complete:
                is_judged = gold_image[asked.image] >= 0
            labels = np.flatnonzero(known[gold.image] & experts.present)
            self.present_image = gold_image[rows[gold.image[labels]]]
            label_pair = np.where(is_proposed[labels], pair[labels], 0)
            self.present = proposals.by[label_pair] & is_proposed[labels, None]
            self.always_found = proposals.original[label_pair] & is_proposed[labels]
        judged = np.flatnonzero(is_judged)
        self._judged_by, self._judged_original = proposals.by[judged], proposals.original[judged]
        self._judged_present = is_present[judged]
        self._judged_image = gold_image[asked.image[judged]]

    @property
    def num_present(self) -> int:
        """L, the number of the experts' present labels."""
        return len(self.present)

    def found(self, columns: Sequence[int]) -> Bool[np.ndarray, "labels"]:
        """(L,) which of the experts' labels a pool proposes."""
        return self.always_found | self.present[:, list(columns)].any(axis=1)

    @functools.cached_property
    def patterns(
        self,
    ) -> tuple[Bool[np.ndarray, "patterns models"], Int[np.ndarray, "patterns"]]:
        """(P, M) distinct sets of models that propose a pair, and (P,) number of pairs of each set.

        Original labels are left out, because every pool proposes them.
        """
        rows, _, counts = distinct_rows(self.proposals.by[~self.proposals.original])
        return rows, counts

    def num_proposals(self, columns: Sequence[int]) -> int:
        """Number of pairs that a pool proposes beside the original labels."""
        rows, counts = self.patterns
        return int(counts[rows[:, list(columns)].any(axis=1)].sum())

    def proposals_per_image(self, columns: Sequence[int]) -> float:
        """Mean number of proposals of a pool over all images, including the original label."""
        return 1 + self.num_proposals(columns) / self.proposals.num_images

    def recall(self, columns: Sequence[int]) -> float:
        """Share of the experts' labels that a pool proposes; NaN without gold."""
        return float(self.found(columns).mean()) if self.num_present else math.nan

    def precision(self, columns: Sequence[int]) -> float:
        """Share of a pool's proposals of known truth that are present; NaN if there are none."""
        hits = self._judged_present[self._proposed_judged(columns)]
        return float(hits.mean()) if len(hits) else math.nan

    def of_every_subset(
        self,
    ) -> tuple[Float[np.ndarray, "subsets"], Float[np.ndarray, "subsets"]]:
        """(2^M,) recall and precision of every pool; bit m of a pool's number is model m."""
        found = _proposed(self.present, self.always_found)
        judged = _proposed(self._judged_by, self._judged_original)
        present = self._judged_present
        hits = _proposed(self._judged_by[present], self._judged_original[present])
        with np.errstate(invalid="ignore"):
            return found / self.num_present, hits / judged

    def _proposed_judged(self, columns: Sequence[int]) -> Bool[np.ndarray, "judged"]:
        """(J,) which of the J pairs of known truth a pool proposes."""
        return self._judged_original | self._judged_by[:, list(columns)].any(axis=1)

    def measure(self, columns: Sequence[int]) -> Pool:
        """Measures a pool: its proposals and, on gold, recall and precision with intervals over images."""
        proposals, columns = self.proposals, list(columns)
        recall = recall_asked = precision = None
        if self.experts is not None:
            found = self.found(columns)
            recall = self.share(found, self.present_image)
            unrated = proposals.unrated(columns)[self._image_of_gold][self.present_image]
            recall_asked = self.share(found & (self.always_found | ~unrated), self.present_image)
            judged = self._proposed_judged(columns)
            precision = self.share(self._judged_present[judged], self._judged_image[judged])
        return Pool(
            tuple(proposals.models[column] for column in columns),
            self.proposals_per_image(columns),
            int(np.count_nonzero(proposals.unrated(columns))),
            int(np.count_nonzero(proposals.to_ask(columns))),
            recall,
            recall_asked,
            precision,
        )

    def share(self, hits: Bool[np.ndarray, "n"], image: Int[np.ndarray, "n"]) -> Estimate:
        """The share of hits with its interval; the bootstrap draws images with replacement, not labels.

        Args:
          hits: (n,) whether each label or proposal is a hit.
          image: (n,) gold image of each label or proposal.
        """
        n = len(hits)
        if not n:
            return Estimate.of_nothing()
        per_image = np.stack(
            [
                np.bincount(image, hits, minlength=self.num_gold_images),
                np.bincount(image, minlength=self.num_gold_images),
            ],
            axis=1,
        )
        drawn = bootstrap_means(per_image, self._seed)
        with np.errstate(invalid="ignore"):
            return bootstrap_estimate(float(hits.mean()), drawn[:, 0] / drawn[:, 1], n)


def _proposed(
    by: Bool[np.ndarray, "pairs models"], always: Bool[np.ndarray, "pairs"]
) -> Int[np.ndarray, "subsets"]:
    """(2^M,) number of pairs that each pool proposes; every pool proposes the pairs in `always`."""
    ones = np.ones(np.count_nonzero(~always), np.int64)
    return np.count_nonzero(always) + proposed_by_subset(by[~always], ones, np.int64)

"""Memory layout of the answers for fast passes of EM.

A pattern is a group of equal questions: the same raters gave the same answers, and the known truth and the
initial probability are equal. EM computes each pattern once, with the number of its questions as weight.
Patterns with equally many answers lie side by side, so that a pass consists of a few gathers, sums and counts
of arrays that stay in the cache.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from real_labels.aggregation.rater_model import probability_and_log_sum

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_BLOCK = 1 << 17  # number of answers in a block, about
_REGULAR = 16  # questions with at most this number of answers are stored in rectangular arrays
_MOST_DISTINCT = 0.8  # share of distinct questions above which merging would save too little


class AnswerPatterns:
    """The answers and the current P(present) of each question, laid out for repeated EM passes.

    A code is a pair of rater and category, as one number.

    Attributes:
      num_answered: number of questions with answers.
      totals: (codes,) number of answers of each code.
      change: largest change of a question's probability in the last pass.
    """

    def __init__(
        self,
        codes: Int[np.ndarray, "answers"],
        offsets: Int[np.ndarray, "questions_plus_1"],
        num_codes: int,
        start: Float[np.ndarray, "questions"] | None,
        held: Int[np.ndarray, "questions"] | None,
    ):
        """Lays out the answers.

        Args:
          codes: of each answer, rater · K + category, with K categories; sorted by question (see em.fit).
          offsets: question q has the answers from offsets[q] up to, and without, offsets[q + 1].
          num_codes: number of codes.
          start: initial P(present) of each question; None: 0 for every question.
          held: known truth of each question (0 or 1), -1 where it is unknown; None if all are unknown.
        """
        lengths = np.diff(offsets)
        self._num_codes, self._num_questions = num_codes, len(lengths)
        truth = np.full(len(lengths), -1, np.int8) if held is None else np.asarray(held, np.int8)
        self._truth_of_all = truth
        p = np.zeros(len(lengths)) if start is None else np.asarray(start, np.float64)
        # From here on, a row is a question with answers, and after `_distinct` a pattern.
        self._answered = np.flatnonzero(lengths)
        rows = self._answered
        lengths, truth, p = lengths[rows], truth[rows], p[rows]
        self.num_answered = len(lengths)
        self._weight: np.ndarray | None = None
        self._inverse: np.ndarray | None = None
        groups = _distinct(codes, lengths, truth, p, num_codes)
        if groups is not None:
            first, self._inverse = groups
            self._weight = np.bincount(self._inverse, minlength=len(first)).astype(np.float64)
            kept = np.zeros(len(lengths), bool)
            kept[first] = True
            codes = codes[np.repeat(kept, lengths)]
            lengths, truth, p = lengths[first], truth[first], p[first]
        # Sorted by number of answers, so that sums over answers become sums over array rows.
        order = np.argsort(lengths, kind="stable")
        self._row = np.empty_like(order)
        self._row[order] = np.arange(len(order))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        truth, p = truth[order], p[order]
        self._weight = None if self._weight is None else self._weight[order]
        self._held = np.flatnonzero(truth >= 0)
        self._truth = truth[self._held].astype(np.float64)
        self._p = np.where(truth >= 0, truth, p)
        self.change = np.inf
        self._blocks = list(_lay_out(codes, starts[order], lengths[order], num_codes))
        self.totals = sum(
            (self._count(block, np.ones(block.size)) for block in self._blocks), np.zeros(num_codes)
        )

    def _weighted(self, block: _Block, values: np.ndarray) -> np.ndarray:
        return values if self._weight is None else values * self._weight[block.rows]

    def _count(self, block: _Block, p: np.ndarray) -> np.ndarray:
        """(codes,) sum of p over the answers of each code."""
        spread = block.spread(self._weighted(block, p))
        return np.bincount(block.codes.ravel(), spread, self._num_codes)

    def sums_of_start(self) -> tuple[np.ndarray, float]:
        """(codes,) sums of the current p over the answers of each code, and Σ p over the questions."""
        present, sum_present = np.zeros(self._num_codes), 0.0
        for block in self._blocks:
            p = self._p[block.rows]
            present += self._count(block, p)
            sum_present += float(self._weighted(block, p).sum())
        return present, sum_present

    def e_step(
        self,
        prior: float,
        log_absent: Float[np.ndarray, "codes"],
        log_present: Float[np.ndarray, "codes"],
    ) -> tuple[Float[np.ndarray, "codes"], float, float]:
        """Updates the probabilities and `change`.

        Args:
          prior: P(present) before any answer.
          log_absent, log_present: log-probability of each code if the label is absent, present.

        Returns:
          (codes,) sums of p over the answers of each code, Σ p, log-likelihood.
        """
        log_odds = log_present - log_absent
        prior = min(max(prior, 1e-300), 1 - 1e-16)
        prior_log_odds = np.log(prior) - np.log1p(-prior)
        present, sum_present, change = np.zeros(self._num_codes), 0.0, 0.0
        # log P(answers, all labels absent), to which each question adds log(1 + exp(posterior_log_odds)).
        log_likelihood = self.num_answered * np.log1p(-prior) + float(self.totals @ log_absent)
        for block in self._blocks:
            posterior_log_odds = block.sum(log_odds) + prior_log_odds
            p, log_sum = probability_and_log_sum(posterior_log_odds)
            first, last = np.searchsorted(self._held, [block.rows.start, block.rows.stop])
            if first < last:
                held, truth = self._held[first:last] - block.rows.start, self._truth[first:last]
                log_sum[held] = truth * posterior_log_odds[held]
                p[held] = truth
            change = max(change, float(np.abs(p - self._p[block.rows]).max()))
            self._p[block.rows] = p
            present += self._count(block, p)
            sum_present += float(self._weighted(block, p).sum())
            log_likelihood += float(self._weighted(block, log_sum).sum())
        self.change = change
        return present, sum_present, log_likelihood

    def probabilities(self, prior: float) -> np.ndarray:
        """(Q,) P(present) of all questions; without answers, the known truth, else the prior."""
        p = np.where(self._truth_of_all >= 0, self._truth_of_all, prior).astype(np.float64)
        computed = self._p[self._row]
        p[self._answered] = computed if self._weight is None else computed[self._inverse]
        return p


@dataclasses.dataclass(frozen=True)
class _Block:
    """A block of questions that are computed together.

    Attributes:
      rows: the rows of its n questions.
      codes: (L, n) codes of the answers if every question has L answers; else (answers,), question by
        question.
      starts, lengths: position of the first answer and number of answers of each question, if `codes`
        is (answers,); else None.
    """

    rows: slice
    codes: np.ndarray
    starts: np.ndarray | None = None
    lengths: np.ndarray | None = None

    @property
    def size(self) -> int:
        return self.rows.stop - self.rows.start

    def sum(self, table: np.ndarray) -> np.ndarray:
        """(n,) sum of the table's entries at each question's codes."""
        values = table.take(self.codes)
        return values.sum(axis=0) if self.starts is None else np.add.reduceat(values, self.starts)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(answers,) each question's value at each of its answers."""
        if self.starts is None:
            return np.broadcast_to(values, self.codes.shape).ravel()
        assert self.lengths is not None  # set whenever `starts` is
        return np.repeat(values, self.lengths)


def _lay_out(codes, starts, lengths, num_codes) -> Iterator[_Block]:
    """Yields blocks of the questions, which must be sorted by number of answers."""
    # Each block costs a table of `num_codes` counts, so blocks grow with the number of codes.
    size = max(_BLOCK, 4 * num_codes)
    regular = int(np.searchsorted(lengths, _REGULAR, side="right"))
    ends = np.append(np.flatnonzero(np.diff(lengths[:regular])) + 1, regular)
    first = 0
    for end in ends.tolist():
        while first < end:
            length = int(lengths[first])
            last = min(end, first + max(1, size // length))
            places = starts[first:last] + np.arange(length)[:, None]
            yield _Block(slice(first, last), codes[places].astype(np.intp))
            first = last
    for block in _ranges(np.concatenate([[0], np.cumsum(lengths[regular:])]), size):
        rows = slice(block.start + regular, block.stop + regular)
        counts = lengths[rows]
        inside = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(starts[rows] - inside, counts)
        yield _Block(rows, codes[places].astype(np.intp), inside, counts)


def _ranges(starts: np.ndarray, size: int) -> list[slice]:
    """Ranges of questions with about `size` answers each."""
    cuts = np.searchsorted(starts, np.arange(size, starts[-1], size))
    edges = np.unique(np.concatenate([[0], cuts, [len(starts) - 1]]))
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _distinct(
    codes: np.ndarray, lengths: np.ndarray, truth: np.ndarray, p: np.ndarray, num_codes: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Groups questions with equal answers of the same raters, equal truth and equal start.

    Returns:
      Row of the first question of each group, ascending, and the group of each question; None if
      grouping would save too little, or if unequal questions have the same hash.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    # Groups are found by a random 64-bit hash, then compared answer by answer.
    table = np.random.default_rng(0).integers(0, 1 << 63, num_codes + 3, dtype=np.uint64)
    hashes = table[num_codes:][truth] ^ np.ascontiguousarray(p).view(np.uint64)
    blocks = _ranges(starts, _BLOCK)
    for block in blocks:
        inside = codes[starts[block.start] : starts[block.stop]]
        hashes[block] += np.add.reduceat(table[inside], starts[block] - starts[block.start])
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) > _MOST_DISTINCT * len(lengths):
        return None
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, inverse = first[order], rank[inverse]
    same = first[inverse]
    if (lengths[same] != lengths).any() or (truth[same] != truth).any() or (p[same] != p).any():
        return None
    shift = starts[:-1][same] - starts[:-1]
    for block in blocks:
        places = np.arange(int(starts[block.start]), int(starts[block.stop]))
        if (codes[places] != codes[places + np.repeat(shift[block], lengths[block])]).any():
            return None
    return first, inverse

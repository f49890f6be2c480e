"""Dawid & Skene's model with a binary truth, fitted by EM.

A question's label is present with probability π; given that (t = 1) or not (t = 0), rater r gives
answer a with probability C[r, t, a], independently of the other raters (Dawid & Skene 1979,
"Maximum likelihood estimation of observer error-rates using the EM algorithm"). EM alternates

    E: logit p[q] = logit π + Σ over q's answers of log C[r, 1, a] - log C[r, 0, a]
    M: π = mean of p;  C[r, t, a] ∝ Σ over r's answers a of P(t | q), plus pseudo-answers[r, t, a]

and never lowers Σ log P(answers to q) + Σ pseudo-answers · log C. Two things make it fast here and
leave the fixed point as it is: questions with the same answers of the same raters are computed once,
and Anderson acceleration proposes the next parameters, which are taken only if they are no worse.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

_BLOCK = 1 << 17  # answers computed at a time: what they need stays in the cache
_REGULAR = 16  # questions with at most so many answers are laid out side by side
_MEMORY = 8  # steps that the acceleration looks back
_TINY = 1e-300  # stands for the probability 0 where a logarithm is taken


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What EM estimates.

    Attributes:
      prior: π, in [0, 1].
      confusion: (R, 2, K), C[r, t, a]; sums to 1 over a.
    """

    prior: float
    confusion: Float[np.ndarray, "raters 2 categories"]


@dataclasses.dataclass(frozen=True)
class Convergence:
    """How EM went.

    Attributes:
      objective: log-likelihood (plus the pseudo-answers' term) after each step; never falls.
      passes: passes over the answers, those of refused proposals included.
      change: largest change of a question's probability in the last step.
      converged: whether that fell below the tolerance before the steps ran out.
    """

    objective: tuple[float, ...]
    passes: int
    change: float
    converged: bool

    def __str__(self) -> str:
        end = "converged" if self.converged else "stopped before it converged"
        return (
            f"EM {end} after {self.passes} passes: log-likelihood {self.objective[-1]:.3f}, "
            f"last change of a score {self.change:.1e}"
        )


@dataclasses.dataclass(frozen=True)
class Fit:
    """The end of EM.

    Attributes:
      parameters: prior and confusion matrices.
      probability: (Q,) P(label present | answers).
      counts: (R, 2, K) expected number of answers behind each entry of the confusion matrices.
      convergence: how it got there.
    """

    parameters: Parameters
    probability: Float[np.ndarray, "questions"]
    counts: Float[np.ndarray, "raters 2 categories"]
    convergence: Convergence


def fit(
    codes: Int[np.ndarray, "answers"],
    offsets: Int[np.ndarray, "questions_plus_1"],
    num_raters: int,
    num_categories: int,
    start: Float[np.ndarray, "questions"] | Parameters,
    *,
    pseudo_answers: Float[np.ndarray, "raters 2 categories"] | float = 0.0,
    prior: float | None = None,
    held: Int[np.ndarray, "questions"] | None = None,
    tolerance: float = 1e-6,
    max_passes: int = 1000,
    accelerate: bool = True,
) -> Fit:
    """Runs EM to its fixed point.

    Args:
      codes: rater · K + answer of each answer, question by question.
      offsets: question q has the answers offsets[q] to offsets[q + 1].
      num_raters: R.
      num_categories: K.
      start: probability of each question to begin with, or parameters.
      pseudo_answers: prior counts of each rater's answers (a Dirichlet prior of one more each).
      prior: π held at this value; None estimates it.
      held: (Q,) truth of each gold question, -1 for all others.
      tolerance: largest change of any probability and parameter at which EM has converged.
      max_passes: passes over the answers at most.
      accelerate: False for plain EM, step by step.
    """
    pseudo = np.broadcast_to(
        np.asarray(pseudo_answers, np.float64), (num_raters, 2, num_categories)
    ).transpose(1, 0, 2)
    work = _Work(codes, offsets, num_raters * num_categories, start, held)
    totals = work.totals.reshape(num_raters, num_categories)

    def m_step(present: np.ndarray, sum_present: float) -> tuple[Parameters, np.ndarray]:
        present = present.reshape(totals.shape)
        counts = np.stack([np.maximum(totals - present, 0.0), present])
        confusion = normalised(counts + pseudo)
        estimated = sum_present / work.num_answered if work.num_answered else 0.5
        parameters = Parameters(estimated if prior is None else prior, confusion.transpose(1, 0, 2))
        return parameters, counts.transpose(1, 0, 2)

    def e_step(parameters: Parameters) -> tuple[np.ndarray, float, float]:
        logs = np.log(np.maximum(parameters.confusion.transpose(1, 0, 2), _TINY))
        present, sum_present, likelihood = work.e_step(
            parameters.prior, logs[0].ravel(), logs[1].ravel()
        )
        return present, sum_present, likelihood + float((pseudo * logs).sum())

    now = start if isinstance(start, Parameters) else m_step(*work.sums_of_start())[0]
    if prior is not None:
        now = dataclasses.replace(now, prior=prior)
    anderson = _Anderson(totals.sum(axis=1), work.num_answered) if accelerate else None
    history: list[float] = []
    plain, passes = now, 0
    while True:
        present, sum_present, objective = e_step(now)
        passes += 1
        if history and objective < history[-1] and now is not plain:
            # The proposal is worse than where it set out: go on with what plain EM said.
            now = plain
            anderson.forget()
            continue
        history.append(objective)
        plain, counts = m_step(present, sum_present)
        step = np.abs(plain.confusion - now.confusion).max(initial=abs(plain.prior - now.prior))
        converged = max(work.change, step) <= tolerance
        if converged or passes >= max_passes:
            break
        now = plain if anderson is None else anderson.propose(now, plain)
    return Fit(
        plain,
        work.probabilities(plain.prior),
        counts,
        Convergence(tuple(history), passes, float(work.change), bool(converged)),
    )


def normalised(
    counts: Float[np.ndarray, "*more categories"],
) -> Float[np.ndarray, "*more categories"]:
    """Counts as distributions over the last axis; even ones where there is nothing to count."""
    sums = counts.sum(axis=-1, keepdims=True)
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), 1 / counts.shape[-1])


class _Work:
    """The answers, laid out for one fast pass after another."""

    def __init__(self, codes, offsets, num_codes, start, held):
        lengths = np.diff(offsets)
        self._num_codes, self._num_questions = num_codes, len(lengths)
        truth = np.full(len(lengths), -1, np.int8) if held is None else np.asarray(held, np.int8)
        self._truth_of_all = truth
        p = np.zeros(len(lengths)) if isinstance(start, Parameters) else np.asarray(start, float)
        # What follows is about questions with answers, and from here on about distinct ones.
        self._answered = np.flatnonzero(lengths)
        lengths, truth, p = (a[self._answered] for a in (lengths, truth, p))
        self.num_answered = len(lengths)
        self._weight = None
        first, self._inverse = _distinct(codes, lengths, truth, p, num_codes)
        if first is not None:
            self._weight = np.bincount(self._inverse, minlength=len(first)).astype(np.float64)
            kept = np.zeros(len(lengths), bool)
            kept[first] = True
            codes = codes[np.repeat(kept, lengths)]
            lengths, truth, p = (a[first] for a in (lengths, truth, p))
        # Questions with equally many answers side by side: sums over answers are sums of rows then.
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
        """(codes,) sums of the first probabilities over the answers of each code, and their sum."""
        present, sum_present = np.zeros(self._num_codes), 0.0
        for block in self._blocks:
            p = self._p[block.rows]
            present += self._count(block, p)
            sum_present += float(self._weighted(block, p).sum())
        return present, sum_present

    def e_step(self, prior: float, log_absent: np.ndarray, log_present: np.ndarray):
        """Updates the probabilities, and how much they changed.

        Returns:
          (codes,) sums of p over the answers of each code, Σ p, log-likelihood.
        """
        log_odds = log_present - log_absent
        prior = min(max(prior, _TINY), 1 - 1e-16)
        prior_odds = np.log(prior) - np.log1p(-prior)
        present, sum_present, change = np.zeros(self._num_codes), 0.0, 0.0
        # log P(answers, absent) of everything; each question adds log(1 + odds).
        likelihood = self.num_answered * np.log1p(-prior) + float(self.totals @ log_absent)
        for block in self._blocks:
            odds = block.sum(log_odds) + prior_odds
            small = np.exp(-np.abs(odds))
            one_plus = 1 + small
            p = np.where(odds >= 0, 1.0, small) / one_plus
            log_sum = np.maximum(odds, 0) + np.log(one_plus)
            first, last = np.searchsorted(self._held, [block.rows.start, block.rows.stop])
            if first < last:
                held, truth = self._held[first:last] - block.rows.start, self._truth[first:last]
                log_sum[held] = truth * odds[held]
                p[held] = truth
            before = self._p[block.rows]
            change = max(change, float(np.abs(p - before).max()))
            before[:] = p
            present += self._count(block, p)
            sum_present += float(self._weighted(block, p).sum())
            likelihood += float(self._weighted(block, log_sum).sum())
        self.change = change
        return present, sum_present, likelihood

    def probabilities(self, prior: float) -> np.ndarray:
        """(Q,) of all questions; without answers, the truth where it is held, else the prior."""
        p = np.where(self._truth_of_all >= 0, self._truth_of_all, prior).astype(np.float64)
        found = self._p[self._row]
        p[self._answered] = found if self._weight is None else found[self._inverse]
        return p


@dataclasses.dataclass(frozen=True)
class _Block:
    """Questions that are computed together.

    Attributes:
      rows: which.
      codes: (L, n), their answers, where each has L; or (answers,), question by question.
      starts, lengths: where each question's answers begin and how many they are, in the latter case.
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
        return np.repeat(values, self.lengths)


def _lay_out(codes, starts, lengths, num_codes):
    """Yields blocks of questions, which come sorted by their number of answers."""
    # Many raters make large tables of counts: then a block must be worth one.
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


def _distinct(codes, lengths, truth, p, num_codes):
    """Finds questions that are the same to EM: same answers of the same raters, truth and start.

    Returns:
      Rows of one question of each kind, ascending, and the kind of each question; (None, None)
      where that would save too little to be worth it.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    # Kinds are found by a random 64-bit sum, then compared answer by answer.
    table = np.random.default_rng(0).integers(0, 1 << 63, num_codes + 3, dtype=np.uint64)
    kind = table[num_codes:][truth] ^ np.ascontiguousarray(p).view(np.uint64)
    blocks = _ranges(starts, _BLOCK)
    for block in blocks:
        inside = codes[starts[block.start] : starts[block.stop]]
        kind[block] += np.add.reduceat(table[inside], starts[block] - starts[block.start])
    _, first, inverse = np.unique(kind, return_index=True, return_inverse=True)
    if len(first) > 0.8 * len(lengths):
        return None, None
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, inverse = first[order], rank[inverse]
    same = first[inverse]
    if (lengths[same] != lengths).any() or (truth[same] != truth).any() or (p[same] != p).any():
        return None, None
    shift = starts[:-1][same] - starts[:-1]
    for block in blocks:
        here = np.arange(starts[block.start], starts[block.stop])
        if (codes[here] != codes[here + np.repeat(shift[block], lengths[block])]).any():
            return None, None
    return first, inverse


class _Anderson:
    """Anderson acceleration of a fixed-point iteration (Walker & Ni 2011, "Anderson acceleration").

    It works on square roots of probabilities, scaled by the square root of the number of answers:
    there, distance is what the likelihood feels (Fisher's metric), and no step leaves the simplex.
    """

    def __init__(self, answers_of_rater: np.ndarray, num_questions: int):
        self._scale = np.sqrt(answers_of_rater)[:, None, None]
        self._prior_scale = np.sqrt(num_questions)
        self.forget()

    def forget(self) -> None:
        """Starts afresh."""
        self._at: list[np.ndarray] = []
        self._moves: list[np.ndarray] = []

    def propose(self, now: Parameters, plain: Parameters) -> Parameters:
        """Parameters to go on with, from where EM was and where it went."""
        at = self._vector(now)
        self._at.append(at)
        self._moves.append(self._vector(plain) - at)
        del self._at[: -_MEMORY - 1], self._moves[: -_MEMORY - 1]
        if len(self._at) < 2:
            return plain
        at_steps = np.diff(self._at, axis=0)
        move_steps = np.diff(self._moves, axis=0)
        weights = np.linalg.lstsq(move_steps.T, self._moves[-1], rcond=1e-10)[0]
        proposal = at + self._moves[-1] - weights @ (at_steps + move_steps)
        return self._parameters(proposal, plain)

    def _vector(self, parameters: Parameters) -> np.ndarray:
        prior = np.sqrt([parameters.prior, 1 - parameters.prior]) * self._prior_scale
        return np.append((np.sqrt(parameters.confusion) * self._scale).ravel(), prior)

    def _parameters(self, vector: np.ndarray, plain: Parameters) -> Parameters:
        confusion = vector[:-2].reshape(plain.confusion.shape) ** 2
        # What plain EM keeps above zero stays there: EM could never leave zero again.
        confusion = np.maximum(confusion, 1e-3 * plain.confusion * self._scale**2)
        present, absent = np.maximum(
            vector[-2:] ** 2, 1e-3 * self._prior_scale**2 * np.array([plain.prior, 1 - plain.prior])
        )
        total = present + absent
        prior = float(present / total) if total > 0 else plain.prior
        return Parameters(prior, normalised(confusion))

"""The smallest pool of models that still proposes enough of the experts' labels.

The paper's criterion: recall of at least 97%, then the fewest models, then the fewest proposals ("Are we done
with ImageNet?", section 3.1). For up to 24 models all subsets are searched; for more models, the search is
greedy, with exchanges.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.intervals import Estimate
from real_labels.proposals.pools import Pools
from real_labels.proposals.subset_sums import proposed_by_subset

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

GREEDY_ABOVE = 24  # largest number of models of which every subset is searched
_CHUNK = 1 << 20  # subsets processed at a time
_FOLDS = 10
_COST_BITS, _SIZE_BITS = 32, 5  # in the key of a pool; its lowest bits, up to 24, are the pool
_NO_KEY = np.iinfo(np.int64).max
_MOST_PEELED = 100  # largest number of pools of each size from which single models are removed
RECALL = 0.97  # least recall of the paper's pool
Subset = tuple[int, ...]  # columns of the models


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """The result of a search for the smallest pool.

    Attributes:
      pool: columns of the chosen models, ascending.
      is_enough: whether the pool reaches the required recall; if not, it is the smallest pool of the highest
        recall.
      front: the pools of the Pareto front, each as columns of models: no other pool proposes fewer pairs and
        finds as many labels. For a greedy search, the front of the pools that it examined.
      held_out: recall on images that the pool was not chosen on: for each of 10 parts of the gold images, a
        pool is chosen on the other parts.
      is_exact: whether all subsets were searched.
    """

    pool: Subset
    is_enough: bool
    front: tuple[Subset, ...]
    held_out: Estimate
    is_exact: bool


def search(pools: Pools, recall: float = RECALL, seed: int = 0) -> Search:
    """Finds the smallest pool that reaches a recall, and the Pareto front of recall and proposals.

    Args:
      pools: the models, with experts' labels.
      recall: the smallest share of the experts' labels that the pool must propose, in (0, 1].
      seed: random seed of the parts for the held-out recall.

    Raises:
      InputError: if the recall is outside (0, 1], or there are no experts' labels.
    """
    if not 0 < recall <= 1:
        raise InputError(f"--recall {recall}: expected a share, 0 < R <= 1.")
    if not pools.num_present:
        raise InputError("Choosing a pool needs the experts' labels of some images (--gold FILE).")
    is_exact = len(pools.proposals.models) <= GREEDY_ABOVE
    searcher = EverySubset(pools) if is_exact else Greedy(pools)
    all_labels = np.ones(pools.num_present, bool)
    pool, is_enough = searcher.smallest(all_labels, recall)
    return Search(
        pool,
        is_enough,
        tuple(searcher.front()),
        _held_out(pools, searcher, recall, seed),
        is_exact,
    )


def _held_out(pools: Pools, searcher: EverySubset | Greedy, recall: float, seed: int) -> Estimate:
    """Recall on the images of each part, of the pool that is chosen on the other parts."""
    images = np.unique(pools.present_image)
    parts = min(_FOLDS, len(images))
    if parts < 2:
        return Estimate.of_nothing()
    fold_of_image = np.zeros(pools.num_gold_images, np.int64)
    fold_of_image[np.random.default_rng(seed).permutation(images)] = np.arange(len(images)) % parts
    fold = fold_of_image[pools.present_image]
    found = np.zeros(pools.num_present, bool)
    for part in range(parts):
        pool, _ = searcher.smallest(fold != part, recall)
        found[fold == part] = pools.found(pool)[fold == part]
    return pools.share(found, pools.present_image)


def _needed(number: int, recall: float) -> int:
    """Fewest hits out of `number` that reach the recall; 0.97 of 100 is 97, despite rounding errors."""
    return math.ceil(number * recall - 1e-9)


class EverySubset:
    """Searches all subsets of the models; bit m of a subset's number is model m."""

    def __init__(self, pools: Pools):
        self._pools = pools
        self._num_models = len(pools.proposals.models)
        self._cost = proposed_by_subset(*pools.patterns, np.int32)
        self._hits = self._hits_of(np.ones(pools.num_present, bool))

    def _hits_of(self, among: Bool[np.ndarray, "labels"]) -> Int[np.ndarray, "subsets"]:
        """(2^M,) number of the labels `among` that each subset finds, without the original labels."""
        asked = among & ~self._pools.always_found
        dtype = np.uint16 if np.count_nonzero(asked) < 1 << 16 else np.int32
        return proposed_by_subset(
            self._pools.present[asked], np.ones(np.count_nonzero(asked), np.int64), dtype
        )

    def smallest(self, among: Bool[np.ndarray, "labels"], recall: float) -> tuple[Subset, bool]:
        """Returns the smallest pool for the labels `among`, and whether the pool reaches the recall."""
        hits = self._hits if among.all() else self._hits - self._hits_of(~among)
        always = int(np.count_nonzero(among & self._pools.always_found))
        enough = _needed(int(np.count_nonzero(among)), recall) - always
        most = int(hits[-1])  # hits of all models together
        best = _NO_KEY
        for start, cost, size in self._chunks():
            key = (size << _COST_BITS | cost) << self._num_models | np.arange(
                start, start + len(cost)
            )
            found = hits[start : start + len(cost)] >= min(enough, most)
            best = min(best, int(key[found].min(initial=_NO_KEY)))
        return self._subset(best), most >= enough

    def front(self) -> Iterator[Subset]:
        """Yields the pools of the Pareto front, from the highest recall down."""
        # For each number of hits, the key of the cheapest pool.
        best = np.full(int(self._hits[-1]) + 1, _NO_KEY)
        for start, cost, size in self._chunks():
            key = (cost << _SIZE_BITS | size) << self._num_models | np.arange(
                start, start + len(cost)
            )
            np.minimum.at(best, self._hits[start : start + len(cost)], key)
        cheapest = _NO_KEY
        for key in best[::-1].tolist():
            cost = key >> (self._num_models + _SIZE_BITS)
            if key < _NO_KEY and cost < cheapest:
                cheapest = cost
                yield self._subset(key)

    def _chunks(
        self,
    ) -> Iterator[tuple[int, Int[np.ndarray, "chunk"], Int[np.ndarray, "chunk"]]]:
        """Yields chunks of the non-empty subsets: first subset, and cost and number of models of each subset.

        Callers compare subsets by an integer key: size, then cost, or the other way round. The lowest bits of
        the key are the subset itself, so that the smallest key also names its subset.
        """
        for start in range(0, 1 << self._num_models, _CHUNK):
            first = max(start, 1)
            end = min(start + _CHUNK, 1 << self._num_models)
            size = np.bitwise_count(np.arange(first, end)).astype(np.int64)
            yield first, self._cost[first:end].astype(np.int64), size

    def _subset(self, key: int) -> Subset:
        return tuple(m for m in range(self._num_models) if key >> m & 1)


class Greedy:
    """Searches greedily, for many models: adds one model at a time, and exchanges models while that helps.

    The result is good, but not always the best pool. The front is that of all examined pools.
    """

    def __init__(self, pools: Pools):
        self._pools = pools
        self._rows, self._counts = pools.patterns
        self._rows32 = self._rows.astype(np.float32)
        self._costs: dict[Subset, int] = {}
        self._num_models = len(pools.proposals.models)
        self._seen: set[Subset] = set()

    def _cost(self, pool: Subset) -> int:
        if pool not in self._costs:
            self._costs[pool] = self._pools.num_proposals(pool)
        return self._costs[pool]

    def _added_costs(self, pool: Subset) -> Float[np.ndarray, "models"]:
        """(M,) number of proposals that each model adds to a pool."""
        fresh = ~self._rows[:, list(pool)].any(axis=1)
        return (self._counts * fresh).astype(np.float32) @ self._rows32

    def smallest(self, among: Bool[np.ndarray, "labels"], recall: float) -> tuple[Subset, bool]:
        """Returns a small pool for the labels `among`, and whether the pool reaches the recall."""
        gold = self._pools.present[among & ~self._pools.always_found]
        always = int(np.count_nonzero(among & self._pools.always_found))
        enough = _needed(int(np.count_nonzero(among)), recall) - always
        wanted = min(enough, int(gold.any(axis=1).sum()))
        keep = bool(among.all())
        pool: Subset = ()
        while True:
            gains = _gains(gold, pool)
            ties = np.flatnonzero(gains == gains.max())
            ties = [m for m in ties.tolist() if m not in pool]
            added = self._added_costs(pool)
            pool = tuple(sorted((*pool, min(ties, key=lambda m: (added[m], m)))))
            pool = self._most_hits(gold, pool)
            if keep:
                self._seen.add(pool)
            if _hits(gold, pool) >= wanted:
                break
        pool = self._cheapest(gold, _without_needless(gold, pool, wanted), wanted)
        pool = _without_needless(gold, pool, wanted)
        if keep:
            self._seen.add(pool)
            self._examine_more(gold, pool)
        return pool, _hits(gold, pool) >= enough

    def _most_hits(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> Subset:
        """Exchanges one model for another while the pool finds more labels."""
        hits = _hits(gold, pool)
        improved = True
        while improved:
            improved = False
            for out in pool:
                rest = tuple(m for m in pool if m != out)
                gains = _gains(gold, rest)
                best = int(np.argmax(gains))
                found = _hits(gold, rest) + int(gains[best])
                if found > hits:
                    pool, hits, improved = tuple(sorted((*rest, best))), found, True
                    break
        return pool

    def _cheapest(
        self, gold: Bool[np.ndarray, "labels models"], pool: Subset, wanted: int
    ) -> Subset:
        """Exchanges one model for another while the pool proposes fewer pairs and finds `wanted` labels."""
        improved = True
        while improved:
            improved = False
            for out in pool:
                rest = tuple(m for m in pool if m != out)
                found = _hits(gold, rest) + _gains(gold, rest)
                costs = self._cost(rest) + self._added_costs(rest)
                costs[(found < wanted) | np.isin(np.arange(self._num_models), rest)] = np.inf
                best = tuple(sorted((*rest, int(np.argmin(costs)))))
                if np.isfinite(costs.min()) and self._cost(best) < self._cost(pool):
                    pool, improved = best, True
                    break
        return pool

    def _examine_more(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> None:
        """Examines more pools for the front: larger pools, their parts, and cheaper pools of equal recall."""
        self._grow(gold, pool)
        self._peel()
        for best in self._best_seen():
            self._seen.add(self._cheapest(gold, best, _hits(gold, best)))

    def _grow(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> None:
        """Adds the model with the most new labels, until no model finds a new label."""
        while _gains(gold, pool).max() > 0:
            pool = tuple(sorted((*pool, int(np.argmax(_gains(gold, pool))))))
            self._seen.add(self._cheapest(gold, pool, _hits(gold, pool)))

    def _peel(self) -> None:
        """Examines the pools without each of their models, from the largest pools down, and single models."""
        self._seen |= {(m,) for m in range(self._num_models)}
        for size in range(self._num_models, 2, -1):
            pools = sorted(p for p in self._seen if len(p) == size)[:_MOST_PEELED]
            self._seen |= {tuple(m for m in p if m != out) for p in pools for out in p}

    def _best_seen(self) -> list[Subset]:
        """The Pareto front of the examined pools, by falling recall."""
        found = {pool: int(self._pools.found(pool).sum()) for pool in self._seen}
        cheapest, best = math.inf, []
        for pool in sorted(found, key=lambda p: (-found[p], self._cost(p), len(p), p)):
            if self._cost(pool) < cheapest:
                cheapest = self._cost(pool)
                best.append(pool)
        return best

    def front(self) -> Iterator[Subset]:
        """Yields the Pareto front of the examined pools, from the highest recall down."""
        yield from self._best_seen()


def _gains(gold: Bool[np.ndarray, "labels models"], pool: Subset) -> Int[np.ndarray, "models"]:
    """(M,) number of labels that each model finds and the pool does not."""
    return gold[~gold[:, list(pool)].any(axis=1)].sum(axis=0)


def _without_needless(gold: Bool[np.ndarray, "labels models"], pool: Subset, wanted: int) -> Subset:
    """Removes models from the pool that it does not need to find `wanted` labels."""
    for model in pool:
        rest = tuple(m for m in pool if m != model)
        if rest and _hits(gold, rest) >= wanted:
            pool = rest
    return pool


def _hits(gold: Bool[np.ndarray, "labels models"], pool: Subset) -> int:
    """Number of labels that a pool finds."""
    return int(np.count_nonzero(gold[:, list(pool)].any(axis=1)))

"""The smallest pool of models that still proposes enough of the experts' labels.

The paper's criterion: recall of at least 97%, then the fewest models, then the fewest proposals ("Are we done
with ImageNet?", section 3.1). Up to 24 models all subsets are searched; more, greedily with exchanges.
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

GREEDY_ABOVE = 24  # models up to which every subset is searched
_CHUNK = 1 << 20  # subsets looked at at a time
_FOLDS = 10
_COST_BITS, _SIZE_BITS = 32, 5  # of a pool's key; 24 more bits are the pool itself
_NO_KEY = np.iinfo(np.int64).max
_MOST_PEELED = 100  # pools of each size of which all parts are looked at
RECALL = 0.97  # of the paper's pool
Subset = tuple[int, ...]  # columns of the models


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """What a search of pools found.

    Attributes:
      pool: columns of the chosen models, ascending.
      is_enough: whether it reaches the recall that was asked for; else it is the smallest of the highest.
      front: the pools of the Pareto front, columns each: no pool proposes less and finds as much. Of a
        greedy search, the front of the pools that were looked at.
      held_out: recall on images that the pool was not chosen on: for each of 10 parts of the gold images, the
        pool is chosen on the others.
      is_exact: whether all subsets were searched.
    """

    pool: Subset
    is_enough: bool
    front: tuple[Subset, ...]
    held_out: Estimate
    is_exact: bool


def search(pools: Pools, recall: float = RECALL, seed: int = 0) -> Search:
    """Finds the smallest pool of enough recall, and the Pareto front of recall and proposals.

    Args:
      pools: the models, with experts' labels.
      recall: the least share of the experts' labels to be proposed, in (0, 1].
      seed: of the parts for the held-out recall.

    Raises:
      InputError: if the recall is no share, or there are no experts' labels.
    """
    if not 0 < recall <= 1:
        raise InputError(f"--recall {recall}: expected a share, 0 < R <= 1.")
    if not pools.num_present:
        raise InputError("Choosing a pool needs the experts' labels of some images (--gold FILE).")
    is_exact = len(pools.proposals.models) <= GREEDY_ABOVE
    searcher = EverySubset(pools) if is_exact else Greedy(pools)
    every = np.ones(pools.num_present, bool)
    pool, is_enough = searcher.smallest(every, recall)
    return Search(
        pool,
        is_enough,
        tuple(searcher.front()),
        _held_out(pools, searcher, recall, seed),
        is_exact,
    )


def _held_out(pools: Pools, searcher: EverySubset | Greedy, recall: float, seed: int) -> Estimate:
    """Recall on the images of each part by the pool that is chosen on the other parts."""
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
    """Fewest hits that are this share of a number; 0.97 of 100 is 97, whatever its binary digits."""
    return math.ceil(number * recall - 1e-9)


class EverySubset:
    """The search over all subsets: bit m of a subset's number is model m."""

    def __init__(self, pools: Pools):
        self._pools = pools
        self._num_models = len(pools.proposals.models)
        self._cost = proposed_by_subset(*pools.patterns, np.int32)
        self._hits = self._hits_of(np.ones(pools.num_present, bool))

    def _hits_of(self, among: Bool[np.ndarray, "labels"]) -> Int[np.ndarray, "subsets"]:
        """(2^M,) how many of these labels each subset finds, without those always found."""
        asked = among & ~self._pools.always_found
        dtype = np.uint16 if np.count_nonzero(asked) < 1 << 16 else np.int32
        return proposed_by_subset(
            self._pools.present[asked], np.ones(np.count_nonzero(asked), np.int64), dtype
        )

    def smallest(self, among: Bool[np.ndarray, "labels"], recall: float) -> tuple[Subset, bool]:
        """The smallest pool by these labels, and whether it reaches the recall."""
        hits = self._hits if among.all() else self._hits - self._hits_of(~among)
        always = int(np.count_nonzero(among & self._pools.always_found))
        enough = _needed(int(np.count_nonzero(among)), recall) - always
        most = int(hits[-1])  # of all models
        best = _NO_KEY
        for start, cost, size in self._chunks():
            key = (size << _COST_BITS | cost) << self._num_models | np.arange(
                start, start + len(cost)
            )
            found = hits[start : start + len(cost)] >= min(enough, most)
            best = min(best, int(key[found].min(initial=_NO_KEY)))
        return self._subset(best), most >= enough

    def front(self) -> Iterator[Subset]:
        """The Pareto front, from the most recall down."""
        best = np.full(int(self._hits[-1]) + 1, _NO_KEY)  # the key of the cheapest pool, by hits
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
        """(first subset, cost and number of models of each) of chunks of the subsets, without the empty one.

        Subsets are compared by a key, by size and then by cost, or the other way round. Its lowest bits are
        the subset itself, which so comes back with the smallest key.
        """
        for start in range(0, 1 << self._num_models, _CHUNK):
            first = max(start, 1)
            end = min(start + _CHUNK, 1 << self._num_models)
            size = np.bitwise_count(np.arange(first, end)).astype(np.int64)
            yield first, self._cost[first:end].astype(np.int64), size

    def _subset(self, key: int) -> Subset:
        return tuple(m for m in range(self._num_models) if key >> m & 1)


class Greedy:
    """The search for many models: one is added at a time, and models are exchanged while that helps.

    What it finds is good, and not always the best: all pools that were looked at make the front.
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
        """(M,) proposals that each model adds to a pool."""
        fresh = ~self._rows[:, list(pool)].any(axis=1)
        return (self._counts * fresh).astype(np.float32) @ self._rows32

    def smallest(self, among: Bool[np.ndarray, "labels"], recall: float) -> tuple[Subset, bool]:
        """A small pool by these labels, and whether it reaches the recall."""
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
            self._look_around(gold, pool)
        return pool, _hits(gold, pool) >= enough

    def _most_hits(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> Subset:
        """Exchanges one model for another while the pool finds more."""
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
        """Exchanges one model for another while the pool proposes less and still finds enough."""
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

    def _look_around(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> None:
        """Looks at more pools for the front: larger ones, their parts, and cheaper ones of as much recall."""
        self._grow(gold, pool)
        self._peel()
        for best in self._best():
            self._seen.add(self._cheapest(gold, best, _hits(gold, best)))

    def _grow(self, gold: Bool[np.ndarray, "labels models"], pool: Subset) -> None:
        """Adds the model of the most new labels, until all are found that can be."""
        while _gains(gold, pool).max() > 0:
            pool = tuple(sorted((*pool, int(np.argmax(_gains(gold, pool))))))
            self._seen.add(self._cheapest(gold, pool, _hits(gold, pool)))

    def _peel(self) -> None:
        """Takes one model after another out of the pools, from the largest down to single models."""
        self._seen |= {(m,) for m in range(self._num_models)}
        for size in range(self._num_models, 2, -1):
            pools = sorted(p for p in self._seen if len(p) == size)[:_MOST_PEELED]
            self._seen |= {tuple(m for m in p if m != out) for p in pools for out in p}

    def _best(self) -> list[Subset]:
        """The pools seen of which no other seen one proposes less and finds as much, by falling recall."""
        found = {pool: int(self._pools.found(pool).sum()) for pool in self._seen}
        cheapest, best = math.inf, []
        for pool in sorted(found, key=lambda p: (-found[p], self._cost(p), len(p), p)):
            if self._cost(pool) < cheapest:
                cheapest = self._cost(pool)
                best.append(pool)
        return best

    def front(self) -> Iterator[Subset]:
        """The Pareto front of the pools that were looked at, from the most recall down."""
        yield from self._best()


def _gains(gold: Bool[np.ndarray, "labels models"], pool: Subset) -> Int[np.ndarray, "models"]:
    """(M,) labels that each model finds and the pool does not."""
    return gold[~gold[:, list(pool)].any(axis=1)].sum(axis=0)


def _without_needless(gold: Bool[np.ndarray, "labels models"], pool: Subset, wanted: int) -> Subset:
    """The pool without models that it does not need for this many labels."""
    for model in pool:
        rest = tuple(m for m in pool if m != model)
        if rest and _hits(gold, rest) >= wanted:
            pool = rest
    return pool


def _hits(gold: Bool[np.ndarray, "labels models"], pool: Subset) -> int:
    """Labels that a pool finds."""
    return int(np.count_nonzero(gold[:, list(pool)].any(axis=1)))

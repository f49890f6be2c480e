"""The Pareto front of pools: the highest recall for each number of proposals, as a table and a figure."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.proposals.pools import Pools
from real_labels.proposals.proposals import SEPARATOR
from real_labels.proposals.subset_sums import proposed_by_subset

if TYPE_CHECKING:
    from jaxtyping import Int

ENDINGS = (".png", ".svg", ".pdf", ".csv", ".parquet")
MOST_LISTED = 16  # largest number of models for which every pool is listed
_LINE, _MARK = "#2471a3", "#c0392b"


@dataclasses.dataclass(frozen=True)
class Point:
    """A pool with its recall and precision, in [0, 1], and its mean number of proposals per image."""

    pool: tuple[str, ...]
    recall: float
    precision: float
    proposals_per_image: float

    @classmethod
    def of(cls, pools: Pools, columns: Sequence[int]) -> Point:
        """Measures a pool without intervals."""
        return cls(
            tuple(pools.proposals.models[column] for column in columns),
            pools.recall(columns),
            pools.precision(columns),
            pools.proposals_per_image(columns),
        )


def save(
    path: str | os.PathLike[str], front: Sequence[Point], chosen: Point, *, is_exact: bool = True
) -> None:
    """Writes the front, atomically: .csv or .parquet, or a figure (.png, .svg, .pdf).

    Args:
      path: the file.
      front: the points, by falling recall.
      chosen: the chosen pool, which the figure marks.
      is_exact: whether all pools were searched.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: a front is written as {', '.join(ENDINGS)}.")
    if ending in (".csv", ".parquet"):
        tables.write(path, _columns(front))
    else:
        _draw(path, front, chosen, "best pools" if is_exact else "best of the searched pools")


def _columns(points: Iterable[Point]) -> dict[str, np.ndarray]:
    points = list(points)
    return {
        "models": np.array([SEPARATOR.join(p.pool) for p in points], dtype=np.str_),
        "number": np.array([len(p.pool) for p in points]),
        "recall": np.array([p.recall for p in points]),
        "precision": np.array([p.precision for p in points]),
        "proposals_per_image": np.array([p.proposals_per_image for p in points]),
    }


def _draw(path: str | os.PathLike[str], front: Sequence[Point], chosen: Point, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    cost = [p.proposals_per_image for p in front][::-1]
    recall = [100 * p.recall for p in front][::-1]
    axes.step(cost, recall, where="post", color=_LINE, lw=1.2, alpha=0.6)
    axes.plot(cost, recall, ".", color=_LINE, ms=5, label=title)
    point = (chosen.proposals_per_image, 100 * chosen.recall)
    number = f"{len(chosen.pool)} model{'s' * (len(chosen.pool) > 1)}"
    label = f"chosen pool: {number}, recall {point[1]:.1f}%, {point[0]:.2f} proposals per image"
    axes.plot(*point, "o", color=_MARK, ms=7, label=label)
    axes.set(xlabel="Proposals per image", ylabel="Recall of the experts' labels (%)")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    axes.grid(color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format=pathlib.Path(path).suffix[1:].lower(), dpi=160)


def save_every_pool(path: str | os.PathLike[str], pools: Pools) -> None:
    """Writes a table (.csv, .parquet) of all 2^M - 1 pools, atomically, sorted by size and then by proposals.

    `unrated` is the number of images on which all models of the pool agree with the original label.

    Raises:
      InputError: if there are more than 16 models.
    """
    names = pools.proposals.models
    if len(names) > MOST_LISTED:
        raise InputError(
            f"{len(names)} models have {(1 << len(names)) - 1:,} pools; every pool is listed for up to "
            f"{MOST_LISTED} models. Name single pools with --pool."
        )
    size, cost, unrated = _counts_of_every_pool(pools)
    order = np.lexsort((cost, size))[1:]  # without the empty pool
    members = [_names(names, pool) for pool in order.tolist()]
    table = {
        "models": np.array([SEPARATOR.join(pool) for pool in members], dtype=np.str_),
        "number": size[order],
        "proposals_per_image": 1 + cost[order] / pools.proposals.num_images,
        "unrated": unrated[order],
    }
    if pools.num_present:
        recall, precision = pools.of_every_subset()
        table |= {"recall": recall[order], "precision": precision[order]}
    tables.write(path, table)


def cheapest_of_each_size(pools: Pools) -> list[tuple[tuple[str, ...], float, int]]:
    """Finds, for each number of models, the pool with the fewest proposals.

    All pools are counted, so there may be up to 24 models.

    Returns:
      The names of the models, proposals per image, and number of unrated images of each of these pools.
    """
    names = pools.proposals.models
    size, cost, unrated = _counts_of_every_pool(pools)
    cheapest = []
    for number in range(1, len(names) + 1):
        of_size = np.flatnonzero(size == number)
        pool = int(of_size[np.argmin(cost[of_size])])
        per_image = 1 + int(cost[pool]) / pools.proposals.num_images
        cheapest.append((_names(names, pool), per_image, int(unrated[pool])))
    return cheapest


def _names(names: Sequence[str], pool: int) -> tuple[str, ...]:
    return tuple(name for m, name in enumerate(names) if pool >> m & 1)


def _counts_of_every_pool(
    pools: Pools,
) -> tuple[Int[np.ndarray, "subsets"], Int[np.ndarray, "subsets"], Int[np.ndarray, "subsets"]]:
    """(2^M,) number of models, proposals beside the original labels, and unrated images of every pool."""
    proposals = pools.proposals
    size = np.bitwise_count(np.arange(1 << len(proposals.models)))
    differs = proposals.differs
    if proposals.ask_all:  # any class beside the original label counts as a difference
        differs = np.zeros_like(differs)
        other = ~proposals.original
        np.logical_or.at(differs, proposals.questions.image[other], proposals.by[other])
    ones = np.ones(proposals.num_images, np.int64)
    covered = proposed_by_subset(proposals.covers, ones, np.int32)
    unrated = covered - proposed_by_subset(differs, ones, np.int32)
    return size, proposed_by_subset(*pools.patterns, np.int32), unrated

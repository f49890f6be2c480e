"""Images with several valid labels: whether models pick the original one more than chance would.

Section 4 of the paper: an unbiased oracle, which picks any of the valid labels, knows nothing of how the
original labels were collected; a model that names the original one more often has learned that too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.outcomes import Outcomes
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Content, Drawn, Table
from real_labels.analysis.study import Study
from real_labels.intervals import Estimate, holm, percent
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KEY = "several_labels"
RANKS = (1, 2, 3)
_ORDINALS = ("first prediction", "second", "third")


@dataclasses.dataclass(frozen=True)
class NumberOfLabels:
    """The images with `labels` valid labels."""

    labels: int
    images: int


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """How many labels images have, without any model.

    Attributes:
      num_images: in all.
      with_several: images with several labels.
      original_among_them: those of them whose original label is one.
      by_number: by number of labels.
    """

    num_images: int
    with_several: int
    original_among_them: int
    by_number: Sequence[NumberOfLabels]


@dataclasses.dataclass(frozen=True)
class PicksOfNumber:
    """Picks among `labels` valid labels: by the model, and by the oracle (1 / labels)."""

    labels: int
    picks_original: Accuracy
    oracle: float


@dataclasses.dataclass(frozen=True)
class Rank:
    """A model's predictions of one rank.

    Attributes:
      rank: 1 for the first.
      valid: share that is valid, of the images with `rank` labels or more.
      valid_of_all: of all images with a label.
    """

    rank: int
    valid: Accuracy
    valid_of_all: Accuracy


@dataclasses.dataclass(frozen=True)
class Picks:
    """How often a model picks the original label among several valid ones.

    Attributes:
      num_several: predicted images with several labels.
      num_original_valid: those whose original label is among them.
      picks_original: share of the counted images whose prediction is the original label.
      oracle: that of an unbiased oracle, with the interval in which 95% of oracles lie.
      p_value: two-sided, of the oracle doing this.
      by_number_of_labels: the same by number of labels.
      ranks: of the first predictions.
    """

    num_several: int
    num_original_valid: int
    picks_original: Accuracy
    oracle: Estimate
    p_value: float
    by_number_of_labels: Sequence[PicksOfNumber]
    ranks: Sequence[Rank]


@dataclasses.dataclass(frozen=True)
class SeveralLabels:
    """The labels' counts, and each model's picks."""

    labels: LabelCounts
    models: Mapping[str, Picks]


def count(original: LabelSets, valid: LabelSets) -> LabelCounts:
    """Counts how many valid labels images have."""
    rows = valid.rows(original.file_names)
    number = valid.counts[rows]
    among = valid.contains(rows, original.classes[:, None])[:, 0]
    return LabelCounts(
        num_images=len(original),
        with_several=int(np.count_nonzero(number > 1)),
        original_among_them=int(np.count_nonzero((number > 1) & among)),
        by_number=[NumberOfLabels(int(k), int(n)) for k, n in enumerate(np.bincount(number)) if n],
    )


def measure(outcomes: Outcomes, predictions: Predictions, valid: LabelSets) -> Picks:
    """How often the model picks the original label among several valid ones.

    Counted are images with several valid labels, the original one among them, whose first prediction is
    valid. On these an unbiased oracle picks one of an image's k labels, each with probability 1/k; its
    number of original labels is a sum of binomials, one for each k, taken exactly.
    """
    several = outcomes.num_labels > 1
    counted = several & outcomes.original_valid & outcomes.predicted_valid
    picks = counted & ~outcomes.mistake
    number = outcomes.num_labels[counted]
    n, hits = int(np.count_nonzero(counted)), int(np.count_nonzero(picks))
    distribution = oracle(number)
    by_number = []
    for k in np.unique(number).tolist():
        here = counted & (outcomes.num_labels == k)
        found = Accuracy.of(int(np.count_nonzero(picks & here)), int(np.count_nonzero(here)))
        by_number.append(PicksOfNumber(k, found, 1 / k))
    return Picks(
        num_several=int(np.count_nonzero(several)),
        num_original_valid=int(np.count_nonzero(several & outcomes.original_valid)),
        picks_original=Accuracy.of(hits, n),
        oracle=_oracle_share(number, distribution),
        p_value=_two_sided(distribution, hits),
        by_number_of_labels=by_number,
        ranks=_ranks(predictions, valid, outcomes.num_labels),
    )


def oracle(number: Int[np.ndarray, "images"]) -> Float[np.ndarray, "images_plus_1"]:
    """Probability that an unbiased oracle picks the original label 0, 1, …, N times.

    Args:
      number: (N,) how many valid labels each image has.
    """
    distribution = np.ones(1)
    for k, n in zip(*np.unique(number, return_counts=True), strict=True):
        distribution = np.convolve(distribution, _binomial(int(n), 1 / k))
    return distribution


def _binomial(n: int, p: float) -> Float[np.ndarray, "n_plus_1"]:
    from scipy import special

    x = np.arange(n + 1)
    logs = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
    return np.exp(logs + special.xlogy(x, p) + special.xlog1py(n - x, -p))


def _oracle_share(number: np.ndarray, distribution: np.ndarray) -> Estimate:
    n = len(number)
    if not n:
        return Estimate.of_nothing()
    below = np.cumsum(distribution)
    low, high = np.searchsorted(below, [0.025, 0.975])
    return Estimate(float(np.mean(1 / number)), float(low / n), float(high / n), n)


def _two_sided(distribution: np.ndarray, hits: int) -> float:
    tails = distribution[: hits + 1].sum(), distribution[hits:].sum()
    return float(min(1.0, 2 * min(tails)))


def _ranks(
    predictions: Predictions, labels: LabelSets, number: Int[np.ndarray, "images"]
) -> list[Rank]:
    valid = labels.contains(labels.rows(predictions.file_names), predictions.classes)
    ranks = []
    for rank in RANKS[: predictions.classes.shape[1]]:
        hits = valid[:, rank - 1]
        enough = number >= rank
        ranks.append(
            Rank(
                rank,
                Accuracy.of(int(np.count_nonzero(hits & enough)), int(enough.sum())),
                Accuracy.of(int(np.count_nonzero(hits)), int((number > 0).sum())),
            )
        )
    return ranks


@figures.styled
def draw(
    measured: Mapping[str, Picks], links: Mapping[str, str], accuracies: Mapping[str, float]
) -> Figure:
    """Left, how often each model picks the original label, beside the oracle; right, its next predictions.

    Args:
      measured: of each model.
      links: of each model.
      accuracies: top-1 on the original labels, shares; many models are drawn over them.
    """
    names = _ranked(measured)
    if len(names) > figures.MANY:
        return _draw_many(measured, links, accuracies)
    figure, (left, right) = figures.rows_axes(names, columns=2, extra=1.1)
    targets = [links[name] for name in names]
    oracles = [measured[name].oracle for name in names]
    left.hlines(
        range(len(names)),
        [100 * one.low for one in oracles],
        [100 * one.high for one in oracles],
        color=figures.GREY,
        linewidth=9,
        label="95% of oracles",
    )
    figures.dots(
        left, [measured[n].picks_original for n in names], targets, figures.MODEL, "the model"
    )
    left.set_xlabel("picks the original, %")
    for rank, colour in zip(RANKS, (figures.REAL, figures.AMBER, figures.VIOLET), strict=True):
        shares = [_rank(measured[name].ranks, rank) for name in names]
        figures.dots(right, shares, targets, colour, _ORDINALS[rank - 1])
    right.set_xlabel("prediction is valid, %")
    figures.legend(figure, [left, right])
    return figure


def _draw_many(
    measured: Mapping[str, Picks], links: Mapping[str, str], accuracies: Mapping[str, float]
) -> Figure:
    """The same over the models' accuracy."""
    names = sorted(measured, key=accuracies.__getitem__)
    over, targets = [accuracies[name] for name in names], [links[name] for name in names]
    figure, (left, right) = figures.new(3.6, 2)
    oracles = [measured[name].oracle for name in names]
    left.fill_between(
        [100 * x for x in over],
        [100 * one.low for one in oracles],
        [100 * one.high for one in oracles],
        color=figures.GREY,
        alpha=0.5,
        linewidth=0,
        label="95% of oracles",
    )
    picks = [measured[name].picks_original for name in names]
    figures.marks_over(left, over, [figures.Series("a model", figures.MODEL, picks)], targets)
    left.set_ylabel("picks the original, %")
    colours = (figures.REAL, figures.AMBER, figures.VIOLET)
    series = [
        figures.Series(_ORDINALS[rank - 1], colour, [_rank(measured[n].ranks, rank) for n in names])
        for rank, colour in zip(RANKS, colours, strict=True)
    ]
    figures.marks_over(right, over, series, targets)
    right.set_ylabel("prediction is valid, %")
    figure.supxlabel("top-1 accuracy on the original labels, %", fontsize=11)
    figures.legend(figure, [left, right])
    return figure


def _rank(ranks: Sequence[Rank], rank: int) -> Accuracy | None:
    return next((one.valid for one in ranks if one.rank == rank), None)


def _ranked(measured: Mapping[str, Picks]) -> list[str]:
    return sorted(measured, key=lambda name: -measured[name].picks_original.value)


def make(study: Study) -> Content:
    """Counts the labels, and measures each model of a study."""
    missing = study.missing("models")
    valid, by = study.judge.labels, study.judge.title
    assert study.original is not None  # see `sections`
    counts = count(study.original, valid)
    measured = {
        name: measure(study.outcomes[name], one, valid) for name, one in study.models.items()
    }
    numbers = SeveralLabels(counts, measured)
    told = {n: one for n, one in measured.items() if one.picks_original.n}
    missing += [
        f"{name}: none of its valid predictions is on an image with several labels, the original one "
        f"among them."
        for name in measured
        if name not in told
    ]
    share = counts.with_several / max(counts.num_images, 1)
    lead = (
        f"{counts.with_several:,} of {counts.num_images:,} images ({100 * share:.1f}%) have several "
        f"{by} labels."
    )
    if not told:
        return Content(
            lead=lead, missing=missing, numbers=numbers, tables=[_counts_table(counts, by)]
        )
    title = (
        "Left: how often each model picks the original label. Right: how often its first, second and third "
        "prediction are valid, of the images with at least one, two, three labels"
    )
    return Content(
        lead=f"{lead} {_lead(told, study.subject(told))}",
        missing=missing,
        numbers=numbers,
        figures=[Drawn(KEY, title, draw(told, study.links, study.original_top1))],
        tables=[_table(told, study.links, by), _counts_table(counts, by)],
        notes=[
            f"Counted are images with several {by} labels, the original one among them, on which the model's "
            f"first prediction is valid. The oracle picks any of an image's valid labels; the bar is where "
            f"95% of such oracles lie, exactly. p: that an oracle does as the model does, or is further off.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Several valid labels",
    "Where several labels are right, do models still guess which one was written down?",
    needs=("original", "reassessments"),
    make=make,
    by_one=True,
)


def _lead(measured: Mapping[str, Picks], name: str) -> str:
    shown = measured[name]
    picks, unbiased = shown.picks_original, shown.oracle
    lead = (
        f"On the {picks.n:,} where both the original label and the prediction of {name} are valid, the "
        f"prediction is the original label {percent(picks, 1)} of the time; of an unbiased oracle, "
        f"which picks any valid label, it would be {percent(unbiased, 1)}: "
    )
    if shown.p_value >= section.LEVEL:
        lead += f"the two cannot be told apart ({section.p_words(shown.p_value)})."
    elif picks.value > unbiased.value:
        lead += f"more often than chance ({section.p_words(shown.p_value)})."
    else:
        lead += f"less often than chance ({section.p_words(shown.p_value)})."
    if len(measured) > 1:
        corrected = holm([one.p_value for one in measured.values()])
        biased = sum(
            p < section.LEVEL and one.picks_original.value > one.oracle.value
            for p, one in zip(corrected, measured.values(), strict=True)
        )
        lead += (
            f" {biased} of {len(measured)} models name the original one significantly more often "
            f"(after Holm's correction)."
        )
    second = shown.ranks[1].valid if len(shown.ranks) > 1 else None
    if second is not None and second.is_known:
        lead += (
            f" The second prediction of {name} is valid on {percent(second, 1)} of the images with two "
            f"labels or more."
        )
    return lead


def _table(measured: Mapping[str, Picks], links: Mapping[str, str], by: str) -> Table:
    columns = [
        Column("model", lambda name: name, is_text=True),
        Column("picks the original", lambda name: section.share(measured[name].picks_original)),
        Column(
            "oracle",
            lambda name: section.share(measured[name].oracle),
            "Share of an unbiased oracle, and where 95% of oracles lie",
        ),
        Column("p", lambda name: section.p_value(measured[name].p_value)),
        Column("images", lambda name: measured[name].picks_original.n),
    ]
    for rank in RANKS:
        columns.append(
            Column(
                f"prediction {rank} valid",
                lambda name, rank=rank: _rank_cell(measured[name].ranks, rank),
                f"Of the images with {rank} or more {by} labels; below, of all with any",
            )
        )
    names = _ranked(measured)
    return Table.of(f"{KEY}-models", "The models", columns, names, links.__getitem__)


def _rank_cell(ranks: Sequence[Rank], rank: int) -> Cell:
    one = next((one for one in ranks if one.rank == rank), None)
    if one is None:
        return Cell("–")
    cell, of_all = section.share(one.valid), section.share(one.valid_of_all)
    return dataclasses.replace(cell, note=f"{cell.note} of all {of_all.text}".strip())


def _counts_table(counts: LabelCounts, by: str) -> Table:
    total = max(counts.num_images, 1)
    columns = [
        Column(f"{by} labels", lambda one: one.labels),
        Column("images", lambda one: one.images),
        Column(
            "share",
            lambda one: Cell(
                f"{100 * one.images / total:.2f}%", one.images, bar=one.images / total
            ),
        ),
    ]
    return Table.of(f"{KEY}-counts", "How many labels images have", columns, counts.by_number)

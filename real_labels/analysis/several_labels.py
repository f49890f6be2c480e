"""Images with several valid labels: how often models pick the original label, compared with chance.

Section 4 of the paper: an unbiased oracle picks any of the valid labels with equal probability, regardless of
how the original labels were collected. A model that picks the original label more often has learned a bias of
the collection.
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
from real_labels.analysis.page.section import Cell, Column, Content, SectionFigure, Table
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
    """The number of images with `labels` valid labels."""

    labels: int
    images: int


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """Numbers of images by their number of valid labels; no model is needed.

    Attributes:
      num_images: number of all images.
      with_several: number of images with several valid labels.
      original_among_them: number of these whose original label is valid.
      by_number: number of images for each number of valid labels.
    """

    num_images: int
    with_several: int
    original_among_them: int
    by_number: Sequence[NumberOfLabels]


@dataclasses.dataclass(frozen=True)
class PicksOfNumber:
    """Share of original labels picked among `labels` valid labels: by model and by oracle (1 / labels)."""

    labels: int
    picks_original: Accuracy
    oracle: float


@dataclasses.dataclass(frozen=True)
class Rank:
    """A model's predictions of one rank.

    Attributes:
      rank: 1 for the first.
      valid: share of valid predictions, on the images with `rank` labels or more.
      valid_of_all: share of valid predictions, on all images with a label.
    """

    rank: int
    valid: Accuracy
    valid_of_all: Accuracy


@dataclasses.dataclass(frozen=True)
class Picks:
    """How often a model picks the original label among several valid ones.

    Attributes:
      num_several: number of predicted images with several valid labels.
      num_original_valid: number of these whose original label is valid.
      picks_original: share of the images counted by `measure` whose prediction is the original label.
      oracle: the same share for an unbiased oracle, with the interval that contains 95% of oracles.
      p_value: two-sided p-value of the model's share, if the model were such an oracle.
      by_number_of_labels: the shares by number of labels.
      ranks: validity of the first, second and third predictions.
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
    """Measures how often the model picks the original label among several valid labels.

    An image counts if it has several valid labels and both its original label and its first prediction are
    valid. On these images an unbiased oracle picks each of an image's k labels with probability 1/k. The
    number of original labels that it picks is a sum of binomials, one for each k; the distribution is exact.
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
        share = Accuracy.of(int(np.count_nonzero(picks & here)), int(np.count_nonzero(here)))
        by_number.append(PicksOfNumber(k, share, 1 / k))
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
      number: (N,) number of valid labels of each image.
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
    """Draws picks of the original label by model and oracle (left) and valid shares by rank (right).

    Args:
      measured: the picks of each model.
      links: the link of each model.
      accuracies: top-1 on the original labels, shares; with many models, the horizontal axis.
    """
    names = _ranked(measured)
    if len(names) > figures.MANY:
        return _draw_many(measured, links, accuracies)
    figure, (left, right) = figures.rows_axes(names, columns=2, extra=1.1)
    targets = [links[name] for name in names]
    oracles = [measured[name].oracle for name in names]
    left.hlines(
        range(len(names)),
        [100 * oracle_share.low for oracle_share in oracles],
        [100 * oracle_share.high for oracle_share in oracles],
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
    """Draws the content of `draw` over the models' accuracy."""
    names = sorted(measured, key=accuracies.__getitem__)
    over, targets = [accuracies[name] for name in names], [links[name] for name in names]
    figure, (left, right) = figures.new(3.6, 2)
    oracles = [measured[name].oracle for name in names]
    left.fill_between(
        [100 * x for x in over],
        [100 * oracle_share.low for oracle_share in oracles],
        [100 * oracle_share.high for oracle_share in oracles],
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
    return next((entry.valid for entry in ranks if entry.rank == rank), None)


def _ranked(measured: Mapping[str, Picks]) -> list[str]:
    return sorted(measured, key=lambda name: -measured[name].picks_original.value)


def make(study: Study) -> Content:
    """Counts the labels, and measures each model of a study."""
    missing = study.missing("models")
    valid, by = study.judge.labels, study.judge.title
    assert study.original is not None  # `Analysis.sections` checks it
    counts = count(study.original, valid)
    measured = {
        name: measure(study.outcomes[name], predictions, valid)
        for name, predictions in study.models.items()
    }
    numbers = SeveralLabels(counts, measured)
    counted = {n: picks for n, picks in measured.items() if picks.picks_original.n}
    missing += [
        f"{name}: none of its valid predictions is on an image with several labels that include the "
        f"original label."
        for name in measured
        if name not in counted
    ]
    share = counts.with_several / max(counts.num_images, 1)
    lead = (
        f"{counts.with_several:,} of {counts.num_images:,} images ({100 * share:.1f}%) have several "
        f"{by} labels."
    )
    if not counted:
        return Content(
            lead=lead, missing=missing, numbers=numbers, tables=[_counts_table(counts, by)]
        )
    title = (
        "Left: how often each model picks the original label. Right: how often its first, second and third "
        "prediction are valid, of the images with at least one, two, three labels"
    )
    return Content(
        lead=f"{lead} {_lead(counted, study.subject(counted))}",
        missing=missing,
        numbers=numbers,
        figures=[SectionFigure(KEY, title, draw(counted, study.links, study.original_top1))],
        tables=[_table(counted, study.links, by), _counts_table(counts, by)],
        notes=[
            f"An image counts if it has several {by} labels that include the original label and the model's "
            f"first prediction. The oracle picks any of an image's valid labels with equal probability; the "
            f"bar contains 95% of such oracles and is exact. p is the two-sided probability that an oracle's "
            f"share is at least as extreme as the model's.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Several valid labels",
    "If an image has several valid labels, do models pick the original label more often than chance?",
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
        corrected = holm([picks_of_model.p_value for picks_of_model in measured.values()])
        biased = sum(
            p < section.LEVEL and picks_of_model.picks_original.value > picks_of_model.oracle.value
            for p, picks_of_model in zip(corrected, measured.values(), strict=True)
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
            "Share of an unbiased oracle, and the interval that contains 95% of oracles",
        ),
        Column("p", lambda name: section.p_value(measured[name].p_value)),
        Column("images", lambda name: measured[name].picks_original.n),
    ]
    for rank in RANKS:
        columns.append(
            Column(
                f"prediction {rank} valid",
                lambda name, rank=rank: _rank_cell(measured[name].ranks, rank),
                f"Of the images with {rank} or more {by} labels; below, of all images with a label",
            )
        )
    names = _ranked(measured)
    return Table.of(f"{KEY}-models", "The models", columns, names, links.__getitem__)


def _rank_cell(ranks: Sequence[Rank], rank: int) -> Cell:
    entry = next((entry for entry in ranks if entry.rank == rank), None)
    if entry is None:
        return Cell("–")
    cell, of_all = section.share(entry.valid), section.share(entry.valid_of_all)
    return dataclasses.replace(cell, note=f"{cell.note} of all {of_all.text}".strip())


def _counts_table(counts: LabelCounts, by: str) -> Table:
    total = max(counts.num_images, 1)
    columns = [
        Column(f"{by} labels", lambda row: row.labels),
        Column("images", lambda row: row.images),
        Column(
            "share",
            lambda row: Cell(
                f"{100 * row.images / total:.2f}%", row.images, bar=row.images / total
            ),
        ),
    ]
    return Table.of(f"{KEY}-counts", "How many labels images have", columns, counts.by_number)

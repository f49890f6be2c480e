"""Calibration: whether a model is right as often as it says, by every label set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy, top_k_hits
from real_labels.accuracy.text import together
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Content, Drawn, Table
from real_labels.analysis.study import Study
from real_labels.intervals import Estimate, bootstrap_counts, bootstrap_estimate, percent
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions, ranking

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

KEY = "calibration"
BINS = 15
_DRAWS = 1_000
_CELLS = 8  # parts of a bin for the bootstrap; images of one part count as equally sure
_MOST_DRAWN = 6  # models with a diagram of their own


@dataclasses.dataclass(frozen=True)
class Bin:
    """The predictions whose confidence lies in (low, high].

    Attributes:
      low, high: ends of the bin.
      n: number of predictions.
      confidence: their mean confidence.
      accuracy: share that is right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: Accuracy


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How far first predictions are as often right as the model says.

    Attributes:
      ece: expected calibration error.
      confidence: mean confidence.
      accuracy: share that is right.
      overconfidence: mean confidence minus accuracy.
      bins: those with predictions.
    """

    ece: Estimate
    confidence: float
    accuracy: Accuracy
    overconfidence: Estimate
    bins: Sequence[Bin]


def measure(
    confidence: Float[np.ndarray, "images"],
    right: Bool[np.ndarray, "images"],
    *,
    seed: int = 0,
    bins: int = BINS,
) -> Calibration | None:
    """Expected calibration error (Guo et al. 2017) of first predictions.

    With bins of equal width, (j/B, (j+1)/B], the first with 0, too: ECE = Σ n_j/n · |share right in j - mean
    confidence in j|.

    Args:
      confidence: (N,) in [0, 1].
      right: (N,) whether the prediction is valid.
      seed: of the bootstrap over images.
      bins: B.

    Returns:
      The calibration; None without images.

    Noise in a bin never cancels, so that the error of a draw is larger than that of the data: the
    interval is that of the draws, moved by how much they are larger on average. The error of few
    images itself is larger than that of many, likewise.
    """
    n = len(confidence)
    if not n:
        return None
    confidence = np.asarray(confidence, np.float64)
    right = np.asarray(right, bool)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    sums = np.bincount(place, confidence, minlength=bins)
    hits = np.bincount(place, right, minlength=bins)
    value = float(np.abs(hits - sums).sum() / n)
    gaps = _gaps_of_draws(confidence, right, place, bins, seed)
    over = float((sums.sum() - hits.sum()) / n)
    filled = np.flatnonzero(number)
    return Calibration(
        ece=bootstrap_estimate(value, _centred(np.abs(gaps).sum(axis=1) / n, value), n),
        confidence=float(confidence.mean()),
        accuracy=Accuracy.of(hits.sum(), n),
        overconfidence=bootstrap_estimate(over, gaps.sum(axis=1) / n, n),
        bins=[
            Bin(
                low=j / bins,
                high=(j + 1) / bins,
                n=int(number[j]),
                confidence=float(sums[j] / number[j]),
                accuracy=Accuracy.of(hits[j], number[j]),
            )
            for j in filled.tolist()
        ],
    )


def _centred(drawn: Float[np.ndarray, "draws"], value: float) -> Float[np.ndarray, "draws"]:
    return np.maximum(drawn - (drawn.mean() - value), 0)


def _gaps_of_draws(
    confidence: np.ndarray, right: np.ndarray, place: np.ndarray, bins: int, seed: int
) -> Float[np.ndarray, "draws bins"]:
    """Sum of confidence minus number of right predictions in each bin, for each bootstrap draw.

    Images are drawn by cells: a bin's right or wrong ones of about the same confidence, each with
    the cell's mean.
    """
    part = np.clip((confidence * bins - place) * _CELLS, 0, _CELLS - 1).astype(np.int64)
    cell = (place * _CELLS + part) * 2 + right
    size = bins * _CELLS * 2
    number = np.bincount(cell, minlength=size)
    gap = np.bincount(cell, confidence - right, minlength=size)
    used = np.flatnonzero(number)
    of_bin = np.zeros((len(used), bins))
    of_bin[np.arange(len(used)), used // (2 * _CELLS)] = gap[used] / number[used]
    return bootstrap_counts(number[used], seed, _DRAWS) @ of_bin


def of_model(predictions: Predictions, labels: LabelSets, *, seed: int = 0) -> Calibration | None:
    """`measure` for a model whose scores are probabilities, on the images that have a label."""
    labelled, right = top_k_hits(predictions, labels)
    assert predictions.scores is not None
    confidence = predictions.scores[labelled, 0].clip(0, 1)
    return measure(confidence, right[labelled], seed=seed)


Measured = Mapping[str, Mapping[str, Calibration | None]]  # by model, then by label set


@figures.styled
def draw(measured: Measured, links: Mapping[str, str], titles: Mapping[str, str]) -> Figure:
    """Reliability diagrams: how often predictions of each confidence are right, by each label set."""
    names = list(measured)[:_MOST_DRAWN]
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    height = 3.6 if columns == 1 else 2.5 * rows + 0.4
    figure, axes = figures.new(height, columns, rows, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(len(names) - columns, 0) : len(names)]:
        axis.tick_params(labelbottom=True)  # also where the last row is not full
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot([0, 100], [0, 100], color=figures.MUTED, linestyle=(0, (4, 3)), linewidth=1)
        for key, one in measured[name].items():
            if one is None:
                continue
            x = np.array([100 * part.confidence for part in one.bins])
            value, low, high = (
                np.array([100 * getattr(part.accuracy, end) for part in one.bins])
                for end in ("value", "low", "high")
            )
            colour = figures.colour_of(key, measured[name])
            drawn = axis.errorbar(
                x, value, yerr=[value - low, high - value], color=colour, marker="o", markersize=4,
                linewidth=1.4, elinewidth=1, label=f"{titles[key]} labels",
            )  # fmt: skip
            figures.link(drawn[0], links[name])
        if len(names) > 1:
            axis.set_title(figures.shorten(name, 36 if columns == 1 else 24))
    figures.legend(figure, [axes[0][0]])
    figure.supxlabel("confidence, %", fontsize=10)
    figure.supylabel("right, %", fontsize=10)
    return figure


def make(study: Study) -> Content:
    """Measures each model of a study by every label set."""
    missing = study.missing("original", "reassessments")
    measured: dict[str, dict[str, Calibration | None]] = {}
    remarks: list[str] = []
    unusable: list[tuple[str, str]] = []
    for name in sorted(study.models, key=lambda name: name != study.shown):  # the shown one first
        one = study.models[name]
        reason = _unusable(one)
        if reason is not None:
            unusable.append((name, reason))
            continue
        measured[name] = {
            key: of_model(one, labels, seed=study.seed) for key, labels in study.label_sets.items()
        }
    missing += together(unusable, len(study.models), "models")
    if not measured:
        return Content(missing=missing)
    if len(measured) > _MOST_DRAWN:
        remarks.append(
            f"The figure has {next(iter(measured))} and {_MOST_DRAWN - 1} more of {len(measured)} models."
        )
    title = "How often predictions of each confidence are right"
    by = "ReaL labels" if study.is_real_alone else "labels of a reassessment"
    return Content(
        lead=_lead(measured, study.subject(measured), study.titles),
        missing=missing,
        remarks=remarks,
        numbers=measured,
        figures=[Drawn(KEY, title, draw(measured, study.links, study.titles))],
        tables=[_table(measured, study.links, study.titles)],
        notes=[
            f"Expected calibration error of the first prediction in {BINS} bins of equal width. By the {by}"
            f", images with a label count, and any valid label is right. Where a file has "
            f"a score for every class, scores beyond [0, 1] are taken as logits, and their softmax as "
            f"probabilities. Bootstrap over images; of few images the error itself is too large, since noise "
            f"in a bin never cancels.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Calibration",
    "Is the model right as often as it says it is?",
    needs=("models",),
    make=make,
)


def _unusable(predictions: Predictions) -> str | None:
    if predictions.scores is None:
        return "has no scores; save each prediction's probability, or the logits of every class."
    first = predictions.scores[:, 0]
    if first.min() < -ranking.ROUNDING or first.max() > 1 + ranking.ROUNDING:
        return (
            f"its scores are no probabilities (they reach from {first.min():.3g} to {first.max():.3g}); "
            f"save probabilities, or the logits of every class."
        )
    return None


def _lead(measured: Measured, name: str, titles: Mapping[str, str]) -> str:
    known = {key: one for key, one in measured[name].items() if one is not None}
    said = []
    for key, one in known.items():
        over = one.overconfidence.value
        word = "more" if over > 0 else "less"
        said.append(
            f"by the {titles[key]} labels its calibration error is {percent(one.ece)} (on average "
            f"{100 * abs(over):.2f} points {word} sure than right)"
        )
    if not said:
        return "None of the predicted images has a label."
    mean = next(iter(known.values())).confidence
    return f"{name} says it is {100 * mean:.1f}% sure on average; {section.join(said)}."


def _table(measured: Measured, links: Mapping[str, str], titles: Mapping[str, str]) -> Table:
    columns = [Column("model", lambda name: name, is_text=True)]
    for key in next(iter(measured.values())):

        def cell(name: str, field: str, key: str = key) -> Estimate | None:
            one = measured[name][key]
            return None if one is None else getattr(one, field)

        columns += [
            Column(
                f"ECE, {titles[key]}",
                lambda name, cell=cell: section.share(cell(name, "ece")),
                "Expected calibration error",
            ),
            Column(
                f"confidence − right, {titles[key]}",
                lambda name, cell=cell: section.points(cell(name, "overconfidence")),
                "On average, in points",
            ),
        ]
    return Table.of(f"{KEY}-models", "The models", columns, measured, links.__getitem__)

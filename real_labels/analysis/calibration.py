"""Calibration: whether a model's confidence matches its accuracy, by every label set."""

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
from real_labels.analysis.page.section import Column, Content, SectionFigure, Table
from real_labels.analysis.study import Study
from real_labels.intervals import Estimate, bootstrap_counts, bootstrap_estimate, percent
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions, ranking

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

KEY = "calibration"
BINS = 15
_DRAWS = 1_000
_CELLS = 8  # parts of a bin for the bootstrap, which treats the predictions in one part as equally confident
_MOST_DRAWN = 6  # models with a diagram of their own


@dataclasses.dataclass(frozen=True)
class Bin:
    """The predictions whose confidence lies in (low, high].

    Attributes:
      low, high: ends of the bin.
      n: number of predictions.
      confidence: their mean confidence.
      accuracy: share of correct predictions.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: Accuracy


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Calibration of a model's first predictions.

    Attributes:
      ece: expected calibration error.
      confidence: mean confidence.
      accuracy: share of correct predictions.
      overconfidence: mean confidence minus accuracy.
      bins: the bins that hold predictions.
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

    The B bins have equal width, (j/B, (j+1)/B]; the first bin also holds 0. ECE = Σ n_j/n · |share right in
    j - mean confidence in j|.

    Args:
      confidence: (N,) in [0, 1].
      right: (N,) whether the prediction is valid.
      seed: seed of the bootstrap over images.
      bins: B, number of bins.

    Returns:
      The calibration; None without images.

    Noise within a bin never cancels, so the error of a bootstrap draw is on average larger than the error
    of the data. The interval is that of the draws, minus this mean excess. For the same reason, the error of
    few images is itself too large.
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


def _centred(draws: Float[np.ndarray, "draws"], value: float) -> Float[np.ndarray, "draws"]:
    return np.maximum(draws - (draws.mean() - value), 0)


def _gaps_of_draws(
    confidence: np.ndarray, right: np.ndarray, place: np.ndarray, bins: int, seed: int
) -> Float[np.ndarray, "draws bins"]:
    """Sum of confidence minus number of correct predictions in each bin, for each bootstrap draw.

    Draws are over cells of images: a cell holds the correct or the wrong predictions of a bin that have
    about the same confidence, and each image counts with the cell's mean.
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
    """Draws reliability diagrams: the accuracy of predictions of each confidence, by each label set."""
    names = list(measured)[:_MOST_DRAWN]
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    height = 3.6 if columns == 1 else 2.5 * rows + 0.4
    figure, axes = figures.new(height, columns, rows, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(len(names) - columns, 0) : len(names)]:
        axis.tick_params(labelbottom=True)  # also if the last row is not full
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot([0, 100], [0, 100], color=figures.MUTED, linestyle=(0, (4, 3)), linewidth=1)
        for key, calibration in measured[name].items():
            if calibration is None:
                continue
            x = np.array([100 * bin_.confidence for bin_ in calibration.bins])
            value, low, high = (
                np.array([100 * getattr(bin_.accuracy, end) for bin_ in calibration.bins])
                for end in ("value", "low", "high")
            )
            colour = figures.colour_of(key, measured[name])
            marks = axis.errorbar(
                x, value, yerr=[value - low, high - value], color=colour, marker="o", markersize=4,
                linewidth=1.4, elinewidth=1, label=f"{titles[key]} labels",
            )  # fmt: skip
            figures.link(marks[0], links[name])
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
        predictions = study.models[name]
        reason = _unusable(predictions)
        if reason is not None:
            unusable.append((name, reason))
            continue
        measured[name] = {
            key: of_model(predictions, labels, seed=study.seed)
            for key, labels in study.label_sets.items()
        }
    missing += together(unusable, len(study.models), "models")
    if not measured:
        return Content(missing=missing)
    if len(measured) > _MOST_DRAWN:
        remarks.append(
            f"The figure shows {next(iter(measured))} and {_MOST_DRAWN - 1} others of {len(measured)} models."
        )
    title = "How often predictions of each confidence are right"
    by = "ReaL labels" if study.is_real_alone else "labels of a reassessment"
    return Content(
        lead=_lead(measured, study.subject(measured), study.titles),
        missing=missing,
        remarks=remarks,
        numbers=measured,
        figures=[SectionFigure(KEY, title, draw(measured, study.links, study.titles))],
        tables=[_table(measured, study.links, study.titles)],
        notes=[
            f"The error is the expected calibration error of the first prediction, in {BINS} bins of equal "
            f"width. By the {by}, only images with a label count, and any valid label is right. If a file "
            f"has a score for every class, scores outside [0, 1] are treated as logits and their softmax as "
            f"probabilities. Intervals are bootstrap over images. With few images the error is too large, "
            f"since noise within a bin never cancels.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Calibration",
    "Does the model's confidence match its accuracy?",
    needs=("models",),
    make=make,
)


def _unusable(predictions: Predictions) -> str | None:
    if predictions.scores is None:
        return "has no scores; save each prediction's probability, or the logits of every class."
    first = predictions.scores[:, 0]
    if first.min() < -ranking.ROUNDING or first.max() > 1 + ranking.ROUNDING:
        return (
            f"its scores are not probabilities (they range from {first.min():.3g} to {first.max():.3g}); "
            f"save probabilities, or the logits of every class."
        )
    return None


def _lead(measured: Measured, name: str, titles: Mapping[str, str]) -> str:
    known = {
        key: calibration for key, calibration in measured[name].items() if calibration is not None
    }
    errors = []
    for key, calibration in known.items():
        over = calibration.overconfidence.value
        word = "more" if over > 0 else "less"
        errors.append(
            f"by the {titles[key]} labels its calibration error is {percent(calibration.ece)} (on average "
            f"{100 * abs(over):.2f} points {word} sure than right)"
        )
    if not errors:
        return "None of the predicted images has a label."
    mean = next(iter(known.values())).confidence
    return f"{name} says it is {100 * mean:.1f}% sure on average; {section.join(errors)}."


def _table(measured: Measured, links: Mapping[str, str], titles: Mapping[str, str]) -> Table:
    columns = [Column("model", lambda name: name, is_text=True)]
    for key in next(iter(measured.values())):

        def cell(name: str, field: str, key: str = key) -> Estimate | None:
            calibration = measured[name][key]
            return None if calibration is None else getattr(calibration, field)

        columns += [
            Column(
                f"ECE, {titles[key]}",
                lambda name, cell=cell: section.share(cell(name, "ece")),
                "Expected calibration error",
            ),
            Column(
                f"confidence − accuracy, {titles[key]}",
                lambda name, cell=cell: section.points(cell(name, "overconfidence")),
                "On average, in points",
            ),
        ]
    return Table.of(f"{KEY}-models", "The models", columns, measured, links.__getitem__)

"""Accuracy on every label set, and whether models differ (section 3 of the paper)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from real_labels import accuracy
from real_labels.accuracy import (
    Difference,
    OnReassessment,
    Pair,
    Results,
    comparison,
    text,
    top_k,
)
from real_labels.accuracy.paired import difference_of_hits
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Content, SectionFigure, Table, Tile
from real_labels.analysis.study import Study
from real_labels.files.records import as_json
from real_labels.intervals import percent
from real_labels.labels import ORIGINAL, LabelSets, Reassessment, label_sets_of
from real_labels.labels.reassessment import REAL
from real_labels.predictions import TOP_K, Predictions

KEY = "accuracy"


@dataclasses.dataclass(frozen=True)
class ModelAccuracy:
    """The accuracies of one model.

    Attributes:
      n: number of predicted images.
      results: the model's accuracy on every label set.
      above_original_labels: by reassessment, the model's accuracy minus the accuracy of the original labels,
        used as predictions, on the same images; empty without original labels.
    """

    n: int
    results: Results
    above_original_labels: Mapping[str, Difference]

    @property
    def ranking_top1(self) -> float:
        """Top-1 accuracy on the first reassessment, or else on the original labels; NaN without images."""
        by = self.results.by_label_set
        first = next(iter(self.results.reassessments), ORIGINAL)
        return by[first].top1.value

    def as_json(self) -> dict[str, Any]:
        """The fields of accuracy.Results, "n", and "above_original_labels" (the difference on ReaL).

        The entry of a label set in "label_sets" has its own "above_original_labels".
        """
        record = {"n": self.n, **self.results.as_json()}
        above = as_json(self.above_original_labels)
        if REAL in above:
            record["above_original_labels"] = above[REAL]
        for name, difference in above.items():
            record["label_sets"][name]["above_original_labels"] = difference
        return record


@dataclasses.dataclass(frozen=True)
class AccuracyNumbers:
    """The accuracies of every model and the tests of every pair.

    Attributes:
      models: accuracies by the model's name.
      pairs, pairs_top5: see comparison.pairs; pairs_top5 is empty unless all models rank five classes.
    """

    models: Mapping[str, ModelAccuracy]
    pairs: Sequence[Pair]
    pairs_top5: Sequence[Pair]

    @property
    def ranked(self) -> list[str]:
        """The names of the models, sorted by `ranking_top1`, highest first; NaN comes last."""

        def value(name: str) -> float:
            top1 = self.models[name].ranking_top1
            return -1.0 if math.isnan(top1) else top1

        return sorted(self.models, key=value, reverse=True)


def measure(
    models: Mapping[str, Predictions],
    original: LabelSets | None,
    reassessments: Mapping[str, Reassessment],
    *,
    seed: int = 0,
) -> AccuracyNumbers:
    """Scores each model and tests each pair.

    Args:
      models: predictions by name.
      original: the original labels; None if there are none.
      reassessments: the other label sets by name; at least one if there are no original labels.
      seed: seed of the bootstrap.
    """
    judged = {
        name: top_k.judge(predictions, original, reassessments)
        for name, predictions in models.items()
    }
    scored = {}
    for name, predictions in models.items():
        by = judged[name]
        above = {}
        for key in reassessments:
            if (own := by[key].own) is not None:
                n = int(np.count_nonzero(by[key].labelled))
                above[key] = difference_of_hits(by[key].hits(), own, n, seed=seed)
        results = accuracy.results(predictions, original, reassessments, by)
        scored[name] = ModelAccuracy(len(predictions), results, above)
    sets = label_sets_of(original, reassessments)
    judgements = [judgement for by in judged.values() for judgement in by.values()]
    have_top5 = all(5 in judgement.can for judgement in judgements)
    return AccuracyNumbers(
        scored,
        comparison.pairs(models, sets, seed=seed, judged=judged),
        comparison.pairs(models, sets, k=5, seed=seed, judged=judged) if have_top5 else [],
    )


@figures.styled
def draw(numbers: AccuracyNumbers, links: Mapping[str, str], titles: Mapping[str, str]) -> Figure:
    """Draws a row for each model: its accuracies with intervals, and the accuracy of the original labels.

    With many models, draws accuracy on each reassessment against original accuracy instead.

    Args:
      numbers: the result of `measure`.
      links: the link of each model.
      titles: the title of each label set.
    """
    names = numbers.ranked
    targets = [links[name] for name in names]
    results = [numbers.models[name].results for name in names]
    label_sets = list(results[0].by_label_set)
    if len(names) > figures.MANY and ORIGINAL in label_sets and len(label_sets) > 1:
        return _draw_many(results, targets, titles)
    more = (
        max(0, len(label_sets) + len(results[0].reassessments) - 2) // 2
    )  # further lines of the legend
    figure, (axis,) = figures.rows_axes(names, extra=0.9 + 0.25 * more)
    for key in label_sets:
        shares = [result.by_label_set[key].top1 for result in results]
        figures.dots(axis, shares, targets, figures.colour_of(key, label_sets), titles[key])
    for key in results[0].reassessments:
        own = [result.reassessments[key].original_labels for result in results]
        marks = [
            (row, 100 * share.value) for row, share in enumerate(own) if share and share.is_known
        ]
        if not marks:
            continue
        # If all models predict the same images, one line serves all rows; else each row has its own line.
        only = len(results[0].reassessments) == 1
        colour = figures.INK if only else figures.colour_of(key, label_sets)
        style = dict(color=colour, linestyle=(0, (4, 3)), linewidth=1)
        label = f"the labels' own {titles[key]}"
        if len({value for _, value in marks}) == 1:
            axis.axvline(marks[0][1], label=label, **style)
        else:
            rows, values = np.array(marks).T
            axis.vlines(values, rows - 0.4, rows + 0.4, label=label, **style)
    axis.set_xlabel("top-1 accuracy, %")
    figures.legend(figure, [axis])
    return figure


def _draw_many(
    results: Sequence[Results], targets: Sequence[str], titles: Mapping[str, str]
) -> Figure:
    """Draws accuracy on each reassessment over original accuracy.

    A horizontal line shows the accuracy of the original labels, if it is the same for all models.
    """
    over = [result.by_label_set[ORIGINAL].top1.value for result in results]
    keys = list(results[0].reassessments)
    series = [
        figures.Series(
            titles[key],
            figures.colour_of(key, keys),
            [result.reassessments[key].top1 for result in results],
        )
        for key in keys
    ]
    figure = figures.over_accuracy(over, series, targets, "top-1 accuracy by each label set, %")
    (axis,) = figure.axes
    for key, points in zip(keys, series, strict=True):
        own = {round(o.value, 9) for r in results if (o := r.reassessments[key].original_labels)}
        if len(own) == 1:  # all models predict the same images
            axis.axhline(
                100 * own.pop(), color=points.colour, linestyle=(0, (4, 3)), linewidth=1, alpha=0.8
            )
    return figure


def make(study: Study) -> Content:
    """Scores and compares the models of a study."""
    numbers = measure(study.models, study.original, study.reassessments, seed=study.seed)
    tables = [_table(numbers, study)]
    if numbers.pairs:
        tables.append(_pairs_table(numbers.pairs, study.titles))
    missing = study.missing("original", "reassessments")
    images, remarks = [len(predictions) for predictions in study.models.values()], []
    if min(images) < max(images):
        remarks.append(
            f"The models cover different images, {min(images):,} to {max(images):,}, so their accuracies are "
            f"not directly comparable. Each pair is tested on the images that both models cover."
        )
    shown = numbers.models[study.shown]
    is_partial = any(
        reassessment.covered is not None for reassessment in study.reassessments.values()
    )
    if is_partial or not study.is_real_alone:
        remarks += [
            f"{study.shown}: {remark}" for remark in text.remarks(shown.results, study.titles)
        ]
    if len(study.models) == 1:
        missing.append("Give the predictions of a second model to test the difference.")
    which = "both label sets" if study.is_real_alone else "every label set"
    lists = {"models": _models_list(numbers)}
    if numbers.pairs:
        lists["pairs_of_models"] = _pairs_list(numbers)
    count = "ReaL accuracy counts the images that have a ReaL label."
    if not study.is_real_alone:
        count = (
            "Accuracy on a reassessment counts the images to which the reassessment gives a label."
        )
    return Content(
        lead=_lead(numbers, study.shown, study.titles),
        missing=missing,
        remarks=remarks,
        numbers=numbers,
        figures=[
            SectionFigure(
                KEY, f"Accuracy of each model on {which}", draw(numbers, study.links, study.titles)
            )
        ],
        tables=tables,
        lists=lists,
        notes=[
            f"{count} Accuracies have Wilson intervals, differences have bootstrap intervals over images. "
            f"All intervals are 95% and not corrected for multiple comparisons. p is from McNemar's exact "
            f"test with Holm's correction for the number of pairs. Significant means p < 0.05.",
        ],
        tiles=_tiles(shown.results, study.titles),
    )


ANALYSIS = Analysis(
    KEY,
    "Accuracy",
    "How accurate are the models on the original labels and on the reassessed labels?",
    needs=("models",),
    make=make,
)


def _tiles(results: Results, titles: Mapping[str, str]) -> list[Tile]:
    """Tiles of the shown model's accuracies, and of the original labels' own on the first reassessment."""
    first = next(iter(results.reassessments), "")
    roles = {key: {ORIGINAL: ORIGINAL, first: REAL}.get(key, "") for key in results.by_label_set}
    tiles = section.tiles(
        *((on_set.top1, f"top-1 on the {titles[key]} labels", roles[key])
          for key, on_set in results.by_label_set.items())
    )  # fmt: skip
    if len(results.reassessments) > 1:
        known = [on_set.top1.n for on_set in results.by_label_set.values() if on_set.top1.is_known]
        tiles = [
            dataclasses.replace(tile, note=f"{tile.note} of {n:,} images")
            for tile, n in zip(tiles, known, strict=True)
        ]
    for key, reassessed in list(results.reassessments.items())[:1]:
        if reassessed.original_labels is not None:
            own = f"the original labels' own {titles[key]} accuracy"
            tiles += section.tiles((reassessed.original_labels, own, ""))
    return tiles


def _lead(numbers: AccuracyNumbers, name: str, titles: Mapping[str, str]) -> str:
    shown = numbers.models[name]
    accuracies = [
        f"{percent(on_set.top1)} on the {titles[key]}"
        for key, on_set in shown.results.by_label_set.items()
        if on_set.top1.is_known
    ]
    if not accuracies:
        return "None of the predicted images has a label."
    lead = f"The top-1 accuracy of {name} is {section.join(accuracies)} labels."
    for key, above in shown.above_original_labels.items():
        if above.estimate.is_known and above.second < 1:  # an accuracy of 1 holds by construction
            lead += " " + _against_the_labels(above, titles[key])
    pairs = [pair for pair in numbers.pairs if any(difference.n for difference in pair.by.values())]
    if pairs:
        differing = [
            f"{sum(pair.p_holm[key] < section.LEVEL for pair in pairs)} on the {titles[key]}"
            for key in pairs[0].by
        ]
        which_pairs = "the one pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
        if len({model.n for model in numbers.models.values()}) == 1:
            lead += (
                f" It is number {1 + numbers.ranked.index(name)} of {len(numbers.models)} models."
            )
        lead += f" Of {which_pairs}, {section.join(differing)} labels differ significantly."
    return lead


def _against_the_labels(above: Difference, title: str) -> str:
    p = section.p_words(above.p_value)
    own = f"The original labels' own {title} accuracy on these images is {100 * above.second:.2f}%:"
    if above.p_value < section.LEVEL:
        side = "above" if above.value > 0 else "below"
        return f"{own} the model is {abs(100 * above.value):.2f} points {side} it ({p})."
    return f"{own} the two cannot be told apart ({p})."


def _table(numbers: AccuracyNumbers, study: Study) -> Table:
    first, titles = next(iter(numbers.models.values())), study.titles
    columns = [Column("model", lambda name: name, is_text=True)]
    for key in first.results.by_label_set:
        for k in TOP_K:
            columns.append(
                Column(
                    f"{titles[key]} top-{k}",
                    lambda name, key=key, k=k: section.share(
                        numbers.models[name].results.by_label_set[key].at(k)
                    ),
                )
            )
        if key != ORIGINAL and study.reassessments[key].covered is not None:
            columns.append(
                Column(
                    f"original top-1, same images as {titles[key]}",
                    lambda name, key=key: section.share(
                        numbers.models[name].results.reassessments[key].original_top1
                    ),
                    f"By the original labels, on the images with a {titles[key]} label",
                )
            )
    for key in first.above_original_labels:
        columns.append(
            Column(
                f"{titles[key]} − labels' own",
                lambda name, key=key: section.points(
                    numbers.models[name].above_original_labels[key].estimate
                ),
                f"The model's {titles[key]} top-1 minus the original labels' own, in points",
            )
        )
    columns.append(Column("images", lambda name: numbers.models[name].n))
    rows = numbers.ranked
    return Table.of(
        "accuracy-models", "The models", columns, rows, study.links.__getitem__, "models"
    )


def _pairs_table(pairs: Sequence[Pair], titles: Mapping[str, str]) -> Table:
    columns = [
        Column("A", lambda pair: pair.first, is_text=True),
        Column("B", lambda pair: pair.second, is_text=True),
    ]
    for key in pairs[0].by:
        columns += [
            Column(
                f"{titles[key]}: A − B",
                lambda pair, key=key: section.points(pair.by[key].estimate),
                "Difference of top-1, in points",
            ),
            Column(
                "p",
                lambda pair, key=key: section.p_value(pair.p_holm[key]),
                "McNemar's exact test, corrected by Holm for the number of pairs",
            ),
        ]
    title = "Every pair of models, top-1"
    return Table.of("accuracy-pairs", title, columns, pairs, list_name="pairs_of_models")


def _pairs_list(numbers: AccuracyNumbers) -> dict[str, np.ndarray]:
    columns = {
        "first": np.array([pair.first for pair in numbers.pairs]),
        "second": np.array([pair.second for pair in numbers.pairs]),
    }
    for name, pairs in (("top1", numbers.pairs), ("top5", numbers.pairs_top5)):
        for key in pairs[0].by if pairs else ():
            differences = [pair.by[key] for pair in pairs]
            fields = (*section.FIELDS, "n", "p_value")
            columns |= section.columns(f"{key}_{name}", differences, fields)
            columns[f"{key}_{name}_p_holm"] = np.array([pair.p_holm[key] for pair in pairs])
    return columns


def _models_list(numbers: AccuracyNumbers) -> dict[str, np.ndarray]:
    names = numbers.ranked
    results = [numbers.models[name].results for name in names]
    columns: dict[str, np.ndarray] = {"model": np.array(names)}
    for key in results[0].by_label_set:
        for k in TOP_K:
            shares = [result.by_label_set[key].at(k) for result in results]
            columns |= section.columns(f"{key}_top{k}", shares, (*section.FIELDS, "n"))
    for key in results[0].reassessments:
        own: list[OnReassessment] = [result.reassessments[key] for result in results]
        if key != REAL and own[0].original_top1 is not None:
            shares = [on_set.original_top1 for on_set in own]
            columns |= section.columns(f"{key}_original_top1", shares, (*section.FIELDS, "n"))
    return columns

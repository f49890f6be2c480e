"""Accuracy on both label sets, and whether models differ (section 3 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from real_labels import accuracy
from real_labels.accuracy import comparison
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Drawn, Section, Table, Tile
from real_labels.analysis.study import Study
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.predictions.predictions import TOP_K

KEY = "accuracy"
_MARKS = {"original": figures.ORIGINAL, "real": figures.REAL}


def measure(
    models: Mapping[str, Predictions],
    original: LabelSets | None,
    real: LabelSets | None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores each model and tests each pair.

    Args:
      models: predictions by name.
      original, real: the label sets that there are, at least one.
      seed: of the bootstrap.

    Returns:
      {"models": {name: {"n", see accuracy.results, "above_original_labels": see accuracy.Difference}},
      "pairs", "pairs_top5": see comparison.pairs; the latter is empty where five classes are not given}.
      "above_original_labels" is the model's ReaL accuracy minus that of the original labels on the same
      images, paired; it is there with both label sets.
    """
    scored: dict[str, Any] = {}
    for name, predictions in models.items():
        scored[name] = {"n": len(predictions), **accuracy.results(predictions, original, real)}
        if original is not None and real is not None:
            itself = Predictions.from_labels(original.take(original.rows(predictions.file_names)))
            difference = accuracy.paired_difference(predictions, itself, real, seed=seed)
            scored[name]["above_original_labels"] = difference.as_json()
    label_sets = [labels for labels in (original, real) if labels is not None]
    can = all(accuracy.can_measure(m, labels, 5) for m in models.values() for labels in label_sets)
    return {
        "models": scored,
        "pairs": comparison.pairs(models, original, real, seed=seed),
        "pairs_top5": comparison.pairs(models, original, real, k=5, seed=seed) if can else [],
    }


@figures.styled
def draw(record: Mapping[str, Any], links: Mapping[str, str]) -> Figure:
    """A row for each model: both accuracies with their intervals, and the original labels' own.

    Args:
      record: of `measure`.
      links: of each model.
    """
    names = _ranked(record)
    figure, (axis,) = figures.rows_axes(names)
    for key, colour in _MARKS.items():
        shares = [record["models"][name].get(key, {}).get("top1") for name in names]
        targets = [links[name] for name in names]
        figures.dots(axis, shares, targets, colour, accuracy.LABEL_NAMES[key])
    own = [record["models"][n].get("original_labels", {}).get("real_top1") for n in names]
    own = [
        (row, 100 * one["value"]) for row, one in enumerate(own) if one and one["value"] is not None
    ]
    if own:
        # On one and the same images it is one line; else each row has its own.
        style = dict(color=figures.INK, linestyle=(0, (4, 3)), linewidth=1)
        if len({value for _, value in own}) == 1:
            axis.axvline(own[0][1], label="the labels' own ReaL", **style)
        else:
            rows, values = np.array(own).T
            axis.vlines(values, rows - 0.4, rows + 0.4, label="the labels' own ReaL", **style)
    axis.set_xlabel("top-1 accuracy, %")
    figures.legend(figure, [axis])
    return figure


def _ranked(record: Mapping[str, Any]) -> list[str]:
    """The models, the best first."""

    def value(name: str) -> float:
        one = record["models"][name]
        top1 = one.get("real", one.get("original"))["top1"]["value"]
        return -1.0 if top1 is None else top1

    return sorted(record["models"], key=value, reverse=True)


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="Accuracy",
        question="How good are the models by the labels they were meant to match, and by better ones?",
    )
    lacking = study.missing("models")
    if lacking:
        return Section(**head, missing=lacking)
    record = measure(study.models, study.original, study.real, seed=study.seed)
    tables = [_table(record, study.links)]
    if record["pairs"]:
        tables.append(_pairs_table(record["pairs"]))
    missing = study.missing("original", "real")
    images, remarks = [len(one) for one in study.models.values()], []
    if min(images) < max(images):
        remarks.append(
            f"The models cover different images, {min(images):,} to {max(images):,}: their accuracies are of "
            f"different images; pairs are tested on those that both cover."
        )
    if len(study.models) == 1:
        missing.append("With the predictions of a second model, the difference would be tested.")
    return Section(
        **head,
        lead=_lead(record, study.shown),
        missing=missing,
        remarks=remarks,
        numbers=record,
        figures=[
            Drawn(KEY, "Accuracy of each model on both label sets", draw(record, study.links))
        ],
        tables=tables,
        lists={"models": _models_list(record)}
        | ({"pairs_of_models": _pairs_list(record)} if record["pairs"] else {}),
        notes=[
            "ReaL accuracy counts the images that have a ReaL label. Intervals of accuracies are Wilson's, "
            "those of differences bootstrap over images; all are 95%, not corrected for their number. p is "
            "of McNemar's exact test, corrected by Holm for the number of pairs; significant is p < 0.05.",
        ],
        tiles=_tiles(record["models"][study.shown]),
    )


def _tiles(shown: Mapping[str, Any]) -> list[Tile]:
    records = [
        (shown[key]["top1"], f"top-1 on the {title} labels", key)
        for key, title in accuracy.LABEL_NAMES.items()
        if key in shown
    ]
    if "original_labels" in shown:
        own = shown["original_labels"]["real_top1"]
        records.append((own, "the original labels' own ReaL accuracy", ""))
    return section.tiles(*records)


def _lead(record: Mapping[str, Any], name: str) -> str:
    shown = record["models"][name]
    said = [
        f"{section.percent(shown[key]['top1'], 2)} on the {title}"
        for key, title in accuracy.LABEL_NAMES.items()
        if key in shown and shown[key]["top1"]["value"] is not None
    ]
    if not said:
        return "None of the predicted images has a label."
    lead = f"The top-1 accuracy of {name} is {section.join(said)} labels."
    above = shown.get("above_original_labels")
    if above is not None and above["value"] is not None:
        p = section.p_words(above["p_value"])
        lead += f" The original labels' own ReaL accuracy on these images is {100 * above['second']:.2f}%: "
        if above["p_value"] < section.LEVEL:
            side = "above" if above["value"] > 0 else "below"
            lead += f"the model is {abs(100 * above['value']):.2f} points {side} it ({p})."
        else:
            lead += f"the two cannot be told apart ({p})."
    pairs = [pair for pair in record["pairs"] if any(pair[key]["n"] for key in _keys(pair))]
    if pairs:
        differing = [
            f"{sum(pair['p_holm'][key] < section.LEVEL for pair in pairs)} on the {title}"
            for key, title in accuracy.LABEL_NAMES.items()
            if key in pairs[0]
        ]
        of = "the one pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
        if len({one["n"] for one in record["models"].values()}) == 1:
            lead += f" It is number {1 + _ranked(record).index(name)} of {len(record['models'])} models."
        lead += f" Of {of}, {section.join(differing)} labels differ significantly."
    return lead


def _keys(record: Mapping[str, Any]) -> list[str]:
    """The label sets that a model was scored on, or a pair tested."""
    return [key for key in accuracy.LABEL_NAMES if key in record]


def _table(record: Mapping[str, Any], links: Mapping[str, str]) -> Table:
    first = next(iter(record["models"].values()))
    keys = _keys(first)
    columns = [Column("model", is_text=True)]
    columns += [Column(f"{accuracy.LABEL_NAMES[key]} top-{k}") for key in keys for k in TOP_K]
    if "above_original_labels" in first:
        columns.append(
            Column(
                "ReaL − labels' own", "Its ReaL top-1 minus that of the original labels, in points"
            )
        )
    columns.append(Column("images"))
    rows = []
    for name in _ranked(record):
        one = record["models"][name]
        cells = [section.text(name)]
        cells += [section.share(one[key][f"top{k}"]) for key in keys for k in TOP_K]
        if "above_original_labels" in one:
            cells.append(section.points(one["above_original_labels"]))
        cells.append(section.count(one["n"]))
        rows.append((links[name], cells))
    return Table("accuracy-models", "The models", columns, rows, "models")


def _pairs_table(pairs: list[dict[str, Any]]) -> Table:
    keys = _keys(pairs[0])
    columns = [Column("A", is_text=True), Column("B", is_text=True)]
    for key in keys:
        columns += [
            Column(f"{accuracy.LABEL_NAMES[key]}: A − B", "Difference of top-1, in points"),
            Column("p", "McNemar's exact test, corrected by Holm for the number of pairs"),
        ]
    rows = []
    for pair in pairs:
        cells: list[Cell] = [section.text(pair["first"]), section.text(pair["second"])]
        for key in keys:
            cells += [section.points(pair[key]), section.p_value(pair["p_holm"][key])]
        rows.append(("", cells))
    return Table("accuracy-pairs", "Every pair of models, top-1", columns, rows, "pairs_of_models")


def _pairs_list(record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    columns = {name: np.array([p[name] for p in record["pairs"]]) for name in ("first", "second")}
    for name, pairs in (("top1", record["pairs"]), ("top5", record["pairs_top5"])):
        for key in _keys(pairs[0]) if pairs else ():
            differences = [pair[key] | {"p_holm": pair["p_holm"][key]} for pair in pairs]
            fields = (*section.FIELDS, "n", "p_value", "p_holm")
            columns |= section.columns(f"{key}_{name}", differences, fields)
    return columns


def _models_list(record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    names = _ranked(record)
    columns: dict[str, np.ndarray] = {"model": np.array(names)}
    for key in _keys(record["models"][names[0]]):
        for k in TOP_K:
            shares = [record["models"][name][key][f"top{k}"] for name in names]
            columns |= section.columns(f"{key}_top{k}", shares, (*section.FIELDS, "n"))
    return columns

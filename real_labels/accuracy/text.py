"""Accuracies and their differences as text and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from real_labels.accuracy.top_k import LABEL_NAMES
from real_labels.files.text_table import text_table
from real_labels.predictions.predictions import TOP_K


def as_table(record: dict) -> str:
    """A record of `results` as the table a person reads, percent with intervals."""

    def cell(accuracy: dict, nothing: str = "no labelled image") -> str:
        if accuracy["value"] is None:
            return nothing
        value, low, high = (100 * accuracy[key] for key in ("value", "low", "high"))
        return f"{value:6.2f}%  [{low:.2f}, {high:.2f}]  n={accuracy['n']:,}"

    rows = [("", "top-1", "top-5")]
    rows += [
        (f"{name} labels", cell(record[key]["top1"]), cell(record[key]["top5"], "–"))
        for key, name in LABEL_NAMES.items()
        if key in record
    ]
    if "original_labels" in record:
        itself = record["original_labels"]["real_top1"]
        rows.append(("original labels scored on ReaL", cell(itself), ""))
    return text_table(rows)


def percent(share: Mapping[str, Any]) -> str:
    """ "67.14% [66.73, 67.55]" of a record of `accuracy.Accuracy`."""
    if share["value"] is None:
        return "–"
    value, low, high = (100 * share[key] for key in ("value", "low", "high"))
    return f"{value:.2f}% [{low:.2f}, {high:.2f}]"


def accuracy_table(
    records: Sequence[tuple[str, Mapping[str, Any]]],
    itself: tuple[str, Mapping[str, Any]] | None = None,
) -> str:
    """A table with a row for each model.

    Args:
      records: (name, record of `accuracy.results`); all have the label sets of the first.
      itself: what to call the original labels, and their own ReaL accuracy, for a last row.
    """
    keys = [key for key in LABEL_NAMES if key in records[0][1]]
    columns = [(key, k) for key in keys for k in TOP_K]
    rows = [["", *(f"{LABEL_NAMES[key]} top-{k}" for key, k in columns), "n"]]
    for name, record in records:
        counted = " / ".join(f"{record[key]['top1']['n']:,}" for key in keys)
        rows.append([name, *(percent(record[key][f"top{k}"]) for key, k in columns), counted])
    if itself is not None:
        title, share = itself
        cells = [percent(share) if column == ("real", 1) else "" for column in columns]
        rows.append([title, *cells, f"{share['n']:,}"])
    return text_table(rows)


def pairs_table(tested: Sequence[Mapping[str, Any]]) -> str:
    """The result of `pairs` for a person: differences in points, with intervals and p-values."""
    keys = [key for key in LABEL_NAMES if key in tested[0]]
    header = ["A", "B"]
    for key in keys:
        header += [f"{LABEL_NAMES[key]} top-1, A - B, points", "p (McNemar)"]
    rows = [header]
    for pair in tested:
        row = [pair["first"], pair["second"]]
        for key in keys:
            row += difference_cells(pair[key])
        rows.append(row)
    return text_table(rows, "<<" + ">>" * len(keys))


def difference_cells(difference: Mapping[str, Any]) -> list[str]:
    """The difference in points with its interval, and the p-value, of `accuracy.Difference`."""
    if difference["value"] is None:
        return ["–", ""]
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    return [f"{value:+.2f} [{low:+.2f}, {high:+.2f}]", f"{difference['p_value']:.2g}"]

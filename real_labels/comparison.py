"""Several models beside each other: one table of accuracies, and every pair tested."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from real_labels import accuracy
from real_labels.labels import LabelSets, find_rows
from real_labels.predictions import Predictions
from real_labels.text_table import text_table


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
    keys = [key for key in accuracy.LABEL_NAMES if key in records[0][1]]
    columns = [(key, k) for key in keys for k in accuracy.TOP_K]
    rows = [["", *(f"{accuracy.LABEL_NAMES[key]} top-{k}" for key, k in columns), "n"]]
    for name, record in records:
        counted = " / ".join(f"{record[key]['top1']['n']:,}" for key in keys)
        rows.append([name, *(percent(record[key][f"top{k}"]) for key, k in columns), counted])
    if itself is not None:
        title, share = itself
        cells = [percent(share) if column == ("real", 1) else "" for column in columns]
        rows.append([title, *cells, f"{share['n']:,}"])
    return text_table(rows)


def pairs(
    predictions: Mapping[str, Predictions],
    original: LabelSets | None,
    real: LabelSets | None,
    *,
    k: int = 1,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Tests every pair of models, top-k, on the images that both predicted.

    Args:
      predictions: by the models' names.
      original, real: the label sets that there are.
      k: at least 1.
      seed: of the bootstrap.

    Returns:
      [{"first", "second": names, "original": see `accuracy.Difference`, "real": likewise, if given,
      "p_holm": for each of these, the p-value corrected for the number of pairs with common images}].
    """
    label_sets = {"original": original, "real": real}
    hits = {
        name: {
            key: accuracy.top_k_hits(one, labels, k)
            for key, labels in label_sets.items()
            if labels is not None
        }
        for name, one in predictions.items()
    }
    tested = []
    for first, second in itertools.combinations(predictions, 2):
        theirs = find_rows(predictions[second].file_names, predictions[first].file_names)
        ours, theirs = np.flatnonzero(theirs >= 0), theirs[theirs >= 0]
        pair: dict[str, Any] = {"first": first, "second": second, "p_holm": {}}
        for key, (labelled, right) in hits[first].items():
            pair[key] = accuracy.difference_of_hits(
                right[ours],
                hits[second][key][1][theirs],
                np.count_nonzero(labelled[ours]),
                seed=seed,
            ).as_json()
        tested.append(pair)
    for key in label_sets:
        with_key = [pair for pair in tested if key in pair]
        compared = [pair for pair in with_key if pair[key]["n"]]
        corrected = holm([pair[key]["p_value"] for pair in compared])
        for pair in with_key:
            pair["p_holm"][key] = 1.0
        for pair, p_value in zip(compared, corrected, strict=True):
            pair["p_holm"][key] = p_value
    return tested


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): the chance of any false alarm stays below the level.

    The p-values in ascending order are multiplied by n, n - 1, …, 1, made monotone and cut at 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    steps = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(steps, 1)
    return corrected.tolist()


def pairs_table(tested: Sequence[Mapping[str, Any]]) -> str:
    """The result of `pairs` for a person: differences in points, with intervals and p-values."""
    keys = [key for key in accuracy.LABEL_NAMES if key in tested[0]]
    header = ["A", "B"]
    for key in keys:
        header += [f"{accuracy.LABEL_NAMES[key]} top-1, A - B, points", "p (McNemar)"]
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

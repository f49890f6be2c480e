"""Several models beside each other: one table of accuracies, and every pair tested."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from real_labels.accuracy.paired import difference_of_hits
from real_labels.accuracy.top_k import top_k_hits
from real_labels.intervals import holm
from real_labels.labels import LabelSets, find_rows
from real_labels.predictions import Predictions


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
            key: top_k_hits(one, labels, k)
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
            pair[key] = difference_of_hits(
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

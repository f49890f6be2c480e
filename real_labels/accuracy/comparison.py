"""Compares several models: tests every pair."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from real_labels.accuracy.paired import Difference, difference_of_hits
from real_labels.accuracy.top_k import Judged
from real_labels.files.records import as_json
from real_labels.intervals import holm
from real_labels.labels import ORIGINAL, LabelSets, find_rows
from real_labels.labels.reassessment import REAL
from real_labels.predictions import Predictions

_MOST_BOOTSTRAPPED = 100  # pairs up to which intervals are bootstrapped
_DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two models, compared on the images that both predicted.

    Attributes:
      first, second: names of the models.
      by: for each label set, the accuracy of the first model minus that of the second.
      p_holm: for each label set, the p-value corrected for the number of pairs with common images.
    """

    first: str
    second: str
    by: Mapping[str, Difference]
    p_holm: Mapping[str, float]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Pair:
        """Reads a record of `as_json`, or one without "label_sets" and with only "original" and "real"."""
        named = {n: record[n] for n in (ORIGINAL, REAL) if n in record}
        named |= record.get("label_sets", {})
        by = {name: Difference.from_json(figures) for name, figures in named.items()}
        return cls(record["first"], record["second"], by, record["p_holm"])

    def as_json(self) -> dict[str, Any]:
        """Returns {"first", "second", "p_holm"} and the differences as in `by_label_set`."""
        record = {"first": self.first, "second": self.second, "p_holm": dict(self.p_holm)}
        return record | by_label_set(self.by)


def by_label_set(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of each label set as JSON: {"original", "real", "label_sets": all but "original"}."""
    record = {name: measured[name] for name in (ORIGINAL, REAL) if name in measured}
    others = {name: figures for name, figures in measured.items() if name != ORIGINAL}
    return as_json({**record, "label_sets": others})


def pairs(
    predictions: Mapping[str, Predictions],
    label_sets: Mapping[str, LabelSets],
    *,
    k: int = 1,
    seed: int = 0,
    judged: Mapping[str, Mapping[str, Judged]] | None = None,
) -> list[Pair]:
    """Compares the top-k accuracies of every pair of models, on the images that both predicted.

    Args:
      predictions: predictions by the name of the model.
      label_sets: label sets by name.
      k: at least 1.
      seed: seed of the bootstrap; for more than 100 pairs, the intervals are normal approximations.
      judged: judged predictions by model and label set (see top_k.judge), if they were computed already.
    """
    if judged is None:
        judged = {
            name: {key: Judged.of(model, labels) for key, labels in label_sets.items()}
            for name, model in predictions.items()
        }
    hits = {
        name: {key: (judged[name][key].labelled, judged[name][key].hits(k)) for key in label_sets}
        for name in predictions
    }
    named = list(itertools.combinations(predictions, 2))
    draws = _DRAWS if len(named) <= _MOST_BOOTSTRAPPED else None
    tested: list[tuple[str, str, dict[str, Difference]]] = []
    for first, second in named:
        first_rows, second_rows = _common(
            predictions[first].file_names, predictions[second].file_names
        )
        by = {
            key: difference_of_hits(
                right[first_rows],
                hits[second][key][1][second_rows],
                int(np.count_nonzero(labelled[first_rows])),
                seed=seed,
                draws=draws,
            )
            for key, (labelled, right) in hits[first].items()
        }
        tested.append((first, second, by))
    corrected = {key: _holm([by[key] for *_, by in tested]) for key in label_sets}
    return [
        Pair(first, second, by, {key: corrected[key][i] for key in label_sets})
        for i, (first, second, by) in enumerate(tested)
    ]


def _common(first: np.ndarray, second: np.ndarray) -> tuple[Any, Any]:
    """Returns the rows of the common images, in the first and in the second."""
    if first is second:
        return slice(None), slice(None)
    second_rows = find_rows(second, first)
    return np.flatnonzero(second_rows >= 0), second_rows[second_rows >= 0]


def _holm(differences: Sequence[Difference]) -> list[float]:
    """P-values, Holm-corrected for the number of differences on at least one image; 1 for the others."""
    compared = iter(holm([difference.p_value for difference in differences if difference.n]))
    return [next(compared) if difference.n else 1.0 for difference in differences]

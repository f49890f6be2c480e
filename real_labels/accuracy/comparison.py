"""Several models beside each other: every pair tested."""

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

_MANY = 100  # pairs
_DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two models, tested on the images that both predicted.

    Attributes:
      first, second: their names.
      by: the first minus the second, by each label set.
      p_holm: for each label set, the p-value corrected for the number of pairs with common images.
    """

    first: str
    second: str
    by: Mapping[str, Difference]
    p_holm: Mapping[str, float]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Pair:
        """What `as_json` wrote; also a record without "label_sets", of "original" and "real" alone."""
        named = {n: record[n] for n in (ORIGINAL, REAL) if n in record}
        named |= record.get("label_sets", {})
        by = {name: Difference.from_json(one) for name, one in named.items()}
        return cls(record["first"], record["second"], by, record["p_holm"])

    def as_json(self) -> dict[str, Any]:
        """{"first", "second", "p_holm", "original", "real": Difference, "label_sets": the others}."""
        record = {"first": self.first, "second": self.second, "p_holm": dict(self.p_holm)}
        return record | by_label_set(self.by)


def by_label_set(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured by each label set, as JSON: {"original", "real", "label_sets": all but the first}."""
    record = {name: measured[name] for name in (ORIGINAL, REAL) if name in measured}
    others = {name: one for name, one in measured.items() if name != ORIGINAL}
    return as_json({**record, "label_sets": others})


def pairs(
    predictions: Mapping[str, Predictions],
    label_sets: Mapping[str, LabelSets],
    *,
    k: int = 1,
    seed: int = 0,
    judged: Mapping[str, Mapping[str, Judged]] | None = None,
) -> list[Pair]:
    """Tests every pair of models, top-k, on the images that both predicted.

    Args:
      predictions: by the models' names.
      label_sets: by name.
      k: at least 1.
      seed: of the bootstrap; the intervals of more than 100 pairs are normal.
      judged: of each model by each label set (see top_k.judge), where it was made already.
    """
    if judged is None:
        judged = {
            name: {key: Judged.of(one, labels) for key, labels in label_sets.items()}
            for name, one in predictions.items()
        }
    hits = {
        name: {key: (judged[name][key].labelled, judged[name][key].hits(k)) for key in label_sets}
        for name in predictions
    }
    named = list(itertools.combinations(predictions, 2))
    draws = _DRAWS if len(named) <= _MANY else None
    tested: list[tuple[str, str, dict[str, Difference]]] = []
    for first, second in named:
        ours, theirs = _common(predictions[first].file_names, predictions[second].file_names)
        by = {
            key: difference_of_hits(
                right[ours],
                hits[second][key][1][theirs],
                int(np.count_nonzero(labelled[ours])),
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
    """The rows of the common images in both."""
    if first is second:
        return slice(None), slice(None)
    theirs = find_rows(second, first)
    return np.flatnonzero(theirs >= 0), theirs[theirs >= 0]


def _holm(differences: Sequence[Difference]) -> list[float]:
    """Holm's correction for the number of differences of at least one image; 1 for the others."""
    compared = iter(holm([one.p_value for one in differences if one.n]))
    return [next(compared) if one.n else 1.0 for one in differences]

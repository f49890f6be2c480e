"""The records that evaluations end with: of one checkpoint (results.json), of several (comparison.json)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from real_labels.accuracy import Pair, Results

MOCK = "mock"  # in a record: the images were random (input.mock)
_OWN = ("dataset", "split", "num_images", "step", "loss", "images_per_second")


@dataclasses.dataclass(frozen=True)
class Record:
    """What results.json holds.

    Attributes:
      dataset, split: what was evaluated.
      num_images: how many images.
      step: of the checkpoint; 0 for a file.
      accuracies: by every label set.
      loss: mean over all images, on the original labels.
      images_per_second: without compilation; None if all of it was done before.
      about: of an evaluation apart from a training run: "checkpoint", "size", "dtype", "evaluation" (its
        identity); of one on random images: "mock".
    """

    dataset: str
    split: str
    num_images: int
    step: int
    accuracies: Results
    loss: float
    images_per_second: float | None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Record:
        """What `as_json` wrote, now or before label sets had names."""
        accuracies = Results.from_json(record)
        known = {*_OWN, *accuracies.as_json()}
        about = {key: value for key, value in record.items() if key not in known}
        return cls(**{key: record[key] for key in _OWN}, accuracies=accuracies, about=about)

    def as_json(self) -> dict[str, Any]:
        """The fields; the accuracies' and those of `about` stand among them."""
        own = {key: getattr(self, key) for key in _OWN}
        return {**own, **self.accuracies.as_json(), **self.about}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What comparison.json holds.

    Attributes:
      models: the record of each checkpoint, by name.
      pairs: every pair, tested.
    """

    models: Mapping[str, Record]
    pairs: Sequence[Pair]

    def as_json(self) -> dict[str, Any]:
        """{"models": [{"name", …record}], "pairs": see accuracy.Pair}."""
        return {
            "models": [{"name": name, **one.as_json()} for name, one in self.models.items()],
            "pairs": [pair.as_json() for pair in self.pairs],
        }

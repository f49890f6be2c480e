"""Result records: of one evaluated checkpoint (results.json) and of several (comparison.json)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from big_transfer.run import workdir
from real_labels.accuracy import Pair, Results

MOCK = "mock"  # key in a record: true if the images were random (input.mock)
_FIELDS = ("dataset", "split", "num_images", "step", "loss", "images_per_second")


@dataclasses.dataclass(frozen=True)
class Record:
    """The contents of results.json.

    Attributes:
      dataset, split: dataset and split that were evaluated.
      num_images: number of images.
      step: step of the checkpoint; 0 for a file.
      accuracies: accuracy on every label set.
      loss: mean over all images, on the original labels.
      images_per_second: throughput without compilation; None if all images had been evaluated before.
      about: further fields: "checkpoint", "size", "dtype", "evaluation" (its identity) for an evaluation
        apart from a training run; "mock" for an evaluation on random images.
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
        """Reads the output of `as_json`, also of versions in which label sets had no names.

        Raises:
          WorkdirError: if a field is missing or unusable.
        """
        try:
            accuracies = Results.from_json(record)
            known = {*_FIELDS, *accuracies.as_json()}
            about = {key: value for key, value in record.items() if key not in known}
            return cls(**{key: record[key] for key in _FIELDS}, accuracies=accuracies, about=about)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            repair = workdir.REPAIRS["results.json"]
            raise workdir.WorkdirError(f"results.json is damaged ({reason}). {repair}") from None

    def as_json(self) -> dict[str, Any]:
        """All fields as one dict; the fields of `accuracies` and `about` are on its top level."""
        fields = {key: getattr(self, key) for key in _FIELDS}
        return {**fields, **self.accuracies.as_json(), **self.about}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The contents of comparison.json.

    Attributes:
      models: the record of each checkpoint, by name.
      pairs: a test of the difference for every pair of checkpoints.
    """

    models: Mapping[str, Record]
    pairs: Sequence[Pair]

    def as_json(self) -> dict[str, Any]:
        """{"models": [{"name", and the fields of the record}], "pairs": see accuracy.Pair}."""
        return {
            "models": [{"name": name, **record.as_json()} for name, record in self.models.items()],
            "pairs": [pair.as_json() for pair in self.pairs],
        }

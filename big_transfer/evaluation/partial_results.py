"""Saves the outputs of an unfinished evaluation in the workdir, so that the evaluation can continue."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from real_labels import files
from real_labels.errors import InputError
from real_labels.files import npz

log = logging.getLogger("big_transfer")

_SAVE_INTERVAL = 30.0  # seconds between saves: the work that a crash may lose
_MAX_SAVE_SHARE = 0.05  # of the time may be spent on saving; large results are saved less often
EVALUATION_COLUMNS = ("classes", "scores", "loss")
STOPPED_MESSAGE = (
    "Asked to stop: the results so far are saved; run the same command again to continue."
)


@dataclasses.dataclass
class CollectedOutputs:
    """The outputs of the model for the first images of a dataset.

    Attributes:
      column_names: names of the columns.
      num_images: number of images from the start of the dataset; the same on every process.
      batches: the columns of each batch, without padding, of all processes.
      examples: file names, labels and indices of this process's images.
      images_per_second: throughput without compilation; None if all images had been evaluated before.
    """

    column_names: Sequence[str] = EVALUATION_COLUMNS
    num_images: int = 0
    batches: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)
    examples: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    images_per_second: float | None = None

    def add(self, outputs: dict[str, np.ndarray], examples: list, num_images: int) -> None:
        """Adds a batch.

        Args:
          outputs: columns of the batch, and "mask", which is False for padding.
          examples: this process's examples of the batch.
          num_images: number of images in the batch, of all processes.
        """
        mask = outputs["mask"]
        self.batches.append({key: outputs[key][mask] for key in self.column_names})
        self.examples.extend(examples)
        self.num_images += num_images

    def columns(self) -> dict[str, np.ndarray]:
        """Each column over all images so far."""
        return {
            key: np.concatenate([batch[key] for batch in self.batches]) for key in self.column_names
        }


class PartialResults:
    """A file with the outputs collected so far; each process has its own file."""

    def __init__(
        self,
        workdir: epath.PathLike,
        identity: Any,
        columns: Sequence[str] = EVALUATION_COLUMNS,
        name: str = "evaluation",
    ):
        """Determines the file's path; nothing is read or written yet.

        Args:
          workdir: the folder of the file.
          identity: all settings that determine the outputs, as JSON values. A file with another identity is
            ignored.
          columns: names of the columns.
          name: first part of the file name.
        """
        process = f"{jax.process_index()}of{jax.process_count()}"
        self._path = epath.Path(workdir) / f"{name}.partial-{process}.npz"
        self._columns, self._save_seconds = tuple(columns), 0.0
        text = json.dumps(identity, sort_keys=True)
        self.identity = hashlib.sha256(text.encode()).hexdigest()
        self._last_save = time.monotonic()

    def empty(self) -> CollectedOutputs:
        """Outputs without any image."""
        return CollectedOutputs(self._columns)

    def load(self) -> CollectedOutputs | None:
        """The saved outputs; None unless the same evaluation was started on the same number of processes."""
        collected = self._read()
        if jax.process_count() == 1:
            return collected
        # Processes may have stopped at different batches: all continue after the earliest of these batches.
        counts = multihost_utils.process_allgather(
            np.array(collected.num_images if collected else 0)
        )
        num_images = int(counts.min())
        return _first_images(collected, num_images) if collected and num_images else None

    def _read(self) -> CollectedOutputs | None:
        if not self._path.exists():
            return None
        try:
            with npz.opened(self._path, (*self._columns, "examples", "identity")) as archive:
                if str(archive["identity"]) != self.identity:
                    log.info(
                        "%s holds partial results of another evaluation; starting from the first image.",
                        self._path.parent,
                    )
                    return None
                columns = {key: archive[key] for key in self._columns}
                examples = json.loads(archive["examples"].tobytes())
        except (InputError, ValueError) as error:
            log.warning("Starting from the first image: %s", error)
            return None
        num_images = len(columns[self._columns[0]])
        return CollectedOutputs(self._columns, num_images, [columns], examples)

    def save_if_due(self, collected: CollectedOutputs) -> None:
        """Saves the outputs if the last save is long enough ago."""
        interval = max(_SAVE_INTERVAL, self._save_seconds / _MAX_SAVE_SHARE)
        if time.monotonic() - self._last_save > interval:
            self.save(collected)

    def save(self, collected: CollectedOutputs) -> None:
        """Writes the outputs to the file."""
        start = time.monotonic()
        examples = np.frombuffer(json.dumps(collected.examples).encode(), np.uint8)
        with files.replacing(self._path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = collected.columns()
            np.savez(file, **arrays, examples=examples, identity=np.array(self.identity))
        self._last_save = time.monotonic()
        self._save_seconds = self._last_save - start

    def remove(self) -> None:
        """Deletes the file, once the final results are written."""
        self._path.unlink(missing_ok=True)


def _first_images(collected: CollectedOutputs, num_images: int) -> CollectedOutputs:
    """The outputs of the first `num_images` images."""
    columns = {key: column[:num_images] for key, column in collected.columns().items()}
    examples = [example for example in collected.examples if example["index"] < num_images]
    return CollectedOutputs(collected.column_names, num_images, [columns], examples)

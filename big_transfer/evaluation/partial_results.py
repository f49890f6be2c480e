"""What an interrupted evaluation had found, kept in the workdir until it is done."""

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

_SECONDS = 30.0  # of work that a crash may cost
_AT_MOST = 0.05  # of the time goes to saving, however large the results have grown
EVALUATION = ("classes", "scores", "loss")  # the columns of an evaluation


@dataclasses.dataclass
class Found:
    """The results of a dataset's first images.

    Attributes:
      columns_of: names of the columns.
      done: number of images evaluated, from the first on; the same on every process.
      outputs: of each batch, its columns without padding: those of all processes.
      examples: names, labels and indices of this process's images.
      images_per_second: without compilation; None if all of it was done before.
    """

    columns_of: Sequence[str] = EVALUATION
    done: int = 0
    outputs: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)
    examples: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    images_per_second: float | None = None

    def add(self, outputs: dict[str, np.ndarray], examples: list, images: int) -> None:
        """Adds a batch: its outputs with their "mask", this process's examples, its images."""
        mask = outputs["mask"]
        self.outputs.append({key: outputs[key][mask] for key in self.columns_of})
        self.examples.extend(examples)
        self.done += images

    def columns(self) -> dict[str, np.ndarray]:
        """Each column over all images so far."""
        return {key: np.concatenate([o[key] for o in self.outputs]) for key in self.columns_of}


class PartialResults:
    """A file with what was found so far; each process has one of its own."""

    def __init__(
        self,
        workdir: epath.PathLike,
        identity: Any,
        columns: Sequence[str] = EVALUATION,
        name: str = "evaluation",
    ):
        """Names the file.

        Args:
          workdir: where it lies.
          identity: what is evaluated and how, for JSON; a file of anything else is not gone on from.
          columns: what is found of each image.
          name: of what is done.
        """
        place = f"{jax.process_index()}of{jax.process_count()}"
        self._path = epath.Path(workdir) / f"{name}.partial-{place}.npz"
        self._columns, self._took = tuple(columns), 0.0
        text = json.dumps(identity, sort_keys=True)
        self.identity = hashlib.sha256(text.encode()).hexdigest()
        self._saved = time.monotonic()

    def nothing(self) -> Found:
        """What is found before the first image."""
        return Found(self._columns)

    def load(self) -> Found | None:
        """What was found, if this very evaluation was begun, on as many processes."""
        found = self._read()
        if jax.process_count() == 1:
            return found
        # Processes may have stopped at different batches: all go on after the first of them.
        done = multihost_utils.process_allgather(np.array(found.done if found else 0))
        least = int(done.min())
        return _first(found, least) if found and least else None

    def _read(self) -> Found | None:
        if not self._path.exists():
            return None
        try:
            with npz.opened(self._path, (*self._columns, "examples", "identity")) as archive:
                if str(archive["identity"]) != self.identity:
                    log.info(
                        "Another evaluation was begun in %s; beginning anew.", self._path.parent
                    )
                    return None
                columns = {key: archive[key] for key in self._columns}
                examples = json.loads(archive["examples"].tobytes())
        except (InputError, ValueError) as error:
            log.warning("Beginning anew: %s", error)
            return None
        return Found(self._columns, len(columns[self._columns[0]]), [columns], examples)

    def save_now_and_then(self, found: Found) -> None:
        """Saves if the last time is long ago."""
        if time.monotonic() - self._saved > max(_SECONDS, self._took / _AT_MOST):
            self.save(found)

    def save(self, found: Found) -> None:
        """Writes what was found."""
        begun = time.monotonic()
        examples = np.frombuffer(json.dumps(found.examples).encode(), np.uint8)
        with files.replacing(self._path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = found.columns()
            np.savez(file, **arrays, examples=examples, identity=np.array(self.identity))
        self._saved = time.monotonic()
        self._took = self._saved - begun

    def remove(self) -> None:
        """Deletes the file: the results are written."""
        self._path.unlink(missing_ok=True)


def _first(found: Found, done: int) -> Found:
    columns = {key: column[:done] for key, column in found.columns().items()}
    return Found(
        found.columns_of, done, [columns], [e for e in found.examples if e["index"] < done]
    )

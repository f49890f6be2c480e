"""One pass of the model over a dataset: ranked classes per image, scored on both label sets."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.experimental import multihost_utils

from big_transfer import input_pipeline, losses, resnet, sharding
from real_labels import LabelSets, Predictions, accuracy

TOP_K = 5
_IN_FLIGHT = 2  # batches handed to the devices before the oldest one's result is awaited


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What one pass found; the same on every process.

    Attributes:
      predictions: the first 5 (or all, if fewer) classes of each image, with probabilities.
      original: the original labels.
      real: the ReaL labels, if the dataset has any.
      loss: mean over all images, on the original labels.
      images_per_second: without compilation.
    """

    predictions: Predictions
    original: LabelSets
    real: LabelSets | None
    loss: float
    images_per_second: float

    def results(self, dataset: str, split: str, step: int) -> dict[str, Any]:
        """The record of results.json."""
        scored = accuracy.results(self.predictions, self.original, self.real)
        return {
            "dataset": dataset,
            "split": split,
            "num_images": len(self.predictions),
            "step": step,
            **scored,
            "loss": self.loss,
            "images_per_second": self.images_per_second,
        }


class Evaluator:
    """Evaluates parameters again and again on one dataset; opened and compiled once."""

    def __init__(
        self,
        config: ml_collections.FrozenConfigDict,
        model: resnet.ResNetV2,
        mesh: jax.sharding.Mesh,
    ):
        """Opens the dataset of config.eval.

        Raises:
          DatasetError: if it cannot be read or has other classes than the model.
        """
        self._config, self._mesh = config, mesh
        keys = [config.eval.original_key]
        if config.eval.real_key is not None:
            keys.append(config.eval.real_key)
        self.source = input_pipeline.Source(
            config.eval.dataset,
            config.eval.split,
            keys,
            data_dir=config.input.data_dir,
            mock=config.input.mock,
        )
        input_pipeline.check_num_classes(self.source, config.num_classes)
        # Any size will do: what the devices do not divide is rounded up, and padding is masked.
        self._batch_size = math.ceil(config.eval.batch_size / mesh.size) * mesh.size
        if not len(self.source):
            raise input_pipeline.DatasetError(
                f"{config.eval.dataset} {config.eval.split} is empty: there is nothing to evaluate."
            )
        self._standardize = jax.jit(resnet.standardize_kernels)
        self._step = make_eval_step(model, loss=config.loss, mesh=mesh)

    def run(self, params: Any) -> Evaluation:
        """One forward pass over every image, exactly once each."""
        config, n = self._config, len(self.source)
        params = self._standardize(params)
        outputs: list[dict[str, np.ndarray]] = []
        in_flight: collections.deque = collections.deque()
        examples: list[dict[str, Any]] = []
        started = compiled = time.perf_counter()
        batches = input_pipeline.eval_batches(
            self.source,
            lambda local: sharding.put_batch(self._mesh, local),
            label_key=config.eval.original_key,
            batch_size=self._batch_size,
            max_labels=config.input.max_labels,
            size=config.eval.size,
            num_threads=config.input.num_threads or input_pipeline.default_threads(),
            num_workers=config.input.num_workers,
        )
        for batch, local in batches:
            in_flight.append(self._step(params, batch))
            examples.extend(local)
            if len(in_flight) > _IN_FLIGHT:
                outputs.append(jax.device_get(in_flight.popleft()))
            if compiled == started:
                jax.block_until_ready(in_flight)
                compiled = time.perf_counter()
        outputs.extend(jax.device_get(list(in_flight)))
        timed = n - self._batch_size  # the first batch is spent on compilation
        since = compiled if timed > 0 else started
        images_per_second = max(timed, 0) or n
        images_per_second /= time.perf_counter() - since

        column = {key: np.concatenate([o[key] for o in outputs]) for key in outputs[0]}
        column = {key: rows[column["mask"]] for key, rows in column.items()}
        examples = _gather(examples)
        names = [example["file_name"] for example in examples]
        label_sets = [
            LabelSets.from_lists(names, [example[key] for example in examples])
            for key in self.source.label_keys
        ]
        return Evaluation(
            predictions=Predictions(names, column["classes"], column["scores"]),
            original=label_sets[0],
            real=label_sets[1] if len(label_sets) > 1 else None,
            loss=float(column["loss"].astype(np.float64).mean()),
            images_per_second=images_per_second,
        )


def make_eval_step(model: resnet.ResNetV2, *, loss: str, mesh: jax.sharding.Mesh):
    """Compiles (params with standardized kernels, batch) -> ranked classes, scores, loss, mask.

    Each is replicated, so that every process has all of it: classes (batch, k) int32, scores
    (batch, k) float32 in [0, 1], loss (batch,) float32, mask (batch,) bool; k is 5, or the number
    of classes if fewer.
    """
    model = model.clone(standardized=True)

    def step(params, batch):
        logits = model.apply({"params": params}, batch["image"])
        targets = losses.label_vectors(batch["labels"], model.num_classes)
        _, classes = jax.lax.top_k(logits, min(TOP_K, model.num_classes))
        scores = jnp.take_along_axis(losses.probabilities(loss, logits), classes, axis=1)
        return {
            "classes": classes,
            "scores": scores,
            "loss": losses.cross_entropy(loss, logits, targets),
            "mask": batch["mask"],
        }

    return jax.jit(
        step,
        out_shardings=sharding.replicated(mesh),
    )


def _gather(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All processes' examples, in the dataset's order."""
    if jax.process_count() == 1:
        return examples
    # Names and label lists have no fixed width, and only arrays travel: send them as JSON bytes.
    mine = np.frombuffer(json.dumps(examples).encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array(mine.size)))
    padded = np.pad(mine, (0, int(lengths.max()) - mine.size))
    everyones = np.asarray(multihost_utils.process_allgather(padded))
    gathered = []
    for row, length in zip(everyones, lengths, strict=True):
        gathered.extend(json.loads(row[:length].tobytes()))
    return sorted(gathered, key=lambda example: example["index"])

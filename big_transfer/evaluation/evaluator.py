"""One pass of the model over a dataset: ranked classes of each image, scored on every label set."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Int

from big_transfer import datasets, losses, resnet
from big_transfer.config import EvaluationConfig, sources
from big_transfer.datasets.batches import MAX_IN_FLIGHT
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.record import MOCK, Record
from big_transfer.run import preemption, sharding
from big_transfer.run.progress import EvaluationProgress
from real_labels import LabelSets, Predictions, accuracy
from real_labels.labels import Reassessment, reassessment
from real_labels.predictions import TOP_K

log = logging.getLogger("big_transfer")

_MAX_RANKED = max(TOP_K)  # ranked classes kept for each image


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of one pass; the same on every process.

    Attributes:
      predictions: the 5 (or all, if fewer) top-ranked classes of each image, with probabilities.
      original: the original labels.
      reassessments: the other label sets by name, for these images.
      loss: mean over all images, on the original labels.
      images_per_second: throughput without compilation; None if all images had been evaluated before.
      rows: (N,) int64, the index of each image in the source.
      is_mock: whether the images were random (input.mock), so that the numbers mean nothing.
    """

    predictions: Predictions
    original: LabelSets
    reassessments: Mapping[str, Reassessment]
    loss: float
    images_per_second: float | None
    rows: Int[np.ndarray, "images"]
    is_mock: bool = False

    @functools.cached_property
    def accuracies(self) -> accuracy.Results:
        """Accuracy on every label set."""
        return accuracy.results(self.predictions, self.original, self.reassessments)

    def record(self, dataset: str, split: str, step: int) -> Record:
        """The record for results.json."""
        return Record(
            dataset,
            split,
            len(self.predictions),
            step,
            self.accuracies,
            self.loss,
            self.images_per_second,
            about={MOCK: True} if self.is_mock else {},
        )


class Evaluator:
    """Evaluates different parameters on one dataset; opens the dataset and compiles the model once."""

    def __init__(
        self,
        config: EvaluationConfig,
        model: resnet.ResNetV2,
        mesh: jax.sharding.Mesh,
        source: datasets.Source | None = None,
    ):
        """Opens the dataset of config.eval and prepares the evaluation step.

        Args:
          config: a complete config.
          model: the model whose parameters will be evaluated.
          mesh: the devices.
          source: the dataset, if it is open already.

        Raises:
          DatasetError: if the dataset is empty, cannot be read, or has other classes than the model.
        """
        self._config, self._mesh = config, mesh
        self.source = sources.evaluation_source(config) if source is None else source
        datasets.check_num_classes(self.source, config.num_classes)
        # Any batch size is accepted: it is rounded up to a multiple of the devices, and padding is masked.
        self._batch_size = math.ceil(config.eval.batch_size / mesh.size) * mesh.size
        if not len(self.source):
            raise datasets.DatasetError(
                f"{config.eval.dataset} {config.eval.split} is empty: there is nothing to evaluate."
            )
        self._features = sources.feature_keys(config)
        self._other_label_sets = sources.other_label_sets(config)
        self._reported: set[str] = set()
        if config.input.mock:
            log.warning(
                "input.mock: random images replace the images of %s; accuracies of this run mean nothing.",
                config.eval.dataset,
            )
        self.source[0]  # so that bad labels raise an error now and not after the training
        self._standardize = jax.jit(
            functools.partial(resnet.standardize_kernels, dtype=model.dtype),
            out_shardings=sharding.replicated(mesh),
        )
        self._step = make_eval_step(model, loss=config.loss, mesh=mesh)

    def run(
        self,
        params: Any,
        partial: partial_results.PartialResults | None = None,
        notice: preemption.Notice | None = None,
    ) -> Evaluation | None:
        """Evaluates every image exactly once.

        Args:
          params: parameters of the model.
          partial: stores the outputs so far, so that an interrupted evaluation can continue.
          notice: requests to stop early.

        Returns:
          The evaluation, or None if it was asked to stop before the end.
        """
        outputs = self.collect(self._step, params, partial, notice)
        if outputs is None:
            return None
        names, columns, examples = by_file_name(outputs)
        original, *reassessed = (
            LabelSets.from_lists(names, [example[key] for example in examples])
            for key in self.source.label_keys
        )
        is_mock = self._config.input.mock
        return Evaluation(
            predictions=Predictions(names, columns["classes"], columns["scores"], is_mock),
            original=original,
            reassessments=self._reassessments(names, reassessed),
            loss=float(columns["loss"].astype(np.float64).mean()),
            images_per_second=outputs.images_per_second,
            rows=np.array([example["index"] for example in examples]),
            is_mock=is_mock,
        )

    def collect(
        self,
        step: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
        params: Any,
        partial: partial_results.PartialResults | None = None,
        notice: preemption.Notice | None = None,
    ) -> partial_results.CollectedOutputs | None:
        """Collects the outputs of a compiled step for every image, each exactly once.

        Args:
          step: (params, batch) -> columns of the batch, replicated, including "mask".
          params: parameters of the model; their kernels are standardized before the step.
          partial, notice: see `run`.

        Returns:
          The outputs, or None if the evaluation was asked to stop before the end.
        """
        config, n = self._config, len(self.source)
        collected = partial.load() if partial is not None else None
        if collected is not None and not self._has_names_of(collected.examples[:1]):
            log.info("The images have other file names now; starting from the first image.")
            collected = None
        if collected is None:
            collected = partial_results.CollectedOutputs() if partial is None else partial.empty()
        first = collected.num_images
        if first:
            log.info("Continuing after %s of %s images.", f"{first:,}", f"{n:,}")
        timer = EvaluationProgress(first, n, telling=partial is not None)
        params = self._standardize(params)
        in_flight: collections.deque = collections.deque()

        def collect_oldest() -> None:
            outputs, local = in_flight.popleft()
            num_images = min(self._batch_size, n - collected.num_images)
            collected.add(jax.device_get(outputs), local, num_images)
            timer.report(collected.num_images)

        batches = datasets.eval_batches(
            self.source,
            lambda local: sharding.put_batch(self._mesh, local),
            label_key=config.eval.original_key,
            batch_size=self._batch_size,
            max_labels=config.input.max_labels,
            size=config.eval.size,
            num_threads=config.input.num_threads or datasets.default_threads(),
            num_workers=config.input.num_workers,
            first=first,
        )
        try:
            for number, (batch, local) in enumerate(batches):
                in_flight.append((step(params, batch), local))
                if len(in_flight) > MAX_IN_FLIGHT or number == 0:
                    collect_oldest()
                    if partial is not None:
                        partial.save_if_due(collected)
                if notice is not None and notice.given():
                    break
        finally:
            # Save the outputs so far even if an error ended the loop, such as an unreadable image.
            while in_flight:
                collect_oldest()
            if partial is not None and collected.num_images > first:
                partial.save(collected)
        collected.images_per_second = timer.images_per_second()
        return collected if collected.num_images == n else None

    def _has_names_of(self, examples: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the source has these examples under the same file names."""
        return all(self.source[e["index"]]["file_name"] == e["file_name"] for e in examples)

    def _reassessments(
        self, file_names: np.ndarray, dataset_label_sets: Sequence[LabelSets]
    ) -> dict[str, Reassessment]:
        """The label sets for these images, by name in the order of the config.

        Args:
          file_names: file names of the images.
          dataset_label_sets: the labels of the dataset's features, for `source.label_keys[1:]`.
        """
        by_key = dict(zip(self.source.label_keys[1:], dataset_label_sets, strict=True))
        section, reassessments = self._config.eval, {}
        for name in reassessment.entries(section.label_sets, section.real_key):
            if name in self._features:
                reassessments[name] = reassessment.mine(name, by_key[self._features[name]])
                continue
            label_set = self._other_label_sets[name].on(file_names)
            if label_set.num_covered:
                reassessments[name] = label_set
            else:
                self._report_no_images(name, file_names[0])
        return reassessments

    def _report_no_images(self, name: str, first_image: str) -> None:
        """Warns, once, that a label set has none of the images.

        Raises:
          DatasetError: if checkpoint_best uses this label set.
        """
        file_names = self._other_label_sets[name].labels.file_names.tolist()
        first_labelled = next(iter(file_names), "none")
        message = (
            f"The label set {name} has none of the images (first file name of the label set: "
            f"{first_labelled}; of the dataset: {first_image})"
        )
        best = self._config.checkpoint_best
        if best is not None and best.startswith(f"{name}/"):
            raise datasets.DatasetError(f"checkpoint_best: {best} cannot be measured. {message}.")
        if name not in self._reported:
            self._reported.add(name)
            log.warning("%s. The label set is left out.", message)


def make_eval_step(model: resnet.ResNetV2, *, loss: str, mesh: jax.sharding.Mesh):
    """Compiles (params with standardized kernels, batch) -> ranked classes, scores, loss, mask.

    All outputs are replicated, so that every process has the whole batch: classes (batch, k) int32, scores
    (batch, k) float32 in [0, 1], loss (batch,) float32, mask (batch,) bool; k is 5, or the number of classes
    if smaller.
    """
    model, num_classes = model.clone(standardized=True), model.num_classes
    assert num_classes is not None

    def step(params, batch):
        logits: Any = model.apply({"params": params}, batch["image"])
        targets = losses.targets(loss, batch["labels"], num_classes)
        _, classes = jax.lax.top_k(logits, min(_MAX_RANKED, num_classes))
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


def by_file_name(
    outputs: partial_results.CollectedOutputs,
) -> tuple[np.ndarray, dict[str, np.ndarray], list[dict[str, Any]]]:
    """File names, columns and examples of all processes, sorted by file name.

    The same images therefore give the same result file, independent of the order in the source.
    """
    examples = _gathered(outputs.examples)
    names = np.array([example["file_name"] for example in examples])
    order = np.argsort(names, kind="stable")
    columns = {name: column[order] for name, column in outputs.columns().items()}
    return names[order], columns, [examples[row] for row in order.tolist()]


def _gathered(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The examples of all processes, in the dataset's order."""
    if jax.process_count() == 1:
        return examples
    # JAX gathers only arrays, but names and label lists have no fixed width: send them as JSON bytes.
    local = np.frombuffer(json.dumps(examples).encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array(local.size)))
    padded = np.pad(local, (0, int(lengths.max()) - local.size))
    rows = np.asarray(multihost_utils.process_allgather(padded))
    gathered = []
    for row, length in zip(rows, lengths, strict=True):
        gathered.extend(json.loads(row[:length].tobytes()))
    return sorted(gathered, key=lambda example: example["index"])

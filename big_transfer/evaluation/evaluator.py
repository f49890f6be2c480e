"""One pass of the model over a dataset: ranked classes per image, scored on every label set."""

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
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.record import MOCK, Record
from big_transfer.run import preemption, sharding
from big_transfer.run.progress import EvaluationProgress
from real_labels import LabelSets, Predictions, accuracy
from real_labels.labels import Reassessment, reassessment
from real_labels.predictions import TOP_K

log = logging.getLogger("big_transfer")

_RANKED = max(TOP_K)  # classes kept of each image
_IN_FLIGHT = 2  # batches handed to the devices before the oldest one's result is awaited


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What one pass found; the same on every process.

    Attributes:
      predictions: the first 5 (or all, if fewer) classes of each image, with probabilities.
      original: the original labels.
      reassessments: the other label sets by name, of these images.
      loss: mean over all images, on the original labels.
      images_per_second: without compilation; None if all of it was done before.
      rows: (N,) int64, where each image is in the source.
      is_mock: whether the images were random (input.mock), so that no number means anything.
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
        """Its accuracy by every label set."""
        return accuracy.results(self.predictions, self.original, self.reassessments)

    def record(self, dataset: str, split: str, step: int) -> Record:
        """Its record, for results.json."""
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
    """Evaluates parameters again and again on one dataset; opened and compiled once."""

    def __init__(
        self,
        config: EvaluationConfig,
        model: resnet.ResNetV2,
        mesh: jax.sharding.Mesh,
        source: datasets.Source | None = None,
    ):
        """Makes ready for the dataset of config.eval.

        Args:
          config: a complete one.
          model: whose parameters will be evaluated.
          mesh: the devices.
          source: the dataset, if it is open already.

        Raises:
          DatasetError: if it cannot be read or has other classes than the model.
        """
        self._config, self._mesh = config, mesh
        self.source = sources.evaluation_source(config) if source is None else source
        datasets.check_num_classes(self.source, config.num_classes)
        # Any size will do: what the devices do not divide is rounded up, and padding is masked.
        self._batch_size = math.ceil(config.eval.batch_size / mesh.size) * mesh.size
        if not len(self.source):
            raise datasets.DatasetError(
                f"{config.eval.dataset} {config.eval.split} is empty: there is nothing to evaluate."
            )
        self._features = sources.feature_keys(config)
        self._others = sources.other_label_sets(config)
        self._left_out: set[str] = set()
        if config.input.mock:
            log.warning(
                "input.mock: random images stand in for those of %s. No accuracy of this run means anything.",
                config.eval.dataset,
            )
        self.source[0]  # what is wrong with its labels is told now, not after the training
        self._standardize = jax.jit(
            functools.partial(resnet.standardize_kernels, dtype=model.dtype)
        )
        self._step = make_eval_step(model, loss=config.loss, mesh=mesh)

    def run(
        self,
        params: Any,
        partial: partial_results.PartialResults | None = None,
        notice: preemption.Notice | None = None,
    ) -> Evaluation | None:
        """One forward pass over every image, exactly once each.

        Args:
          params: of the model.
          partial: where an evaluation that may be interrupted keeps what it has; goes on from there.
          notice: says when to stop.

        Returns:
          What was found, or None if it was asked to stop before the end.
        """
        found = self.collect(self._step, params, partial, notice)
        if found is None:
            return None
        names, columns, examples = by_file_name(found)
        original, *own = (
            LabelSets.from_lists(names, [example[key] for example in examples])
            for key in self.source.label_keys
        )
        is_mock = self._config.input.mock
        return Evaluation(
            predictions=Predictions(names, columns["classes"], columns["scores"], is_mock),
            original=original,
            reassessments=self._reassessments(names, own),
            loss=float(columns["loss"].astype(np.float64).mean()),
            images_per_second=found.images_per_second,
            rows=np.array([example["index"] for example in examples]),
            is_mock=is_mock,
        )

    def collect(
        self,
        step: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
        params: Any,
        partial: partial_results.PartialResults | None = None,
        notice: preemption.Notice | None = None,
    ) -> partial_results.Found | None:
        """The outputs of a compiled step for every image, exactly once each.

        Args:
          step: (params, batch) -> columns of the batch, replicated, "mask" among them.
          params: of the model; the step takes them with standardized kernels.
          partial, notice: see `run`.

        Returns:
          What was found, or None if it was asked to stop before the end.
        """
        config, n = self._config, len(self.source)
        found = partial.load() if partial is not None else None
        if found is None:
            found = partial_results.Found() if partial is None else partial.nothing()
        first = found.done
        if first:
            log.info("Going on after %s of %s images.", f"{first:,}", f"{n:,}")
        timer = EvaluationProgress(first, n, telling=partial is not None)
        params = self._standardize(params)
        in_flight: collections.deque = collections.deque()

        def arrive() -> None:
            outputs, local = in_flight.popleft()
            found.add(jax.device_get(outputs), local, min(self._batch_size, n - found.done))
            timer.report(found.done)

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
                if len(in_flight) > _IN_FLIGHT or number == 0:
                    arrive()
                    if partial is not None:
                        partial.save_now_and_then(found)
                if notice is not None and notice.given(number):
                    break
        finally:
            # Whatever ended it, an unreadable image too, what was found is kept.
            while in_flight:
                arrive()
            if partial is not None and found.done > first:
                partial.save(found)
        found.images_per_second = timer.images_per_second()
        return found if found.done == n else None

    def _reassessments(
        self, file_names: np.ndarray, own: Sequence[LabelSets]
    ) -> dict[str, Reassessment]:
        """Every label set of these images, in the order of the config."""
        by_key = dict(zip(self.source.label_keys[1:], own, strict=True))
        section, found = self._config.eval, {}
        for name in reassessment.entries(section.label_sets, section.real_key):
            if name in self._features:
                found[name] = reassessment.mine(name, by_key[self._features[name]])
                continue
            one = self._others[name].on(file_names)
            if one.num_covered:
                found[name] = one
            else:
                self._leave_out(name, file_names[0])
        return found

    def _leave_out(self, name: str, first: str) -> None:
        """Says, once, that a label set has none of the images.

        Raises:
          DatasetError: if the best checkpoint is to be chosen by it.
        """
        begin = next(iter(self._others[name].labels.file_names.tolist()), "nothing")
        said = f"The label set {name} has none of the images: it begins with {begin}, they with {first}"
        best = self._config.checkpoint_best
        if best is not None and best.startswith(f"{name}/"):
            raise datasets.DatasetError(f"checkpoint_best: {best} cannot be measured. {said}.")
        if name not in self._left_out:
            self._left_out.add(name)
            log.warning("%s. It is left out.", said)


def make_eval_step(model: resnet.ResNetV2, *, loss: str, mesh: jax.sharding.Mesh):
    """Compiles (params with standardized kernels, batch) -> ranked classes, scores, loss, mask.

    Each is replicated, so that every process has all of it: classes (batch, k) int32, scores
    (batch, k) float32 in [0, 1], loss (batch,) float32, mask (batch,) bool; k is 5, or the number
    of classes if fewer.
    """
    model, num_classes = model.clone(standardized=True), model.num_classes
    assert num_classes is not None

    def step(params, batch):
        logits: Any = model.apply({"params": params}, batch["image"])
        targets = losses.targets(loss, batch["labels"], num_classes)
        _, classes = jax.lax.top_k(logits, min(_RANKED, num_classes))
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
    found: partial_results.Found,
) -> tuple[np.ndarray, dict[str, np.ndarray], list[dict[str, Any]]]:
    """Names, columns and examples of all processes, by file name.

    So the same images give the same file, wherever they come from.
    """
    examples = _gathered(found.examples)
    names = np.array([example["file_name"] for example in examples])
    order = np.argsort(names, kind="stable")
    columns = {name: column[order] for name, column in found.columns().items()}
    return names[order], columns, [examples[row] for row in order.tolist()]


def _gathered(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
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

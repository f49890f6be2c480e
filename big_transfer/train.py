"""The training step and the loop around it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from etils import epath
from jaxtyping import Array, Float

from big_transfer import (
    checkpoint,
    completion,
    evaluate,
    image_files,
    input_pipeline,
    losses,
    measure,
    metrics,
    optimizer,
    preemption,
    resnet,
    sharding,
    sources,
    workdir,
)
from big_transfer import config as config_lib

log = logging.getLogger("big_transfer")

_IN_FLIGHT = 2  # steps handed to the devices before the oldest one's metrics are awaited


class TrainingDiverged(RuntimeError):
    """The loss or the gradient became NaN or infinite."""


# ---- the step -----------------------------------------------------------------------------------


def mixup(
    rng: Array,
    images: Float[Array, "batch height width 3"],
    targets: Float[Array, "batch classes"],
    alpha: float,
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch classes"]]:
    """MixUp (Zhang et al. 2018): λx + (1 - λ)x', with one λ ~ Beta(α, α) per batch.

    x' is the batch moved on by one: batches are shuffled, so any partner is a random one, and the
    next example costs the least traffic between devices.
    """
    share = jax.random.beta(rng, alpha, alpha)
    mix = lambda x: share * x + (1 - share) * jnp.roll(x, 1, axis=0)  # noqa: E731
    return mix(images), mix(targets)


def init_state(params: Any, tx: optax.GradientTransformation) -> dict[str, Any]:
    """The training state: {"params", "opt_state", "step"}, step () int32 from 0."""
    return {"params": params, "opt_state": tx.init(params), "step": jnp.zeros((), jnp.int32)}


def make_train_step(
    model: resnet.ResNetV2,
    tx: optax.GradientTransformation,
    *,
    loss: str,
    mixup_alpha: float,
    accumulate_steps: int,
    seed: int,
    mesh: jax.sharding.Mesh,
    state_shardings: Any,
) -> Callable[[Any, dict[str, jax.Array]], tuple[Any, dict[str, jax.Array]]]:
    """Compiles (state, batch) -> (state, {"loss", "grad_norm", "param_norm"}); the state's memory is reused.

    Args:
      model: gives logits.
      tx: the optimizer.
      loss: see `losses.cross_entropy`; its mean over the global batch is descended.
      mixup_alpha: 0 for none.
      accumulate_steps: micro-batches whose gradients are averaged before the one update.
      seed: MixUp's randomness is a function of it and state["step"].
      mesh: the devices.
      state_shardings: like the state.
    """

    def mean_loss(params, images, targets):
        logits = model.apply({"params": params}, images)
        return jnp.mean(losses.cross_entropy(loss, logits, targets))

    def gradient(params, images, targets):
        if accumulate_steps == 1:
            return jax.value_and_grad(mean_loss)(params, images, targets)

        # Micro-batch a is rows a, a + A, a + 2A, …: every device has its share of each.
        def split(x):
            x = x.reshape(-1, accumulate_steps, *x.shape[1:])
            return jnp.moveaxis(x, 1, 0)

        def add(total, micro_batch):
            return jax.tree.map(
                jnp.add, total, jax.value_and_grad(mean_loss)(params, *micro_batch)
            ), None

        zeros = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), params))
        total, _ = jax.lax.scan(add, zeros, (split(images), split(targets)))
        return jax.tree.map(lambda x: x / accumulate_steps, total)

    def step(state, batch):
        images = batch["image"]
        targets = losses.label_vectors(batch["labels"], model.num_classes)
        if mixup_alpha:
            rng = jax.random.fold_in(jax.random.key(seed), state["step"])
            images, targets = mixup(rng, images, targets, mixup_alpha)
        value, gradients = gradient(state["params"], images, targets)
        updates, opt_state = tx.update(gradients, state["opt_state"], state["params"])
        state = {
            "params": optax.apply_updates(state["params"], updates),
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        # The last tells of an update that itself ran out of float32's range.
        return state, {
            "loss": value,
            "grad_norm": optax.global_norm(gradients),
            "param_norm": optax.global_norm(state["params"]),
        }

    return jax.jit(
        step,
        in_shardings=(state_shardings, sharding.batch_sharding(mesh)),
        out_shardings=(state_shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )


# ---- a run --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Run:
    """All that a run is made of, built from its config."""

    config: ml_collections.FrozenConfigDict
    mesh: jax.sharding.Mesh
    model: resnet.ResNetV2
    source: sources.Source
    total_steps: int
    schedule: optax.Schedule
    tx: optax.GradientTransformation
    shardings: Any  # of the training state
    abstract_state: Any  # its shapes, with shardings


def build(config: ml_collections.FrozenConfigDict) -> Run:
    """Opens the training data and lays out the state, allocating nothing large yet.

    Args:
      config: a resolved one, whose open fields get filled (see `completion`).
    """
    mesh = sharding.make_mesh()
    sharding.check_batch_size(config.input.batch_size, mesh, config.input.accumulate_steps)
    config, source = completion.complete(config)
    sources.check_num_classes(source, config.num_classes)
    total_steps = steps_of(config, len(source))
    schedule = make_schedule(config, len(source), total_steps)
    tx = make_optimizer(config, schedule)
    model = measure.make_model(config)
    shapes, shardings = layout(config, model, tx, mesh)
    return Run(config, mesh, model, source, total_steps, schedule, tx, shardings, shapes)


def make_optimizer(
    config: ml_collections.FrozenConfigDict, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """The optimizer of a config."""
    return optimizer.make_optimizer(
        schedule,
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
        clip_norm=config.optimizer.clip_norm,
    )


def layout(config, model, tx, mesh) -> tuple[Any, Any]:
    """The state's shapes (with shardings) and shardings."""
    shapes = jax.eval_shape(lambda: init_state(resnet.init_params(model, jax.random.key(0)), tx))
    shardings = sharding.state_shardings(shapes, mesh, config.sharding)
    shapes = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings
    )
    return shapes, shardings


def steps_of(config: ml_collections.FrozenConfigDict, num_examples: int) -> int:
    """The run's length: total_steps, or total_epochs times the examples over the batch size."""
    if config.total_steps is not None:
        return config.total_steps
    return max(1, round(config.total_epochs * num_examples / config.input.batch_size))


def make_schedule(
    config: ml_collections.FrozenConfigDict, num_examples: int, total_steps: int
) -> optax.Schedule:
    """The learning rate of each step."""
    peak = config.optimizer.base_learning_rate
    if config.optimizer.scale_with_batch:
        peak = optimizer.learning_rate(peak, config.input.batch_size)
    if config.optimizer.schedule == "cosine" and config.optimizer.warmup_steps >= total_steps:
        raise config_lib.ConfigError(
            f"optimizer.warmup_steps: expected less than the run's {total_steps} steps, found "
            f"{config.optimizer.warmup_steps}"
        )
    if config.optimizer.schedule == "cosine":
        return optimizer.cosine_schedule(peak, config.optimizer.warmup_steps, total_steps)
    steps_per_epoch = num_examples / config.input.batch_size
    decay_steps = [round(epoch * steps_per_epoch) for epoch in config.optimizer.decay_epochs]
    decay_steps += config.optimizer.decay_steps
    return optimizer.step_schedule(peak, config.optimizer.warmup_steps, decay_steps)


def fresh_state(run: Run) -> Any:
    """The state before the first step: random parameters from the seed, or those of init_npz."""
    if run.config.init_npz is None:
        if run.config.hyperrule is not None:
            log.warning(
                "init_npz names no checkpoint to fine-tune: this begins with random parameters, for "
                "which the HyperRule was not made."
            )
        make = lambda: init_state(  # noqa: E731
            resnet.init_params(run.model, jax.random.key(run.config.seed)), run.tx
        )
        return jax.jit(make, out_shardings=run.shardings)()
    params = checkpoint.load(run.config.init_npz, run.model)
    if run.config.reset_head:
        params["head"] = jax.tree.map(np.zeros_like, params["head"])
    params = jax.device_put(params, run.shardings["params"])
    init = functools.partial(init_state, tx=run.tx)
    return jax.jit(init, out_shardings=run.shardings)(params)


def train_and_evaluate(
    config: ml_collections.ConfigDict, folder: epath.PathLike
) -> dict[str, Any] | None:
    """Trains to the end, from where the workdir stands, and evaluates.

    Args:
      config: see `config.SCHEMA`.
      folder: the workdir; a run interrupted there goes on, a finished one is only reported.

    Returns:
      The record of results.json, or None if the run was asked to stop before its end.

    Raises:
      ConfigError, DatasetError, WorkdirError, CheckpointError, TrainingDiverged: each with a message
      for a person.
    """
    run = build(config_lib.resolve(config))
    config = run.config
    workdir.check(folder, config)
    evaluator = evaluate.Evaluator(config, run.model, run.mesh)
    results = workdir.read_results(folder)
    _check_class_names(run, evaluator.source)
    place = {"dataset": config.eval.dataset, "split": config.eval.split, "step": run.total_steps}
    if results is not None and place.items() <= results.items():
        log.info(
            "%s is done: %d of %d steps. Its result:", folder, run.total_steps, run.total_steps
        )
        return results
    begun = workdir.has_checkpoints(folder)
    # What cannot be begun leaves no trace in the workdir.
    state = None if begun else fresh_state(run)
    workdir.claim(folder, config)
    checkpoints = checkpoint.Checkpoints(folder, config.checkpoint_keep, config.checkpoint_best)
    try:
        restored = checkpoints.restore_latest(run.abstract_state) if begun else None
        if restored is not None:
            log.info("Going on from %s.", checkpoints.path(restored[0]))
            state = restored[1]
        elif state is None:  # what lay there was half-written
            state = fresh_state(run)
        if restored is None:
            metrics.log_overview(state["params"])
        return _train(run, state, evaluator, checkpoints, folder)
    finally:
        checkpoints.close()


def _check_class_names(run: Run, evaluated: sources.Source) -> None:
    """Folders are numbered by their names: other names would be other classes under the same numbers."""
    ours = run.source.class_names[run.source.label_keys[0]]
    theirs = evaluated.class_names[evaluated.label_keys[0]]
    is_folder = any(map(image_files.is_path, (run.source.dataset, evaluated.dataset)))
    if is_folder and ours != theirs:
        one, other = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
        raise sources.DatasetError(
            f"the classes of {run.source.dataset} and {evaluated.dataset} have other names: {one} and "
            f"{other} stand for the same number."
        )


def _train(run, state, evaluator, checkpoints, folder) -> dict[str, Any] | None:
    config = run.config
    train_step = make_train_step(
        run.model,
        run.tx,
        loss=config.loss,
        mixup_alpha=config.mixup_alpha,
        accumulate_steps=config.input.accumulate_steps,
        seed=config.seed,
        mesh=run.mesh,
        state_shardings=run.shardings,
    )
    first = int(state["step"])
    batches = train_batches(run, range(first, run.total_steps))
    watch = Watch(checkpoints)
    progress = metrics.Progress(first, run.total_steps, config.input.batch_size, run.schedule)
    evaluation = record = None
    with preemption.Notice() as notice, metrics.make_writer(folder) as writer:
        for step in range(first + 1, run.total_steps + 1):
            state, measured = train_step(state, next(batches))
            watch.add(step, measured)
            is_last = step == run.total_steps
            stopping = notice.given(step) and not is_last
            if is_last:
                watch.finish()
            if step % config.log_every_steps == 0 or step == first + 1 or is_last:
                # What has arrived is reported; waiting for this step would leave the devices idle.
                progress.report(step, watch.drain(), writer)
            evaluating = (step % config.eval_every_steps == 0 and not stopping) or is_last
            saving = step % config.checkpoint_every_steps == 0 or is_last or stopping
            if evaluating or saving:
                watch.finish()  # nothing diverged gets evaluated or saved
            with progress.paused():
                # Saved first: an evaluation may be long, and interrupted. Only where the best is to be
                # kept does the checkpoint need the evaluation's numbers.
                needs_metrics = evaluating and config.checkpoint_best is not None
                if saving and not needs_metrics:
                    checkpoints.save(step, state)
                if evaluating:
                    evaluation, record = _evaluate(evaluator, state, step, config)
                    metrics.report_evaluation(step, record, writer, final=is_last)
                if needs_metrics:
                    checkpoints.save(step, state, metrics.best_metrics(record))
            if stopping:
                checkpoints.wait()
                log.warning(
                    "Asked to stop: step %d is saved in %s; the same command goes on from there.",
                    step,
                    checkpoints.path(step),
                )
                return None
        if evaluation is None:  # the last checkpoint was there, but not the results
            evaluation, record = _evaluate(evaluator, state, run.total_steps, config)
            metrics.report_evaluation(run.total_steps, record, writer, final=True)
    checkpoints.wait()
    if config.export_npz is not None:
        _export(state["params"], epath.Path(folder) / config.export_npz, run.mesh)
    measure.finish(evaluator, evaluation, record, config, folder)
    return record


def _export(params, path: epath.Path, mesh: jax.sharding.Mesh) -> None:
    """Writes parameters, wherever they are, in the public layout."""
    whole = jax.jit(lambda tree: tree, out_shardings=sharding.replicated(mesh))(params)
    if jax.process_index() == 0:
        checkpoint.save_npz(path, whole)
        log.info("The trained model is in %s.", path)


def train_batches(run: Run, steps: range) -> Iterator[dict[str, jax.Array]]:
    """The global batches of the given steps (0-based); see `input_pipeline.train_batches`."""
    data = run.config.input
    return input_pipeline.train_batches(
        run.source,
        functools.partial(sharding.put_batch, run.mesh),
        label_key=data.label_key,
        batch_size=data.batch_size,
        max_labels=data.max_labels,
        seed=run.config.seed,
        steps=steps,
        crop=data.crop,
        size=data.size,
        resize_to=data.resize_to,
        flip=data.flip,
        num_threads=data.num_threads or input_pipeline.default_threads(),
        num_workers=data.num_workers,
    )


def _evaluate(evaluator, state, step, config):
    evaluation = evaluator.run(state["params"])
    return evaluation, evaluation.results(config.eval.dataset, config.eval.split, step)


class Watch:
    """Follows the steps on the devices: holds back a host that runs ahead, and stops a diverged run."""

    def __init__(self, checkpoints: checkpoint.Checkpoints):
        self._checkpoints = checkpoints
        self._in_flight: collections.deque = collections.deque()
        self._arrived: list[dict[str, float]] = []

    def add(self, step: int, measured: dict[str, jax.Array]) -> None:
        """Notes a step that was handed to the devices; waits until few are under way."""
        self._in_flight.append((step, measured))
        while len(self._in_flight) > _IN_FLIGHT:
            self._arrive()

    def finish(self) -> None:
        """Waits for all steps: nothing diverged gets evaluated or saved."""
        while self._in_flight:
            self._arrive()

    def drain(self) -> list[dict[str, float]]:
        """The metrics that arrived since the last call (of at least one step)."""
        if not self._arrived:
            self._arrive()
        arrived, self._arrived = self._arrived, []
        return arrived

    def _arrive(self) -> None:
        step, measured = self._in_flight.popleft()
        values = {name: float(value) for name, value in jax.device_get(measured).items()}
        for name, value in values.items():
            if not math.isfinite(value):
                self._checkpoints.wait()
                steps = self._checkpoints.steps()
                good = (
                    f"The last good checkpoint is {self._checkpoints.path(steps[-1])}."
                    if steps
                    else "There is no checkpoint yet."
                )
                raise TrainingDiverged(
                    f"{name} is {value} at step {step}. {good} A lower learning rate "
                    f"(optimizer.base_learning_rate), a longer warm-up or optimizer.clip_norm may help."
                )
        self._arrived.append(values)

"""The training loop."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

import jax
from etils import epath

from big_transfer import checkpoint, datasets
from big_transfer import config as config_lib
from big_transfer.config import workdirs
from big_transfer.datasets.batches import MAX_IN_FLIGHT
from big_transfer.evaluation.evaluator import Evaluation, Evaluator
from big_transfer.evaluation.record import Record
from big_transfer.evaluation.results import best_metrics, finish, report_evaluation
from big_transfer.run import ownership, preemption, profiling, sharding, workdir
from big_transfer.run.progress import Progress, log_overview
from big_transfer.run.writers import make_writer
from big_transfer.training.setup import Run, build, check_class_names, fresh_state
from big_transfer.training.step import make_train_step
from real_labels import files
from real_labels.errors import ExpectedError

log = logging.getLogger("big_transfer")


class TrainingDiverged(ExpectedError, RuntimeError):
    """The loss or the gradient became NaN or infinite."""


def train_and_evaluate(config: config_lib.AnyConfig, folder: epath.PathLike) -> Record | None:
    """Trains to the last step and evaluates.

    Args:
      config: see `config.schema`.
      folder: the workdir. An interrupted run continues from its newest checkpoint; a finished run is only
        reported.

    Returns:
      The record of results.json, or None if the run was asked to stop before its end.

    Raises:
      ConfigError, DatasetError, WorkdirError, CheckpointError, TrainingDiverged: each with a message
        that can be shown to the user.
    """
    run = build(config_lib.check(config))
    workdirs.check_belongs(folder, run.config)
    evaluator = Evaluator(run.config, run.model, run.mesh)
    results = workdir.read_results(folder)
    check_class_names(run, evaluator.source)
    section = run.config.eval
    finished = {"dataset": section.dataset, "split": section.split, "step": run.total_steps}
    if results is not None and finished.items() <= results.items():
        log.info(
            "%s is done: %d of %d steps. Its result:", folder, run.total_steps, run.total_steps
        )
        return Record.from_json(results)
    with ownership.owned(folder) as owner:
        # Check again, because another run may have used the workdir in the meantime.
        workdirs.check_belongs(folder, run.config)
        if jax.process_index() == 0:
            files.remove_leftovers(folder)
        return _train_in_workdir(run, evaluator, folder, owner)


def _train_in_workdir(
    run: Run, evaluator: Evaluator, folder, owner: ownership.Owner
) -> Record | None:
    """Trains in a workdir that this process owns, from the newest readable checkpoint if there is one."""
    config = run.config
    has_checkpoints = workdir.has_checkpoints(folder)
    # Build the state before claiming the workdir, so that a failed start leaves nothing behind.
    state = None if has_checkpoints else fresh_state(run)
    workdir.claim(folder, dataclasses.asdict(config))
    checkpoints = checkpoint.Checkpoints(folder, config.checkpoint_keep, config.checkpoint_best)
    try:
        restored = checkpoints.restore_latest(run.abstract_state) if has_checkpoints else None
        if restored is not None:
            log.info("Resuming from %s.", checkpoints.path(restored[0]))
            state = restored[1]
        elif state is None:  # no checkpoint was readable
            state = fresh_state(run)
        if restored is None:
            log_overview(state["params"])
        return _train(run, state, evaluator, checkpoints, folder, owner)
    finally:
        checkpoints.close()


def _train(
    run: Run,
    state: Any,
    evaluator: Evaluator,
    checkpoints: checkpoint.Checkpoints,
    folder: epath.PathLike,
    owner: ownership.Owner,
) -> Record | None:
    """Runs the training loop from `state`, evaluates at the end and writes the results."""
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
    remaining = range(first + 1, run.total_steps + 1)
    batches = train_batches(run, range(first, run.total_steps))
    monitor = StepMonitor(checkpoints)
    progress = Progress(first, run.total_steps, config.input.batch_size, run.schedule)
    evaluation: Evaluation | None = None
    step, stopping = first, False
    with (
        preemption.Notice() as notice,
        make_writer(folder) as writer,
        profiling.Profile(config.profile, folder, remaining) as profile,
    ):
        for step in remaining:
            profile.before(step, monitor.finish)
            state, metrics = train_step(state, next(batches))
            monitor.add(step, metrics)
            profile.after(step, monitor.finish)
            is_last = step == run.total_steps
            stopping = notice.given() and not is_last
            if is_last:
                monitor.finish()
            if step % config.log_every_steps == 0 or step == first + 1 or is_last:
                # Report only the metrics that have arrived: waiting for this step would idle the devices.
                progress.report(step, monitor.drain(), writer)
            evaluating = (step % config.eval_every_steps == 0 and not stopping) or is_last
            saving = step % config.checkpoint_every_steps == 0 or is_last or stopping
            if evaluating or saving:
                monitor.finish()  # so that a diverged state is never evaluated or saved
                owner.check()
            with progress.paused():
                # Save before evaluating, because a long evaluation may be interrupted. With
                # checkpoint_best, the checkpoint needs the accuracies, so the evaluation comes first.
                needs_metrics = evaluating and config.checkpoint_best is not None
                if saving and not needs_metrics:
                    checkpoints.save(step, state)
                if evaluating:
                    # The checkpoint of the last step is saved, so the last evaluation may be interrupted.
                    may_stop = is_last and not needs_metrics
                    evaluation = evaluator.run(state["params"], notice=notice if may_stop else None)
                    if evaluation is None:
                        stopping = True
                        break
                    report_evaluation(step, evaluation, writer, final=is_last)
                    if needs_metrics:
                        checkpoints.save(step, state, best_metrics(evaluation.accuracies))
            if stopping:
                break
        else:
            if (
                evaluation is None
            ):  # the last checkpoint was saved already, but the results were not
                evaluation = evaluator.run(state["params"], notice=notice)
                if evaluation is not None:
                    report_evaluation(run.total_steps, evaluation, writer, final=True)
    checkpoints.wait()
    if stopping or evaluation is None:
        log.warning(
            "Asked to stop: step %d is saved in %s; run the same command again to continue.",
            step,
            checkpoints.path(step),
        )
        return None
    if config.export_npz is not None:
        _export(state["params"], epath.Path(folder) / config.export_npz, run.mesh)
    record = evaluation.record(config.eval.dataset, config.eval.split, run.total_steps)
    finish(evaluator, evaluation, record, config, folder)
    return record


def _export(params, path: epath.Path, mesh: jax.sharding.Mesh) -> None:
    """Writes parameters, which may be split over the devices, in the public layout."""
    whole = jax.jit(lambda tree: tree, out_shardings=sharding.replicated(mesh))(params)
    if jax.process_index() == 0:
        checkpoint.save_npz(path, whole)
        log.info("The trained model is in %s.", path)


def train_batches(run: Run, steps: range) -> Iterator[dict[str, jax.Array]]:
    """The global batches of the given steps (0-based); see `datasets.train_batches`."""
    data = run.config.input
    return datasets.train_batches(
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
        num_threads=data.num_threads or datasets.default_threads(),
        num_workers=data.num_workers,
    )


class StepMonitor:
    """Collects the metrics of running steps, limits how far the host runs ahead, and detects divergence.

    `add`, `finish` and `drain` raise TrainingDiverged if a metric of an arrived step is NaN or infinite.
    """

    def __init__(self, checkpoints: checkpoint.Checkpoints):
        self._checkpoints = checkpoints
        self._in_flight: collections.deque = collections.deque()
        self._arrived: list[dict[str, float]] = []

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Adds a dispatched step; waits until at most two steps are running."""
        self._in_flight.append((step, metrics))
        while len(self._in_flight) > MAX_IN_FLIGHT:
            self._arrive()

    def finish(self) -> None:
        """Waits for all steps, so that a diverged state is never evaluated or saved."""
        while self._in_flight:
            self._arrive()

    def drain(self) -> list[dict[str, float]]:
        """The metrics that arrived since the last call; waits for one step if none have arrived."""
        if not self._arrived:
            self._arrive()
        arrived, self._arrived = self._arrived, []
        return arrived

    def _arrive(self) -> None:
        """Waits for the oldest step and checks that its metrics are finite."""
        step, metrics = self._in_flight.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for name, value in values.items():
            if not math.isfinite(value):
                self._checkpoints.wait()
                steps = self._checkpoints.steps()
                last_checkpoint = (
                    f"The last good checkpoint is {self._checkpoints.path(steps[-1])}."
                    if steps
                    else "There is no checkpoint yet."
                )
                raise TrainingDiverged(
                    f"{name} is {value} at step {step}. {last_checkpoint} A lower learning rate "
                    f"(optimizer.base_learning_rate), a longer warm-up or optimizer.clip_norm may help."
                )
        self._arrived.append(values)

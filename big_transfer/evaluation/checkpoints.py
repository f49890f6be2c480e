"""Evaluates checkpoints: the newest checkpoint of a run, a checkpoint file, or several for a comparison.

An interrupted evaluation continues where it stopped, with the same command.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import jax
from etils import epath

from big_transfer import checkpoint, datasets, family, resnet
from big_transfer import config as config_lib
from big_transfer.config import EvaluationConfig, completion, workdirs
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.evaluator import Evaluation, Evaluator
from big_transfer.evaluation.record import Comparison, Record
from big_transfer.evaluation.results import finish
from big_transfer.run import preemption, sharding, workdir
from real_labels import files
from real_labels.accuracy import comparison
from real_labels.labels import label_sets_of, reassessment

log = logging.getLogger("big_transfer")

COMPARISON = "comparison.json"


def evaluate_only(
    config: config_lib.AnyConfig, folder: epath.PathLike
) -> Record | Comparison | None:
    """Evaluates the newest checkpoint of a workdir, or config.checkpoint, and writes into the workdir.

    Several checkpoints, joined by commas, are evaluated one after the other and then compared. The results of
    each checkpoint go into a folder below the workdir, named after the checkpoint.

    Returns:
      The record of results.json; for several checkpoints, the record of comparison.json. None if the
      evaluation was asked to stop before the end.

    Raises:
      WorkdirError: if there is nothing to evaluate, if config.checkpoint would replace the results of the
        run in the workdir, or if the workdir holds the results of another evaluation.
      CheckpointError: if a checkpoint has another model or other classes than the config.
    """
    checked = config_lib.check(config, training=False)
    if jax.process_index() == 0:
        files.remove_leftovers(folder)
    paths = [path.strip() for path in (checked.checkpoint or "").split(",") if path.strip()]
    is_run, recorded = workdir.has_checkpoints(folder), workdirs.recorded(folder)
    if is_run and recorded is not None and paths and paths != [recorded.get("checkpoint")]:
        raise _would_replace(folder, ", ".join(paths))
    if not is_run and not paths:
        raise workdir.WorkdirError(
            f"there is nothing to evaluate: {folder} holds no run. Give the --workdir of a run, or a "
            f"public checkpoint with --config.checkpoint=FILE."
        )
    # Check that all checkpoints exist and fit the config before the first evaluation starts.
    names = _folder_names(paths)
    models = [checkpoint.read_model(path) for path in ([folder] if is_run else paths)]
    opened, source = completion.open_evaluation(checked, recorded if is_run else None)
    if is_run:
        jobs = [_run_job(opened, source, folder, models[0])]
    else:
        folders = [folder] if len(paths) == 1 else [epath.Path(folder) / name for name in names]
        jobs = [
            _file_job(opened, source, path, job_folder, model)
            for path, job_folder, model in zip(paths, folders, models, strict=True)
        ]
    for job in jobs:
        _check_no_other_results(job)
    measurements = []
    with preemption.Notice() as notice:
        for job in jobs:
            measurement = _measure(job, source, notice, needs_predictions=len(jobs) > 1)
            if measurement is None:
                log.warning(partial_results.STOPPED_MESSAGE)
                return None
            measurements.append(measurement)
    record = measurements[0].record
    if len(jobs) > 1:
        record = _compare(names, measurements)
        if jax.process_index() == 0:
            files.write_json(epath.Path(folder) / COMPARISON, record.as_json(), indent=2)
    else:
        # For several checkpoints the files stay, so that adding a checkpoint evaluates only this one.
        measurements[0].partial.remove()
    return record


@dataclasses.dataclass(frozen=True)
class _Job:
    """One checkpoint to evaluate."""

    path: epath.PathLike  # the checkpoint: a file, or the workdir of a run
    title: str  # name of the checkpoint in messages and results.json
    folder: epath.PathLike  # folder for the results
    config: EvaluationConfig


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """The result of evaluating one checkpoint."""

    evaluation: Evaluation | None  # None if the record was read from an earlier evaluation
    record: Record
    partial: partial_results.PartialResults


def _run_job(
    opened: config_lib.Config,
    source: datasets.Source,
    folder: epath.PathLike,
    model: resnet.ResNetV2,
) -> _Job:
    """The job for the newest checkpoint of a run; raises an error if it does not fit the config."""
    config = completion.complete_evaluation(opened, source, epath.Path(folder).name, model)
    model_fields = ("num_classes", "model.depth", "model.units", "model.width")
    workdirs.check_belongs(folder, config, sections=model_fields)
    check_model(config, folder, model)
    _check_classes(config, folder, model)
    return _Job(folder, f"{folder}/checkpoints", folder, config)


def _file_job(
    opened: config_lib.Config,
    source: datasets.Source,
    path: str,
    folder: epath.PathLike,
    model: resnet.ResNetV2,
) -> _Job:
    """The job for a checkpoint file or another workdir; raises an error if it does not fit the config."""
    name = epath.Path(path).stem
    if opened.eval.size is None and opened.hyperrule is None and not family.says_size(name):
        log.warning(
            "The name of %s does not determine the image size for evaluation. The size of checkpoints "
            "fine-tuned by the HyperRule is used; set --config.eval.size for another size.",
            path,
        )
    config = completion.complete_evaluation(opened, source, name, model)
    check_model(config, path, model)
    _check_classes(config, path, model)
    if workdir.has_checkpoints(folder):
        raise _would_replace(folder, path)
    return _Job(path, path, folder, config)


def check_model(config: EvaluationConfig, path: epath.PathLike, model: resnet.ResNetV2) -> None:
    """Raises CheckpointError if a checkpoint's model differs from the config's model."""
    found = family.describe(model.depth, model.width)
    expected = family.describe(config.model.depth_or_units, config.model.width)
    if found != expected:
        raise checkpoint.CheckpointError(
            f"{path}: is a {found}, but the config's model is {expected}. Name the checkpoint's model in "
            f"the config, or name no model to use the checkpoint's."
        )


def _check_classes(config: EvaluationConfig, path: epath.PathLike, model: resnet.ResNetV2) -> None:
    """Raises CheckpointError if a checkpoint has another number of classes than the config."""
    if model.num_classes != config.num_classes:
        raise checkpoint.CheckpointError(
            f"{path}: has {model.num_classes:,} classes, but num_classes is {config.num_classes:,}: "
            f"fine-tune it first, or use a checkpoint fine-tuned for this dataset. Evaluate fine-tuned "
            f"checkpoints with configs/bit_transfer.py:dataset=…,model=… --mode=evaluate."
        )


def _would_replace(folder: epath.PathLike, path: str) -> workdir.WorkdirError:
    return workdir.WorkdirError(
        f"{folder} holds a training run. Evaluating {path} would replace the run's results. Give another "
        f"--workdir."
    )


def _measure(
    job: _Job, source: datasets.Source, notice: preemption.Notice, needs_predictions: bool
) -> _Measurement | None:
    """Evaluates a checkpoint and writes its results; returns None if asked to stop before the end.

    If the folder holds the record of the same evaluation, the record is kept. The predictions are then
    computed again (or read from the partial results) only with `needs_predictions`.
    """
    config, mesh = job.config, sharding.make_mesh()
    model = config.make_model()
    evaluator = Evaluator(config, model, mesh, source)
    step, params = checkpoint.load_with_step(job.path, model)
    partial = partial_results.PartialResults(job.folder, _identity(config, len(source), params))
    done = workdir.read_results(job.folder)
    if done is not None and done.get("evaluation") != partial.identity:
        if not workdir.has_checkpoints(job.folder):
            raise _other_results(job, done)
        done = None  # the run's own results, from the end of its training, may be replaced
    if done is not None and not needs_predictions:
        log.info("%s is done. Its result:", job.folder)
        return _Measurement(None, Record.from_json(done), partial)
    log.info(
        "Evaluating %s: %s on %s, %s images of %s×%s pixels.",
        job.title if step == 0 else f"{job.title}/{step}",
        family.describe(model.depth, model.width),
        config.eval.dataset,
        f"{len(source):,}",
        config.eval.size,
        config.eval.size,
    )
    params = jax.device_put(params, sharding.replicated(mesh))
    evaluation = evaluator.run(params, partial, notice)
    if evaluation is None:
        return None
    if done is not None:
        return _Measurement(evaluation, Record.from_json(done), partial)
    about = {
        "checkpoint": job.title,
        "size": config.eval.size,
        "dtype": config.model.dtype,
        "evaluation": partial.identity,
    }
    record = evaluation.record(config.eval.dataset, config.eval.split, step)
    record = dataclasses.replace(record, about={**record.about, **about})
    finish(evaluator, evaluation, record, config, job.folder)
    return _Measurement(evaluation, record, partial)


def _check_no_other_results(job: _Job) -> None:
    """Raises WorkdirError if the folder holds other results, judged without reading the parameters."""
    done = workdir.read_results(job.folder)
    if done is None or workdir.has_checkpoints(job.folder):
        return
    config = job.config
    expected = {
        "dataset": config.eval.dataset,
        "split": config.eval.split,
        "size": config.eval.size,
        "dtype": config.model.dtype,
        "checkpoint": job.title,
    }
    if not expected.items() <= done.items():
        raise _other_results(job, done)


def _other_results(job: _Job, done: dict[str, Any]) -> workdir.WorkdirError:
    return workdir.WorkdirError(
        f"{job.folder} holds the results of another evaluation ({done.get('checkpoint')} at "
        f"{done.get('size')} pixels). Give another --workdir."
    )


def _identity(config: EvaluationConfig, num_images: int, params: Any) -> dict[str, Any]:
    """All settings that determine the results of an evaluation."""
    fields = dataclasses.asdict(config)
    real = fields["eval"]["real_labels"]
    section = {k: v for k, v in fields["eval"].items() if k != "batch_size"}
    label_sets = reassessment.entries(config.eval.label_sets)
    if not label_sets:
        # Keep the identity of versions without named label sets, so that their results are recognised.
        del section["label_sets"]
    return {
        "eval": section,
        "real_labels": real and datasets.sha256_of(real),
        **{
            f"label set {name}": datasets.sha256_of(path)
            for name, path in label_sets.items()
            if _is_file(path)
        },
        # Keep the identity of versions without the field `units`, for the same reason.
        "model": {
            k: config.model.depth_or_units if k == "depth" else v
            for k, v in fields["model"].items()
            if k not in ("remat", "units")
        },
        "loss": config.loss,
        "data": [config.input.data_dir, config.input.mock, num_images],
        "parameters": checkpoint.fingerprint(params),
    }


def _is_file(location: str) -> bool:
    return bool(location) and not location.startswith(reassessment.FEATURE)


def _folder_names(paths: list[str]) -> list[str]:
    """A distinct folder name for each checkpoint: its file name, or FOLDER_FILE if file names repeat."""
    stems = [epath.Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    names = [f"{epath.Path(path).parent.name}_{epath.Path(path).stem}" for path in paths]
    if len(set(names)) < len(names):
        raise workdir.WorkdirError(
            f"checkpoint: two files have the same name: {', '.join(paths)}. Each checkpoint is evaluated "
            f"into a folder of its name, so rename one of the files or give each file only once."
        )
    return names


def _compare(names: list[str], measurements: list[_Measurement]) -> Comparison:
    """The records of all checkpoints, and a test of every pair on every label set."""
    evaluations = [m.evaluation for m in measurements if m.evaluation is not None]
    first, predictions = evaluations[0], [evaluation.predictions for evaluation in evaluations]
    label_sets = label_sets_of(first.original, first.reassessments)
    models = {name: m.record for name, m in zip(names, measurements, strict=True)}
    pairs = comparison.pairs(dict(zip(names, predictions, strict=True)), label_sets)
    return Comparison(models, pairs)

"""Measuring checkpoints: a run's newest, a public file, or several beside each other.

An evaluation that was interrupted goes on where it was, with the same command.
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
    """Evaluates the newest checkpoint of a workdir, or config.checkpoint, writing into the workdir.

    Several checkpoints, joined by commas, are evaluated one after the other, each into a folder of
    its name below the workdir, and then compared.

    Returns:
      The record of results.json; of several checkpoints, that of comparison.json. None if it was asked to
      stop before the end.

    Raises:
      WorkdirError: if there is nothing to evaluate, or both.
      CheckpointError: if a checkpoint is not of the config's model or classes.
    """
    checked = config_lib.check(config, training=False)
    paths = [path.strip() for path in (checked.checkpoint or "").split(",") if path.strip()]
    is_run, recorded = workdir.has_checkpoints(folder), workdirs.recorded(folder)
    if is_run and recorded is not None and paths and paths != [recorded.get("checkpoint")]:
        raise _would_replace(folder, ", ".join(paths))
    if not is_run and not paths:
        raise workdir.WorkdirError(
            f"there is nothing to evaluate: {folder} holds no run. Give the --workdir of one, or a "
            f"public checkpoint with --config.checkpoint=FILE."
        )
    # All are there, and fit, before the first is evaluated.
    names = _names(paths)
    models = [checkpoint.read_model(path) for path in ([folder] if is_run else paths)]
    opened, source = completion.open_evaluation(checked, recorded if is_run else None)
    if is_run:
        jobs = [_of_run(opened, source, folder, models[0])]
    else:
        folders = [folder] if len(paths) == 1 else [epath.Path(folder) / name for name in names]
        jobs = [
            _of_file(opened, source, path, where, model)
            for path, where, model in zip(paths, folders, models, strict=True)
        ]
    for job in jobs:
        _check_free(job)
    measured = []
    with preemption.Notice() as notice:
        for job in jobs:
            found = _run(job, source, notice, again=len(jobs) > 1)
            if found is None:
                log.warning(
                    "Asked to stop: what was found is kept; the same command goes on from it."
                )
                return None
            measured.append(found)
    record = measured[0].record
    if len(jobs) > 1:
        record = _compare(names, measured)
        if jax.process_index() == 0:
            files.write_json(epath.Path(folder) / COMPARISON, record.as_json(), indent=2)
    else:
        measured[0].partial.remove()  # of several they stay, so that one more costs but itself
    return record


@dataclasses.dataclass(frozen=True)
class _Job:
    """One checkpoint to evaluate."""

    path: epath.PathLike  # of the checkpoint: a file, or a run's workdir
    what: str  # to call it
    folder: epath.PathLike  # where its results go
    config: EvaluationConfig


@dataclasses.dataclass(frozen=True)
class _Measured:
    evaluation: Evaluation | None  # None where the result was there already
    record: Record
    partial: partial_results.PartialResults


def _of_run(
    opened: config_lib.Config,
    source: datasets.Source,
    folder: epath.PathLike,
    model: resnet.ResNetV2,
) -> _Job:
    config = completion.complete_evaluation(opened, source, epath.Path(folder).name, model)
    ours = ("num_classes", "model.depth", "model.units", "model.width")
    workdirs.check_belongs(folder, config, sections=ours)
    check_model(config, folder, model)
    _check_classes(config, folder, model)
    return _Job(folder, f"{folder}/checkpoints", folder, config)


def _of_file(
    opened: config_lib.Config,
    source: datasets.Source,
    path: str,
    folder: epath.PathLike,
    model: resnet.ResNetV2,
) -> _Job:
    name = epath.Path(path).stem
    if opened.eval.size is None and opened.hyperrule is None and not family.says_size(name):
        log.warning(
            "The name of %s does not say what size it is evaluated at; it is that of checkpoints "
            "fine-tuned by the HyperRule. Set --config.eval.size for another.",
            path,
        )
    config = completion.complete_evaluation(opened, source, name, model)
    check_model(config, path, model)
    _check_classes(config, path, model)
    if workdir.has_checkpoints(folder):
        raise _would_replace(folder, path)
    return _Job(path, path, folder, config)


def check_model(config: EvaluationConfig, path: epath.PathLike, model: resnet.ResNetV2) -> None:
    """Refuses a checkpoint that is not of the config's model."""
    found = family.describe(model.depth, model.width)
    expected = family.describe(config.model.depth_or_units, config.model.width)
    if found != expected:
        raise checkpoint.CheckpointError(
            f"{path}: is a {found}, but the config's model is {expected}. Name the checkpoint's model, "
            f"or none: then it is the checkpoint's."
        )


def _check_classes(config: EvaluationConfig, path: epath.PathLike, model: resnet.ResNetV2) -> None:
    """Refuses a checkpoint of other classes than the config's."""
    if model.num_classes != config.num_classes:
        raise checkpoint.CheckpointError(
            f"{path}: has {model.num_classes:,} classes, but num_classes is {config.num_classes:,}: "
            f"fine-tune it first, or take one fine-tuned for this dataset. What was fine-tuned is evaluated "
            f"with configs/bit_transfer.py:dataset=…,model=… --mode=evaluate."
        )


def _would_replace(folder: epath.PathLike, path: str) -> workdir.WorkdirError:
    return workdir.WorkdirError(
        f"{folder} holds a training run, whose results those of {path} would replace. Give another "
        f"--workdir."
    )


def _run(
    job: _Job, source: datasets.Source, notice: preemption.Notice, again: bool
) -> _Measured | None:
    """Evaluates a checkpoint.

    Where the very same was done before, its record is kept, and `again` says whether what was found
    is needed once more.
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
        done = None  # a run's own, from the end of its training
    if done is not None and not again:
        log.info("%s is done. Its result:", job.folder)
        return _Measured(None, Record.from_json(done), partial)
    log.info(
        "Evaluating %s: %s on %s, %s images of %s×%s pixels.",
        job.what if step == 0 else f"{job.what}/{step}",
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
        return _Measured(evaluation, Record.from_json(done), partial)
    about = {
        "checkpoint": job.what,
        "size": config.eval.size,
        "dtype": config.model.dtype,
        "evaluation": partial.identity,
    }
    record = evaluation.record(config.eval.dataset, config.eval.split, step)
    record = dataclasses.replace(record, about={**record.about, **about})
    finish(evaluator, evaluation, record, config, job.folder)
    return _Measured(evaluation, record, partial)


def _check_free(job: _Job) -> None:
    """Refuses a folder with other results as far as can be told before any parameters are read."""
    done = workdir.read_results(job.folder)
    if done is None or workdir.has_checkpoints(job.folder):
        return
    config = job.config
    ours = {"dataset": config.eval.dataset, "split": config.eval.split, "size": config.eval.size}
    ours |= {"dtype": config.model.dtype, "checkpoint": job.what}
    if not ours.items() <= done.items():
        raise _other_results(job, done)


def _other_results(job: _Job, done: dict[str, Any]) -> workdir.WorkdirError:
    return workdir.WorkdirError(
        f"{job.folder} holds the results of another evaluation ({done.get('checkpoint')} at "
        f"{done.get('size')} pixels). Give another --workdir."
    )


def _identity(config: EvaluationConfig, num_images: int, params: Any) -> dict[str, Any]:
    """All that decides what an evaluation finds."""
    fields = dataclasses.asdict(config)
    real = fields["eval"]["real_labels"]
    section = {k: v for k, v in fields["eval"].items() if k != "batch_size"}
    named = reassessment.entries(config.eval.label_sets)
    if not named:
        # As before label sets had names, so that earlier results are known again.
        del section["label_sets"]
    return {
        "eval": section,
        "real_labels": real and datasets.sha256_of(real),
        **{
            f"label set {name}": datasets.sha256_of(path)
            for name, path in named.items()
            if _is_file(path)
        },
        # As before `units` had a field, for the same reason.
        "model": {
            k: config.model.depth_or_units if k == "depth" else v
            for k, v in fields["model"].items()
            if k not in ("remat", "units")
        },
        "loss": config.loss,
        "data": [config.input.data_dir, config.input.mock, num_images],
        "parameters": checkpoint.fingerprint(params),
    }


def _is_file(where: str) -> bool:
    return bool(where) and not where.startswith(reassessment.FEATURE)


def _names(paths: list[str]) -> list[str]:
    """A folder name for each checkpoint: its own, or with its folder's where that is not enough."""
    stems = [epath.Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    names = [f"{epath.Path(path).parent.name}_{epath.Path(path).stem}" for path in paths]
    if len(set(names)) < len(names):
        raise workdir.WorkdirError(
            f"checkpoint: two files have the same name: {', '.join(paths)}. Each is evaluated into "
            f"a folder of its name."
        )
    return names


def _compare(names: list[str], measured: list[_Measured]) -> Comparison:
    evaluations = [one.evaluation for one in measured if one.evaluation is not None]
    first, predictions = evaluations[0], [one.predictions for one in evaluations]
    sets = label_sets_of(first.original, first.reassessments)
    models = {name: one.record for name, one in zip(names, measured, strict=True)}
    return Comparison(models, comparison.pairs(dict(zip(names, predictions, strict=True)), sets))

"""Measuring checkpoints: a run's newest, a public file, or several beside each other.

An evaluation that was interrupted goes on where it was, with the same command.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from etils import epath

from big_transfer import (
    checkpoint,
    completion,
    evaluate,
    family,
    gallery,
    partial_results,
    preemption,
    resnet,
    sharding,
    workdir,
)
from big_transfer import config as config_lib
from real_labels import comparison, files

log = logging.getLogger("big_transfer")

COMPARISON = "comparison.json"


def evaluate_only(
    config: ml_collections.ConfigDict, folder: epath.PathLike
) -> dict[str, Any] | None:
    """Evaluates the newest checkpoint of a workdir, or config.init_npz, writing into the workdir.

    Several checkpoints, joined by commas, are evaluated one after the other, each into a folder of
    its name below the workdir, and then compared.

    Returns:
      The record of results.json; of several, that of comparison.json: {"models": [{"name",
      "checkpoint", …results}], "pairs": see `comparison.pairs`}. None if it was asked to stop before
      the end.

    Raises:
      WorkdirError: if there is nothing to evaluate, or both.
      CheckpointError: if a checkpoint is not of the config's model or classes.
    """
    config = config_lib.resolve(config, training=False)
    paths = [path.strip() for path in (config.init_npz or "").split(",") if path.strip()]
    if workdir.has_checkpoints(folder):
        jobs = [_of_run(config, folder, paths)]
    elif paths:
        names = _names(paths)
        alone = len(paths) == 1
        for path in paths:  # all are there and fit, before the first is evaluated
            _model_of_file(config, path)
        jobs = [
            _of_file(config, path, folder if alone else epath.Path(folder) / name)
            for path, name in zip(paths, names, strict=True)
        ]
    else:
        raise workdir.WorkdirError(
            f"there is nothing to evaluate: {folder} holds no run. Give the --workdir of one, or a "
            f"public checkpoint with --config.init_npz=FILE."
        )
    for job in jobs:
        _check_free(job)
    measured = []
    with preemption.Notice() as notice:
        for job in jobs:
            found = _run(job, notice, reuse=len(jobs) == 1)
            if found is None:
                log.warning(
                    "Asked to stop: what was found is kept; the same command goes on from it."
                )
                return None
            measured.append(found)
    record = measured[0].record
    if len(jobs) > 1:
        record = _compare([epath.Path(job.folder).name for job in jobs], jobs, measured)
        if jax.process_index() == 0:
            files.write_json(epath.Path(folder) / COMPARISON, record, indent=2)
    else:
        measured[0].partial.remove()  # of several they stay, so that one more costs but itself
    return record


@dataclasses.dataclass(frozen=True)
class _Job:
    """One checkpoint to evaluate."""

    what: str
    folder: epath.PathLike
    config: ml_collections.FrozenConfigDict
    model: resnet.ResNetV2
    load: Any  # () -> (step, params)


@dataclasses.dataclass(frozen=True)
class _Measured:
    evaluation: evaluate.Evaluation | None  # None where the result was there already
    record: dict[str, Any]
    partial: partial_results.PartialResults


def _of_run(config, folder: epath.PathLike, paths: list[str]) -> _Job:
    recorded = workdir.recorded_config(folder)
    if recorded is not None and paths and paths != [recorded.get("init_npz")]:
        raise workdir.WorkdirError(
            f"{folder} holds a training run, whose results those of {config.init_npz} would "
            f"replace. Give another --workdir."
        )
    model = checkpoint.read_model(folder)
    config = completion.complete_evaluation(
        config, epath.Path(folder).name, model, recorded=recorded
    )
    workdir.check(folder, config, sections=("num_classes", "model.depth", "model.width"))
    return _Job(
        f"{folder}/checkpoints",
        folder,
        config,
        make_model(config),
        functools.partial(checkpoint.load_run, folder),
    )


def _model_of_file(config, path: str) -> resnet.ResNetV2:
    """The model of a checkpoint, which must be the config's where that names one."""
    model = checkpoint.read_model(path)
    depth, width = config.model.depth, config.model.width
    found, expected = family.describe(model.depth, model.width), None
    if depth is not None and width is not None:
        expected = family.describe(depth, width)
    if expected not in (None, found):
        raise checkpoint.CheckpointError(
            f"{path}: is a {found}, but the config's model is {expected}. Name the checkpoint's model, "
            f"or none: then it is the checkpoint's."
        )
    if config.num_classes not in (None, model.num_classes):
        raise checkpoint.CheckpointError(
            f"{path}: has {model.num_classes:,} classes, but num_classes is {config.num_classes:,}: "
            f"fine-tune it first, or take one fine-tuned for this dataset. What was fine-tuned is evaluated "
            f"with configs/bit_transfer.py:dataset=…,model=… --mode=evaluate."
        )
    return model


def _of_file(config, path: str, folder: epath.PathLike) -> _Job:
    model = _model_of_file(config, path)
    name = epath.Path(path).stem
    if config.eval.size is None and config.hyperrule is None and not family.says_size(name):
        log.warning(
            "The name of %s does not say what size it is evaluated at; it is that of checkpoints "
            "fine-tuned by the HyperRule. Set --config.eval.size for another.",
            path,
        )
    config = completion.complete_evaluation(config, name, model)
    _model_of_file(config, path)  # now that the classes are known
    if workdir.has_checkpoints(folder):
        raise workdir.WorkdirError(
            f"{folder} holds a training run, whose results those of {path} would replace. Give another "
            f"--workdir."
        )
    model = make_model(config)

    def load():
        if epath.Path(path).expanduser().is_dir():
            return checkpoint.load_run(path)
        return 0, checkpoint.load(path, model)

    return _Job(path, folder, config, model, load)


def make_model(config: ml_collections.FrozenConfigDict) -> resnet.ResNetV2:
    """The model of a config."""
    return resnet.ResNetV2(
        depth=config.model.depth,
        width=config.model.width,
        num_classes=config.num_classes,
        dtype=jnp.dtype(config.model.dtype),
        remat=config.model.remat,
    )


def _run(job: _Job, notice: preemption.Notice, reuse: bool) -> _Measured | None:
    """Evaluates a checkpoint; `reuse` says that an earlier result of the very same will do."""
    mesh = sharding.make_mesh()
    config = job.config
    evaluator = evaluate.Evaluator(config, job.model, mesh)
    step, params = job.load()
    partial = partial_results.PartialResults(
        job.folder, _identity(config, len(evaluator.source), params)
    )
    done = workdir.read_results(job.folder)
    if done is not None and done.get("evaluation") == partial.identity and reuse:
        log.info("%s is done. Its result:", job.folder)
        return _Measured(None, done, partial)
    is_same = done is not None and done.get("evaluation") == partial.identity
    if done is not None and not is_same and not workdir.has_checkpoints(job.folder):
        raise _other_results(job, done)
    log.info(
        "Evaluating %s: %s on %s, %s images of %s×%s pixels.",
        job.what if step == 0 else f"{job.what}/{step}",
        family.describe(job.model.depth, job.model.width),
        config.eval.dataset,
        f"{len(evaluator.source):,}",
        config.eval.size,
        config.eval.size,
    )
    params = jax.device_put(params, sharding.replicated(mesh))
    evaluation = evaluator.run(params, partial, notice)
    if evaluation is None:
        return None
    if is_same:
        return _Measured(evaluation, done, partial)
    record = evaluation.results(config.eval.dataset, config.eval.split, step) | {
        "checkpoint": job.what,
        "size": config.eval.size,
        "dtype": config.model.dtype,
        "evaluation": partial.identity,
    }
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


def _identity(config, num_images: int, params: Any) -> dict[str, Any]:
    """All that decides what an evaluation finds."""
    fields = config.to_dict()
    real = fields["eval"]["real_labels"]
    return {
        "eval": {k: v for k, v in fields["eval"].items() if k != "batch_size"},
        "real_labels": real and hashlib.sha256(files.readable(real).read_bytes()).hexdigest(),
        "model": {k: v for k, v in fields["model"].items() if k != "remat"},
        "loss": config.loss,
        "data": [config.input.data_dir, config.input.mock, num_images],
        "parameters": checkpoint.fingerprint(params),
    }


def finish(evaluator, evaluation, record, config, folder) -> None:
    """Writes predictions.npz, the picture and, as the sign of completion last, results.json."""
    if jax.process_index() > 0:
        return
    folder = epath.Path(folder)
    evaluation.predictions.save(folder / "predictions.npz")
    if config.example_images:
        try:
            gallery.save(folder / "examples.png", evaluator.source, evaluation, config)
        except Exception:  # a picture is no reason to lose the results
            log.exception("The picture of examples could not be drawn.")
    original = evaluator.source.label_keys[0]
    files.write_json(folder / "class_names.json", evaluator.source.class_names[original])
    workdir.write_results(folder, record)


def _names(paths: list[str]) -> list[str]:
    """A folder name for each checkpoint: its own, or with its folder's where that is not enough."""
    stems = [epath.Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    names = [f"{epath.Path(path).parent.name}_{epath.Path(path).stem}" for path in paths]
    if len(set(names)) < len(names):
        raise workdir.WorkdirError(
            f"init_npz: two checkpoints have the same name: {', '.join(paths)}. Each is evaluated into "
            f"a folder of its name."
        )
    return names


def _compare(names: list[str], jobs: list[_Job], measured: list[_Measured]) -> dict[str, Any]:
    models = [
        {"name": name, "checkpoint": job.what, **one.record}
        for name, job, one in zip(names, jobs, measured, strict=True)
    ]
    first = measured[0].evaluation
    predictions = {
        name: one.evaluation.predictions for name, one in zip(names, measured, strict=True)
    }
    return {"models": models, "pairs": comparison.pairs(predictions, first.original, first.real)}

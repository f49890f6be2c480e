"""Cross-validation: each training image is predicted by a model that was not trained on it.

folder/fold_00/…                  a training run on the images of the other folds
folder/fold_00/out_of_fold.npz    the predictions of this run for the images of the fold
folder/out_of_fold.npz            the predictions of all folds
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from big_transfer import checkpoint, datasets, losses, resnet
from big_transfer import config as config_lib
from big_transfer.config import Config, sources, workdirs
from big_transfer.datasets import choosing
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.evaluator import Evaluator, by_file_name
from big_transfer.run import ownership, preemption, sharding, workdir
from big_transfer.run.workdir import WorkdirError
from big_transfer.training.loop import train_and_evaluate
from big_transfer.training.setup import build
from real_labels.files.text import all_normalised
from real_labels.predictions.out_of_fold import OutOfFold

log = logging.getLogger("big_transfer")

OUT_OF_FOLD = "out_of_fold.npz"
_MAX_RANKED = 20  # ranked classes kept for each image
_COLUMNS = ("classes", "scores", "label", "label_score", "score_sum")


def cross_validate(
    config: config_lib.AnyConfig, folder: epath.PathLike, only: int | None = None
) -> OutOfFold | None:
    """Trains a model for each fold on the other folds, and predicts the images of the fold.

    Args:
      config: a config with `folds`; see `config.schema`.
      folder: contains a workdir for each fold; finished folds are not run again.
      only: the only fold to run; None: all folds, one after the other.

    Returns:
      The predictions of all folds, which are also written; None if the predictions of some folds are missing,
      or the run was asked to stop before its end.

    Raises:
      ConfigError, DatasetError, WorkdirError, CheckpointError, TrainingDiverged: each with a message
        that can be shown to the user.
    """
    checked = config_lib.check(config)
    folds = checked.folds
    if folds is None:
        raise config_lib.ConfigError(
            "folds: is missing; cross-validation needs a number of folds, such as --config.folds=10"
        )
    if only is not None and not 0 <= only < folds:
        raise config_lib.ConfigError(f"--fold: expected a fold from 0 to {folds - 1}, found {only}")
    if checked.fold is not None:
        raise config_lib.ConfigError(
            "fold: must be None with --mode=cross_validate; choose a single fold with --fold"
        )
    _check_images(checked)
    fold_dirs = [epath.Path(folder) / f"fold_{fold:02d}" for fold in range(folds)]
    with preemption.Notice() as notice:
        for fold in range(folds) if only is None else [only]:
            log.info("Fold %d of %d (0 to %d): %s.", fold, folds, folds - 1, fold_dirs[fold])
            fold_config = dataclasses.replace(checked, fold=fold)
            if train_and_evaluate(fold_config, fold_dirs[fold]) is None or notice.given():
                return None
            with ownership.owned(fold_dirs[fold]):
                if not _predict_fold(fold_config, fold_dirs[fold]) or notice.given():
                    return None
    missing = [fold_dir.name for fold_dir in fold_dirs if not (fold_dir / OUT_OF_FOLD).exists()]
    if missing:
        log.info("Still missing: %s. The last fold to finish joins all folds.", ", ".join(missing))
        return None
    _check_same_training(fold_dirs)
    predictions = OutOfFold.joined(
        [OutOfFold.load(fold_dir / OUT_OF_FOLD) for fold_dir in fold_dirs]
    )
    _check_same_images(predictions, checked)
    if jax.process_index() == 0:
        predictions.save(epath.Path(folder) / OUT_OF_FOLD)
    return predictions


def _check_images(config: Config) -> None:
    """Raises an error, before any training, if two images have the same name or an image not one label.

    The labels of a dataset are read only if images may have several; other images without a label are found
    when they are predicted.

    Raises:
      DatasetError: naming the first such image.
    """
    source = sources.kept_source(config)
    names, counts = np.unique(datasets.file_names_of(source), return_counts=True)
    if (counts > 1).any():
        raise datasets.DatasetError(
            f"cross-validation needs distinct file names; {names[np.argmax(counts > 1)]} occurs "
            f"{counts.max()} times."
        )
    if config.input.max_labels > 1:
        labels_by_row = enumerate(datasets.labels_of(source, source.label_keys[0]))
    else:
        labels_by_row = source.replaced.items() if isinstance(source, choosing.Relabelled) else ()
    for row, labels in labels_by_row:
        if len(labels) != 1:
            raise _not_one_label(str(datasets.file_names_of(source)[row]), labels)


def _not_one_label(name: str, labels: Sequence[int]) -> datasets.DatasetError:
    return datasets.DatasetError(
        f"cross-validation needs exactly one label per image; {name} has {len(labels)}. Give the image one "
        f"label with input.relabel, or leave the image out with input.keep."
    )


def _check_same_training(fold_dirs: Sequence[epath.Path]) -> None:
    """Raises an error if the folds were trained with different configs.

    Raises:
      WorkdirError: naming two folds and the field in which they differ.
    """
    first = workdirs.with_defaults(workdirs.recorded(fold_dirs[0]) or {})
    for fold_dir in fold_dirs[1:]:
        other = workdirs.with_defaults(workdirs.recorded(fold_dir) or {})
        for name, first_value, other_value in workdir.differences(first, other):
            if name != "fold":
                raise WorkdirError(
                    f"{fold_dirs[0]} and {fold_dir} were trained differently: {name} is {first_value} in the "
                    f"first and {other_value} in the second. Remove the folder that differs from the other "
                    f"folds and train its fold again."
                )


def _check_same_images(predictions: OutOfFold, config: Config) -> None:
    """Raises an error if images were added or removed since the folds were trained.

    Raises:
      WorkdirError: with the numbers of images.
    """
    names = all_normalised(datasets.file_names_of(sources.kept_source(config)))
    current = set(names.tolist())
    predicted = set(predictions.file_names.tolist())
    if current == predicted:
        return
    raise WorkdirError(
        f"The folds predict {len(predicted):,} images, but there are {len(current):,} now: "
        f"{len(current - predicted):,} were added and {len(predicted - current):,} removed. Each fold was "
        f"trained on the images of the other folds, so train all folds again in another --workdir."
    )


def _predict_fold(checked: Config, fold_dir: epath.Path) -> bool:
    """Predicts the images of a fold with its model; returns False if asked to stop before the end."""
    if (fold_dir / OUT_OF_FOLD).exists():
        return True
    run = build(checked)
    config = run.config
    source = sources.fold_source(config)
    section = dataclasses.replace(
        config.eval,
        dataset=config.input.dataset,
        split=config.input.split,
        original_key=config.input.label_key,
        label_sets=None,
        real_key=None,
        real_labels=None,
    )
    fold_config = dataclasses.replace(config, eval=section, checkpoint_best=None)
    evaluator = Evaluator(fold_config, run.model, run.mesh, source)
    _, params = checkpoint.load_with_step(fold_dir, run.model)
    params = jax.device_put(params, sharding.replicated(run.mesh))
    identity = {"fold": config.fold, "parameters": checkpoint.fingerprint(params)}
    partial = partial_results.PartialResults(fold_dir, identity, _COLUMNS, "out_of_fold")
    log.info("Predicting the %s images left out of training.", f"{len(source):,}")
    step = _make_step(run.model, loss=config.loss, mesh=run.mesh)
    with preemption.Notice() as notice:
        outputs = evaluator.collect(step, params, partial, notice)
    if outputs is None:
        log.warning(partial_results.STOPPED_MESSAGE)
        return False
    names, columns, examples = by_file_name(outputs)
    for example in examples:
        if len(labels := example[section.original_key]) != 1:
            raise _not_one_label(example["file_name"], labels)
    if jax.process_index() == 0:
        fold = np.full(len(names), config.fold, np.int32)
        OutOfFold(names, fold=fold, **columns).save(fold_dir / OUT_OF_FOLD)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"predicted fold {config.fold}")
    partial.remove()
    return True


def _make_step(model: resnet.ResNetV2, *, loss: str, mesh: jax.sharding.Mesh) -> Any:
    """Compiles (params with standardized kernels, batch) -> `_COLUMNS` and mask."""
    model, num_classes = model.clone(standardized=True), model.num_classes
    assert num_classes is not None

    def step(params, batch):
        logits: Any = model.apply({"params": params}, batch["image"])
        probabilities = losses.probabilities(loss, logits)
        _, classes = jax.lax.top_k(logits, min(_MAX_RANKED, num_classes))
        label = jnp.maximum(batch["labels"][:, :1], 0)
        return {
            "classes": classes,
            "scores": jnp.take_along_axis(probabilities, classes, axis=1),
            "label": label[:, 0],
            "label_score": jnp.take_along_axis(probabilities, label, axis=1)[:, 0],
            "score_sum": probabilities.sum(axis=1),
            "mask": batch["mask"],
        }

    return jax.jit(step, out_shardings=sharding.replicated(mesh))

"""Cross-validation: each training image is predicted by a model that did not learn from it.

folder/fold_00/…    a run like any other, on the images of the other folds
folder/fold_00/out_of_fold.npz    its predictions for the images that it left out
folder/out_of_fold.npz            those of all folds
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
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.evaluator import Evaluator, by_file_name
from big_transfer.run import ownership, preemption, sharding, workdir
from big_transfer.run.workdir import WorkdirError
from big_transfer.training.loop import train_and_evaluate
from big_transfer.training.setup import build
from real_labels.predictions.out_of_fold import OutOfFold

log = logging.getLogger("big_transfer")

OUT_OF_FOLD = "out_of_fold.npz"
# Fields in which folds may differ: which it is, and what the HyperRule makes of its number of images.
_OF_A_FOLD = (
    "fold", "total_steps", "mixup_alpha", "optimizer.warmup_steps", "optimizer.decay_steps",
)  # fmt: skip
_MOST_RANKED = 20  # classes that are kept of each image
_COLUMNS = ("classes", "scores", "label", "label_score", "score_sum")


def cross_validate(
    config: config_lib.AnyConfig, folder: epath.PathLike, only: int | None = None
) -> OutOfFold | None:
    """Trains a model for each fold on the other folds, and predicts the images of the fold.

    Args:
      config: with `folds`; see `config.schema`.
      folder: each fold has a workdir in it; folds that are done are not done again.
      only: the one fold to do; None: all, one after the other.

    Returns:
      The predictions of all folds, which are also written; None if some are missing, or the run was
      asked to stop before its end.

    Raises:
      ConfigError, DatasetError, WorkdirError, CheckpointError, TrainingDiverged: each with a message
      for a person.
    """
    checked = config_lib.check(config)
    folds = checked.folds
    if folds is None:
        raise config_lib.ConfigError("folds: cross-validation needs --config.folds=10, or so")
    if only is not None and not 0 <= only < folds:
        raise config_lib.ConfigError(f"--fold: expected one of 0 to {folds - 1}, found {only}")
    if checked.fold is not None:
        raise config_lib.ConfigError("fold: name one fold with --fold, not in the config")
    _check_labels(checked)
    places = [epath.Path(folder) / f"fold_{fold:02d}" for fold in range(folds)]
    for fold in range(folds) if only is None else [only]:
        log.info("Fold %d of %d (0 to %d): %s.", fold, folds, folds - 1, places[fold])
        one = dataclasses.replace(checked, fold=fold)
        if train_and_evaluate(one, places[fold]) is None:
            return None
        with ownership.owned(places[fold]):
            if not _predict_left_out(one, places[fold]):
                return None
    missing = [place.name for place in places if not (place / OUT_OF_FOLD).exists()]
    if missing:
        log.info("%s are still missing; the last fold to end joins them.", ", ".join(missing))
        return None
    _check_alike(places)
    found = OutOfFold.joined([OutOfFold.load(place / OUT_OF_FOLD) for place in places])
    _check_all_are_there(found, checked)
    if jax.process_index() == 0:
        found.save(epath.Path(folder) / OUT_OF_FOLD)
    return found


def _check_labels(config: Config) -> None:
    """Refuses images with no or several labels, before any training.

    Raises:
      DatasetError: with the first of them.
    """
    if config.input.max_labels == 1 and not config.input.relabel:
        return
    source = sources.kept_source(config)
    for row, labels in enumerate(datasets.labels_of(source, source.label_keys[0])):
        if len(labels) != 1:
            name = datasets.file_names_of(source)[row]
            raise datasets.DatasetError(
                f"cross-validation needs one label an image; {name} has {len(labels)}. Give it one with "
                f"input.relabel, or leave it out with input.keep."
            )


def _check_alike(places: Sequence[epath.Path]) -> None:
    """Refuses to join folds that were not trained alike.

    Raises:
      WorkdirError: naming two folds and the field in which they differ.
    """
    first = workdir.flattened(workdirs.recorded(places[0]) or {})
    for place in places[1:]:
        other = workdir.flattened(workdirs.recorded(place) or {})
        for name, there, here in workdir.differences(first, other):
            if name not in _OF_A_FOLD:
                raise WorkdirError(
                    f"{places[0]} and {place} were trained differently: {name} is {there} there and {here} "
                    f"here. Remove one of them, and train it again like the others."
                )


def _check_all_are_there(found: OutOfFold, config: Config) -> None:
    """Refuses folds that were made before images came or went.

    Raises:
      WorkdirError: with the number of images.
    """
    wanted = set(datasets.file_names_of(sources.kept_source(config)).tolist())
    have = set(found.file_names.tolist())
    if wanted == have:
        return
    raise WorkdirError(
        f"The folds predict {len(have):,} images, while there are {len(wanted):,} now: "
        f"{len(wanted - have):,} came and {len(have - wanted):,} went since. Each fold learned from the "
        f"images of the others, so train them anew in another --workdir."
    )


def _predict_left_out(checked: Config, place: epath.Path) -> bool:
    """Predicts the images of a fold with its model; False if it was asked to stop before the end."""
    if (place / OUT_OF_FOLD).exists():
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
    view = dataclasses.replace(config, eval=section, checkpoint_best=None)
    evaluator = Evaluator(view, run.model, run.mesh, source)
    _, params = checkpoint.load_with_step(place, run.model)
    params = jax.device_put(params, sharding.replicated(run.mesh))
    identity = {"fold": config.fold, "parameters": checkpoint.fingerprint(params)}
    partial = partial_results.PartialResults(place, identity, _COLUMNS, "out_of_fold")
    log.info("Predicting the %s images that were left out.", f"{len(source):,}")
    step = _make_step(run.model, loss=config.loss, mesh=run.mesh)
    with preemption.Notice() as notice:
        found = evaluator.collect(step, params, partial, notice)
    if found is None:
        log.warning("Asked to stop: what was found is kept; the same command goes on from it.")
        return False
    names, columns, _ = by_file_name(found)
    if jax.process_index() == 0:
        fold = np.full(len(names), config.fold, np.int32)
        OutOfFold(names, fold=fold, **columns).save(place / OUT_OF_FOLD)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"predicted fold {config.fold}")
    partial.remove()
    return True


def _make_step(model: resnet.ResNetV2, *, loss: str, mesh: jax.sharding.Mesh) -> Any:
    """Compiles (params with standardized kernels, batch) -> ranked classes, and the label's score."""
    model, num_classes = model.clone(standardized=True), model.num_classes
    assert num_classes is not None

    def step(params, batch):
        logits: Any = model.apply({"params": params}, batch["image"])
        probabilities = losses.probabilities(loss, logits)
        _, classes = jax.lax.top_k(logits, min(_MOST_RANKED, num_classes))
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

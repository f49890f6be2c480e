"""Pooled features of a split: the input of a BiT model's head, for every image."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Float

from big_transfer import checkpoint, family
from big_transfer import config as config_lib
from big_transfer.config import completion, workdirs
from big_transfer.datasets.source import split_in_file_name
from big_transfer.evaluation import partial_results
from big_transfer.evaluation.checkpoints import check_model
from big_transfer.evaluation.evaluator import Evaluator, by_file_name
from big_transfer.run import preemption, sharding, workdir
from real_labels import files

log = logging.getLogger("big_transfer")


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of N images, in the order of their file names.

    Attributes:
      path: the file with the features.
      file_names: (N,) str.
      features: (N, D) float32; D is 2,048 times the width factor for R50, R101 and R152.
      label: (N,) int32, the original label; -1 if an image has no label or several labels.
    """

    path: epath.Path
    file_names: np.ndarray
    features: Float[np.ndarray, "images dimensions"]
    label: np.ndarray

    def __str__(self) -> str:
        number, dimensions = self.features.shape
        return f"{number:,} images, {dimensions:,} features each: {self.path}"


def write_features(config: config_lib.AnyConfig, folder: epath.PathLike) -> Features | None:
    """Writes features-SPLIT.npz for the evaluation dataset and split of a config.

    The file also names dataset, split and model (a fingerprint of its parameters). A part of a split, such as
    train[:10%], gets a name of its own: features-train_10-6cda7661.npz.

    The model is the workdir's newest checkpoint, or config.checkpoint if the workdir holds no run.

    Args:
      config: see `config.schema`.
      folder: the workdir, in which the file is written. An interrupted call continues where it stopped.

    Returns:
      The features, or None if the program was asked to stop before the end.

    Raises:
      WorkdirError: if there is no checkpoint, or config.checkpoint is another than the workdir's.
      CheckpointError: if the checkpoint's model differs from the config's model.
    """
    checked = config_lib.check(config, training=False)
    is_run = workdir.has_checkpoints(folder)
    recorded = workdirs.recorded(folder) if is_run else None
    if is_run and checked.checkpoint not in (None, (recorded or {}).get("checkpoint")):
        raise workdir.WorkdirError(
            f"{folder} holds a training run, so the features would be those of its newest checkpoint, not "
            f"of {checked.checkpoint}. Give another --workdir."
        )
    path = folder if is_run else checked.checkpoint
    if path is None:
        raise workdir.WorkdirError(
            f"there is no model: {folder} holds no run. Give the --workdir of a run, or a checkpoint with "
            f"--config.checkpoint=FILE."
        )
    checkpoint_model = checkpoint.read_model(path)
    opened, source = completion.open_evaluation(checked, recorded)
    config = completion.complete_evaluation(opened, source, epath.Path(path).stem, checkpoint_model)
    check_model(config, path, checkpoint_model)
    mesh = sharding.make_mesh()
    model = checkpoint_model.clone(dtype=jnp.dtype(config.model.dtype))
    # The head is not used, so the checkpoint may have other classes than the dataset.
    num_classes = source.num_classes[source.label_keys[0]]
    evaluator = Evaluator(dataclasses.replace(config, num_classes=num_classes), model, mesh, source)
    step_number, params = checkpoint.load_with_step(path, model)
    params = {name: value for name, value in params.items() if name != "head"}
    identity = {
        "dataset": config.eval.dataset,
        "split": config.eval.split,
        "size": config.eval.size,
        "dtype": config.model.dtype,
        "images": len(source),
        "parameters": checkpoint.fingerprint(params),
    }
    partial = partial_results.PartialResults(folder, identity, ("features",), "features")
    log.info(
        "Features of %s images of %s %s: %s, step %d, %d×%d pixels.",
        f"{len(source):,}",
        config.eval.dataset,
        config.eval.split,
        family.describe(model.depth, model.width),
        step_number,
        config.eval.size,
        config.eval.size,
    )
    headless = model.clone(num_classes=None, standardized=True)

    def step(params, batch):
        return {
            "features": headless.apply({"params": params}, batch["image"]),
            "mask": batch["mask"],
        }

    compiled = jax.jit(step, out_shardings=sharding.replicated(mesh))
    params = jax.device_put(params, sharding.replicated(mesh))
    with preemption.Notice() as notice:
        outputs = evaluator.collect(compiled, params, partial, notice)
    if outputs is None:
        log.warning(partial_results.STOPPED_MESSAGE)
        return None
    names, columns, examples = by_file_name(outputs)
    key = source.label_keys[0]
    labels = [example[key][0] if len(example[key]) == 1 else -1 for example in examples]
    features = Features(
        epath.Path(folder) / f"features-{split_in_file_name(config.eval.split)}.npz",
        names,
        columns["features"],
        np.array(labels, np.int32),
    )
    if jax.process_index() == 0:
        with files.replacing(features.path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                file_names=features.file_names,
                features=features.features,
                label=features.label,
                dataset=np.array(config.eval.dataset),
                split=np.array(config.eval.split),
                model=np.array(_digest(identity["parameters"])),
            )
    partial.remove()
    return features


def _digest(fingerprint: dict[str, int]) -> str:
    """Returns a fingerprint of parameters as a short text."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]

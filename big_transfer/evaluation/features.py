"""The pooled features of a split: what the head of a BiT model is fed with, image by image."""

from __future__ import annotations

import dataclasses
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Float

from big_transfer import checkpoint, family
from big_transfer import config as config_lib
from big_transfer.config import completion, workdirs
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
      path: of the file that holds them.
      file_names: (N,) str.
      features: (N, D) float32; D is 2,048 times the width factor for R50, R101 and R152.
      label: (N,) int32, the original label; -1 where an image has none or several.
    """

    path: epath.Path
    file_names: np.ndarray
    features: Float[np.ndarray, "images dimensions"]
    label: np.ndarray

    def __str__(self) -> str:
        number, dimensions = self.features.shape
        return f"{number:,} images, {dimensions:,} features each: {self.path}"


def write_features(config: config_lib.AnyConfig, folder: epath.PathLike) -> Features | None:
    """Writes features-SPLIT.npz of the dataset and split that a config evaluates on.

    The model is that of the workdir's newest checkpoint, or of config.checkpoint.

    Args:
      config: see `config.schema`.
      folder: the workdir, which receives the file; what was interrupted goes on from where it was.

    Returns:
      What was written, or None if it was asked to stop before the end.

    Raises:
      WorkdirError: if there is no checkpoint, or two.
      CheckpointError: if the checkpoint is not of the config's model.
    """
    checked = config_lib.check(config, training=False)
    is_run = workdir.has_checkpoints(folder)
    recorded = workdirs.recorded(folder) if is_run else None
    path = folder if is_run else checked.checkpoint
    if path is None:
        raise workdir.WorkdirError(
            f"there is no model: {folder} holds no run. Give the --workdir of one, or a checkpoint with "
            f"--config.checkpoint=FILE."
        )
    found = checkpoint.read_model(path)
    opened, source = completion.open_evaluation(checked, recorded)
    config = completion.complete_evaluation(opened, source, epath.Path(path).stem, found)
    check_model(config, path, found)
    mesh = sharding.make_mesh()
    model = found.clone(dtype=jnp.dtype(config.model.dtype))
    of_dataset = dataclasses.replace(config, num_classes=source.num_classes[source.label_keys[0]])
    evaluator = Evaluator(of_dataset, model, mesh, source)
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
        log.warning("Asked to stop: what was found is kept; the same command goes on from it.")
        return None
    names, columns, examples = by_file_name(outputs)
    key = source.label_keys[0]
    labels = [e[key][0] if len(e[key]) == 1 else -1 for e in examples]
    plain_split = re.sub(r"\W+", "_", config.eval.split).strip("_")
    written = Features(
        epath.Path(folder) / f"features-{plain_split}.npz",
        names,
        columns["features"],
        np.array(labels, np.int32),
    )
    if jax.process_index() == 0:
        with files.replacing(written.path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                file_names=written.file_names,
                features=written.features,
                label=written.label,
                dataset=np.array(config.eval.dataset),
                split=np.array(config.eval.split),
            )
    partial.remove()
    return written

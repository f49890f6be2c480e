"""Reading a checkpoint of any format; the path gives the format."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
from etils import epath

from big_transfer import resnet
from big_transfer.checkpoint import public, timm
from big_transfer.checkpoint.errors import CheckpointError, CorruptCheckpointError
from big_transfer.checkpoint.run import Checkpoints
from big_transfer.run import workdir
from real_labels import files

TIMM_ENDING = ".safetensors"


def is_run(path: epath.PathLike) -> bool:
    """Whether a path is a workdir or can become one: a folder, or no `.npz` or `.safetensors` extension."""
    path = files.path_of(path)
    return path.is_dir() or path.suffix not in (".npz", TIMM_ENDING)


def read_shapes(
    path: epath.PathLike,
) -> tuple[resnet.ResNetV2, dict[str, jax.ShapeDtypeStruct]]:
    """Returns the model of a checkpoint, and the names, shapes and dtypes of its parameters.

    The values are not read.

    Raises:
      FileNotFoundError, CheckpointError: as `load`.
    """
    shapes = _shapes_of(path)
    model = public.model_of(path, shapes)
    public.check_names_and_shapes(path, shapes, model)
    return model, shapes


def _shapes_of(path: epath.PathLike) -> dict[str, jax.ShapeDtypeStruct]:
    path = files.path_of(path).expanduser()
    if path.is_dir():
        layout: dict[str, Any] = flax.traverse_util.flatten_dict(_run_layout(path), sep="/")
        return layout
    if path.suffix == TIMM_ENDING:
        return timm.safetensors_shapes(path)
    return public.npz_shapes(path)


def read_model(path: epath.PathLike) -> resnet.ResNetV2:
    """Returns the model of a checkpoint (see `read_shapes`)."""
    return read_shapes(path)[0]


def load(path: epath.PathLike, model: resnet.ResNetV2 | None = None) -> dict:
    """Reads the parameters of a public `.npz`, a timm `.safetensors` or a run's newest checkpoint.

    Arguments, result and errors: see `load_npz`.
    """
    return load_with_step(path, model)[1]


def load_with_step(
    path: epath.PathLike, model: resnet.ResNetV2 | None = None, step: int | None = None
) -> tuple[int, dict]:
    """Returns (step, parameters) of a checkpoint; the step of a file is 0.

    Args:
      path, model: see `load_npz`.
      step: step of a run's checkpoint (see `load_run`).

    Raises:
      FileNotFoundError, CheckpointError: as `load`; CheckpointError also if a step is given for a file.
    """
    path = files.path_of(path).expanduser()
    if path.is_dir():
        step, params = load_run(path, step)
        arrays: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep="/")
    elif step is not None:
        raise CheckpointError(f"--step is for workdirs; {path} is not a workdir. Omit --step.")
    else:
        step = 0
        is_timm = path.suffix == TIMM_ENDING
        arrays = timm.read_safetensors(path) if is_timm else public.read_npz(path)
    return step, public.as_parameters(path, arrays, model)


def load_run(folder: epath.PathLike, step: int | None = None) -> tuple[int, dict]:
    """Reads the parameters of a run, with any optimizer, as NumPy arrays.

    Args:
      folder: the run's workdir; its files are not changed.
      step: step of the checkpoint; the newest intact checkpoint if None.

    Returns:
      The step, and the parameters.

    Raises:
      FileNotFoundError: if the workdir does not exist.
      CheckpointError: if there is no checkpoint, none of that step, or the checkpoint is damaged.
    """
    checkpoints = _checkpoints(folder)
    try:
        if step is None:
            newest = checkpoints.restore_latest(None, set_aside=False)
            assert newest is not None  # `_checkpoints` has checked that there are checkpoints
            step, state = newest
        elif step in checkpoints.steps():
            state = checkpoints.restore(step, checkpoints.layout(step))
        else:
            steps = ", ".join(map(str, checkpoints.steps()))
            raise CheckpointError(f"{folder} has no checkpoint of step {step}; it has {steps}.")
        # On the host: a process cannot copy arrays from the devices of another process.
        return step, jax.device_get(state["params"])
    finally:
        checkpoints.close()


def save_run(folder: epath.PathLike, params: Mapping[str, Any], model: resnet.ResNetV2) -> None:
    """Writes parameters to a new workdir, as its only checkpoint, of step 0.

    Raises:
      CheckpointError: if the folder holds a run already.
    """
    if workdir.has_checkpoints(folder):
        raise CheckpointError(f"{folder}: holds a run already. Name another folder.")
    is_number = isinstance(model.depth, int)
    config = {
        "num_classes": model.num_classes,
        "model": {
            "depth": model.depth if is_number else None,
            "units": None if is_number else model.depth,
            "width": model.width,
        },
    }
    workdir.claim(folder, config)
    checkpoints = Checkpoints(folder)
    try:
        state = {
            "params": jax.tree.map(jnp.asarray, dict(params)),
            "step": jnp.zeros((), jnp.int32),
        }
        checkpoints.save(0, state)
        checkpoints.wait()
    finally:
        checkpoints.close()


def _run_layout(folder: epath.PathLike) -> Any:
    """Shapes of the parameters in the newest checkpoint with readable metadata."""
    checkpoints = _checkpoints(folder)
    try:
        for step in reversed(checkpoints.steps()):
            with contextlib.suppress(CorruptCheckpointError):
                return checkpoints.layout(step)["params"]
        raise CheckpointError(f"{folder}: no checkpoint in it can be read.")
    finally:
        checkpoints.close()


def _checkpoints(folder: epath.PathLike) -> Checkpoints:
    if not epath.Path(folder).exists():
        raise FileNotFoundError(f"{folder}: there is no such workdir.")
    if not workdir.has_checkpoints(folder):
        raise CheckpointError(f"{folder}: holds no complete checkpoint.")
    checkpoints = Checkpoints(folder)
    if not checkpoints.steps():
        raise CheckpointError(f"{folder}: holds no complete checkpoint.")
    return checkpoints

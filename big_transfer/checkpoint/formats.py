"""One way to read a checkpoint of any format: by what the path is."""

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
    """Whether a path is a run's workdir, or is to become one: not a file by its ending."""
    path = files.path_of(path)
    return path.is_dir() or path.suffix not in (".npz", TIMM_ENDING)


def read_shapes(
    path: epath.PathLike,
) -> tuple[resnet.ResNetV2, dict[str, jax.ShapeDtypeStruct]]:
    """The model that a checkpoint is of, and its parameters' names, shapes and dtypes.

    Their values are not read.

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
    """The model that a checkpoint is of (see `read_shapes`)."""
    return read_shapes(path)[0]


def load(path: epath.PathLike, model: resnet.ResNetV2 | None = None) -> dict:
    """Reads the parameters of a public `.npz`, a timm `.safetensors` or a run's newest checkpoint.

    Arguments, result and errors are those of `load_npz`.
    """
    return load_with_step(path, model)[1]


def load_with_step(
    path: epath.PathLike, model: resnet.ResNetV2 | None = None, step: int | None = None
) -> tuple[int, dict]:
    """Reads a checkpoint as `load` does, and the step that a run had made; files are of step 0.

    Args:
      path, model: see `load_npz`.
      step: of a run, which of its checkpoints (see `load_run`).

    Raises:
      CheckpointError: if a step is asked of a file.
    """
    path = files.path_of(path).expanduser()
    if path.is_dir():
        step, params = load_run(path, step)
        arrays: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep="/")
    elif step is not None:
        raise CheckpointError(f"--step is for workdirs; {path} is none.")
    else:
        step = 0
        is_timms = path.suffix == TIMM_ENDING
        arrays = timm.read_safetensors(path) if is_timms else public.read_npz(path)
    return step, public.as_parameters(path, arrays, model)


def load_run(folder: epath.PathLike, step: int | None = None) -> tuple[int, dict]:
    """Reads the parameters of a run, whatever its optimizer, as NumPy arrays.

    Args:
      folder: its workdir; nothing in it is changed.
      step: which of its checkpoints; the newest that is whole if None.

    Returns:
      The step, and the parameters.

    Raises:
      CheckpointError: if there is none, or none of that step, or it is damaged.
    """
    checkpoints = _checkpoints(folder)
    try:
        if step is None:
            newest = checkpoints.restore_latest(None, set_aside=False)
            assert newest is not None  # `_checkpoints` found some
            step, state = newest
        elif step in checkpoints.steps():
            state = checkpoints.restore(step, checkpoints.layout(step))
        else:
            steps = ", ".join(map(str, checkpoints.steps()))
            raise CheckpointError(f"{folder} has no checkpoint of step {step}; it has {steps}.")
        # On the host: several processes cannot copy from one's device to another's.
        return step, jax.device_get(state["params"])
    finally:
        checkpoints.close()


def save_run(folder: epath.PathLike, params: Mapping[str, Any], model: resnet.ResNetV2) -> None:
    """Writes parameters as the only checkpoint, of step 0, of a new workdir.

    Raises:
      CheckpointError: if there is a run already.
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
    """The parameters' shapes in the newest checkpoint whose metadata can be read."""
    checkpoints = _checkpoints(folder)
    try:
        for step in reversed(checkpoints.steps()):
            with contextlib.suppress(CorruptCheckpointError):
                return checkpoints.layout(step)["params"]
        raise CheckpointError(f"{folder}: none of its checkpoints can be read.")
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

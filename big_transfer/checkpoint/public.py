"""The public BiT layout: parameter names and shapes, and reading and writing its `.npz` files.

`resnet` documents the layout. The model uses the same parameter names as the files, so reading and writing
only splits and joins the names, and checks names and shapes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from big_transfer import family, resnet
from big_transfer.checkpoint.errors import CheckpointError
from real_labels import files
from real_labels.errors import InputError
from real_labels.files import npz

log = logging.getLogger("big_transfer")

PREFIX = "resnet/"
_HEAD = ("head/conv2d/kernel", "head/conv2d/bias")
_NUMBERED = re.compile(r"\bstandardized_conv2d_\d+(?=/)")
_UNIT = re.compile(r"block(\d{1,4})/unit(\d{1,4})/")
# Limits, far above the family's 50 units (R152) and width 4: the model of a hostile file must not be built.
_MAX_CLASSES = 2**24
_MAX_UNITS = 200
_MAX_WIDTH = 16


def load_npz(path: epath.PathLike, model: resnet.ResNetV2 | None = None) -> dict:
    """Reads a public BiT checkpoint.

    Args:
      path: a `.npz` in the public layout; convolutions may carry a number, as they do in some
        published files (`standardized_conv2d_17`).
      model: the model to load the parameters into; by default the model that the file's shapes imply. If
        its number of classes differs from the file's, the head is set to zero.

    Returns:
      A nested dict of float32 arrays that `model.apply({"params": params}, images)` takes.

    Raises:
      FileNotFoundError: if there is no such file.
      CheckpointError: if arrays are missing, superfluous or misshapen (the message lists names and
        shapes), if values are not finite, or if the file is damaged.
    """
    return as_parameters(path, read_npz(path), model)


def save_npz(path: epath.PathLike, params: Mapping[str, Any]) -> None:
    """Writes parameters in the public layout, atomically: to a temporary file that is then renamed."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    arrays: dict[str, Any] = {PREFIX + n: np.asarray(array) for n, array in flat.items()}
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_npz(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.npz` by parameter name.

    Names, shapes and dtypes are checked first, by the headers, so that only a model's arrays are read.

    Raises:
      FileNotFoundError, CheckpointError: see `load_npz`.
    """
    check_headers(path, npz_shapes(path))
    with _opened(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return _by_parameter(path, arrays)


def check_headers(path: epath.PathLike, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Raises CheckpointError unless names, shapes and dtypes are those of a BiT model."""
    check_names_and_shapes(path, shapes, model_of(path, shapes))
    check_dtypes(path, shapes)


def npz_shapes(path: epath.PathLike) -> dict[str, jax.ShapeDtypeStruct]:
    """Reads names, shapes and dtypes of the arrays of a `.npz`, from the headers alone."""
    shapes = {}
    with _opened(path) as archive:
        for name in archive.files:
            with archive.member(name) as member:
                shape, _, dtype = npz.read_header(member)
            shapes[name] = jax.ShapeDtypeStruct(shape, dtype)
    return _by_parameter(path, shapes)


@contextlib.contextmanager
def _opened(path: epath.PathLike) -> Iterator[npz.Archive]:
    """Opens the `.npz` of a checkpoint, and checks that it holds only arrays.

    Raises:
      FileNotFoundError: if there is no such file.
      CheckpointError: if it is not a `.npz` file, is cut short, or holds anything but arrays.
    """
    check_exists(path)
    try:
        with npz.opened(path) as archive:
            others = [name for name in archive.members if not name.endswith(".npy")]
            if others:
                raise InputError(f"holds {others[0]}, which is not an array.")
            yield archive
    except InputError as error:
        raise CheckpointError(f"{error} Download it again.") from None


def check_exists(path: epath.PathLike) -> None:
    """Raises FileNotFoundError if the file is missing; the message says where to download a published one."""
    path = files.path_of(path)
    if path.exists():
        return
    address = family.address_of(path.name)
    fix = f" Download it with: curl -O {address}" if address else ""
    raise FileNotFoundError(f"{path}: there is no such checkpoint file.{fix}")


def _by_parameter(path: epath.PathLike, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays under parameter names: without prefix and layer numbers."""
    parameters: dict[str, Any] = {}
    for name, array in arrays.items():
        parameter = _NUMBERED.sub("standardized_conv2d", name.removeprefix(PREFIX))
        if parameter in parameters:
            raise CheckpointError(
                f"{path}: two arrays have the name {PREFIX}{parameter} (also {name})."
            )
        parameters[parameter] = array
    return parameters


def as_parameters(
    path: epath.PathLike, arrays: Mapping[str, np.ndarray], model: resnet.ResNetV2 | None = None
) -> dict:
    """Checks a file's arrays against the model and returns them as parameters (see `load_npz`)."""
    parameters = dict(arrays)
    check_dtypes(path, parameters)
    if model is None:
        model = model_of(path, parameters)
    kernel = parameters.get(_HEAD[0])
    classes = kernel.shape[-1] if kernel is not None and kernel.ndim == 4 else model.num_classes
    check_names_and_shapes(path, parameters, model.clone(num_classes=classes))
    if classes != model.num_classes:
        log.info(
            "%s has %d classes, but the model has %d: its head starts at zero.",
            path,
            classes,
            model.num_classes,
        )
        expected = _expected_shapes(model)
        parameters |= {name: np.zeros(expected[name], np.float32) for name in _HEAD}
    parameters = {name: _as_float32(path, name, array) for name, array in parameters.items()}
    return flax.traverse_util.unflatten_dict(parameters, sep="/")


def _as_float32(path: epath.PathLike, name: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # reported below
        parameter = np.asarray(array, dtype=np.float32)
    if np.isfinite(parameter).all():
        return parameter
    if np.isfinite(array).all():
        largest = np.abs(array).max()
        raise CheckpointError(
            f"{path}: {PREFIX}{name} holds {largest:.3g}, which is beyond the range of float32."
        )
    raise CheckpointError(f"{path}: {PREFIX}{name} holds NaN or infinite values.")


def check_dtypes(path: epath.PathLike, arrays: Mapping[str, Any]) -> None:
    """Raises CheckpointError if an array does not hold real floating-point numbers."""
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, np.floating):
            raise CheckpointError(
                f"{path}: {PREFIX}{name} holds {np.dtype(array.dtype).name}; expected floating-point numbers."
            )


def _expected_shapes(model: resnet.ResNetV2) -> dict[str, tuple[int, ...]]:
    return _shapes_of_model(resnet.units_per_stage(model.depth), model.width, model.num_classes)


# Reading one file asks several times, and each takes up to two seconds.
@functools.lru_cache(maxsize=8)
def _shapes_of_model(
    units: tuple[int, ...], width: float, num_classes: int | None
) -> dict[str, tuple[int, ...]]:
    model = resnet.ResNetV2(depth=units, width=width, num_classes=num_classes)
    params = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def model_of(path: epath.PathLike, parameters: Mapping[str, Any]) -> resnet.ResNetV2:
    """Returns the model with the units, width and classes of a file; other shapes are not checked here.

    Args:
      path: file name for error messages.
      parameters: arrays, or other objects with a shape, by parameter name.

    Raises:
      CheckpointError: if the file does not hold a BiT model.
    """
    stages: dict[int, set[int]] = {}
    for name in parameters:
        if match := _UNIT.match(name):
            stages.setdefault(int(match[1]), set()).add(int(match[2]))
    root = parameters.get("root_block/standardized_conv2d/kernel")
    head = parameters.get(_HEAD[1])
    has_stages = sorted(stages) == list(range(1, len(stages) + 1))
    if root is None or head is None or root.ndim != 4 or head.ndim != 1 or not has_stages:
        found = ", ".join(PREFIX + name for name in list(parameters)[:3]) or "nothing"
        raise CheckpointError(
            f"{path}: is not a BiT checkpoint: expected {PREFIX}root_block/standardized_conv2d/kernel, "
            f"{PREFIX}block1/unit01/…, {PREFIX}{_HEAD[1]}; found {found}."
        )
    units = tuple(max(stages[i]) for i in sorted(stages))
    if head.shape[0] > _MAX_CLASSES:
        raise CheckpointError(
            f"{path}: does not hold a BiT model: {PREFIX}{_HEAD[1]} is for {head.shape[0]:,} classes; at "
            f"most {_MAX_CLASSES:,} are read."
        )
    if sum(units) > _MAX_UNITS or root.shape[-1] > 64 * _MAX_WIDTH:
        raise CheckpointError(
            f"{path}: does not hold a BiT model: units {max(units):,} in a stage and {root.shape[-1]:,} root "
            f"channels are more than any BiT model has (R152x4: 36 and 256)."
        )
    try:
        return resnet.ResNetV2(
            depth=resnet.depth_of(units),
            width=resnet.root_channels(root.shape[-1] / 64) / 64,
            num_classes=head.shape[-1],
        )
    except ValueError as error:
        raise CheckpointError(f"{path}: does not hold a BiT model: {error}") from None


def check_names_and_shapes(
    path: epath.PathLike, parameters: Mapping[str, Any], model: resnet.ResNetV2
) -> None:
    """Raises CheckpointError that lists missing, superfluous and misshapen arrays."""
    expected = _expected_shapes(model)
    problems = [f"missing {PREFIX}{n} {expected[n]}" for n in expected if n not in parameters]
    problems += [
        f"superfluous {PREFIX}{name} {array.shape}"
        for name, array in parameters.items()
        if name not in expected
    ]
    problems += [
        f"misshapen {PREFIX}{name}: expected {expected[name]}, found {array.shape}"
        for name, array in parameters.items()
        if name in expected and array.shape != expected[name]
    ]
    if problems:
        more = f"\n  … and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise CheckpointError(
            f"{path}: does not fit the model:\n  " + "\n  ".join(problems[:10]) + more
        )

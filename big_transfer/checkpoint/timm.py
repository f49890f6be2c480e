"""timm's `resnetv2_*_bit` models: the same network with other parameter names, kernels OIHW instead of HWIO.

    public layout                               timm
    root_block/standardized_conv2d/kernel       stem.conv.weight
    block2/unit03/b/standardized_conv2d/kernel  stages.1.blocks.2.conv2.weight
    block2/unit03/b/group_norm/{gamma,beta}     stages.1.blocks.2.norm2.{weight,bias}
    block2/unit01/a/proj/…/kernel               stages.1.blocks.0.downsample.conv.weight
    group_norm/{gamma,beta}                     norm.{weight,bias}
    head/conv2d/{kernel,bias}                   head.fc.{weight,bias}

timm numbers stages and units from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from big_transfer.checkpoint import public
from big_transfer.checkpoint.errors import CheckpointError
from real_labels import files

_FIXED = {
    "root_block/standardized_conv2d/kernel": "stem.conv.weight",
    "group_norm/gamma": "norm.weight",
    "group_norm/beta": "norm.bias",
    "head/conv2d/kernel": "head.fc.weight",
    "head/conv2d/bias": "head.fc.bias",
}
_IN_UNIT = {"a/proj/standardized_conv2d/kernel": "downsample.conv.weight"} | {
    f"{letter}/{public_name}": timm_format.format(number)
    for number, letter in enumerate("abc", start=1)
    for public_name, timm_format in {
        "standardized_conv2d/kernel": "conv{}.weight",
        "group_norm/gamma": "norm{}.weight",
        "group_norm/beta": "norm{}.bias",
    }.items()
}
_PUBLIC_FIXED = {name: public_name for public_name, name in _FIXED.items()}
_PUBLIC_IN_UNIT = {name: public_name for public_name, name in _IN_UNIT.items()}
_PUBLIC_UNIT = re.compile(r"block(\d+)/unit(\d+)/(.+)")
_TIMM_UNIT = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.(.+)")


# safetensors' names of dtypes; other dtypes are of no use here.
_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


def timm_name(name: str) -> str:
    """timm's name of a parameter in the public layout."""
    if name in _FIXED:
        return _FIXED[name]
    match = _PUBLIC_UNIT.fullmatch(name)
    assert match is not None, name
    stage, unit, rest = match.groups()
    return f"stages.{int(stage) - 1}.blocks.{int(unit) - 1}.{_IN_UNIT[rest]}"


def public_name_of(name: str) -> str | None:
    """Name in the public layout of a timm parameter; None if timm's BiT models have no such parameter."""
    match = _TIMM_UNIT.fullmatch(name)
    if match is None:
        return _PUBLIC_FIXED.get(name)
    stage, unit, rest = match.groups()
    if rest not in _PUBLIC_IN_UNIT:
        return None
    return f"block{int(stage) + 1}/unit{int(unit) + 1:02d}/{_PUBLIC_IN_UNIT[rest]}"


def read_safetensors(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a timm model, with names of the public layout and kernels as HWIO.

    Names, shapes and dtypes are checked first, by the header, so that only a model's arrays are read.

    Raises:
      FileNotFoundError: if there is no such file.
      CheckpointError: if it is not a `.safetensors` file, is cut short, or holds another model than
        `resnetv2_*_bit`.
    """
    public.check_headers(path, safetensors_shapes(path))
    with _opened(path) as archive:
        arrays = {}
        for name in archive.keys():  # noqa: SIM118 (not a dict)
            array = np.asarray(archive.get_tensor(name))
            arrays[_checked_name(path, name)] = _to_hwio(array, name)
    return arrays


def safetensors_shapes(path: epath.PathLike) -> dict[str, jax.ShapeDtypeStruct]:
    """Reads names, shapes and dtypes of a timm model, from the header alone."""
    shapes = {}
    with _opened(path) as archive:
        for name in archive.keys():  # noqa: SIM118
            view = archive.get_slice(name)
            stand_in = np.broadcast_to(np.float32(0), view.get_shape())
            shape = _to_hwio(stand_in, name).shape
            dtype = np.dtype(_DTYPES.get(view.get_dtype(), object))
            shapes[_checked_name(path, name)] = jax.ShapeDtypeStruct(shape, dtype)
    return shapes


def save_safetensors(path: epath.PathLike, params: Mapping[str, Any]) -> None:
    """Writes parameters in timm's layout, atomically: to a temporary file that is then renamed."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    tensors = {}
    for name, array in flat.items():
        array = np.asarray(array)
        is_kernel = array.ndim == 4
        tensors[timm_name(name)] = np.ascontiguousarray(
            array.transpose(3, 2, 0, 1) if is_kernel else array
        )
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def _opened(path: epath.PathLike):
    public.check_exists(path)
    try:
        return safetensors.safe_open(str(path), framework="numpy")
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path}: is not a .safetensors file, or is cut short ({error}). Download it again."
        ) from None


def _checked_name(path: epath.PathLike, name: str) -> str:
    public_name = public_name_of(name)
    if public_name is None:
        raise CheckpointError(
            f"{path}: is not a resnetv2_*_bit model: it holds {name}, which these models do not have."
        )
    return public_name


def _to_hwio(array: np.ndarray, name: str) -> np.ndarray:
    if name == "head.fc.weight" and array.ndim == 2:  # a linear layer equals a 1×1 convolution
        array = array[:, :, None, None]
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array

"""Checkpoints that claim too much, or hold no parameters: refused before memory or time is spent."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from big_transfer import checkpoint, resnet
from tests.big_transfer.test_resnet import public, random_params

MODEL = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=5)
KERNEL, BIAS = "resnet/head/conv2d/kernel", "resnet/head/conv2d/bias"
GAMMA = "resnet/block1/unit01/a/group_norm/gamma"


@pytest.fixture
def arrays():
    return public(random_params(MODEL))


def refused(path, match):
    """Both ways of reading a file refuse it, and quickly."""
    begun = time.monotonic()
    for read in (checkpoint.load, checkpoint.read_model):
        with pytest.raises(checkpoint.CheckpointError, match=match):
            read(path)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("resnet/block1/unit5000/a/group_norm/gamma", np.ones(32, np.float32), "units 5,000 in a stage"),
        ("resnet/block99999/unit01/a/group_norm/gamma", np.ones(1, np.float32), "does not fit"),
        ("resnet/root_block/standardized_conv2d/kernel", np.ones((1, 1, 1, 64_000), np.float32), "64,000 r"),
        ("resnet/root_block/standardized_conv2d/kernel", np.float32(1), "is not a BiT checkpoint"),
        (BIAS, np.float32(1), "is not a BiT checkpoint"),
        (KERNEL, np.float32(1), "misshapen resnet/head/conv2d/kernel"),
        (KERNEL, np.ones(5, np.float32), "misshapen resnet/head/conv2d/kernel"),
    ],
)  # fmt: skip
def test_names_and_shapes_of_no_model_are_refused(tmp_path, arrays, name, array, match):
    np.savez(tmp_path / "BiT.npz", **arrays | {name: array})
    refused(tmp_path / "BiT.npz", match)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.full(32, 1e300), r"gamma holds 1e\+300, which is beyond the range of float32"),
        (np.full(32, 1e39), r"gamma holds 1e\+39, which is beyond"),
        (np.full(32, np.inf), "holds NaN or infinite"),
        (np.ones(32, np.complex64), "gamma holds complex64; expected floating-point numbers"),
        (np.ones(32, bool), "gamma holds bool; expected floating-point"),
        (np.ones(32, np.int64), "gamma holds int64; expected floating-point"),
        (np.full(32, "2020-01-01", "datetime64[s]"), r"gamma holds datetime64\[s\]; expected"),
        (np.full(32, 7, "timedelta64[s]"), r"gamma holds timedelta64\[s\]; expected"),
        (np.full(32, "one"), "gamma holds str; expected|gamma holds str96; expected"),
        (np.full(32, b"one"), "gamma holds bytes24; expected"),
    ],
)
def test_values_that_are_no_parameters_are_refused(tmp_path, arrays, values, match):
    np.savez(tmp_path / "BiT.npz", **arrays | {GAMMA: values})
    with pytest.raises(checkpoint.CheckpointError, match=match):
        checkpoint.load(tmp_path / "BiT.npz")


def test_values_of_timms_files_are_checked_before_the_cast(tmp_path, arrays):
    checkpoint.save_npz(tmp_path / "BiT.npz", random_params(MODEL))
    checkpoint.save_safetensors(tmp_path / "a.safetensors", checkpoint.load(tmp_path / "BiT.npz"))
    tensors = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    for values, match in (
        (np.full(32, 1e300), "beyond the range of float32"),
        (np.ones(32, np.int32), "holds int32; expected floating-point"),
        (np.ones(32, bool), "holds bool; expected floating-point"),
    ):
        content = tensors | {"stages.0.blocks.0.norm1.weight": values}
        safetensors.numpy.save_file(content, tmp_path / "b.safetensors")
        with pytest.raises(checkpoint.CheckpointError, match=match):
            checkpoint.load(tmp_path / "b.safetensors")
    half = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(half, tmp_path / "half.safetensors")
    loaded = checkpoint.load(tmp_path / "half.safetensors")
    assert loaded["head"]["conv2d"]["bias"].dtype == np.float32


def test_arrays_that_are_not_needed_are_not_read(tmp_path, arrays):
    """A superfluous array of 400 MB of zeros, 400 kB in the file."""
    np.savez_compressed(tmp_path / "BiT.npz", **arrays, extra=np.zeros(50_000_000))
    assert (tmp_path / "BiT.npz").stat().st_size < 2_000_000
    tracemalloc.start()
    try:
        refused(tmp_path / "BiT.npz", "superfluous resnet/extra")
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def with_header(content: bytes, shape: str) -> bytes:
    """A `.npy` whose header claims another shape."""
    size = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + size].decode().rstrip()
    begin, end = header.index("("), header.index(")") + 1
    header = f"{header[:begin]}{shape}{header[end:]}".ljust(size - 1) + "\n"
    return content[:10] + header.encode() + content[10 + size :]


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(33,)", "(31,)"])
def test_a_header_that_claims_another_size_is_refused(tmp_path, arrays, shape):
    np.savez(tmp_path / "BiT.npz", **arrays)
    changed = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "BiT.npz") as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, with_header(content, shape) if name == f"{GAMMA}.npy" else content)
    (tmp_path / "BiT.npz").write_bytes(changed.getvalue())
    with pytest.raises(
        checkpoint.CheckpointError, match="misshapen resnet/block1/unit01/a/group_norm/gamma"
    ):
        checkpoint.load(tmp_path / "BiT.npz")

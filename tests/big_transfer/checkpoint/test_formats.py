"""Checkpoints in the public, timm's and a run's format, and the commands inspect and convert."""

import io
import itertools
import json
import struct
import zipfile

import flax.traverse_util
import jax
import numpy as np
import optax
import pytest
import safetensors.numpy

from big_transfer import checkpoint, family, resnet, training
from big_transfer.checkpoint import __main__ as command
from big_transfer.training import optimizer
from tests.big_transfer import reference
from tests.big_transfer.test_resnet import public, random_params

MODEL = resnet.ResNetV2(depth=(1, 2), width=0.5, num_classes=5)


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "BiT-mine.npz"
    np.savez(path, **public(random_params(MODEL)))
    return path


def assert_same(params, expected):
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_timms_names_and_axes(tmp_path, npz):
    """Expected pairs are written out here, as in timm's `_load_weights` for the public files."""
    arrays = dict(np.load(npz))
    checkpoint.save_safetensors(tmp_path / "timm.safetensors", checkpoint.load_npz(npz))
    tensors = safetensors.numpy.load_file(tmp_path / "timm.safetensors")
    pairs = {
        "stem.conv.weight": "root_block/standardized_conv2d/kernel",
        "stages.0.blocks.0.norm1.weight": "block1/unit01/a/group_norm/gamma",
        "stages.0.blocks.0.norm1.bias": "block1/unit01/a/group_norm/beta",
        "stages.0.blocks.0.conv1.weight": "block1/unit01/a/standardized_conv2d/kernel",
        "stages.0.blocks.0.downsample.conv.weight": "block1/unit01/a/proj/standardized_conv2d/kernel",
        "stages.0.blocks.0.norm2.weight": "block1/unit01/b/group_norm/gamma",
        "stages.0.blocks.0.conv2.weight": "block1/unit01/b/standardized_conv2d/kernel",
        "stages.1.blocks.1.norm3.bias": "block2/unit02/c/group_norm/beta",
        "stages.1.blocks.1.conv3.weight": "block2/unit02/c/standardized_conv2d/kernel",
        "norm.weight": "group_norm/gamma",
        "norm.bias": "group_norm/beta",
        "head.fc.weight": "head/conv2d/kernel",
        "head.fc.bias": "head/conv2d/bias",
    }
    for timm_name, public_name in pairs.items():
        array = arrays[f"resnet/{public_name}"]
        if array.ndim == 4:
            height, width, channels, outputs = array.shape
            assert tensors[timm_name].shape == (outputs, channels, height, width)
            assert tensors[timm_name][3, 1, 0, -1] == array[0, -1, 1, 3]  # height before width
            assert tensors[timm_name][-1, -1, -1, 0] == array[-1, 0, -1, -1]
        else:
            np.testing.assert_array_equal(tensors[timm_name], array)
    assert len(tensors) == len(arrays)
    assert not any("unit02" in n or "blocks.1.downsample" in n for n in tensors)
    # PyTorch's loaders require this metadata.
    header = (tmp_path / "timm.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", header[:8])
    assert json.loads(header[8 : 8 + length])["__metadata__"] == {"format": "pt"}


def test_weights_come_back_from_timm(tmp_path, npz):
    params = checkpoint.load_npz(npz)
    checkpoint.save_safetensors(tmp_path / "timm.safetensors", params)
    assert_same(checkpoint.load(tmp_path / "timm.safetensors"), params)
    tensors = safetensors.numpy.load_file(tmp_path / "timm.safetensors")
    # A linear layer as head, and half precision, give the same parameters.
    tensors["head.fc.weight"] = tensors["head.fc.weight"][:, :, 0, 0]
    tensors = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(tensors, tmp_path / "half.safetensors")
    half = checkpoint.load(tmp_path / "half.safetensors")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), half, params)
    assert half["head"]["conv2d"]["kernel"].dtype == np.float32


def test_the_function_of_timms_file_is_the_references(tmp_path, npz):
    """The reference takes public names, so parameters read from timm's file must have public names."""
    checkpoint.save_safetensors(tmp_path / "timm.safetensors", checkpoint.load_npz(npz))
    params = checkpoint.load(tmp_path / "timm.safetensors")
    images = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    expected = reference.resnet(dict(np.load(npz)), images)
    np.testing.assert_allclose(
        MODEL.apply({"params": params}, images), expected, rtol=1e-3, atol=1e-4
    )


def test_a_runs_newest_whole_checkpoint_is_read_whatever_its_optimizer(tmp_path):
    model = resnet.ResNetV2(depth=(1,), width=0.5, num_classes=3)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    tx = optimizer.make_optimizer(
        optax.constant_schedule(0.1), momentum=0.9, weight_decay=0.1, clip_norm=1.0
    )
    for step in (1, 2, 3):
        checkpoints.save(step, training.init_state(random_params(model, step), tx))
        checkpoints.wait()
    checkpoints.close()
    step, params = checkpoint.load_run(tmp_path)
    assert step == 3
    assert_same(params, random_params(model, 3))
    step, params = checkpoint.load_run(tmp_path, 2)
    assert_same(params, random_params(model, 2))
    assert checkpoint.read_model(tmp_path) == model
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint of step 7; it has 1, 2, 3"):
        checkpoint.load_run(tmp_path, 7)
    for path in (tmp_path / "checkpoints" / "3").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    step, params = checkpoint.load_run(tmp_path)
    assert step == 2
    (tmp_path / "checkpoints" / "3" / "state" / "_METADATA").unlink()
    assert checkpoint.read_model(tmp_path) == model
    assert checkpoint.load_run(tmp_path)[0] == 2
    assert (tmp_path / "checkpoints" / "3").exists()  # reading alone moves no checkpoint


def run_command(capsys, *arguments) -> str:
    command.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_conversion_goes_all_the_way_round(tmp_path, npz, capsys):
    places = [npz, tmp_path / "a.safetensors", tmp_path / "run", tmp_path / "b.npz"]
    for source, target in itertools.pairwise(places):
        output = run_command(capsys, "convert", source, target)
        assert str(target) in output
        assert "5 classes" in output
    assert_same(checkpoint.load(places[-1]), checkpoint.load(npz))
    assert np.load(places[-1]).files == np.load(npz).files
    with pytest.raises(SystemExit, match="exists already; add --overwrite"):
        command.main(["convert", str(npz), str(places[-1])])
    run_command(capsys, "convert", npz, places[-1], "--overwrite")
    with pytest.raises(SystemExit, match="holds a run already"):
        command.main(["convert", str(npz), str(places[2])])


@pytest.mark.parametrize("kind", ["npz", "safetensors", "run"])
def test_inspect_says_what_a_checkpoint_is(tmp_path, capsys, kind):
    model = resnet.ResNetV2(depth=50, width=1, num_classes=1000)
    params = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32),
        jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0))),
    )
    path = tmp_path / {"npz": "R50x1_224.npz", "safetensors": "x.safetensors", "run": "run"}[kind]
    save = {"npz": checkpoint.save_npz, "safetensors": checkpoint.save_safetensors}
    if kind == "run":
        checkpoint.save_run(path, params, model)
    else:
        save[kind](path, params)
    assert checkpoint.read_model(path) == model  # depth 50, not the units of its stages
    output = run_command(capsys, "inspect", path)
    assert "R50x1" in output
    assert "1,000 (as many as ILSVRC-2012)" in output
    assert "25,549,352 in 153 arrays, float32" in output
    assert "configs/bit_evaluate.py:R50x1" in output
    assert ("224×224" if kind == "npz" else "480×480") in output
    assert "configs/bit_transfer.py:dataset=" in output


def zeros_file(path, model) -> None:
    """Writes a checkpoint of zeros in the public layout, compressed: some public files have gigabytes."""
    shapes = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items():
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<f4", "fortran_order": False, "shape": leaf.shape}
            )
            with archive.open(f"resnet/{name}.npy", "w", force_zip64=True) as member:
                member.write(header.getvalue())
                remaining, chunk = 4 * int(np.prod(leaf.shape)), bytes(1 << 22)
                while remaining:
                    remaining -= member.write(chunk[: min(remaining, len(chunk))])


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("R50x1", "R101x1") else pytest.param(name, marks=pytest.mark.long)
        for name in family.VARIANTS
    ],
)
def test_each_member_of_the_family_loads(tmp_path, name):
    depth, width = family.VARIANTS[name]
    model = resnet.ResNetV2(depth=depth, width=width, num_classes=1000)
    path = tmp_path / f"BiT-M-{name}-ILSVRC2012.npz"
    zeros_file(path, model)
    assert family.describe(checkpoint.read_model(path).depth, width) == name
    params = checkpoint.load_npz(path)
    shapes = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    assert jax.tree.map(lambda a: a.shape, params) == jax.tree.map(lambda a: a.shape, shapes)
    path.unlink()


def test_what_is_no_array_in_a_file_is_named(npz):
    with zipfile.ZipFile(npz, "a") as archive:
        archive.writestr("README.txt", "hello")
    for read in (checkpoint.load, checkpoint.read_model):
        with pytest.raises(
            checkpoint.CheckpointError, match=r"holds README\.txt, which is not an array"
        ):
            read(npz)


def write_tensors(path, change):
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(change(tensors), path)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "cut short"),
        (lambda p: p.write_bytes(b"hello"), "cut short"),
        (
            lambda p: write_tensors(p, lambda t: t | {"layer1.0.bn.weight": np.zeros(3)}),
            "is not a resnetv2_.*_bit model: it holds layer1",
        ),
        (
            lambda p: write_tensors(p, lambda t: {k: v for k, v in t.items() if k != "norm.bias"}),
            "missing resnet/group_norm/beta",
        ),
        (
            lambda p: write_tensors(p, lambda t: t | {"norm.bias": np.full(256, np.nan, "f4")}),
            "holds NaN",
        ),
    ],
)
def test_spoilt_timm_files_are_named(tmp_path, npz, spoil, complaint):
    path = tmp_path / "timm.safetensors"
    checkpoint.save_safetensors(path, checkpoint.load_npz(npz))
    spoil(path)
    with pytest.raises(checkpoint.CheckpointError, match=complaint) as error:
        checkpoint.load(path)
    assert "timm.safetensors" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["inspect", "nowhere.npz"], "Error: nowhere.npz: there is no such checkpoint file"),
        (["inspect", "nowhere"], "nowhere: there is no such"),
        (["inspect", "."], "holds no complete checkpoint"),
        (["convert", "{npz}", "x.npz", "--step=3"], "--step is for workdirs"),
        (
            ["convert", "{npz}", "x.pth", "--overwrite"],
            "unknown format .pth. Use .npz for the public layout",
        ),
    ],
)
def test_the_command_explains_what_is_wrong(tmp_path, npz, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=complaint):
        command.main([argument.format(npz=npz) for argument in arguments])

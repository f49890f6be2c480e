"""Every reader of the training program, fed with damaged files: it reads them, or raises one clear error."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from big_transfer import checkpoint, resnet
from big_transfer import config as config_lib
from big_transfer.checkpoint import timm
from big_transfer.config import workdirs
from big_transfer.datasets import choosing, image_files, preprocessing
from big_transfer.evaluation import record
from big_transfer.evaluation.partial_results import PartialResults
from big_transfer.run import workdir
from real_labels.errors import ExpectedError
from tests import damage
from tests.big_transfer.test_resnet import public, random_params
from tests.configs import tiny

MODEL = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=5)


@functools.cache
def _npz_checkpoint() -> bytes:
    file = io.BytesIO()
    np.savez(file, **public(random_params(MODEL)))
    return damage.Seed(file.getvalue())


@functools.cache
def _timm_checkpoint(folder: pathlib.Path) -> bytes:
    timm.save_safetensors(folder / "model.safetensors", random_params(MODEL))
    return damage.Seed((folder / "model.safetensors").read_bytes())


@functools.cache
def _recorded() -> dict:
    return json.loads(json.dumps(dataclasses.asdict(config_lib.check(tiny.get_config()))))


def _accuracy(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 10}


RESULTS = {
    "dataset": "digit_scenes", "split": "validation", "num_images": 10, "step": 12, "loss": 1.5,
    "images_per_second": 20.5, "original": {"top1": _accuracy(0.5), "top5": _accuracy(0.7)},
    "real": {"top1": _accuracy(0.6), "original_labels": {"top1": _accuracy(0.5)}},
}  # fmt: skip


@functools.cache
def _images() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3)).astype(np.uint8)
    found = {}
    for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        found[kind] = damage.Seed(file.getvalue())
    return found


@functools.cache
def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = len(_images()["JPEG"])
            tar.addfile(entry, io.BytesIO(_images()["JPEG"]))
    return damage.Seed(packed.getvalue())


@functools.cache
def _partial(folder: pathlib.Path) -> bytes:
    partial = PartialResults(folder, {"a": 1}, ("classes", "loss"))
    collected = partial.empty()
    outputs = {
        "classes": np.zeros((2, 3), np.int32),
        "loss": np.ones(2, np.float32),
        "mask": np.ones(2, bool),
    }
    collected.add(outputs, [0, 1], 2)
    partial.save(collected)
    (path,) = folder.glob("*.npz")
    return damage.Seed(path.read_bytes())


class Images:
    """A source of three images, to be chosen from."""

    dataset, split, label_keys = "scenes", "train", ("label",)
    num_classes, class_names = {"label": 3}, {"label": ("a", "b", "c")}

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"label": (index,), "file_name": f"{index}.jpg"}

    def read_file_names(self):
        return np.array([f"{index}.jpg" for index in range(3)])

    def labels_of(self, key):
        return [(0,), (1,), (2,)]


def _read_tar(path):
    for split in image_files.splits_of(str(path)):
        source = image_files.ImageFiles(str(path), split)
        for example in source:
            preprocessing.decode(example["image"], str(path))


def _read_config(path):
    workdirs.check_belongs(path.parent, config_lib.check(tiny.get_config()))


def _read_results(path):
    found = workdir.read_results(path.parent)
    assert found is not None
    record.Record.from_json(found).as_json()


def _read_partial(path):
    """Damaged results are not used, unless the damage is to a value and its checksum alike."""
    PartialResults(path.parent, {"a": 1}, ("classes", "loss")).load()


def _read_images(path):
    image = preprocessing.decode(path.read_bytes(), path.name)
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


def _relabel(path):
    chosen = choosing.relabelled(Images(), "label", str(path), max_labels=2, loss="softmax")
    assert all(0 <= label < 3 for labels in chosen.labels_of("label") for label in labels)


def _keep(path):
    assert 1 <= len(choosing.kept(Images(), str(path))) <= 3


# The name of the file, a reader, and a strategy of contents.
READERS = {
    "npz checkpoint": ("a.npz", checkpoint.load, lambda _: damage.zip_files(_npz_checkpoint())),
    "npz model": ("a.npz", checkpoint.read_model, lambda _: damage.zip_files(_npz_checkpoint())),
    "timm checkpoint": (
        "a.safetensors", checkpoint.load, lambda folder: damage.safetensors_files(_timm_checkpoint(folder))
    ),
    "image": (
        "a.jpg", _read_images, lambda _: st.sampled_from(sorted(_images())).flatmap(
            lambda kind: damage.changed(_images()[kind]))
    ),
    "tar": ("a.tar", _read_tar, lambda _: damage.changed(_tar())),
    "config.json": ("config.json", _read_config, lambda _: damage.json_files(_recorded())),
    "results.json": ("results.json", _read_results, lambda _: damage.json_files(RESULTS)),
    "partial results": (
        "evaluation.partial-0of1.npz", _read_partial, lambda folder: damage.zip_files(_partial(folder))
    ),
    "keep": ("keep.txt", _keep, lambda _: damage.changed(b"0.jpg\n1.jpg\n")),
    "relabel": ("new.json", _relabel, lambda _: damage.json_files({"0.jpg": [1], "2.jpg": [0, 2]})),
}  # fmt: skip


CHECKPOINTS = ("npz checkpoint", "npz model", "timm checkpoint")


def feed(name, data, factory) -> None:
    file_name, read, contents = READERS[name]
    folder = factory.getbasetemp() / name.replace(" ", "_")
    folder.mkdir(exist_ok=True)
    (folder / "seed").mkdir(exist_ok=True)
    content = data.draw(contents(folder / "seed"))
    path = folder / file_name
    path.write_bytes(content)
    if file_name == "config.json":  # without results, any config may claim the workdir
        (folder / "results.json").write_text("{}")
    try:
        read(path)
    except ExpectedError as error:
        message = str(error)
        assert path.name in message or str(folder) in message, message
        # A config may have a line for each field that differs, a checkpoint one for each array.
        assert len(message.splitlines()) == 1 or name in ("config.json", *CHECKPOINTS), message


@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=list(HealthCheck), max_examples=100)
@given(st.data())
def test_a_reader_reads_or_raises_an_expected_error(tmp_path_factory, name, data):
    feed(name, data, tmp_path_factory)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=list(HealthCheck), max_examples=20_000)
@given(st.data())
def test_a_reader_holds_against_twenty_thousand_files(tmp_path_factory, name, data):
    feed(name, data, tmp_path_factory)

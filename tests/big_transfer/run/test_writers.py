"""TensorBoard files, written by clu and without TensorFlow, and read back by TensorBoard."""

from __future__ import annotations

import importlib.util
import inspect
import sys

import numpy as np
import pytest
from clu.metric_writers import interface
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from big_transfer.run import writers


@pytest.fixture
def without_tensorflow(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "tensorflow" else find_spec(name),
    )


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Returns {tag: [(step, value), …]}, from scalars and tensors: writers store numbers in either form."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    tags = events.Tags()
    values = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["tensors"]:
        values[tag] = [
            (e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)
        ]
    return values


def write(folder) -> None:
    with writers.make_writer(folder) as writer:
        for step in (1, 50, 100_000):
            writer.write_scalars(step, {"train/loss": np.float32(1 / step), "eval/real/top1": 0.5})
        writer.flush()


def test_both_writers_leave_the_same_numbers(tmp_path, monkeypatch, request):
    write(tmp_path / "clu")
    request.getfixturevalue("without_tensorflow")
    write(tmp_path / "tensorboardX")
    by_tensorboardx, by_clu = scalars(tmp_path / "tensorboardX"), scalars(tmp_path / "clu")
    assert by_tensorboardx == by_clu
    assert set(by_clu) == {"train/loss", "eval/real/top1"} and len(by_clu["train/loss"]) == 3


def test_it_has_every_method_of_clus():
    theirs = {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(interface.MetricWriter, inspect.isfunction)
        if not name.startswith("_")
    }
    ours = {
        name: list(inspect.signature(getattr(writers.TensorBoardXWriter, name)).parameters)
        for name in theirs
    }
    assert ours == theirs and len(ours) == 10


def test_images_texts_histograms_arrays_and_settings_are_written(tmp_path):
    writer = writers.TensorBoardXWriter(tmp_path)
    rng = np.random.default_rng(0)
    writer.write_images(3, {"examples": rng.random((2, 8, 9, 3), np.float32)})
    writer.write_texts(3, {"note": "**bold**"})
    writer.write_histograms(
        3, {"weights": rng.normal(size=(4, 5)), "few": np.arange(3)}, {"few": 2}
    )
    writer.write_summaries(3, {"raw": np.arange(6.0).reshape(2, 3)})
    writer.write_hparams({"loss": "sigmoid", "depth": (1, 1), "width": 0.5})
    writer.close()
    assert len(list(tmp_path.rglob("*"))) == 1  # a single event file holds everything
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0, "images": 0}).Reload()
    tags = events.Tags()
    assert "examples" in " ".join(tags["images"])
    assert {"weights", "few"} <= set(tags["histograms"])
    assert events.Histograms("weights")[0].histogram_value.num == 20
    assert sum(events.Histograms("few")[0].histogram_value.bucket) == 3
    assert any("note" in tag for tag in tags["tensors"])
    raw = events.Tensors("raw")[0]
    np.testing.assert_array_equal(
        tensor_util.make_ndarray(raw.tensor_proto), np.arange(6.0).reshape(2, 3)
    )
    assert raw.step == 3
    plugins = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert plugins.plugin_name == "hparams" and b"sigmoid" in plugins.content


def test_other_processes_write_nothing(tmp_path, without_tensorflow, monkeypatch):
    monkeypatch.setattr(writers.jax, "process_index", lambda: 1)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run")
    writers.TensorBoardXWriter(None).write_hparams({"loss": "sigmoid"})
    assert not list(tmp_path.rglob("*"))


def test_videos_without_their_package_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moviepy", None)
    writer = writers.TensorBoardXWriter(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="moviepy"):
        writer.write_videos(1, {"clip": np.zeros((1, 2, 8, 8, 3))})
    writer.close()

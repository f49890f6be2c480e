"""A training run from start to end: its files and the correctness of its numbers."""

from __future__ import annotations

import json
import os

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from big_transfer import checkpoint
from big_transfer import config as config_lib
from big_transfer.datasets import tfds_source
from real_labels import Predictions, cli
from real_labels.predictions import reading
from tests.configs import tiny
from tests.main.processes import TINY, final_state, finish, steps_saved


def test_a_run_leaves_all_it_promises(finished, scenes_dir):
    workdir, output = finished
    assert {
        "config.json",
        "checkpoints",
        "predictions.npz",
        "results.json",
        "examples.png",
    } <= set(os.listdir(workdir))
    assert any("tfevents" in name for name in os.listdir(workdir))
    assert (workdir / "examples.png").read_bytes().startswith(b"\x89PNG")
    for part in ("step  1/12", "images/s", "left", "lr ", "loss ", "Parameters:", "ReaL labels"):
        assert part in output
    assert steps_saved(workdir) == [6, 9, 12]  # the last three
    record = json.loads((workdir / "results.json").read_text())
    assert (record["dataset"], record["split"]) == ("digit_scenes", "validation")
    assert (record["num_images"], record["step"]) == (61, 12)
    assert record["images_per_second"] > 0
    predictions = Predictions.load(workdir / "predictions.npz")
    assert predictions.classes.shape == (61, 5)
    assert ((predictions.scores >= 0) & (predictions.scores <= 1)).all()


def test_its_accuracies_are_those_of_its_predictions(finished, scenes_dir):
    """Recomputes the accuracies from the predictions file and the scenes, in plain Python."""
    from big_transfer.datasets.builders import digit_scenes

    workdir, _ = finished
    record = json.loads((workdir / "results.json").read_text())
    predictions = Predictions.load(workdir / "predictions.npz")
    original, real, itself = {1: [], 5: []}, {1: [], 5: []}, []
    for name, classes in zip(predictions.file_names, predictions.classes.tolist()):
        index = int(name.removesuffix(".JPEG").rpartition("_")[2]) - 1
        _, label, present = digit_scenes.make_scene("validation", index)
        if present:
            itself.append(label in present)
        for k in (1, 5):
            original[k].append(label in classes[:k])
            if present:
                real[k].append(bool(set(classes[:k]) & set(present)))
    for k in (1, 5):
        for name, hits in (("original", original[k]), ("real", real[k])):
            found = record[name][f"top{k}"]
            assert found["n"] == len(hits)
            assert found["value"] == sum(hits) / len(hits)
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert record["original_labels"]["real_top1"]["value"] == sum(itself) / len(itself)


def test_its_predictions_are_the_models(finished, scenes_dir):
    """Applies the last checkpoint to some images directly."""
    from big_transfer.datasets import preprocessing

    workdir, _ = finished
    params = final_state(workdir, scenes_dir, 12)["params"]
    config = config_lib.completed(config_lib.check(tiny.get_config()), config_lib.TrainingConfig)
    source = tfds_source.TfdsSource(
        "digit_scenes", "validation", ["original_label"], data_dir=scenes_dir
    )
    predictions = Predictions.load(workdir / "predictions.npz")
    model = config.make_model()
    assert predictions.file_names.tolist() == sorted(predictions.file_names.tolist())
    examples = {example["file_name"]: example for example in source}
    for i in (0, 30, 60):
        example = examples[predictions.file_names[i]]
        image = preprocessing.eval_image(example["image"], "", config.eval.size)
        logits = np.asarray(model.apply({"params": params}, image[None]))[0]
        assert predictions.classes[i].tolist() == np.argsort(-logits)[:5].tolist()
        probabilities = 1 / (1 + np.exp(-logits))  # of the sigmoid loss
        np.testing.assert_allclose(
            predictions.scores[i], np.sort(probabilities)[::-1][:5], atol=1e-4
        )


def test_a_finished_run_says_so_and_shows_its_result(finished, start):
    workdir, output = finished
    before = (workdir / "results.json").read_bytes()
    again = finish(start(workdir))
    assert "is done: 12 of 12 steps" in again
    table = output[output.index("digit_scenes validation") :].splitlines()[:6]
    assert all(line in again for line in table)
    assert (workdir / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "digit_scenes.py:debug",
        "bit_s_imagenet2012.py:debug",
        pytest.param("noisy_imagenet.py:debug", marks=pytest.mark.long),
        pytest.param("bit_m_imagenet21k.py:debug", marks=pytest.mark.long),
        "bit_transfer.py:dataset=cifar10,model=R50x1,debug",
    ],
)
def test_every_config_runs_with_debug(start, tmp_path, name):
    """The runs use TFDS's mock data; no dataset is prepared or downloaded."""
    output = finish(start(tmp_path / "run", config=f"configs/{name}"))
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["num_images"] == 64
    assert ("real" in record) == ("digit_scenes" in name or "2012" in name)
    assert "Traceback" not in output
    check_that_mock_data_is_said(tmp_path / "run", output)


def check_that_mock_data_is_said(workdir, output):
    """Checks the remark on mock data in the log, each evaluation, the table, results.json and `read`."""
    assert "random images replace the images of" in output and "(random images)" in output
    assert "These are predictions for random images" in output
    assert json.loads((workdir / "results.json").read_text())["mock"] is True
    assert Predictions.load(workdir / "predictions.npz").is_mock
    assert "random images" in reading.read(workdir / "predictions.npz").remarks[0]


def test_a_debug_run_on_a_folder_says_that_its_images_are_random(start, shapes, tmp_path, capsys):
    output = finish(
        start(
            tmp_path / "run", config=f"configs/bit_transfer.py:dataset={shapes},model=R50x1,debug"
        )
    )
    check_that_mock_data_is_said(tmp_path / "run", output)
    predictions = tmp_path / "run" / "predictions.npz"
    names = Predictions.load(predictions).file_names.tolist()
    labels = {name: [int(name.startswith("red"))] for name in names}
    (tmp_path / "o.json").write_text(json.dumps(labels))
    for command in (["score"], ["report", "--out", str(tmp_path / "report")]):
        cli.main([*command, str(predictions), "--original", str(tmp_path / "o.json")])
        assert "random images" in capsys.readouterr().out
    assert "random images" in (tmp_path / "report" / "index.html").read_text()


def test_real_images_are_not_called_random(finished):
    workdir, output = finished
    assert "random images" not in output
    assert "mock" not in json.loads((workdir / "results.json").read_text())
    assert not Predictions.load(workdir / "predictions.npz").is_mock


@pytest.fixture
def shapes(tmp_path):
    """A user's dataset: red and blue images in class folders, without a validation split."""
    import cv2

    rng = np.random.default_rng(0)
    for name, colour in (("blue", (200, 60, 60)), ("red", (60, 60, 200))):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for i in range(40):
            image = np.clip(rng.normal(colour, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "shapes" / name / f"{i}.jpg"), image)
    return tmp_path / "shapes"


def test_a_folder_of_ones_own_is_learned_from_a_checkpoint_exported_and_evaluated(
    finished, start, scenes_dir, shapes, tmp_path
):
    """The checkpoint has another number of classes; the model is the small model of `tiny`."""
    public = tmp_path / "BiT.npz"
    checkpoint.save_npz(public, final_state(finished[0], scenes_dir, 12)["params"])
    config = f"configs/bit_transfer.py:dataset={shapes},model=R50x1"
    model = ["--config.model.units=(1,)", "--config.model.width=0.5"]
    few = ["--config.input.batch_size=16", "--config.total_steps=60", "--config.input.size=32"]
    few += ["--config.optimizer.warmup_steps=5", "--config.log_every_steps=20"]
    few += ["--config.optimizer.base_learning_rate=0.02", "--config.input.accumulate_steps=2"]
    output = finish(
        start(tmp_path / "run", *model, *few, f"--config.checkpoint={public}", config=config)
    )
    assert "its head starts at zero" in output
    assert "BiT-HyperRule for" in output
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["split"] == "validation"
    assert record["original"]["top1"]["value"] > 0.9
    assert 2 <= record["num_images"] <= 20
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["num_classes"] == 2
    assert written["input"]["resize_to"] == 40
    # The exported model in the public layout gives the same predictions.
    exported = tmp_path / "run" / "BiT-R50x1-shapes.npz"
    output = finish(
        start(
            tmp_path / "again",
            "--mode=evaluate",
            f"--config.checkpoint={exported}",
            "--config.eval.size=32",
            *model,
            config=config,
        )
    )
    assert "Traceback" not in output
    # The run itself gives them too; its config holds the image size.
    finish(start(tmp_path / "run", "--mode=evaluate", *model, config=config))
    again = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (again["size"], again["original"]) == (32, record["original"])
    ours, theirs = (Predictions.load(tmp_path / w / "predictions.npz") for w in ("again", "run"))
    np.testing.assert_array_equal(ours.file_names, theirs.file_names)
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)


def test_a_folder_needs_no_tensorflow(finished, start, scenes_dir, shapes, tmp_path):
    """Trains and evaluates on images on disk, with TensorBoard files, without TensorFlow."""
    public = tmp_path / "BiT.npz"
    checkpoint.save_npz(public, final_state(finished[0], scenes_dir, 12)["params"])
    without = ("tensorflow", "tensorflow_datasets")
    arguments = [
        f"--config.checkpoint={public}", "--config.model.units=(1,)", "--config.model.width=0.5",
        "--config.input.batch_size=16", "--config.total_steps=3", "--config.input.size=32",
        "--config.optimizer.warmup_steps=1",
    ]  # fmt: skip
    config = f"configs/bit_transfer.py:dataset={shapes},model=R50x1"
    output = finish(start(tmp_path / "run", *arguments, config=config, without=without))
    assert "Traceback" not in output
    assert json.loads((tmp_path / "run" / "results.json").read_text())["step"] == 3
    assert any("tfevents" in path.name for path in (tmp_path / "run").iterdir())


def test_a_dataset_of_tfds_says_what_it_needs(start, tmp_path):
    output = finish(start(tmp_path / "run", without=("tensorflow",)), code=1)
    assert "digit_scenes is a TFDS dataset, and tensorflow is not installed: pip install" in output
    assert "Traceback" not in output


def test_a_run_is_scored_on_ones_own_label_sets(start, finished, scenes_dir, tmp_path):
    """Tests training, the best checkpoint by a label set, --mode=evaluate, and comparing checkpoints."""
    from real_labels import LabelSets

    theirs = Predictions.load(finished[0] / "predictions.npz")
    names = theirs.file_names[:40]
    mine = LabelSets.from_lists(names, theirs.classes[:40, :1].tolist())
    mine.to_json(tmp_path / "mine.json")
    options = [
        f"--config.eval.label_sets=mine={tmp_path}/mine.json,also=feature:real_label",
        "--config.checkpoint_best=mine/top1",
    ]
    output = finish(start(tmp_path / "run", *options))
    assert "mine labels" in output and "original labels scored on also" in output
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(record["label_sets"]) == ["real", "mine", "also"]
    # The labels of `mine` are this run's own predictions.
    assert record["label_sets"]["mine"]["top1"]["value"] == 1
    assert record["label_sets"]["mine"]["top1"]["n"] == 40
    assert record["label_sets"]["also"]["top5"] == record["real"]["top5"]
    before = json.loads((finished[0] / "results.json").read_text())
    assert record["real"] == before["real"] and record["original"] == before["original"]
    assert "mine top-1" in output and "(40 images; original on these images" in output
    best = [json.loads((folder / "metrics" / "metrics").read_text())["mine/top1"]
            for folder in (tmp_path / "run" / "checkpoints").iterdir()
            if (folder / "metrics" / "metrics").exists()]  # fmt: skip
    assert max(best) == 1
    output = finish(start(tmp_path / "run", *options, "--mode=evaluate"))
    again = json.loads((tmp_path / "run" / "results.json").read_text())
    assert again["label_sets"] == record["label_sets"] and "mine labels" in output
    refused = finish(start(tmp_path / "run"), code=1)
    assert "eval.label_sets" in refused and "checkpoint_best" in refused
    for name in ("one", "two"):
        checkpoint.save_npz(
            tmp_path / f"{name}.npz", final_state(finished[0], scenes_dir, 12)["params"]
        )
    both = f"--config.checkpoint={tmp_path}/one.npz,{tmp_path}/two.npz"
    output = finish(start(tmp_path / "both", options[0], both, "--mode=evaluate"))
    assert "mine top-1, A - B, points" in output
    record = json.loads((tmp_path / "both" / "comparison.json").read_text())
    (pair,) = record["pairs"]
    assert list(pair["label_sets"]) == ["real", "mine", "also"] and pair["real"]["value"] == 0
    assert [one["label_sets"]["mine"]["top1"]["value"] for one in record["models"]] == [1, 1]


def test_a_profile_changes_no_result(finished, start, tmp_path):
    workdir = tmp_path / "run"
    output = finish(start(workdir, "--config.profile=3:5"))
    assert f"The trace is in {workdir}/profile" in output
    assert list((workdir / "profile").rglob("*.xplane.pb"))
    ours, theirs = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert "is done" in finish(start(workdir))  # without a profile it is the same run


def test_out_of_memory_says_what_to_set(monkeypatch, capsys, tmp_path):
    import main

    def fail(config, workdir):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nat"
        )

    monkeypatch.setattr(main.training, "train_and_evaluate", fail)
    monkeypatch.setattr(main, "_set_up_jax", lambda: None)
    monkeypatch.setattr(main, "_set_up_logging", lambda: None)
    monkeypatch.setattr(main.preemption, "raise_on_signals", lambda: None)
    with flagsaver.flagsaver():
        main.flags.FLAGS(["main.py", f"--config={TINY}", f"--workdir={tmp_path}"])
        with pytest.raises(SystemExit) as ended:
            main.main(["main.py"])
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert "memory is too small (RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.)" in message
    assert "--config.input.accumulate_steps=2" in message and len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["debug_nans", "disable_jit"])
def test_debugging_flags_pass_to_jax(monkeypatch, name):
    import main

    monkeypatch.setattr(main.processes, "join", lambda *_: None)
    monkeypatch.setattr(main.memory, "keep_freed_memory", lambda: True)
    with flagsaver.flagsaver():
        main.flags.FLAGS(["main.py", f"--config={TINY}", f"--{name}"])
        try:
            main._set_up_jax()
            assert getattr(jax.config, f"jax_{name}")
        finally:
            jax.config.update(f"jax_{name}", False)

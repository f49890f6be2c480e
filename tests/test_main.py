"""The program as its users start it: as processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from big_transfer import checkpoint, measure, tfds_source, train
from big_transfer import config as config_lib
from real_labels import Predictions
from tests.configs import tiny
from tests.conftest import PROJECT, SMALL

TINY = "tests/configs/tiny.py"


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def start(scenes_dir, cache):
    """Starts main.py; everything still running at the end of the test is killed."""
    with contextlib.ExitStack() as stack:

        def launch(workdir, *arguments, config=TINY, devices=1, data_dir=scenes_dir):
            environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
            environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
            command = [sys.executable, "main.py", f"--config={config}", f"--workdir={workdir}"]
            command += [f"--compilation_cache={cache}", *arguments]
            if config == TINY:
                command.append(f"--config.input.data_dir={data_dir}")
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.kill)
            return process

        yield launch


def finish(process, code=0) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == code, output
    return output


def steps_saved(workdir) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(n) for n in os.listdir(workdir / "checkpoints") if n.isdigit())
    return []


def final_state(workdir, scenes_dir, step):
    """The training state of a checkpoint, as NumPy arrays."""
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    run = train.build(config_lib.resolve(config))
    checkpoints = checkpoint.Checkpoints(workdir)
    state = checkpoints.restore(step, run.abstract_state)
    checkpoints.close()
    return jax.device_get(state)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "undisturbed"


@pytest.fixture
def finished(undisturbed, start):
    """A workdir whose 12 steps ran in one go, and what the program said."""
    if not (undisturbed / "results.json").exists():
        (undisturbed.parent / "output").write_text(finish(start(undisturbed)))
    return undisturbed, (undisturbed.parent / "output").read_text()


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
    """Recomputed from the predictions file and the scenes themselves, in plain Python."""
    from big_transfer.datasets import digit_scenes

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
    """The last checkpoint, applied to the images by hand."""
    from big_transfer import preprocessing

    workdir, _ = finished
    params = final_state(workdir, scenes_dir, 12)["params"]
    config = config_lib.resolve(tiny.get_config())
    source = tfds_source.TfdsSource(
        "digit_scenes", "validation", ["original_label"], data_dir=scenes_dir
    )
    predictions = Predictions.load(workdir / "predictions.npz")
    model = measure.make_model(config)
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


def test_evaluate_gives_the_end_of_trainings_numbers(finished, start, tmp_path):
    workdir, _ = finished
    before = Predictions.load(workdir / "predictions.npz")
    record = json.loads((workdir / "results.json").read_text())
    output = finish(start(workdir, "--mode=evaluate"))
    assert f"Evaluating {workdir}/checkpoints/12" in output
    again = json.loads((workdir / "results.json").read_text())
    record.pop("images_per_second"), again.pop("images_per_second")
    more = {key: again.pop(key) for key in ("checkpoint", "size", "dtype", "evaluation")}
    assert again == record
    assert (more["checkpoint"], more["size"]) == (f"{workdir}/checkpoints", 24)
    assert "is done. Its result:" in finish(start(workdir, "--mode=evaluate"))
    after = Predictions.load(workdir / "predictions.npz")
    np.testing.assert_array_equal(after.classes, before.classes)
    np.testing.assert_array_equal(after.scores, before.scores)


def test_a_public_checkpoint_is_evaluated(finished, start, scenes_dir, tmp_path):
    workdir, _ = finished
    npz = tmp_path / "BiT.npz"
    checkpoint.save_npz(npz, final_state(workdir, scenes_dir, 12)["params"])
    finish(start(tmp_path / "eval", "--mode=evaluate", f"--config.init_npz={npz}"))
    ours = Predictions.load(tmp_path / "eval" / "predictions.npz")
    theirs = Predictions.load(workdir / "predictions.npz")
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    record = json.loads((tmp_path / "eval" / "results.json").read_text())
    assert record["step"] == 0
    output = finish(start(workdir, "--mode=evaluate", f"--config.init_npz={npz}"), code=1)
    assert "Give another --workdir" in output


def test_killed_and_stopped_runs_end_bit_identical(finished, start, scenes_dir, tmp_path):
    """SIGKILL while saving, SIGKILL later on, SIGTERM; then to the end."""
    workdir = tmp_path / "disturbed"

    def kill_when(condition, number):
        process = start(workdir)
        deadline = time.time() + 200
        while process.poll() is None and not condition() and time.time() < deadline:
            time.sleep(0.002)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def saving():
        return any(".orbax-checkpoint-tmp" in str(p) for p in (workdir / "checkpoints").glob("*"))

    code, _ = kill_when(saving, signal.SIGKILL)
    assert code == -signal.SIGKILL
    first = steps_saved(workdir)
    assert not first or first[-1] < 12
    code, _ = kill_when(lambda: len(steps_saved(workdir)) > len(first), signal.SIGKILL)
    assert code == -signal.SIGKILL
    second = steps_saved(workdir)
    code, output = kill_when(lambda: bool((workdir / "config.json").exists()), signal.SIGTERM)
    assert code in (0, -signal.SIGTERM), output
    output = finish(start(workdir))
    if second:
        assert "Going on from" in output
    assert not (workdir / "corrupt_checkpoints").exists()
    jax.tree.map(
        np.testing.assert_array_equal,
        final_state(workdir, scenes_dir, 12),
        final_state(finished[0], scenes_dir, 12),
    )
    ours, theirs = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_sigterm_saves_and_exits_cleanly(start, tmp_path, scenes_dir):
    process = start(
        tmp_path / "run", "--config.total_steps=100000", "--config.eval_every_steps=100000"
    )
    wait_for_line(process, "step  ")
    process.send_signal(signal.SIGTERM)
    output = finish(process)
    assert "Asked to stop" in output
    step = steps_saved(tmp_path / "run")[-1]
    assert f"step {step} is saved" in output
    process = start(
        tmp_path / "run", "--config.total_steps=100000", "--config.eval_every_steps=100000"
    )
    seen = wait_for_line(process, "Going on from")
    assert f"checkpoints/{step}" in seen
    process.kill()


def wait_for_line(process, text) -> str:
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came:\n{seen}")


def test_a_corrupt_checkpoint_costs_only_its_steps(finished, start, scenes_dir, tmp_path):
    import shutil

    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    for name in ("results.json", "predictions.npz"):
        (workdir / name).unlink()
    for path in (workdir / "checkpoints" / "12").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    output = finish(start(workdir))
    assert "Skipping a corrupt checkpoint" in output
    assert f"Going on from {workdir}/checkpoints/9" in output
    assert "Traceback" not in output
    jax.tree.map(
        np.testing.assert_array_equal,
        final_state(workdir, scenes_dir, 12),
        final_state(finished[0], scenes_dir, 12),
    )


def test_another_config_is_refused_with_what_differs(finished, start):
    output = finish(start(finished[0], "--config.seed=1", "--config.model.width=1.0"), code=1)
    assert "belongs to a run of another config" in output
    assert "seed: 0 there, 1 now" in output
    assert "model.width: 0.5 there, 1.0 now" in output
    assert "Traceback" not in output


def test_evaluating_with_another_model_harms_nothing(finished, start):
    workdir, _ = finished
    before = steps_saved(workdir)
    output = finish(start(workdir, "--mode=evaluate", "--config.model.width=1.0"), code=1)
    assert "model.width: 0.5 there, 1.0 now" in output
    assert steps_saved(workdir) == before


def test_a_run_killed_between_last_checkpoint_and_results_is_completed(finished, start, tmp_path):
    import shutil

    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    (workdir / "results.json").unlink()
    (workdir / "predictions.npz").unlink()
    finish(start(workdir))
    ours, theirs = (json.loads((w / "results.json").read_text()) for w in (workdir, finished[0]))
    assert ours["real"] == theirs["real"]
    a, b = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(a.scores, b.scores)


def test_a_batch_the_devices_do_not_divide(start, tmp_path):
    output = finish(start(tmp_path / "run", devices=3), code=1)
    assert "a batch of 16 does not split over 3 devices; the nearest that do: 15, 18" in output
    assert "Traceback" not in output


def test_a_tpu_machine_is_joined(monkeypatch):
    """What main does where libtpu and a TPU's device files are."""
    import importlib.util

    import main
    from big_transfer import memory

    joined = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "libtpu")
    monkeypatch.setattr(memory, "has_accelerator", lambda: True)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: joined.append((a, k)))
    main.flags.FLAGS.mark_as_parsed()
    main._set_up_jax()
    assert joined == [((), {})]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_two(start, workdir, *arguments):
    port = free_port()
    return [
        start(
            workdir,
            f"--coordinator_address=127.0.0.1:{port}",
            "--num_processes=2",
            f"--process_id={i}",
            *arguments,
            devices=2,
        )
        for i in range(2)
    ]


@pytest.mark.parametrize("strategy", ["replicated", "fsdp"])
def test_two_processes_train_and_evaluate_like_one(finished, start, scenes_dir, tmp_path, strategy):
    workdir = tmp_path / "two"
    arguments = () if strategy == "replicated" else ("--config.sharding=fsdp",)
    first, second = start_two(start, workdir, *arguments)
    output, quiet = finish(first), finish(second)
    assert "2 process(es), 4 device(s)" in output
    assert "step 12/12" in output
    assert "step 12/12" not in quiet  # one process tells the story
    ours, theirs = final_state(workdir, scenes_dir, 12), final_state(finished[0], scenes_dir, 12)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    a, b = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(a.file_names, b.file_names)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
    records = [json.loads((w / "results.json").read_text()) for w in (workdir, finished[0])]
    assert records[0]["num_images"] == records[1]["num_images"] == SMALL["validation"]
    for process in start_two(start, workdir, *arguments, "--mode=evaluate"):
        assert "Traceback" not in finish(process)
    again = json.loads((workdir / "results.json").read_text())
    assert again["real"] == records[0]["real"]
    assert again["evaluation"]
    assert records[0]["real"]["top1"]["n"] == records[1]["real"]["top1"]["n"]


def test_sigterm_to_one_of_two_processes_stops_both(start, tmp_path):
    workdir = tmp_path / "two"
    more = ("--config.total_steps=100000", "--config.eval_every_steps=100000")
    first, second = start_two(start, workdir, *more)
    wait_for_line(first, "step  ")
    second.send_signal(signal.SIGTERM)
    output = finish(first)
    finish(second)
    step = steps_saved(workdir)[-1]
    assert f"step {step} is saved" in output


@pytest.mark.parametrize(
    "name",
    [
        "digit_scenes.py:debug",
        "bit_s_imagenet2012.py:debug",
        "bit_m_imagenet21k.py:debug",
        "bit_transfer.py:dataset=cifar10,model=R50x1,debug",
    ],
)
def test_every_config_runs_with_debug(start, tmp_path, name):
    """On TFDS's mock data: nothing is prepared or fetched."""
    output = finish(start(tmp_path / "run", config=f"configs/{name}"))
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["num_images"] == 64
    assert ("real" in record) == ("digit_scenes" in name or "2012" in name)
    assert "Traceback" not in output


@pytest.fixture
def shapes(tmp_path):
    """A dataset of one's own: red and blue pictures in class folders, none of them set apart."""
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
    """From another number of classes; the small model of `tiny` in place of one of the family."""
    public = tmp_path / "BiT.npz"
    checkpoint.save_npz(public, final_state(finished[0], scenes_dir, 12)["params"])
    config = f"configs/bit_transfer.py:dataset={shapes},model=R50x1"
    model = ["--config.model.depth=(1,)", "--config.model.width=0.5"]
    few = ["--config.input.batch_size=16", "--config.total_steps=60", "--config.input.size=32"]
    few += ["--config.optimizer.warmup_steps=5", "--config.log_every_steps=20"]
    few += ["--config.optimizer.base_learning_rate=0.02", "--config.input.accumulate_steps=2"]
    output = finish(
        start(tmp_path / "run", *model, *few, f"--config.init_npz={public}", config=config)
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
    # The model in the public layout, evaluated by its name, gives the same predictions.
    exported = tmp_path / "run" / "BiT-R50x1-shapes.npz"
    output = finish(
        start(
            tmp_path / "again",
            "--mode=evaluate",
            f"--config.init_npz={exported}",
            "--config.eval.size=32",
            *model,
            config=config,
        )
    )
    assert "Traceback" not in output
    # So does the run itself, which knows its size.
    finish(start(tmp_path / "run", "--mode=evaluate", *model, config=config))
    again = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (again["size"], again["original"]) == (32, record["original"])
    ours, theirs = (Predictions.load(tmp_path / w / "predictions.npz") for w in ("again", "run"))
    np.testing.assert_array_equal(ours.file_names, theirs.file_names)
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)


def test_sigterm_while_evaluating_keeps_what_was_found(finished, start, scenes_dir, tmp_path):
    """Many slow batches; the same command goes on after them."""
    public = tmp_path / "BiT.npz"
    checkpoint.save_npz(public, final_state(finished[0], scenes_dir, 12)["params"])
    arguments = ["--mode=evaluate", f"--config.init_npz={public}", "--config.eval.batch_size=1"]
    arguments += ["--config.eval.size=300", "--config.example_images=0"]
    process = start(tmp_path / "run", *arguments)
    wait_for_line(process, "Evaluating")
    process.send_signal(signal.SIGTERM)
    output = finish(process)
    assert "the same command goes on" in output
    assert not (tmp_path / "run" / "results.json").exists()
    output = finish(start(tmp_path / "run", *arguments))
    assert "Going on after" in output
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["num_images"] == SMALL["validation"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--config.model.dpeth=50"], "dpeth"),
        (["--config.model.depth=34"], "model.depth: expected 50, 101, 152"),
        (["--config.input.batch_size=-4"], "input.batch_size: expected a whole number"),
        (["--config.input.split=tset"], "Unknown split 'tset'"),
        (["--config.num_classes=12"], "has 10 classes (original_label), but num_classes is 12"),
        (["--config.init_npz=nowhere.npz"], "nowhere.npz: there is no such checkpoint file"),
        (["--config.optimizer.warmup_steps=12"], "optimizer.warmup_steps: expected less than"),
        (["--config.checkpoint_best=loss"], "checkpoint_best: expected one of"),
        (["--mode=evaluate"], "there is nothing to evaluate"),
        (["--mode=eval"], "flag --mode=eval: value should be one of <train|evaluate>"),
        (["--config=configs/nowhere.py"], "No such file or directory: 'configs/nowhere.py'"),
        (["--config=configs/bit_transfer.py:model=R18x1"], "there is no BiT model 'R18x1'"),
        (["--config.input.dataset=cifar10_corrupted/x"], "TFDS cannot open 'cifar10_corrupted/x'"),
        (["--config.input.dataset=./nowhere"], "there is no such folder or tar of images"),
        (["--config.total_steps=many"], "--config.total_steps=many: invalid literal"),
    ],
)
def test_bad_input_gets_one_clear_message(start, tmp_path, arguments, complaint):
    process = start(tmp_path / "run", *arguments)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert complaint in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops(start, tmp_path):
    process = start(
        tmp_path / "run", "--config.optimizer.base_learning_rate=1e30", "--config.total_steps=60"
    )
    output = finish(process, code=1)
    assert "at step" in output
    assert "checkpoint" in output
    assert "Traceback" not in output

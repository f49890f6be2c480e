"""Runs that are killed, stopped or damaged end like undisturbed runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest

from big_transfer import training
from big_transfer.evaluation.evaluator import Evaluator
from real_labels import Predictions
from tests.configs import tiny
from tests.conftest import PATIENCE
from tests.main.processes import final_state, finish, steps_saved, wait_for_line


def test_killed_and_stopped_runs_end_bit_identical(finished, start, scenes_dir, tmp_path):
    """SIGKILL while saving, SIGKILL later, SIGTERM; then the run continues to its end."""
    workdir = tmp_path / "disturbed"

    def stop_when(condition, number):
        process = start(workdir)
        deadline = time.time() + PATIENCE
        while process.poll() is None and not condition() and time.time() < deadline:
            time.sleep(0.002)
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    def kill_when(condition, begun):
        """Repeats the run from the same start if it ends before it can be killed, as on a busy machine."""
        for _ in range(20):
            code, output = stop_when(condition, signal.SIGKILL)
            if code == -signal.SIGKILL:
                return
            assert code == 0, output
            shutil.rmtree(workdir)
            if begun.exists():
                shutil.copytree(begun, workdir)
        raise AssertionError("twenty runs ended before they could be killed")

    def saving():
        return any(".orbax-checkpoint-tmp" in str(p) for p in (workdir / "checkpoints").glob("*"))

    kill_when(saving, tmp_path / "nothing")
    first = steps_saved(workdir)
    assert not first or first[-1] < 12
    shutil.copytree(workdir, tmp_path / "begun")
    kill_when(lambda: len(steps_saved(workdir)) > len(first), tmp_path / "begun")
    second = steps_saved(workdir)
    code, output = stop_when(lambda: bool((workdir / "config.json").exists()), signal.SIGTERM)
    assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM), output
    output = finish(start(workdir))
    if second:
        assert "Resuming from" in output
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
    seen = wait_for_line(process, "Resuming from")
    assert f"checkpoints/{step}" in seen
    process.kill()


def test_a_signal_before_the_loop_and_a_second_signal_are_one_line(start, tmp_path):
    process = start(tmp_path / "early")
    wait_for_line(process, "device(s)")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT, output
    assert "Interrupted. Run the same command again" in output and "Traceback" not in output
    process = start(tmp_path / "twice", "--config.total_steps=100000", "--config.model.width=4.0")
    wait_for_line(process, "step  ")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    # The second signal may come when the run has stopped by itself.
    assert process.returncode in (0, 128 + signal.SIGTERM), output
    assert "Traceback" not in output


def test_the_last_evaluation_can_be_interrupted(tmp_path, scenes_dir, monkeypatch):
    """The last step is saved before it, so the next start has only the evaluation to do."""
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    config.total_steps = config.eval_every_steps = 2
    config.optimizer.warmup_steps = 1
    run = Evaluator.run

    def interrupted(evaluator, params, partial=None, notice=None):
        if notice is not None:
            signal.raise_signal(signal.SIGTERM)
        return run(evaluator, params, partial, notice)

    monkeypatch.setattr(Evaluator, "run", interrupted)
    assert training.train_and_evaluate(config, tmp_path / "run") is None
    assert steps_saved(tmp_path / "run") == [2]
    assert training.train_and_evaluate(config, tmp_path / "run") is None  # again, before any step
    assert not (tmp_path / "run" / "results.json").exists()
    monkeypatch.setattr(Evaluator, "run", run)
    assert training.train_and_evaluate(config, tmp_path / "run").step == 2


def test_what_killed_writes_left_is_removed_at_the_next_start(finished, start, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    old = tmp_path / "run" / ".0123abcd.results.json"
    new = tmp_path / "run" / ".89abcdef.predictions.npz"
    for path in (old, new, tmp_path / "run" / ".own"):
        path.write_text("{")
    os.utime(old, (0, 0))
    finish(start(tmp_path / "run"))
    assert not old.exists() and new.exists() and (tmp_path / "run" / ".own").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 700 KiB, or a skip where disks cannot be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this test mounts a small disk, which needs the rights of root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on(
    finished, start, small_disk, tmp_path, scenes_dir
):
    output = finish(start(small_disk / "run", "--config.example_images=0"), code=1)
    assert "a checkpoint cannot be saved (the disk is full). Free space" in output
    assert "Traceback" not in output and "Errno" not in output
    assert len(output.splitlines()) < 40  # the overview of the parameters among them
    (folder := tmp_path / "more").mkdir()
    shutil.copytree(small_disk / "run", folder / "run")
    finish(start(folder / "run", "--config.example_images=0"))
    jax.tree.map(
        np.testing.assert_array_equal,
        final_state(folder / "run", scenes_dir, 12),
        final_state(finished[0], scenes_dir, 12),
    )


def test_a_corrupt_checkpoint_costs_only_its_steps(finished, start, scenes_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    for name in ("results.json", "predictions.npz"):
        (workdir / name).unlink()
    for path in (workdir / "checkpoints" / "12").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    output = finish(start(workdir))
    assert "Skipping a corrupt checkpoint" in output
    assert f"Resuming from {workdir}/checkpoints/9" in output
    assert "Traceback" not in output
    jax.tree.map(
        np.testing.assert_array_equal,
        final_state(workdir, scenes_dir, 12),
        final_state(finished[0], scenes_dir, 12),
    )


def test_a_run_killed_between_last_checkpoint_and_results_is_completed(finished, start, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    (workdir / "results.json").unlink()
    (workdir / "predictions.npz").unlink()
    finish(start(workdir))
    ours, theirs = (json.loads((w / "results.json").read_text()) for w in (workdir, finished[0]))
    assert ours["real"] == theirs["real"]
    a, b = (Predictions.load(w / "predictions.npz") for w in (workdir, finished[0]))
    np.testing.assert_array_equal(a.scores, b.scores)


def test_a_diverging_run_stops(start, tmp_path):
    process = start(
        tmp_path / "run", "--config.optimizer.base_learning_rate=1e30", "--config.total_steps=60"
    )
    output = finish(process, code=1)
    assert "at step" in output
    assert "checkpoint" in output
    assert "Traceback" not in output

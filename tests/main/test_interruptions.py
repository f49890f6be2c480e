"""Runs that are killed, stopped or damaged end like undisturbed runs."""

from __future__ import annotations

import json
import shutil
import signal
import time

import jax
import numpy as np

from real_labels import Predictions
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
    assert code in (0, -signal.SIGTERM), output
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

"""Tests --mode=evaluate on runs and public checkpoints."""

from __future__ import annotations

import json
import shutil
import signal

import numpy as np
import pytest

from big_transfer import checkpoint
from real_labels import Predictions
from tests.conftest import SMALL
from tests.main.processes import final_state, finish, steps_saved, wait_for_line


@pytest.fixture
def finished(finished, tmp_path):
    """A copy of the finished run, so that evaluations may write into its workdir."""
    shutil.copytree(finished[0], tmp_path / "finished")
    return tmp_path / "finished", finished[1]


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
    finish(start(tmp_path / "eval", "--mode=evaluate", f"--config.checkpoint={npz}"))
    ours = Predictions.load(tmp_path / "eval" / "predictions.npz")
    theirs = Predictions.load(workdir / "predictions.npz")
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    record = json.loads((tmp_path / "eval" / "results.json").read_text())
    assert record["step"] == 0
    output = finish(start(workdir, "--mode=evaluate", f"--config.checkpoint={npz}"), code=1)
    assert "Give another --workdir" in output


def test_evaluating_with_another_model_harms_nothing(finished, start):
    workdir, _ = finished
    before = steps_saved(workdir)
    output = finish(start(workdir, "--mode=evaluate", "--config.model.width=1.0"), code=1)
    assert "model.width: 0.5 in the workdir, 1.0 now" in output
    assert steps_saved(workdir) == before


def test_sigterm_while_evaluating_keeps_what_was_found(finished, start, scenes_dir, tmp_path):
    """The batches are many and slow; the same command continues after the evaluated batches."""
    public = tmp_path / "BiT.npz"
    checkpoint.save_npz(public, final_state(finished[0], scenes_dir, 12)["params"])
    arguments = ["--mode=evaluate", f"--config.checkpoint={public}", "--config.eval.batch_size=1"]
    arguments += ["--config.eval.size=300", "--config.example_images=0"]
    process = start(tmp_path / "run", *arguments)
    wait_for_line(process, "Evaluating")
    process.send_signal(signal.SIGTERM)
    output = finish(process)
    assert "run the same command again to continue" in output
    assert not (tmp_path / "run" / "results.json").exists()
    output = finish(start(tmp_path / "run", *arguments))
    assert "Continuing after" in output
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["num_images"] == SMALL["validation"]

"""A run that is killed at any moment ends like an undisturbed run, when it is started again."""

from __future__ import annotations

import json
import shutil
import signal

import jax
import numpy as np
import pytest

from tests.conftest import PATIENCE
from tests.main.processes import final_state, finish, killed

# In an undisturbed run: operations on files of its workdir; steps, and batches of the last evaluation.
FILES, BATCHES = 106, 16
MOMENTS = [("file", number) for number in range(0, FILES - 6, 3)] + [
    ("batch", number) for number in range(BATCHES)
]
SHORT = [("file", 24), ("batch", 14)]  # while a checkpoint is written; in the last evaluation
LONG = [moment for moment in MOMENTS if moment not in SHORT]
RESULTS = ("predictions.npz", "class_names.json", "examples.png", "results.json", "config.json")


def run(start, workdir, moment):
    return start(workdir, program=killed(*moment))


def contents(workdir):
    """The results of a run, without speeds, and without the workdir's own path."""
    found = {}
    for name in RESULTS:
        path = workdir / name
        if name == "results.json":
            record = json.loads(path.read_text())
            record.pop("images_per_second")
            found[name] = record
        elif name == "predictions.npz":
            with np.load(path) as archive:
                found[name] = {key: archive[key].tobytes() for key in archive.files}
        else:
            found[name] = path.read_bytes()
    return found


def killed_run_ends_the_same(finished, start, scenes_dir, workdir, moment):
    process = run(start, workdir, moment)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, f"{moment} never came:\n{output}"
    output = finish(run(start, workdir, ("file", -1)))
    assert "Traceback" not in output
    jax.tree.map(
        np.testing.assert_array_equal,
        final_state(workdir, scenes_dir, 12),
        final_state(finished[0], scenes_dir, 12),
    )
    assert contents(workdir) == contents(finished[0])
    left, expected = (
        {path.name for path in w.iterdir() if "tfevents" not in path.name}
        for w in (workdir, finished[0])
    )
    assert left == expected
    shutil.rmtree(workdir)


@pytest.mark.parametrize("moment", SHORT, ids=lambda m: f"{m[0]}-{m[1]}")
def test_a_killed_run_ends_the_same(finished, start, scenes_dir, tmp_path, moment):
    killed_run_ends_the_same(finished, start, scenes_dir, tmp_path / "run", moment)


@pytest.mark.long
@pytest.mark.parametrize("moment", LONG, ids=lambda m: f"{m[0]}-{m[1]}")
def test_a_run_killed_at_any_moment_ends_the_same(finished, start, scenes_dir, tmp_path, moment):
    killed_run_ends_the_same(finished, start, scenes_dir, tmp_path / "run", moment)


@pytest.mark.long
def test_the_moments_cover_the_run(start, tmp_path):
    output = finish(run(start, tmp_path / "run", ("file", -1)))
    num_files, num_batches = map(int, output.rpartition("moments: ")[2].split())
    assert abs(num_files - FILES) <= 6 and num_batches == BATCHES, output

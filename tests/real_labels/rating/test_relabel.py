"""The complete loop of `make relabel`, on a few images."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np

from tests.real_labels.rating.conftest import pictures

PROJECT = pathlib.Path(__file__).resolve().parents[3]
IMAGES, CLASSES = 400, 6


def test_new_labels_are_better_than_the_original_ones(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"scene_{i:03d}.png" for i in range(IMAGES)]
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    pictures(scenes / "images", names)
    truth = [
        sorted(rng.choice(CLASSES, rng.choice([0, 1, 1, 1, 2]), replace=False).tolist())
        for _ in names
    ]
    wrong = rng.random(IMAGES) < 0.3
    original = [
        int(rng.integers(CLASSES)) if is_wrong or not valid else int(rng.choice(valid))
        for is_wrong, valid in zip(wrong, truth)
    ]
    (scenes / "real.json").write_text(json.dumps(dict(zip(names, truth))))
    (scenes / "original.json").write_text(json.dumps(dict(zip(names, ([c] for c in original)))))
    (scenes / "class_names.json").write_text(json.dumps([f"digit {c}" for c in range(CLASSES)]))
    models = []
    for model in range(3):
        scores = rng.random((IMAGES, CLASSES))
        for row, valid in enumerate(truth):
            scores[row, valid] += 0.6
        (tmp_path / f"m{model}").mkdir()
        models.append(tmp_path / f"m{model}" / "predictions.npz")
        order = np.argsort(-scores, axis=1)
        np.savez(
            models[-1],
            file_names=np.array(names),
            classes=order.astype(np.int32),
            scores=np.take_along_axis(scores, order, axis=1).astype(np.float32),
        )
    done = subprocess.run(
        [sys.executable, PROJECT / "benchmarks" / "relabel.py", *models, f"--scenes={scenes}",
         f"--out={tmp_path / 'out'}"],
        capture_output=True, text=True, check=False, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "acknowledged answers and no other answers" in done.stdout
    assert "The export holds all " in done.stdout
    assert "they know the truth and err" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    new, old = summary["new_labels"], summary["original_labels"]
    for name in ("precision", "recall", "exact"):
        assert new["intervals"][name][0] > old["intervals"][name][1], name
    assert 3 <= summary["answers_per_question"] < 5
    assert summary["proposals"].keys() == {"recall", "precision", "per_image"}
    assert summary["models"].keys() == {"m0", "m1", "m2"}
    assert all(model.keys() == {"original", "new", "true"} for model in summary["models"].values())

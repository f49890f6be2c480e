"""The proposals of a model, against plain NumPy over all probabilities."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.special

from real_labels import cli
from real_labels.errors import InputError
from real_labels.predictions.reading import PredictionFile
from real_labels.proposals import Rules

N, C = 50, 30
NAMES = [f"{i:03d}.png" for i in range(N)]


@pytest.fixture
def folder(tmp_path):
    """Logits of two models, sharp on some images and flat on others, and the labels."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, C, N)
    for name in ("a", "b"):
        logits = rng.normal(size=(N, C)) * rng.uniform(0.2, 2, (N, 1))
        logits[np.arange(N), label] += rng.uniform(0, 6, N)
        np.savez(tmp_path / f"{name}.npz", file_names=np.array(NAMES), logits=logits)
    (tmp_path / "original.json").write_text(json.dumps(dict(zip(NAMES, label.tolist()))))
    return tmp_path


def proposed(folder, *options):
    """Runs propose; returns {(file name, label): models} and the labels of the unrated images."""
    arguments = ["propose", folder / "a.npz", folder / "b.npz", "--out", folder / "p.csv"]
    arguments += ["--original", folder / "original.json", "--unrated-out", folder / "u.json"]
    cli.main([str(a) for a in (*arguments, *options)])
    table = pd.read_csv(folder / "p.csv", keep_default_na=False)
    pairs = {(r.file_name, r.label): r.models for r in table.itertuples()}
    return pairs, json.loads((folder / "u.json").read_text())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top-k": 3},
        {"above": 0.02},
        {"above": 0.0005},
        {"most-confident": 70},
        {"most-confident": 1_400},
        {"top-k": 2, "above": 0.3, "most-confident": 90},
    ],
)
def test_proposals_of_logits(folder, options):
    original = json.loads((folder / "original.json").read_text())
    wanted, firsts = {(name, label): [] for name, label in original.items()}, {}
    for model in ("a", "b"):
        chance = scipy.special.softmax(np.load(folder / f"{model}.npz")["logits"], axis=1)
        rank = np.argsort(np.argsort(-chance, axis=1), axis=1)
        taken = rank < options.get("top-k", 1)
        if "above" in options:
            taken |= chance > options["above"]
        if "most-confident" in options:
            taken |= chance >= np.sort(chance.ravel())[-options["most-confident"]]
        for row, class_ in zip(*np.nonzero(taken)):
            wanted.setdefault((NAMES[row], int(class_)), []).append(model)
        firsts[model] = chance.argmax(axis=1).tolist()
    unrated = {
        name: [label]
        for i, (name, label) in enumerate(original.items())
        if all(first[i] == label for first in firsts.values())
    }
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    pairs, left = proposed(folder, *given)
    assert left == unrated and 0 < len(left) < N
    assert pairs == {
        pair: ";".join(models) for pair, models in wanted.items() if pair[0] not in unrated
    }


def test_ranked_files_propose_their_ranked_classes(folder):
    classes = np.tile([[0, 1, 2]], (N, 1))
    scores = np.tile(np.float32([[0.6, 0.3, 0.05]]), (N, 1))
    ranked = PredictionFile(np.array(NAMES), classes, scores)
    assert Rules(3, 0.1).ranked(ranked) is ranked
    (remark,) = Rules(3, 0.04).ranked(ranked).remarks
    assert remark.startswith("On 50 images the last of the 3 ranked classes is proposed")
    for rules, file, message in (
        (Rules(4), ranked, r"has 3 ranked classes per image, but --top-k 4 needs 4"),
        (Rules(above=0.1), PredictionFile(None, classes), "has no scores"),
        (Rules(above=0.1), PredictionFile(None, classes, 9 * scores), "not probabilities"),
        (
            Rules(above=0.1),
            PredictionFile(None, classes, scores[:, ::-1]),
            "scores that rise along",
        ),
        (Rules(9), PredictionFile(None, classes, scores, np.ones((N, 5))), "has 5 classes, fewer"),
    ):
        with pytest.raises(InputError, match=message):
            rules.ranked(file)


def test_bad_rules():
    for wrong in ({"top_k": 0}, {"above": 1.0}, {"above": -0.1}, {"above": float("nan")},
                  {"most_confident": 0}):  # fmt: skip
        with pytest.raises(InputError, match="expected"):
            Rules(**wrong)


def test_sigmoids_need_not_add_up(folder):
    """Scores between 0 and 1 are taken as probabilities, so several classes may be above ½."""
    chance = np.full((N, C), 0.1)
    chance[:, :4] = 0.9
    np.savez(folder / "a.npz", file_names=np.array(NAMES), sigmoid=chance)
    pairs, _ = proposed(folder, "--above", 0.5)
    by_a = [label for (name, label), models in pairs.items() if models.startswith("a")]
    assert set(by_a) == {0, 1, 2, 3}

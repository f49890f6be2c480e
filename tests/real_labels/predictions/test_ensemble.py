"""Ensembles of several models, compared with plain loops."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from real_labels import LabelSets, Predictions, cli

NAMES = [f"{i:03d}.jpg" for i in range(80)]
LABEL = np.arange(80) % 7


@pytest.fixture
def folder(tmp_path):
    """Three files of logits (one of them in another order), one of probabilities, two of ranks."""
    rng = np.random.default_rng(0)
    LabelSets.from_lists(NAMES, [[c] for c in LABEL.tolist()]).to_json(tmp_path / "original.json")
    for number in range(3):
        logits = rng.normal(size=(80, 7)).astype(np.float32)
        logits[np.arange(80), LABEL] += 1.5
        order = rng.permutation(80) if number == 1 else np.arange(80)
        np.savez(
            tmp_path / f"l{number}.npz", file_names=np.array(NAMES)[order], logits=logits[order]
        )
    np.savez(tmp_path / "p.npz", file_names=NAMES, probabilities=softmax(logits, axis=1))
    for number in range(3):
        ranks = np.argsort(-rng.random((80, 7)) - 0.6 * (np.arange(7) == LABEL[:, None]), axis=1)
        Predictions(NAMES, ranks[:, : 5 - (number == 2)]).save(tmp_path / f"r{number}.npz")
    return tmp_path


def run(folder, *files, out="out.npz"):
    cli.main(["ensemble", *(str(folder / f) for f in files), "--out", str(folder / out),
              "--original", str(folder / "original.json")])  # fmt: skip
    return Predictions.load(folder / out)


def test_scores_are_averaged_as_probabilities(folder, capsys):
    found = run(folder, "l0.npz", "l1.npz", "p.npz")
    assert (
        "3 models together, by the mean of their probabilities, on 80 images"
        in capsys.readouterr().out
    )
    total = np.zeros((80, 7))
    for file in ("l0", "l1", "p"):
        with np.load(folder / f"{file}.npz") as archive:
            rows = np.argsort(archive["file_names"])
            scores = archive["probabilities" if file == "p" else "logits"][rows].astype(np.float64)
        total += (scores if file == "p" else softmax(scores, axis=1)) / 3
    np.testing.assert_array_equal(found.classes, np.argsort(-total, axis=1)[:, :5])
    np.testing.assert_allclose(found.scores, -np.sort(-total, axis=1)[:, :5], atol=1e-6)


def test_ranks_are_votes(folder, capsys):
    found = run(folder, "r0.npz", "r1.npz", "r2.npz")
    assert "by the votes of their ranks" in capsys.readouterr().out and found.scores is None
    ranked = [Predictions.load(folder / f"r{i}.npz").classes for i in range(3)]
    for image in range(80):
        rows = [one[image, :4].tolist() for one in ranked]
        votes = {}
        for model, row in enumerate(rows):
            for rank, class_ in enumerate(row):
                points, best = votes.get(class_, (0, (9, 9)))
                votes[class_] = points + 4 - rank, min(best, (rank, model))
        expected = sorted(votes, key=lambda c: (-votes[c][0], votes[c][1]))[:4]
        assert found.classes[image].tolist() == expected


def test_scores_of_the_first_classes_are_averaged(folder, capsys):
    """As in our own predictions.npz; the other classes count as 0."""
    rng = np.random.default_rng(3)
    total = np.zeros((80, 7))
    for number in range(2):
        share = softmax(2 * rng.normal(size=(80, 7)), axis=1).astype(np.float32)
        ranks = np.argsort(-share, axis=1)[:, : 5 - number]
        Predictions(NAMES, ranks, np.take_along_axis(share, ranks, axis=1)).save(
            folder / f"t{number}.npz"
        )
        np.put_along_axis(share, np.argsort(-share, axis=1)[:, 5 - number :], 0, axis=1)
        total += share / 2
    found = run(folder, "t0.npz", "t1.npz")
    assert "by the mean of their probabilities" in capsys.readouterr().out
    np.testing.assert_array_equal(found.classes, np.argsort(-total, axis=1)[:, :4])
    np.testing.assert_allclose(found.scores, -np.sort(-total, axis=1)[:, :4], atol=1e-6)


def test_one_file_without_scores_makes_it_a_vote(folder):
    found = run(folder, "l0.npz", "r0.npz")
    assert found.scores is None and found.classes.shape == (80, 5)


def test_three_real_models_are_better_than_each(shared, tmp_path, capsys):
    models = ["nasnet_large_tf", "pnasnet5large", "pnasnet_large_tf"]
    path = shared / "imagenet_models" / "top5.npz"
    cli.main(
        ["ensemble", str(path), "--models", ",".join(models), "--out", str(tmp_path / "e.npz")]
    )
    cli.main(["score", str(tmp_path / "e.npz"), "--json", str(tmp_path / "s.json"),
              "--data-dir", str(shared)])  # fmt: skip
    (record,) = json.loads((tmp_path / "s.json").read_text())
    assert round(100 * record["original"]["top1"]["value"], 2) == 83.61
    assert round(100 * record["real"]["top1"]["value"], 2) == 88.33
    with pytest.raises(
        SystemExit, match="--models alexnet: there is no such model among 60, such as"
    ):
        cli.main(["ensemble", str(path), "--models", "alexnet", "--out", str(tmp_path / "e.npz")])


def test_what_does_not_go_together(folder):
    def fails(*files, says):
        with pytest.raises(SystemExit, match=says):
            run(folder, *files)

    fails("l0.npz", says="an ensemble needs two models or more")
    Predictions(NAMES[:70], LABEL[:70, None] ^ (np.arange(70)[:, None] % 3 == 0)).save(
        folder / "part.npz"
    )
    fails(
        "l0.npz",
        "part.npz",
        says=r"part.npz: has other images .*found 70 images, expected the same 80, of which 10 are missing",
    )
    np.savez(folder / "wide.npz", file_names=NAMES, logits=np.eye(8)[LABEL] * 3.0)
    fails(
        "l0.npz",
        "wide.npz",
        says="wide.npz: has scores of 8 classes; expected 7, as in the first file",
    )
    Predictions(NAMES, (LABEL[:, None] + np.arange(1, 4)) % 8).save(folder / "shifted.npz")
    fails("l0.npz", "shifted.npz", says="shifted.npz: is mixed up, so it would spoil the others")
    fails("l0.npz", "l0.npz", says="l0.npz: is given twice")
    fails("l0.npz", "none.npz", says="none.npz: there is no such file")
    with pytest.raises(SystemExit, match="would be overwritten, though it is read"):
        run(folder, "l0.npz", "l1.npz", out="l0.npz")

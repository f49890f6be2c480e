"""python -m real_labels report: its messages about inputs that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from real_labels import LabelSets, Predictions, cli
from tests.real_labels.analysis import worlds
from tests.real_labels.analysis.reports import labels_of, run, write


def test_predictions_of_another_dataset_leave_the_rest(files, tmp_path, capsys):
    other = worlds.labels(images=50, seed=5)
    sets = LabelSets(
        np.array([f"other{i}.png" for i in range(50)]), other[0].offsets, other[0].classes
    )
    Predictions.from_labels(sets).save(tmp_path / "other.npz")
    record, _printed, complaint = run(
        capsys, tmp_path / "other.npz", files / "good.npz", tmp_path / "gone.npy", "--out",
        tmp_path / "out", *labels_of(files), fails=True,
    )  # fmt: skip
    assert list(record["models"]) == ["good"] == [record["shown"]]
    assert "other.npz: 50 of 50 file names are of no image that has labels" in complaint
    assert "gone.npy: there is no such file" in complaint
    assert any("other.npz" in remark for remark in record["remarks"])
    assert "other.npz" in (tmp_path / "out" / "index.html").read_text()
    record, _, _ = run(
        capsys, tmp_path / "other.npz", "--out", tmp_path / "none", *labels_of(files), fails=True
    )
    assert not record["models"]
    for key in ("accuracy", "triage", "rater_preference", "calibration"):
        assert not record["sections"][key]["lead"]
        assert "No predictions can be used: " in record["sections"][key]["missing"][0]
        assert "other.npz" in record["sections"][key]["missing"][0]
    for key in ("several_labels", "confusable_pairs", "label_errors"):
        assert record["sections"][key]["lead"]


def test_a_good_report_is_not_lost_to_a_bad_command(files, tmp_path, capsys):
    out = tmp_path / "out"
    run(capsys, files / "good.npz", files / "bad.npz", "--out", out, *labels_of(files))
    (out / "lists" / "mine.csv").write_text("mine")
    before = (out / "index.html").read_text()
    _, printed, complaint = run(
        capsys, tmp_path / "gone.npz", "--out", out, *labels_of(files), fails=True
    )
    assert "gone.npz: there is no such file" in complaint and "is left as it is" in complaint
    assert (out / "index.html").read_text() == before and not printed
    # Another report replaces it, and removes the files that only the first report wrote.
    run(capsys, files / "bad.npz", "--out", out, *labels_of(files))
    assert not (out / "lists" / "mistakes_good.csv").exists()
    assert (out / "lists" / "mistakes_bad.csv").exists() and (out / "lists" / "mine.csv").exists()


def test_labels_that_were_mixed_up(files, tmp_path, capsys):
    same = files / "original.json"
    record, _, _ = run(
        capsys, files / "good.npz", "--out", tmp_path / "out", "--labels", same, "--original", same
    )
    assert any("are the same" in remark for remark in record["remarks"])
    with pytest.raises(SystemExit) as error:
        cli.main(["report", "--out", str(tmp_path / "x"), "--labels", str(same), "--original",
                  str(files / "real.json")])  # fmt: skip
    assert "Are --labels and --original exchanged?" in str(error.value)
    swapped = write(tmp_path / "t.csv", model=list("abc"), original=[90, 80, 70], real=[80, 70, 60])
    record, _, _ = run(
        capsys, "--accuracy-table", swapped, "--out", tmp_path / "t", "--data-dir", tmp_path
    )
    assert any("are the two exchanged?" in remark for remark in record["remarks"])


def test_letters_that_the_figures_font_lacks(files, tmp_path, capsys):
    (tmp_path / "names.json").write_text(json.dumps([f"猫{i}" for i in range(12)]))
    record, printed, complaint = run(
        capsys, files / "good.npz", "--out", tmp_path / "out", *labels_of(files),
        "--class-names", tmp_path / "names.json",
    )  # fmt: skip
    assert "Glyph" not in printed + complaint
    assert [remark for remark in record["remarks"] if "lack some letters" in remark]
    assert "猫3" in (tmp_path / "out" / "figures" / "confusable_pairs.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--labels", "missing.json"], "missing.json: there is no such file"),
        (["--images", "nowhere"], "nowhere: there is no such folder of images"),
        (["--class-names", "short.txt"], "short.txt: names 2 classes; expected 12"),
        (["--class-names", "long.json", "--num-classes", "12"], "names 13 classes; expected 12"),
        (["--show", "best"], "--show best: there is no such model; there are good"),
        (["--seed", "-1"], "The seed must be at least 0"),
        (["--assume", "upside-down"], "upside-down"),
        (["--scores", "answers.csv"], "answers.csv: is not a .npz file"),
        (
            ["--accuracy-table", "a", "b", "c"],
            "--accuracy-table c: expected NAME=FILE for each table after the first two, such as shankar=c.",
        ),
        (["--out", "names.json"], "names.json: is a file; name a folder"),
        (["--out", ""], "--out: name a folder"),
        (["--accuracy-table", "all.csv"], "are the same; is one file given twice?"),
    ],
)
def test_bad_arguments_get_one_line(files, tmp_path, capsys, monkeypatch, arguments, says):
    monkeypatch.chdir(files)
    (files / "short.txt").write_text("one\ntwo\n")
    (files / "long.json").write_text(json.dumps([str(i) for i in range(13)]))
    write(files / "all.csv", model=["a", "b"], original=[70, 80], real=[70, 80])
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    labels = [str(a) for a in labels_of(files)]
    if "--labels" in arguments:
        labels = labels[2:]
    with pytest.raises(SystemExit) as error:
        cli.main(["report", "good.npz", *labels, *out, *arguments])
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()

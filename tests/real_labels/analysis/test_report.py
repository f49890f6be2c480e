"""python -m real_labels report: the files that it writes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from real_labels import LabelSets, Predictions
from real_labels.analysis import report
from tests.real_labels.analysis import loops, worlds
from tests.real_labels.analysis.reports import labels_of, run, write

# With ReaL alone there is no section on agreement, and there are no reviewed mistakes on these images.
KEYS = [a.key for a in report.ANALYSES if a.key not in ("agreement", "reviewed_mistakes")]


def test_everything_is_there_and_the_numbers_are_those_of_loops(files, tmp_path, capsys, small):
    out = tmp_path / "report"
    record, printed, _ = run(
        capsys, *(files / f"{name}.npz" for name in ("good", "fair", "bad")), "--out", out,
        *labels_of(files), "--answers", files / "answers.csv", "--images", files / "images",
        "--class-names", files / "names.json", "--dataset", "Made up",
    )  # fmt: skip
    assert list(record["sections"]) == KEYS
    assert record["models"] == {n: str(files / f"{n}.npz") for n in ("good", "fair", "bad")}
    for key, section in record["sections"].items():
        assert any(letter.isdigit() for letter in section["lead"]), key
        assert section["lead"].split(".")[0].replace(" ", "")[:40] in printed.replace(
            "\n", ""
        ).replace(" ", "")
        for ending in ("png", "svg"):
            assert (out / "figures" / f"{key}.{ending}").stat().st_size > 1_000
        with Image.open(out / "figures" / f"{key}.png") as image:
            assert min(image.size) > 200 and len(set(image.convert("L").getdata())) > 20
    assert f"The report: {out}/index.html" in printed
    good = Predictions.load(files / "good.npz")
    mistakes = pd.read_csv(out / "lists" / "mistakes_good.csv")
    assert dict(zip(mistakes["file_name"], mistakes["kind"])) == loops.triage(good, *small)
    number = mistakes[["original_score", "predicted_score"]].notna().sum(axis=1)
    assert number.is_monotonic_decreasing and set(number) == {0, 1, 2}
    assert mistakes["sureness"][number == 2].is_monotonic_decreasing
    assert "nan" not in (out / "lists" / "mistakes_good.csv").read_text()
    real = dict(zip(small[1].file_names.tolist(), small[1].to_lists()))
    for row in mistakes.fillna("").itertuples():
        assert [int(c) for c in str(row.real).replace(".0", "").split()] == real[row.file_name]
        assert row.predicted_name == f"name<{row.predicted}>&"
    errors = pd.read_csv(out / "lists" / "label_errors.csv")
    by_class = pd.read_csv(out / "lists" / "label_errors_by_class.csv")
    assert len(errors) == by_class["rejected"].sum()
    asked = errors[["answers_no", "answers_maybe", "answers_yes"]].sum(axis=1)
    assert set(asked) == {0, 3}
    models = pd.read_csv(out / "lists" / "models.csv").set_index("model")
    top1 = record["sections"]["accuracy"]["numbers"]["models"]["fair"]["real"]["top1"]
    assert models.loc["fair", "real_top1_value"] == pytest.approx(top1["value"])
    page = (out / "index.html").read_text()
    assert "name&lt;3&gt;&amp;" in page and "name<3>&" not in page
    assert f">{100 * top1['value']:.2f}%<" in page.replace("\n", "").replace(" ", "")
    interval = f"[{100 * top1['low']:.2f},\N{NO-BREAK SPACE}{100 * top1['high']:.2f}]"
    assert interval in page
    assert page.count("<svg") == len(KEYS) and "http" not in page.replace(
        "http://www.w3.org", ""
    ).replace("http-equiv", "")
    again = out.parent / "again"
    run(capsys, *(files / f"{name}.npz" for name in ("good", "fair", "bad")), "--out", again,
        *labels_of(files), "--answers", files / "answers.csv", "--images", files / "images",
        "--class-names", files / "names.json", "--dataset", "Made up")  # fmt: skip
    assert (again / "index.html").read_text() == page


def test_on_imagenet_the_published_files_are_found(published, tmp_path, capsys, simulated):
    simulated.save(tmp_path / "predictions.npz")
    record, _printed, _ = run(
        capsys, tmp_path / "predictions.npz", "--out", tmp_path / "out", "--data-dir", published
    )
    sections = record["sections"]
    assert record["dataset"] == "ILSVRC-2012 validation"
    assert list(record["models"]) == [
        tmp_path.name
    ]  # the folder's name, since the file is called predictions
    for key in KEYS:
        assert sections[key]["lead"], key
    errors = sections["label_errors"]["numbers"]
    assert errors["original_accuracy"]["value"] == pytest.approx(0.90022845, abs=5e-9)
    assert "The worst class is tape player: 43 of 50." in sections["label_errors"]["lead"]
    assert "laptop / notebook" in sections["confusable_pairs"]["lead"]
    votes = pd.read_csv(tmp_path / "out" / "lists" / "label_errors.csv")
    assert len(votes) == 7_836
    assert (votes[["answers_no", "answers_maybe", "answers_yes"]].sum(axis=1) == 5).all()


def test_without_answers_and_scores_one_model_only(files, tmp_path, capsys):
    good = Predictions.load(files / "good.npz")
    write(tmp_path / "plain.csv", file_name=good.file_names, prediction=good.classes[:, 0])
    record, printed, _ = run(
        capsys, tmp_path / "plain.csv", "--out", tmp_path / "out", *labels_of(files)
    )
    sections = record["sections"]
    assert "no raters' answers" in sections["rater_preference"]["missing"][0]
    assert "! Whom do raters prefer?: There are no raters' answers" in printed
    assert "--scores" in " ".join(sections["triage"]["missing"])
    assert sections["triage"]["numbers"]["plain"]["num_mistakes"] > 0
    assert "has no scores" in sections["calibration"]["missing"][0]
    assert "6 models or more" in sections["real_over_original"]["missing"][0]
    assert "second model" in sections["accuracy"]["missing"][0]
    assert [
        one["rank"] for one in sections["several_labels"]["numbers"]["models"]["plain"]["ranks"]
    ] == [1]


def test_logits_are_calibrated_as_their_softmax(files, tmp_path, capsys, small):
    original, _real = small
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (600, 12)).astype(np.float32)
    logits[np.arange(600), original.classes] += 3
    np.savez(tmp_path / "logits.npz", file_names=original.file_names, logits=logits)
    exponentials = np.exp(logits.astype(np.float64))
    sigmoids = 1 / (1 + np.exp(-logits.astype(np.float64)))
    percents = 100 * exponentials / exponentials.sum(axis=1, keepdims=True)
    percents = percents.astype(np.float32)
    np.savez(tmp_path / "percent.npz", file_names=original.file_names, scores=percents)
    rounded = (percents / 100 * np.float32(1.0001)).astype(np.float32)
    rounded[0] = np.eye(12)[0] * 1.0001
    np.savez(tmp_path / "rounded.npz", file_names=original.file_names, scores=rounded)
    np.savez(tmp_path / "sigmoid.npz", file_names=original.file_names, scores=sigmoids)
    top = np.sort(logits, axis=1)[:, ::-1][:, :5]
    ranked = np.argsort(-logits, axis=1)[:, :5]
    Predictions(original.file_names, ranked, top).save(tmp_path / "top.npz")
    record, _, _ = run(
        capsys, *(tmp_path / f"{n}.npz" for n in ("logits", "sigmoid", "top", "percent", "rounded")), "--out",
        tmp_path / "out", *labels_of(files),
    )  # fmt: skip
    section = record["sections"]["calibration"]
    found = section["numbers"]
    softmax = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)
    right = (logits.argmax(axis=1) == original.classes).tolist()
    expected = loops.calibration_error(softmax.tolist(), right, 15)
    assert found["logits"]["original"]["ece"]["value"] == pytest.approx(expected, abs=1e-5)
    assert found["logits"]["original"]["confidence"] == pytest.approx(softmax.mean(), abs=1e-6)
    for name in ("percent", "rounded"):
        assert found[name]["original"]["confidence"] == pytest.approx(softmax.mean(), abs=2e-3)
    assert found["sigmoid"]["original"]["confidence"] == pytest.approx(sigmoids.max(axis=1).mean())
    assert "top" not in found and "top: its scores are not probabilities" in section["missing"][0]


def test_two_classes(tmp_path, capsys):
    original, real = worlds.labels(images=200, classes=2)
    original.to_json(tmp_path / "original.json")
    real.to_json(tmp_path / "real.json")
    worlds.model(original, real, classes=2).save(tmp_path / "model.npz")
    record, _, _ = run(
        capsys, tmp_path / "model.npz", "--out", tmp_path / "out", *labels_of(tmp_path)
    )
    sections = record["sections"]
    (pair,) = sections["confusable_pairs"]["numbers"]["pairs"]
    assert pair["classes"] == [0, 1]
    assert sections["triage"]["numbers"]["model"]["kinds"]["neither"]["count"] == 0
    assert sections["accuracy"]["numbers"]["models"]["model"]["real"]["top5"]["value"] == 1.0


@pytest.mark.parametrize("which", ["original", "labels"])
def test_one_label_set_gives_what_it_can(files, tmp_path, capsys, which):
    path = files / ("original.json" if which == "original" else "real.json")
    record, _, _ = run(capsys, files / "good.npz", "--out", tmp_path / "out", f"--{which}", path)
    sections = record["sections"]
    key = {"original": "original", "labels": "real"}[which]
    assert set(sections["accuracy"]["numbers"]["models"]["good"]) == {
        "n", key, "label_sets",
    }  # fmt: skip
    assert sections["calibration"]["numbers"]["good"][key]
    other = {"original": "reassessed", "labels": "original"}[which]
    for name in ("triage", "several_labels", "confusable_pairs", "label_errors"):
        assert f"There are no {other} labels" in sections[name]["missing"][0]


def test_a_model_without_mistakes_and_images_without_answers(files, tmp_path, capsys, small):
    Predictions.from_labels(small[0]).save(tmp_path / "labels.npz")
    (tmp_path / "answers.csv").write_text("file_name,label,rater,answer\nx.jpg,1,ann,yes\n")
    record, _printed, _ = run(
        capsys, tmp_path / "labels.npz", "--column", "classes", "--out", tmp_path / "out", *labels_of(files),
        "--answers", tmp_path / "answers.csv",
    )  # fmt: skip
    sections = record["sections"]
    assert "labels makes no mistakes" in sections["triage"]["lead"]
    assert (
        "answers are about other images (first: x.jpg" in sections["rater_preference"]["missing"][0]
    )
    assert any("answers are about other images" in remark for remark in record["remarks"])
    assert "or the labels themselves?" in " ".join(record["remarks"])


def test_odd_names_and_models_without_labelled_images(files, tmp_path, capsys, small):
    real = small[1]
    names = [
        "$x^1$ \\frac$",
        "US$ 1",
        "US$ 2",
        "ctrl\x01",
        *(f'<b>{i}</b> & "c"' for i in range(8)),
    ]
    (tmp_path / "names.json").write_text(json.dumps(names))
    without = np.flatnonzero(real.counts == 0)
    good = Predictions.load(files / "good.npz")
    good.save(tmp_path / "m 1.npz")
    Predictions.load(files / "bad.npz").save(tmp_path / "m_1.npz")
    good.take(without).save(tmp_path / "a$b^$.npz")
    record, _, _ = run(
        capsys, *(tmp_path / f"{n}.npz" for n in ("m 1", "m_1", "a$b^$")), "--out", tmp_path / "out",
        *labels_of(files), "--class-names", tmp_path / "names.json", "--images", files / "images",
        "--answers", files / "answers.csv", "--list-mistakes", "all",
    )  # fmt: skip
    sections = record["sections"]
    assert sections["accuracy"]["numbers"]["models"]["a$b^$"]["real"]["top1"]["value"] is None
    assert "different images" in sections["accuracy"]["remarks"][0]
    assert "It is number" not in sections["accuracy"]["lead"]
    lists = [
        pd.read_csv(tmp_path / "out" / "lists" / f"mistakes_{n}.csv") for n in ("m_1", "m_1_1")
    ]
    triage = sections["triage"]["numbers"]
    assert [len(one) for one in lists] == [triage[n]["num_mistakes"] for n in ("m 1", "m_1")]
    svg = (tmp_path / "out" / "figures" / "confusable_pairs.svg").read_text()
    assert "US$ 1 /" in svg
    empty = LabelSets.from_lists(real.file_names, [[]] * len(real))
    empty.to_json(tmp_path / "empty.json")
    for models in ([], [files / "good.npz", files / "bad.npz"]):
        record, _, _ = run(
            capsys, *models, "--out", tmp_path / "empty", "--original", files / "original.json",
            "--labels", tmp_path / "empty.json",
        )  # fmt: skip
        assert record["sections"]["label_errors"]["numbers"]["rejected"]["value"] == 1


def test_labels_without_an_error(files, tmp_path, capsys, small):
    same = files / "original.json"
    record, _, _ = run(capsys, "--out", tmp_path / "out", "--labels", same, "--original", same)
    section = record["sections"]["label_errors"]
    assert section["numbers"]["rejected"]["count"] == 0 and "worst" not in section["lead"]


def test_leads_say_their_numbers(files, tmp_path, capsys):
    record, _, _ = run(
        capsys, files / "good.npz", "--out", tmp_path / "out", *labels_of(files),
        "--answers", files / "answers.csv",
    )  # fmt: skip
    leads = {key: one["lead"] for key, one in record["sections"].items()}
    numbers = {key: one["numbers"] for key, one in record["sections"].items()}
    triage = numbers["triage"]["good"]
    counts = {kind: one["count"] for kind, one in triage["kinds"].items()}
    for words in (
        f"on {triage['num_mistakes']:,} of 600 images",
        f"beside the original one ({counts['both_valid']}) or in its place ({counts['label_error']})",
        f"On {counts['model_error']} ({100 * counts['model_error'] / triage['num_mistakes']:.1f}%) only the",
        f"on {counts['neither']} (", f"and {counts['no_label']} (",
        f"On {triage['agrees_with_rejected']} other images it repeats",
    ):  # fmt: skip
        assert words in leads["triage"]
    measured = [pair["models"] for pair in numbers["confusable_pairs"]["pairs"]]
    above = sum(models["real"]["all"]["low"] > 0.5 for models in measured)
    assert (
        above > 0 and f"{above} of {len(measured)} by the ReaL labels" in leads["confusable_pairs"]
    )
    errors = numbers["label_errors"]
    assert leads["label_errors"].startswith(f"{errors['rejected']['count']} of 600 original labels")
    picks = numbers["several_labels"]["models"]["good"]["picks_original"]
    assert f"On the {picks['n']} where" in leads["several_labels"]
    assert f"the original label {100 * picks['value']:.1f}% [" in leads["several_labels"]


def test_names_of_the_models(files, tmp_path, capsys):
    for run_ in ("a", "b"):
        worlds.model(*worlds.labels()).save(tmp_path / run_ / "predictions.npz")
    worlds.model(*worlds.labels(), seed=9).save(tmp_path / "other" / "good.npz")
    record, _, _ = run(
        capsys, tmp_path / "a" / "predictions.npz", tmp_path / "b" / "predictions.npz",
        "--out", tmp_path / "out", *labels_of(files), "--show", tmp_path / "b" / "predictions.npz",
    )  # fmt: skip
    assert list(record["models"]) == ["a", "b"] and record["shown"] == "b"
    record, _, _ = run(
        capsys, files / "good.npz", tmp_path / "other" / "good.npz", "--out", tmp_path / "out2",
        *labels_of(files),
    )  # fmt: skip
    assert len(record["models"]) == 2 and all("good" in name for name in record["models"])
    _, _, complaint = run(
        capsys, files / "good.npz", files / "good.npz", "--out", tmp_path / "out3",
        *labels_of(files), fails=True,
    )  # fmt: skip
    assert "is given twice" in complaint

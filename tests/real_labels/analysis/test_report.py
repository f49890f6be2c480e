"""python -m real_labels report: what it writes, and what it says of inputs that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from real_labels import LabelSets, Predictions, accuracy_files, cli
from real_labels.analysis import report
from real_labels.class_names import ClassNames
from real_labels.errors import InputError
from tests.conftest import PROJECT
from tests.real_labels.analysis import loops, worlds

KEYS = [analysis.KEY for analysis in report.ANALYSES]


@pytest.fixture(scope="session")
def files(tmp_path_factory, small, rated):
    """Labels, three models, answers, images and names of the made-up dataset, as files."""
    folder = tmp_path_factory.mktemp("dataset")
    original, real = small
    original.to_json(folder / "original.json")
    real.to_json(folder / "real.json")
    for name, accuracy, seed in (("good", 0.93, 1), ("fair", 0.8, 2), ("bad", 0.5, 3)):
        worlds.model(original, real, accuracy=accuracy, seed=seed).save(folder / f"{name}.npz")
    rated[0].save(folder / "answers.csv")
    (folder / "names.json").write_text(json.dumps([f"name<{i}>&" for i in range(12)]))
    rng = np.random.default_rng(0)
    for name in real.file_names.tolist():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(path)
    return folder


def run(capsys, *arguments, fails: bool = False):
    """(sections of report.json, what was printed, what was complained of)."""
    arguments = ["report", *map(str, arguments)]
    if fails:
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
    else:
        cli.main(arguments)
    captured = capsys.readouterr()
    error = str(exit_.value) if fails else ""
    out = arguments[arguments.index("--out") + 1]
    try:
        record = json.loads(
            (PROJECT / out / "report.json").read_text(), parse_constant=lambda c: pytest.fail(c)
        )
    except FileNotFoundError:
        record = None
    return record, captured.out, error + captured.err


def labels_of(files):
    return "--labels", files / "real.json", "--original", files / "original.json"


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
    assert list(record["models"]) == [tmp_path.name]  # for the file's own name says nothing
    for key in KEYS:
        assert sections[key]["lead"], key
    errors = sections["label_errors"]["numbers"]
    assert errors["original_accuracy"]["value"] == pytest.approx(0.90022845, abs=5e-9)
    assert "The worst class is tape player: 43 of 50." in sections["label_errors"]["lead"]
    assert "laptop / notebook" in sections["confusable_pairs"]["lead"]
    votes = pd.read_csv(tmp_path / "out" / "lists" / "label_errors.csv")
    assert len(votes) == 7_836
    assert (votes[["answers_no", "answers_maybe", "answers_yes"]].sum(axis=1) == 5).all()


@pytest.fixture(scope="session")
def timm():
    folder = PROJECT.parent / "shared" / "data" / "timm_results"
    paths = [folder / f"results-imagenet{kind}.csv" for kind in ("", "-real")]
    if not paths[0].exists():
        pytest.skip("timm's tables of results are not on this machine (../shared/data)")
    return paths


def test_timms_models_give_the_slopes(timm, published, tmp_path, capsys):
    record, _printed, _ = run(
        capsys, "--accuracy-table", *timm, "--out", tmp_path / "out", "--data-dir", published
    )
    section = record["sections"]["real_over_original"]
    found = section["numbers"]["regression"]
    assert found["num_models"] == len(section["numbers"]["models"]) == 1_556
    assert found["median"] == pytest.approx(0.81856)
    assert round(found["lower"]["slope"]["value"], 3) == 0.920
    assert round(found["upper"]["slope"]["value"], 3) == 0.554
    assert found["difference"]["p_value"] < 0.001
    assert round(section["numbers"]["original_labels"]["value"], 8) == 0.90022845
    assert "significantly (p < 0.001)" in section["lead"]
    assert "no predictions" in record["sections"]["triage"]["missing"][0]
    listed = pd.read_csv(tmp_path / "out" / "lists" / "models_real_over_original.csv")
    assert listed["model"].is_unique and len(listed) == 1_556


def test_tables_of_accuracies_need_no_labels(tmp_path, capsys):
    rng = np.random.default_rng(0)
    original = rng.uniform(60, 90, 30)
    table = pd.DataFrame(
        {"Model": [f"m{i}" for i in range(30)], "original": original, "ReaL": original * 0.6 + 40}
    )
    table.to_csv(tmp_path / "all.csv", index=False)
    record, _, _ = run(
        capsys, "--accuracy-table", tmp_path / "all.csv", "--out", tmp_path / "out",
        "--data-dir", tmp_path / "nowhere",
    )  # fmt: skip
    sections = record["sections"]
    found = sections["real_over_original"]["numbers"]["regression"]
    assert found["lower"]["slope"]["value"] == pytest.approx(0.6)
    assert sections["real_over_original"]["numbers"]["original_labels"] is None
    assert "real_labels fetch" in sections["label_errors"]["missing"][0]
    assert (tmp_path / "out" / "index.html").exists()


def write(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_tables_of_accuracies_that_do_not_fit(tmp_path):
    a = write(
        tmp_path / "a.csv", model=["x", "y", "z"], img_size=[224, 224, 384], top1=[70, 80, 90]
    )
    b = write(tmp_path / "b.csv", model=["y", "x", "w"], img_size=[224, 224, 1], top1=[85, 75, 1],
              top1_diff=[5, 5, 0])  # fmt: skip
    found = accuracy_files.read([a, b])
    assert found.names.tolist() == ["x", "y"] and found.left_out == 2
    np.testing.assert_allclose([found.original, found.real], [[0.7, 0.8], [0.75, 0.85]])
    twice = write(tmp_path / "c.csv", model=["x", "x"], img_size=[224, 384], top1=[0.70, 0.72])
    assert accuracy_files.read([twice, twice]).names.tolist() == ["x (224)", "x (384)"]
    for paths, says in (
        ([b, a], "b.csv: has a column top1_diff, so it holds the ReaL accuracies"),
        ([a], "a.csv: expected one column of accuracies called original, found none"),
        ([a, write(tmp_path / "d.csv", model=["q"], top1=[1])], "no model in common"),
        ([a, write(tmp_path / "e.csv", model=["x"], accuracy5=[1])], "e.csv: has no column top1"),
        ([a, write(tmp_path / "f.csv", kind=["x"], top1=[1])], "f.csv: has no column model"),
        ([a, write(tmp_path / "g.csv", model=["x", "x"], top1=[1, 2])], "row 2 has x once more"),
        ([a, write(tmp_path / "h.csv", model=["x"], top1=[180])], "row 1 has the top1 180"),
        ([a, write(tmp_path / "i.csv", model=["x"], top1=["?"])], "top1 does not hold numbers"),
        (
            [twice, write(tmp_path / "j.csv", model=["x"], top1=[1])],
            "c.csv: has x at several image sizes",
        ),
        ([a, tmp_path / "missing.csv"], "missing.csv: there is no such file"),
        ([a, a, a], "found 3 files"),
    ):
        with pytest.raises(InputError, match=says.replace("?", r"\?")):
            accuracy_files.read(paths)


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
    # Another report takes its place, and what only the first one wrote goes.
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
    assert "top" not in found and "top: its scores are no probabilities" in section["missing"][0]


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
    assert set(sections["accuracy"]["numbers"]["models"]["good"]) == {"n", key}
    assert sections["calibration"]["numbers"]["good"][key]
    other = {"original": "reassessed", "labels": "original"}[which]
    for name in ("triage", "several_labels", "confusable_pairs", "label_errors"):
        assert f"There are no {other} labels" in sections[name]["missing"][0]


def test_a_model_without_mistakes_and_images_without_answers(files, tmp_path, capsys, small):
    Predictions.from_labels(small[0]).save(tmp_path / "labels.npz")
    (tmp_path / "answers.csv").write_text("file_name,label,rater,answer\nx.jpg,1,ann,yes\n")
    record, _printed, _ = run(
        capsys, tmp_path / "labels.npz", "--out", tmp_path / "out", *labels_of(files),
        "--answers", tmp_path / "answers.csv",
    )  # fmt: skip
    sections = record["sections"]
    assert "labels makes no mistakes" in sections["triage"]["lead"]
    assert (
        "answers are about other images (first: x.jpg" in sections["rater_preference"]["missing"][0]
    )
    assert any("answers are about other images" in remark for remark in record["remarks"])
    assert "or the labels themselves?" in " ".join(record["remarks"])


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
        (["--scores", "answers.csv"], "answers.csv: is no .npz file"),
        (["--accuracy-table", "a", "b", "c"], "takes one file or two, found 3"),
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
        "--answers", files / "answers.csv",
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


def test_class_names(tmp_path):
    names = ClassNames.of_imagenet()
    assert len(set(names.names)) == 1000
    assert [names[c] for c in (0, 134, 517, 836, 999, 1000)] == [
        "tench", "crane (bird)", "crane (machine)", "sunglass", "toilet tissue", "class 1000",
    ]  # fmt: skip
    assert [names[c] for c in (264, 474, 638, 639)] == [
        "Cardigan, Cardigan Welsh corgi", "cardigan", "maillot", "maillot, tank suit",
    ]  # fmt: skip
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "list.json").write_text('["cat", "dog"]')
    (tmp_path / "object.json").write_text('{"1": "dog", "0": "cat"}')
    for name in ("names.txt", "list.json", "object.json"):
        assert ClassNames.load(tmp_path / name).names == ("cat", "dog")
    (tmp_path / "twice.json").write_text('["mouse", "Mouse", "rat"]')
    assert ClassNames.load(tmp_path / "twice.json").names == ("mouse (0)", "Mouse (1)", "rat")
    for content, says in (
        ("[1, 2]", "expected a list of class names"),
        ('{"a": "cat"}', "expected class indices as keys, found 'a'"),
        ('{"0": "cat", "2": "dog"}', "has 2 names, but none for class 1"),
        ('["cat"', "is no JSON, or cut short"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match=says):
            ClassNames.load(tmp_path / "bad.json")


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


def test_thumbnails_are_found_by_name(files, tmp_path):
    from real_labels.analysis.thumbnails import Thumbnails

    for path in ("a/1.png", "b/1.png", "b/2.JPEG", "c/d/3.webp"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), (200, 30, 30)).save(tmp_path / path)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    images = Thumbnails(tmp_path)
    for name, found in (
        ("a/1.png", "a/1.png"), ("x/b/1.png", "b/1.png"), ("1.png", None), ("2.jpg", "b/2.JPEG"),
        ("train/3", "c/d/3.webp"), ("4.png", None),
    ):  # fmt: skip
        assert images.find(name) == (None if found is None else tmp_path / found), name
    assert images.data_uri("broken.jpg") is None
    assert images.data_uri("a/1.png").startswith("data:image/jpeg;base64,")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        Thumbnails(tmp_path / "empty")

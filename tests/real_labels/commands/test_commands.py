"""The commands, run as processes: exit status, printed text and written files."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from real_labels import Predictions, cli
from real_labels.answers import Scores
from real_labels.labels import imagenet
from tests.conftest import PROJECT
from tests.real_labels import simulate


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "real_labels", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"COLUMNS": "100"} | environment,
        check=False,
    )


def printed(capsys, *arguments):
    """Runs a command in this process and returns the printed text."""
    cli.main([str(a) for a in arguments])
    return capsys.readouterr().out


def refused(*arguments):
    """Runs a command that must fail, and returns its error, which must be one line."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    assert str(stop.value.code).startswith("Error: ") and "\n" not in str(stop.value.code)
    return str(stop.value.code)


@pytest.fixture
def rated(tmp_path):
    """Returns a folder with answers.csv and gold.csv, the simulated truth, and the questions."""
    rng = np.random.default_rng(0)
    truth = rng.random(800) < 0.3
    answers = simulate.rate(truth, simulate.confusions(8, 3, rng), 5, rng)
    answers.save(tmp_path / "answers.csv")
    asked = answers.questions
    gold = pd.DataFrame(
        {
            "file_name": asked.file_name(),
            "label": asked.label,
            "truth": np.where(truth, "yes", "no"),
        }
    )
    gold[:200].to_csv(tmp_path / "gold.csv", index=False)
    return tmp_path, truth, asked


def test_help_names_every_command_and_imports_no_framework():
    process = run("--help")
    assert process.returncode == 0
    for name in ("fetch", "aggregate", "curve", "raters", "score", "compare"):
        assert name in process.stdout
        assert run(name, "--help").stdout.startswith(f"usage: python -m real_labels {name}")
    program = (
        "import sys; from real_labels import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'tensorflow', 'scipy', 'matplotlib', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_preset_rebuilds_what_was_published(tmp_path, published):
    process = run(
        "aggregate", "--preset", "reassessed-imagenet", "--data-dir", published,
        "--scores-out", tmp_path / "S.npz", "--labels-out", tmp_path / "L.json",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "57,553 labels on 46,837 of 50,000 images" in process.stdout
    assert "7,443 with several" in process.stdout
    assert "50,000 of 50,000 label sets are equal" in process.stdout
    published_labels = json.loads((published / "real.json").read_text())
    assert json.loads((tmp_path / "L.json").read_text()) == [sorted(s) for s in published_labels]
    with (
        np.load(tmp_path / "S.npz") as scores,
        np.load(published / "scores.npz") as published_scores,
    ):
        np.testing.assert_array_equal(scores["info"], published_scores["info"])
        np.testing.assert_allclose(scores["tensor"], published_scores["tensor"], rtol=0, atol=1e-12)


def test_the_preset_takes_no_other_recipe(published):
    preset = ("--preset", "reassessed-imagenet", "--data-dir", published)
    assert "leave --method, --gold-votes out" in refused(
        "raters", *preset, "--method", "gold", "--gold-votes", "3"
    )
    assert "leave --unrated out" in refused("aggregate", *preset, "--unrated", "all.json")


@pytest.mark.parametrize("method", ["majority", "dawid-skene", "gold"])
def test_own_answers_become_labels(rated, capsys, method):
    folder, truth, asked = rated
    everything = {f"image{i:06d}.jpg": [0] for i in range(200)} | {"unseen.jpg": [9]}
    (folder / "all.json").write_text(json.dumps(everything))
    out = printed(
        capsys, "aggregate", "--answers", folder / "answers.csv", "--method", method,
        "--gold", folder / "gold.csv", "--threshold", "0.5", "--unrated", folder / "all.json",
        "--scores-out", folder / "S.npz", "--labels-out", folder / "L.json",
        "--questions-out", folder / "Q.csv", "--raters-out", folder / "R.csv",
    )  # fmt: skip
    assert "4,000 answers (no < maybe < yes) of 8 raters to 800 questions on 200 images." in out
    scores = Scores.load(folder / "S.npz")
    decided = scores.probability[scores.questions.find(asked)] >= 0.5
    assert (decided == truth).mean() > (0.85 if method == "majority" else 0.93)
    labels = json.loads((folder / "L.json").read_text())
    assert labels["unseen.jpg"] == [9] and len(labels) == 201
    kept = {(str(n), int(c)) for n, c, d in zip(asked.file_name(), asked.label, decided) if d}
    assert {(n, c) for n, cs in labels.items() for c in cs} - {("unseen.jpg", 9)} == kept
    questions = pd.read_csv(folder / "Q.csv")
    assert questions.columns.tolist() == ["file_name", "label", "score", "sureness", "answers"]
    assert questions["sureness"].is_monotonic_increasing and (questions["answers"] == 5).all()
    assert len(pd.read_csv(folder / "R.csv")) == 8


def test_more_answers_continue_an_earlier_fit(rated, capsys):
    folder, _, _ = rated
    table = pd.read_csv(folder / "answers.csv")
    table[:3000].to_csv(folder / "first.csv", index=False)
    table[3000:].to_csv(folder / "more.csv", index=False)
    printed(capsys, "aggregate", "--answers", folder / "first.csv", "--fit-out", folder / "fit.npz")
    printed(
        capsys, "aggregate", "--answers", folder / "first.csv", folder / "more.csv",
        "--start", folder / "fit.npz", "--scores-out", folder / "warm.npz",
    )  # fmt: skip
    printed(
        capsys,
        "aggregate",
        "--answers",
        folder / "answers.csv",
        "--scores-out",
        folder / "cold.npz",
    )
    warm, cold = Scores.load(folder / "warm.npz"), Scores.load(folder / "cold.npz")
    np.testing.assert_allclose(
        warm.probability[warm.questions.find(cold.questions)], cold.probability, atol=1e-5
    )


def test_gold_is_held_only_when_asked(rated, capsys):
    folder, truth, asked = rated
    for held in ([], ["--hold-gold"]):
        out = printed(
            capsys, "aggregate", "--answers", folder / "answers.csv", "--gold", folder / "gold.csv",
            *held, "--scores-out", folder / "S.npz",
        )  # fmt: skip
        assert ("On gold, threshold 0.5: precision" in out) == (not held)
        scores = Scores.load(folder / "S.npz")
        on_gold = scores.probability[scores.questions.find(asked)][:200]
        assert (on_gold == truth[:200]).all() == bool(held)


def test_pseudo_raters_on_the_command_line(rated, capsys):
    folder, truth, asked = rated
    sets = {}
    for name, label, present in zip(asked.file_name().tolist(), asked.label.tolist(), truth):
        sets.setdefault(name, []).extend([label] if present else [])
    (folder / "oracle.json").write_text(json.dumps(sets))
    Predictions(list(sets), np.array([[s[0] if s else 0] for s in sets.values()])).save(
        folder / "model.npz"
    )
    for voter in ("oracle.json", "model.npz"):
        out = printed(
            capsys, "raters", "--answers", folder / "answers.csv",
            "--pseudo-rater", f"labels={folder / voter},name=the voter,classes=0-2",
        )  # fmt: skip
        assert "the voter" in out
    assert out.index("the voter") < out.index("rater0")
    assert "expected labels=FILE" in refused(
        "raters", "--answers", folder / "answers.csv", "--pseudo-rater", "model.npz"
    )


def test_the_useless_published_rater_is_named(published, capsys):
    out = printed(capsys, "raters", "--preset", "reassessed-imagenet", "--data-dir", published)
    assert "Drop (answers carry almost no information): 145\n" in out
    assert "Too few answers to tell: 189, 111, 132, 146, 134, 153, 167" in out


def test_curves(published, capsys, tmp_path):
    outputs = [tmp_path / f"curve{ending}" for ending in (".png", ".csv", ".json")]
    out = printed(
        capsys, "curve", "--scores", published / "scores.npz", "--gold", published / "golden.npz",
        "--threshold", "0.8", *(word for path in outputs for word in ("--out", path)),
    )  # fmt: skip
    assert "precision 89.8% [85.0, 93.1], recall 77.8%" in out
    assert all(path.stat().st_size for path in outputs)
    record = json.loads(outputs[2].read_text())
    assert record["operating_point"]["threshold"] == 0.8


def test_score_writes_the_schema_of_results_json(published, capsys, tmp_path):
    names, original = imagenet.file_names(), imagenet.original_labels().classes
    pd.DataFrame({"filename": names, "index": original}).to_csv(tmp_path / "a.csv", index=False)
    np.save(tmp_path / "b.npy", original + 1)
    out = printed(
        capsys, "score", tmp_path / "a.csv", tmp_path / "b.npy", "--data-dir", published,
        "--json", tmp_path / "out.json", "--column", "index",
    )  # fmt: skip
    assert "the original labels" in out and "90.02% [89.75, 90.29]" in out
    assert "--assume=one-based it would score original top-1 100.00% and ReaL top-1 90.02%" in (
        " ".join(out.split())
    )
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["file"] == str(tmp_path / "a.csv")
    assert "are these predictions, or the labels themselves?" in first["warnings"][0]
    for part in ("original", "real"):
        for k in ("top1", "top5"):
            assert set(first[part][k]) == {"value", "low", "high", "n"}
    assert first["original_labels"]["real_top1"]["value"] == pytest.approx(0.90022845, abs=1e-8)
    assert len(second["warnings"]) == 2 and second["repair"]["assume"] == "one-based"
    assumed = ["score", tmp_path / "b.npy", "--data-dir", published, "--assume", "one-based"]
    with pytest.raises(SystemExit, match="array equals the original labels on all 50,000 images"):
        cli.main(list(map(str, assumed)))
    out = printed(capsys, *assumed, "--column", "array")
    assert "100.00%" in out and "Repaired as asked" in out


def test_compare_says_which_is_better_and_on_which_labels(published, capsys, tmp_path):
    from real_labels import LabelSets

    real, original = LabelSets.from_json(published / "real.json"), imagenet.original_labels()
    rng = np.random.default_rng(0)
    a = simulate.model(real, original, 0.82, "uniform", rng)
    b = np.where(rng.random(50_000) < 0.95, a, original.classes)
    np.save(tmp_path / "a.npy", a)
    np.savez(tmp_path / "b.npz", file_names=imagenet.file_names()[:20_000], classes=b[:20_000])
    out = printed(
        capsys, "compare", tmp_path / "a.npy", tmp_path / "b.npz", "--data-dir", published,
        "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert "On original top-1 B is better by" in out
    assert "Compared on the 20,000 images that both files cover." in out
    record = json.loads((tmp_path / "out.json").read_text())
    part = slice(20_000)
    only_b = ((b == original.classes) & (a != original.classes))[part].sum()
    assert record["original"]["top1"]["only_second"] == only_b
    assert record["original"]["top1"]["value"] == pytest.approx(-only_b / 20_000)
    assert record["original"]["top1"]["p_value"] < 1e-6 and "top5" not in record["original"]
    assert "seed must be at least 0" in refused(
        "compare", tmp_path / "a.npy", tmp_path / "a.npy", "--data-dir", published, "--seed", "-1"
    )
    same = printed(
        capsys, "compare", tmp_path / "a.npy", tmp_path / "a.npy", "--data-dir", published
    )
    assert "On ReaL top-1 A and B do not differ significantly (p = 1)." in same


def test_bad_input_ends_in_one_line_and_leaves_nothing(rated):
    folder, _, _ = rated
    (folder / "d.json").mkdir()
    before = sorted(p.name for p in folder.iterdir())
    answers, gold = folder / "answers.csv", folder / "gold.csv"
    out = ("--scores-out", folder / "S.npz", "--labels-out", folder / "L.json")
    assert "Give --answers FILE" in refused("aggregate", *out)
    assert "there is no such file" in refused("aggregate", "--answers", folder / "x.csv", *out)
    assert "--method gold needs --gold" in refused(
        "aggregate", "--answers", answers, "--method", "gold", *out
    )
    assert "need --gold" in refused("aggregate", "--answers", answers, "--best-f1", *out)
    assert "cannot choose a threshold" in refused(
        "aggregate", "--answers", answers, "--gold", gold, "--hold-gold", "--best-f1", *out
    )
    assert "--hold-gold needs --gold" in refused(
        "aggregate", "--answers", answers, "--hold-gold", *out
    )
    assert "--method majority does not use --smoothing, --start; leave them out" in refused(
        "aggregate", "--answers", answers, "--method", "majority", "--smoothing", "2",
        "--start", "x", *out,
    )  # fmt: skip
    assert "would be written twice" in refused(
        "aggregate", "--answers", answers, "--questions-out", folder / "q.csv",
        "--raters-out", folder / "q.csv",
    )  # fmt: skip
    assert "would be overwritten, though it is read" in refused(
        "aggregate", "--answers", answers, "--questions-out", answers
    )
    assert "votes are for --method gold" in refused(
        "aggregate", "--answers", answers, "--gold", gold, "--pseudo-rater", "labels=x.json,votes=2",
        *out,
    )  # fmt: skip
    assert "--gold would be ignored" in refused("raters", "--answers", answers, "--gold", gold)
    assert "expected names of repairs" in refused(
        "score", "p.npz", "--labels", gold, "--assume", ","
    )
    assert "is a folder" in refused(
        "aggregate", "--answers", answers, "--labels-out", folder / "d.json"
    )
    assert "No threshold has a precision of 1.1" in refused(
        "aggregate", "--answers", answers, "--gold", gold, "--precision", "1.1", *out
    )
    assert "threshold must lie in [0, 1]" in refused(
        "aggregate", "--answers", answers, "--threshold", "7", *out
    )
    assert "S.csv: the file name must end in .npz" in refused(
        "aggregate", "--answers", answers, "--scores-out", folder / "S.csv"
    )
    contrary = pd.read_csv(answers)[:1]
    contrary["answer"] = "maybe" if contrary["answer"][0] != "maybe" else "no"
    contrary.to_csv(folder / "contrary.csv", index=False)
    assert "contradict the same rater's answer" in refused(
        "aggregate", "--answers", answers, folder / "contrary.csv", *out
    )
    (folder / "contrary.csv").unlink()
    assert "expected one of no, yes" in refused(
        "aggregate", "--answers", answers, "--categories", "no,yes", *out
    )
    (folder / "elsewhere.csv").write_text("file_name,label,truth\nz.jpg,1,yes\n")
    assert "None of the 1 gold questions" in refused(
        "aggregate", "--answers", answers, "--gold", folder / "elsewhere.csv", *out
    )
    (folder / "elsewhere.csv").unlink()
    assert "lacks" in refused("curve", "--scores", _predictions(folder), "--gold", gold)
    (folder / "p.npz").unlink()
    assert sorted(p.name for p in folder.iterdir()) == before


def _predictions(folder):
    Predictions(["a"], [[1]]).save(folder / "p.npz")
    return folder / "p.npz"


def test_an_error_is_one_line_on_stderr_and_status_1(tmp_path):
    process = run("score", tmp_path / "nothing.csv", REAL_LABELS_DIR=str(tmp_path))
    assert process.returncode == 1 and process.stdout == ""
    assert process.stderr.startswith("Error: ") and process.stderr.count("\n") == 1
    assert "python -m real_labels fetch" in process.stderr
    (tmp_path / "labels.json").write_text('{"a": [1]}')
    (tmp_path / "p.csv").write_text("file,class\na,1\n")
    blocked = tmp_path / "file"
    blocked.write_text("")
    process = run(
        "score", tmp_path / "p.csv", "--labels", tmp_path / "labels.json",
        "--json", blocked / "out.json",
    )  # fmt: skip
    assert process.returncode == 1 and process.stderr.count("\n") == 1
    assert str(blocked / "out.json") in process.stderr and process.stdout == ""


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "labels.json").write_text('{"a": [1]}')
    (tmp_path / "good.csv").write_text("file,class\na,1\n")
    (tmp_path / "bad.csv").write_text("file,class\nz,1\n")
    names = [tmp_path / n for n in ("bad.csv", "good.csv", "missing.csv")]
    process = run(
        "score", *names, "--labels", tmp_path / "labels.json", "--json", tmp_path / "out.json"
    )
    assert process.returncode == 1 and "100.00%" in process.stdout
    assert [line.split(": ")[:2] for line in process.stderr.splitlines()] == [
        ["Error", str(names[0])],
        ["Error", str(names[2])],
    ]
    assert [r["file"] for r in json.loads((tmp_path / "out.json").read_text())] == [str(names[1])]


def test_gold_that_only_measures_does_not_stop_the_work(rated, capsys):
    folder, _, asked = rated
    (folder / "none.csv").write_text(f"file_name,label,truth\n{asked.file_names[0]},0,no\n")
    out = printed(
        capsys, "aggregate", "--answers", folder / "answers.csv", "--gold", folder / "none.csv",
        "--labels-out", folder / "L.json",
    )  # fmt: skip
    assert "None of the 1 gold questions has its label present" in out
    assert (folder / "L.json").exists()


def test_raters_may_be_measured_on_other_images(rated, capsys):
    """The raters answered the gold questions in a file of its own (--gold-answers), as published."""
    folder, _, _ = rated
    table = pd.read_csv(folder / "answers.csv")
    gold_images = [f"image{i:06d}.jpg" for i in range(50)]
    on_gold = table["file_name"].isin(gold_images)
    table[on_gold].to_csv(folder / "on_gold.csv", index=False)
    table[~on_gold].to_csv(folder / "rest.csv", index=False)
    arguments = (
        "aggregate", "--answers", folder / "rest.csv", "--method", "gold", "--gold",
        folder / "gold.csv", "--gold-answers", folder / "on_gold.csv",
    )  # fmt: skip
    out = printed(capsys, *arguments, "--labels-out", folder / "L.json")
    assert "precision and recall are not measured" in out and (folder / "L.json").exists()
    assert "None of the 200 gold questions" in refused(*arguments, "--best-f1")


def test_experts_answer_in_the_categories_given(tmp_path, capsys):
    (tmp_path / "answers.csv").write_text(
        "file_name,label,rater,answer\na.jpg,1,x,present\na.jpg,1,y,present\nb.jpg,1,x,absent\n"
    )
    (tmp_path / "experts.csv").write_text(
        "file_name,label,rater,answer\na.jpg,1,e,present\nb.jpg,1,e,absent\n"
    )
    out = printed(
        capsys, "aggregate", "--answers", tmp_path / "answers.csv", "--categories", "absent,present",
        "--gold", tmp_path / "experts.csv", "--method", "majority", "--scores-out", tmp_path / "S.npz",
    )  # fmt: skip
    assert "precision 100.0%" in out
    out = printed(
        capsys, "curve", "--scores", tmp_path / "S.npz", "--gold", tmp_path / "experts.csv",
        "--categories", "absent,present",
    )  # fmt: skip
    assert "2 gold questions, 1 labels present" in out


def test_a_tie_is_no_label(tmp_path, capsys):
    (tmp_path / "answers.csv").write_text(
        "file_name,label,rater,answer\na.jpg,1,x,yes\na.jpg,1,y,no\na.jpg,2,x,maybe\na.jpg,2,y,maybe\n"
    )
    out = printed(
        capsys, "aggregate", "--answers", tmp_path / "answers.csv", "--method", "majority",
        "--labels-out", tmp_path / "L.json",
    )  # fmt: skip
    assert "Score more than 0.5: 0 labels" in out
    assert json.loads((tmp_path / "L.json").read_text()) == {"a.jpg": []}


# ---- options and printed text -------------------------------------------------------------------


def own_dataset(folder, names=("a.jpg", "b.jpg", "c.jpg", "d.jpg")):
    (folder / "original.json").write_text(json.dumps(dict(zip(names, [0, 1, 2, 0]))))
    rows = "\n".join(f"{n},{c}" for n, c in zip(names, [0, 1, 2, 1]))
    (folder / "p.csv").write_text(f"file_name,pred\n{rows}\n")
    return folder / "original.json", folder / "p.csv"


@pytest.mark.parametrize("command", ["score", "compare", "aggregate", "raters", "curve"])
def test_outputs_are_written_though_nobody_reads_the_text(rated, command):
    """Standard output is closed before the first line is printed, as with `… | head -1`."""
    folder, _, _ = rated
    original, predictions = own_dataset(folder)
    answers, gold = folder / "answers.csv", folder / "gold.csv"
    run("aggregate", "--answers", answers, "--scores-out", folder / "scores.npz")
    arguments, outputs = {
        "score": ([predictions, "--original", original], ["--json", "out.json"]),
        "compare": ([predictions, predictions, "--original", original], ["--json", "out.json"]),
        "aggregate": (
            ["--answers", answers],
            ["--scores-out", "s.npz", "--labels-out", "l.json", "--questions-out", "q.csv", "--raters-out",
             "r.csv", "--fit-out", "f.npz"],
        ),
        "raters": (["--answers", answers], ["--out", "raters.csv"]),
        "curve": (["--scores", folder / "scores.npz", "--gold", gold], ["--out", "curve.csv"]),
    }[command]  # fmt: skip
    paths = [folder / name for name in outputs[1::2]]
    asked = [x for pair in zip(outputs[::2], paths) for x in pair]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "real_labels", command, *map(str, [*arguments, *asked])],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.stderr == "" and all(path.stat().st_size for path in paths)


def test_options_may_be_spelled_with_underscores(rated, capsys):
    folder, _, _ = rated
    original, predictions = own_dataset(folder)
    for spelled in ("--num-classes", "--num_classes"):
        assert "75.00%" in printed(capsys, "score", predictions, "--original", original, spelled, 3)
        assert "75.00%" in printed(
            capsys, "score", predictions, "--original", original, f"{spelled}=3"
        )


def test_a_third_file_to_compare_gets_a_hint(rated):
    folder, _, _ = rated
    original, predictions = own_dataset(folder)
    message = refused("compare", predictions, predictions, predictions, "--original", original)
    assert "compare takes two files, found 3. `score` lists any number" in message


def test_predictions_for_other_images_are_not_told_to_fetch_imagenets_labels(rated, monkeypatch):
    folder, _, _ = rated
    _, predictions = own_dataset(folder)
    monkeypatch.setenv("REAL_LABELS_DIR", str(folder / "nowhere"))
    for command in (["score", predictions], ["compare", predictions, predictions]):
        message = refused(*command)
        assert "(a.jpg, …) are not ILSVRC-2012's; name their labels with --original" in message
        assert "fetch" not in message


def test_long_paths_are_short_in_the_table_and_a_remark_stands_once(rated, capsys):
    folder, _, _ = rated
    names = [f"{i}.jpg" for i in range(8)]
    (folder / "original.json").write_text(json.dumps(dict(zip(names, [0, 1] * 4))))
    deep = folder / ("x" * 60) / ("y" * 60)
    paths = []
    for i in range(5):
        (deep / f"run{i}").mkdir(parents=True)
        paths.append(deep / f"run{i}" / "predictions.csv")
        paths[-1].write_text("file_name,pred\n0.jpg,0\n1.jpg,1\n2.jpg,1\n")
    out = printed(capsys, "score", *paths, "--original", folder / "original.json")
    assert max(map(len, out.splitlines())) < 120
    assert "run0/predictions.csv" in out and "x" * 60 not in out
    assert "! All 5 files: Covers 3 of the 8 images; scored on these." in out
    assert out.count("Covers") == 1


def test_answers_left_out_are_said(rated, capsys):
    folder, _, _ = rated
    table = pd.read_csv(folder / "answers.csv")
    table.loc[3, "answer"] = None
    pd.concat([table, table[:2]]).to_csv(folder / "b.csv", index=False)
    for command in ("aggregate", "raters"):
        out = printed(capsys, command, "--answers", folder / "b.csv")
        assert "! 1 empty answer is left out." in out and "! 2 exact repeats" in out


def test_columns_of_answers_can_be_named(rated, capsys):
    folder, _, _ = rated
    table = pd.read_csv(folder / "answers.csv")
    renamed = dict(
        zip(
            ["file_name", "label", "rater", "answer"], ["IN:image", "IN:label", "who", "OUT:result"]
        )
    )
    table.rename(columns=renamed).to_csv(folder / "b.csv", index=False)
    columns = ",".join(f"{role}={name}" for role, name in renamed.items())
    plain = printed(capsys, "aggregate", "--answers", folder / "answers.csv")
    assert (
        printed(capsys, "aggregate", "--answers", folder / "b.csv", "--columns", columns) == plain
    )
    assert "--columns rater=who,x=y: expected ROLE=NAME" in refused(
        "aggregate", "--answers", folder / "b.csv", "--columns", "rater=who,x=y"
    )

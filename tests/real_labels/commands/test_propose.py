"""The commands propose, tasks, next and replay: printed text, written files and errors."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from real_labels import cli
from real_labels.rating import tasks as rated
from tests.real_labels.commands.test_commands import printed, refused

NAMES = [f"img{i:03d}.png" for i in range(60)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with predictions of ten classes by several models, original labels and gold."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    original = {name: i % 10 for i, name in enumerate(NAMES)}
    (tmp_path / "original.json").write_text(json.dumps(original))
    gold = {name: [i % 10, (i + 1) % 10] for i, name in enumerate(NAMES[:20])}
    (tmp_path / "gold.json").write_text(json.dumps(gold))

    def model(file, right, names=NAMES, shift=0):
        true = np.array([original[name] for name in names])
        ranked = np.array([rng.permutation(10) for _ in names])
        hit = rng.random(len(names)) < right
        ranked[hit] = np.array([np.append(t, np.setdiff1d(np.arange(10), t)) for t in true])[hit]
        columns = {f"index_{r}": ranked[:, r] + shift for r in range(3)}
        pd.DataFrame({"file_name": names, **columns}).to_csv(tmp_path / file, index=False)

    model("a.csv", 0.8)
    model("b.csv", 0.7)
    model("c.csv", 0.6)
    model("part.csv", 0.7, NAMES[:40])
    model("off.csv", 0.8, shift=1)
    return tmp_path


BASE = ("--original", "original.json")


def test_from_predictions_to_the_next_round(folder, capsys):
    """The whole loop on a small dataset: proposals, tasks, answers, questions to ask again, labels."""
    text = printed(
        capsys, "propose", "a.csv", "b.csv", "part.csv", *BASE, "--top-k", 2, "--gold", "gold.json",
        "--recall", 0.6, "--out", "p.csv", "--unrated-out", "u.json", "--json", "p.json",
        "--front", "f.png", "--front", "f.csv", "--pools-out", "pools.csv",
    )  # fmt: skip
    record = json.loads((folder / "p.json").read_text())
    assert "The smallest pool with a recall of 60% or more (all 7 pools were searched)" in text
    assert record["enough_recall"] and record["every_subset_searched"]
    assert set(record["recall"]) == set(record["recall_held_out"]) == {"value", "low", "high", "n"}
    assert record["recall"]["n"] == 40 and record["recall"]["value"] >= 0.6
    pools = pd.read_csv("pools.csv")
    assert len(pools) == 7
    chosen = pools[pools["models"] == ";".join(record["pool"])].iloc[0]
    assert chosen["recall"] == pytest.approx(record["recall"]["value"])
    assert chosen["precision"] == pytest.approx(record["precision"]["value"])
    assert chosen["unrated"] == record["unrated"]
    assert chosen["proposals_per_image"] == pytest.approx(record["proposals_per_image"])
    front = pd.read_csv("f.csv")
    assert (np.diff(front["recall"]) < 0).all() and (
        np.diff(front["proposals_per_image"]) < 0
    ).all()
    assert (folder / "f.png").read_bytes().startswith(b"\x89PNG")
    proposals = pd.read_csv("p.csv")
    assert len(proposals) == record["questions"]
    assert len(json.loads((folder / "u.json").read_text())) == record["unrated"]

    assert "by the models' confusions" in printed(capsys, "tasks", "p.csv", "--out", "t.jsonl")
    tasks = rated.load("t.jsonl")
    asked = [(task.file_name, label) for task in tasks for label in task.labels]
    assert sorted(asked) == sorted(zip(proposals["file_name"], proposals["label"]))

    rng = np.random.default_rng(1)
    rows = []
    for name, label in asked:
        is_present = label in (NAMES.index(name) % 10, (NAMES.index(name) + 1) % 10)
        for rater in rng.permutation(9)[:3]:
            is_right = rng.random() < 0.85
            rows.append((name, label, f"r{rater}", "yes" if is_present == is_right else "no"))
    table = pd.DataFrame(rows, columns=["file_name", "label", "rater", "answer"])
    table.to_csv("answers.csv", index=False)
    text = printed(capsys, "next", "answers.csv", "--tasks", "t.jsonl", "--out", "more.jsonl")
    more = rated.load("more.jsonl")
    assert 0 < len(more) < len(tasks) and f"in {len(more):,} of {len(tasks):,} tasks" in text
    by_id = {task.task: task for task in tasks}
    for task in more:
        assert task.labels == by_id[task.task].labels and set(task.ask) <= set(task.labels)
    assert any(len(task.ask) < len(task.labels) for task in more)
    text = printed(
        capsys, "next", "answers.csv", "--tasks", "t.jsonl", "--out", "more.jsonl", "--at-most", 3
    )
    assert "Nothing is left to ask" in text and (folder / "more.jsonl").read_text() == ""
    printed(
        capsys,
        "aggregate",
        "--answers",
        "answers.csv",
        "--unrated",
        "u.json",
        "--labels-out",
        "l.json",
    )
    labels = json.loads((folder / "l.json").read_text())
    assert set(labels) == set(NAMES)
    left = json.loads((folder / "u.json").read_text())
    assert {name: labels[name] for name in left} == left


def test_label_studio_and_back(folder, capsys):
    printed(capsys, "propose", "a.csv", "b.csv", *BASE, "--top-k", 3, "--out", "p.csv")
    (folder / "names.txt").write_text("\n".join(f"kind <{i}> & co" for i in range(10)))
    printed(
        capsys, "tasks", "p.csv", "--out", "ls.json", "--format", "label-studio", "--class-names",
        "names.txt", "--descriptions", "names.txt", "--image-url", "http://host/val/",
        "--categories", "absent,present",
    )  # fmt: skip
    assert '<Choice value="present"/>' in (folder / "ls.xml").read_text()
    export, wanted = [], set()
    for i, task in enumerate(json.loads((folder / "ls.json").read_text())):
        assert task["data"]["image"] == f"http://host/val/{task['data']['file_name']}"
        annotations = []
        for rater in (3, 5):
            result = []
            for q, question in enumerate(task["data"]["questions"]):
                assert question["name"] == f"kind <{question['label']}> & co"
                answer = "present" if (i + q + rater) % 3 else "absent"
                result.append(
                    {"from_name": f"answer_{q}", "to_name": "image", "type": "choices",
                     "value": {"choices": [answer]}}
                )  # fmt: skip
                wanted.add((task["data"]["file_name"], question["label"], rater, answer))
            by = rater if i % 2 else {"id": 1, "email": f"{rater}"}
            annotations.append({"completed_by": by, "was_cancelled": False, "result": result})
        annotations.append({"completed_by": 7, "was_cancelled": True, "result": result})
        export.append({"id": i, "annotations": annotations, **task})
    (folder / "export.json").write_text(json.dumps(export))
    from real_labels.answers import Answers

    answers = Answers.load("export.json", ("absent", "present"))
    asked = answers.questions
    loaded = {
        (name, label, int(rater), answers.categories[answer])
        for name, label, rater, answer in zip(
            asked.file_name()[answers.question].tolist(),
            asked.label[answers.question].tolist(),
            answers.raters[answers.rater].tolist(),
            answers.answer.tolist(),
        )
    }
    assert loaded == wanted
    text = printed(
        capsys, "aggregate", "--answers", "export.json", "--categories", "absent,present"
    )
    assert f"{len(wanted):,} answers (absent < present) of 2 raters" in text


def test_without_gold_pools_have_agreement_and_cost(folder, capsys):
    text = printed(capsys, "propose", "a.csv", "b.csv", *BASE, "--json", "p.json")
    record = json.loads((folder / "p.json").read_text())
    assert record["pool"] == ["a", "b"] and record["recall"] is None and record["front"] == []
    assert "all models agree with the original label" in text and "recall" not in text
    assert "For each size, the pool with the fewest proposals" in text
    for part in record["models"]:
        assert part["recall_alone"] is None and part["adds_proposals_per_image"] > 0


def test_a_model_without_some_images(folder, capsys):
    text = printed(
        capsys, "propose", "part.csv", *BASE, "--out", "p.csv", "--unrated-out", "u.json"
    )
    assert "1 model, 40 images" in text and "part: Covers 40 of the 60 images" in text
    rated_images = set(pd.read_csv("p.csv")["file_name"])
    left = set(json.loads((folder / "u.json").read_text()))
    assert rated_images | left == set(NAMES[:40]) and not rated_images & left


def test_one_class_or_nothing_to_ask(folder, capsys):
    right = pd.DataFrame({"file_name": NAMES, "index": [i % 10 for i in range(60)]})
    right.to_csv("right.csv", index=False)
    arguments = ("propose", "right.csv", *BASE, "--column", "index", "--out", "p.csv")
    assert "0 questions on 0 images" in printed(capsys, *arguments)
    assert refused("tasks", "p.csv", "--out", "t.jsonl") == "Error: p.csv: has no rows."
    (folder / "one.json").write_text(json.dumps(dict.fromkeys(NAMES, 0)))
    pd.DataFrame({"file_name": NAMES, "index": 0}).to_csv("one.csv", index=False)
    arguments = ("propose", "one.csv", "--original", "one.json", "--column", "index")
    assert "60 of 60 images (100.0%)" in printed(capsys, *arguments)


def test_mixed_up_predictions_propose_nothing_until_repaired(folder, capsys):
    message = refused("propose", "a.csv", "off.csv", *BASE)
    assert message.startswith(
        "Error: off.csv: is mixed up, so its proposals would be wrong. Class indices"
    )
    assert message.endswith("Give --assume=one-based to undo the mix-up.")
    text = printed(
        capsys, "propose", "a.csv", "off.csv", *BASE, "--assume", "one-based", "--json", "p.json"
    )
    assert "off: Repaired as asked" in text and "a: Repaired" not in text
    record = json.loads((folder / "p.json").read_text())
    assert all(part["differs"] < 0.5 for part in record["models"])


def test_models_are_called_after_their_files(folder, capsys):
    for path in ("d1/preds.csv", "e/d1/preds.csv", "e/other.csv"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((folder / "a.csv").read_bytes())
    paths = ("e/d1/preds.csv", "d1/preds.csv", "e/other.csv")
    printed(capsys, "propose", *paths, *BASE, "--json", "p.json")
    names = [part["name"] for part in json.loads((folder / "p.json").read_text())["models"]]
    assert names[0] == "e/d1/preds" and names[1].endswith("d1/preds") and names[1] != names[0]
    assert len(set(names)) == 3
    classes = np.zeros((2, 60, 1), int)
    for models, says in ((["m", "m"], "two of its models have the same name"), (["m", " "], "called ' '"),
                         (["m;n", "k"], "expected a name without ';'")):  # fmt: skip
        np.savez("several.npz", models=models, classes=classes, file_names=NAMES)
        assert says in refused("propose", "several.npz", *BASE)


def test_gold_questions_may_be_about_unrated_images(folder, capsys):
    """Gold label sets hold the truth of all questions about their images; answers replace unrated labels."""
    rows = [(NAMES[i], c, f"r{r}", "yes" if c == i else "no")
            for i in range(8) for c in (i, i + 1) for r in range(3)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["file_name", "label", "rater", "answer"])
    table.to_csv("answers.csv", index=False)
    (folder / "gold.json").write_text(json.dumps({NAMES[i]: [i] for i in range(6)}))
    unrated = {NAMES[i]: [9] for i in (0, *range(8, 12))}  # the first was rated as gold
    (folder / "u.json").write_text(json.dumps(unrated))
    text = printed(
        capsys, "aggregate", "--answers", "answers.csv", "--unrated", "u.json", "--method", "gold",
        "--gold", "gold.json", "--labels-out", "l.json",
    )  # fmt: skip
    assert "On gold, threshold" in text and "(12 of 12 gold questions were asked)" in text
    assert "4 images were not rated and keep the labels of u.json" in text
    wanted = {NAMES[i]: [i] for i in range(8)} | {NAMES[i]: [9] for i in range(8, 12)}
    assert json.loads((folder / "l.json").read_text()) == wanted
    (folder / "none.json").write_text("{}")  # every image was rated
    text = printed(capsys, "aggregate", "--answers", "answers.csv", "--unrated", "none.json")
    assert "on 8 of 8 images" in text and "were not rated" not in text
    (folder / "gold.json").write_text('{"other.png": [1]}')
    message = refused(
        "aggregate", "--answers", "answers.csv", "--method", "gold", "--gold", "gold.json"
    )
    assert message.startswith(
        "Error: gold.json: None of the 16 questions is about one of its 1 images"
    )


def test_bad_input_is_one_line(folder, capsys):
    pd.DataFrame({"file_name": ["dog.png", "cat.png"], "index": [1, 2]}).to_csv("other.csv")
    pd.DataFrame({"file_name": ["x.png"] * 100, "label": range(100)}).to_csv("many.csv")
    (folder / "cycle.csv").write_text("child,parent\n0,x\nx,y\ny,x\n")
    (folder / "h.csv").write_text("child,parent\n0,pet\n1,pet\n")
    (folder / "none.json").write_text('{"img000.png": []}')
    for arguments, says in (
        (("propose", "a.csv", "other.csv", *BASE), "other.csv: 2 of 2 file names are of no image"),
        (("propose", "a.csv"), "are not ILSVRC-2012's; name their labels with --original FILE.json: a JSON"),
        (("propose", "a.csv", "./a.csv", *BASE), "a.csv: is named twice"),
        (("propose", "a.csv", *BASE, "--above", 0.1), "a.csv: has no scores"),
        (("propose", "a.csv", *BASE, "--top-k", 4), "a.csv: has 3 ranked classes"),
        (("propose", "a.csv", *BASE, "--recall", 0.9), "--recall needs --gold"),
        (("propose", "a.csv", *BASE, "--front", "f.png"), "--front needs --gold"),
        (("propose", "a.csv", *BASE, "--pool", "a,z"), "no model 'z'; there are a"),
        (("propose", "a.csv", *BASE, "--seed", -1), "The seed must be at least 0"),
        (("replay", "a.csv", "--gold", "h.csv", "--seed", -1), "The seed must be at least 0"),
        (("replay", "a.csv", "--gold", "h.csv", "--hold-gold"), "Leave --hold-gold out"),
        (("compare", "a.csv", "a.csv", "--seed", -1), "The seed must be at least 0"),
        (("propose", "a.csv", *BASE, "--gold", "none.json"), "no label of the gold is present"),
        (("propose", "a.csv", *BASE, "--gold", "gold.json", "--gold-votes", 3), "holds label sets, so a"),
        (
            ("next", "a.csv", "--tasks", "t.jsonl", "--out", "m.jsonl", "--gold", "gold.json"),
            "--gold would be ignored",
        ),
        (("propose", "a.csv", *BASE, "--gold", "original.json", "--recall", 97), "--recall 97"),
        (("propose", "a.csv", *BASE, "--gold", "gone.csv"), "gone.csv: there is no such file"),
        (("propose", "a.csv", *BASE, "--gold", "h.csv"), "h.csv: expected the columns file_name"),
        (("propose", "a.csv", *BASE, "--out", "a.csv"), "would be overwritten, though it is read"),
        (("propose", "gone.csv", *BASE), "gone.csv: there is no such file"),
        (("tasks", "--out", "t.jsonl"), "Give a table of PROPOSALS, or --preset"),
        (("tasks", "a.csv", "--out", "t.jsonl"), "a.csv: lacks the column label"),
        (("tasks", "many.csv", "--out", "t.txt"), "t.txt: the file name must end in .jsonl"),
        (("tasks", "many.csv", "--out", "t.jsonl", "--hierarchy", "cycle.csv"), "x -> y -> x"),
        (
            ("tasks", "many.csv", "--out", "t.jsonl", "--rule", "reassessed-imagenet", "--max-labels", 9),
            "has no upper limit: leave --max-labels out",
        ),
        (("tasks", "many.csv", "--out", "t.jsonl", "--rule", "reassessed-imagenet"), "needs a hierarchy"),
        (("tasks", "many.csv", "--out", "t.jsonl", "--max-labels", 0), "expected at least 1"),
        (("tasks", "many.csv", "--out", "t.jsonl", "--wordnet", "."), "of another dataset"),
        (("next", "many.csv", "--tasks", "gone.jsonl", "--out", "m.jsonl"), "gone.jsonl: there is no"),
        (
            ("next", "many.csv", "--tasks", "t.jsonl", "--out", "m.jsonl", "--ask-until", 0.4),
            "--ask-until 0.4: expected a sureness above 0.5",
        ),
        (
            ("next", "many.csv", "--tasks", "t.jsonl", "--out", "m.jsonl", "--at-least", 4, "--at-most", 2),
            "--at-least 4 --at-most 2",
        ),
        (("replay", "many.csv"), "replay needs --gold"),
        (("replay", "many.csv", "--gold", "g.csv", "--policies", "9-3"), "'9-3' is not a policy"),
    ):  # fmt: skip
        assert says in refused(*arguments), arguments
    text = printed(capsys, "tasks", "many.csv", "--out", "t.jsonl", "--hierarchy", "h.csv")
    assert "98 classes are not in h.csv (2, 3, 4, 5, 6, …)" in text
    tasks = rated.load("t.jsonl")
    assert max(len(task.labels) for task in tasks) <= 8 and sum(len(t.ask) for t in tasks) == 100


def test_the_preset_is_the_published_tasks(published, shared, tmp_path, capsys):
    arguments = ["tasks", "--preset", "reassessed-imagenet", "--data-dir", published, "--out"]
    assert "38,189 tasks on 24,889 images with 184,962 questions" in printed(
        capsys, *arguments, tmp_path / "t.jsonl"
    )
    published_tasks = json.loads(
        gzip.decompress((shared / "published_tasks" / "published_tasks.json.gz").read_bytes())
    )
    tasks: dict[str, list[list[int]]] = {}
    for line in (tmp_path / "t.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert set(record) == {"task", "file_name", "labels"}
        tasks.setdefault(record["file_name"], []).append(record["labels"])
    assert set(tasks) == set(published_tasks)
    equal = sum(sorted(tasks[n]) == sorted(groups) for n, groups in published_tasks.items())
    sizes = sum(
        sorted(map(len, tasks[n])) == sorted(map(len, groups))
        for n, groups in published_tasks.items()
    )
    assert (equal, sizes) == (23_003, 24_887)
    assert " 9  " not in printed(capsys, *arguments, tmp_path / "t.jsonl", "--max-labels", 8)
    assert max(len(task.labels) for task in rated.load(tmp_path / "t.jsonl")) == 8


def test_asking_again_only_the_unsure_pays(published, tmp_path, capsys):
    """The table of docs/relabelling.md, on the published answers to the gold questions."""
    answers, gold = published / "raters_golden.npz", published / "golden.npz"
    text = printed(
        capsys, "replay", answers, "--gold", gold, "--gold-votes", 3, "--method", "gold",
        "--gold-answers", answers, "--json", tmp_path / "r.json",
    )  # fmt: skip
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["method"], record["draws"], record["threshold"]) == ("gold", 10, 0.8)
    five, nine, two_to_five, three_to_nine = record["policies"]
    assert 0 < five["standard_deviations"]["f1"] < 0.03
    assert "3, then up to 9" in text
    assert (five["answers_per_question"], nine["answers_per_question"]) == (5, 9)
    assert two_to_five["answers_per_question"] == pytest.approx(2.56, abs=0.05)
    assert three_to_nine["answers_per_question"] == pytest.approx(3.53, abs=0.05)
    for outcome, f1 in ((five, 0.789), (nine, 0.814), (two_to_five, 0.788), (three_to_nine, 0.807)):
        assert outcome["f1"] == pytest.approx(f1, abs=0.01)
    assert three_to_nine["f1"] == pytest.approx(nine["f1"], abs=0.01)


def test_24_models_and_the_greedy_search_are_said(shared, published, tmp_path, capsys):
    archive = np.load(shared / "imagenet_models" / "top5.npz")
    for number, says in ((12, "all 4,095 pools were searched"), (25, "25 models are too many")):
        models = {"models": archive["models"][:number], "classes": archive["classes"][:number]}
        np.savez(tmp_path / "m.npz", **models)
        cli.main(
            [
                "propose", str(tmp_path / "m.npz"), "--gold", str(published / "golden.npz"),
                "--gold-votes", "3", "--recall", "0.7",
            ]
        )  # fmt: skip
        assert says in " ".join(capsys.readouterr().out.split())

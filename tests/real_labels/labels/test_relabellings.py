"""The published reassessments, against plain loops over their raw files."""

import csv
import json
import shutil

import numpy as np
import pytest

from real_labels import LabelSets, Predictions, cli
from real_labels.accuracy import scoring
from real_labels.errors import InputError
from real_labels.labels import Reference, imagenet, published, relabellings

RAW = {
    "shankar": "multilabel.csv",
    "tsipras": "finegrained.csv",
    "northcutt": "imagenet_mturk.json",
}


@pytest.fixture(scope="session")
def raw(shared):
    """{name: {file name: set of classes}}, read from the raw files by plain loops."""
    folder = shared / "relabellings"
    found = {
        "real": dict(
            zip(
                imagenet.file_names().tolist(),
                json.loads((shared / "reassessed_imagenet" / "real.json").read_text()),
            )
        )
    }

    def numbers(text):
        return {int(part) for part in text.split(",") if part.strip()}

    with open(folder / RAW["shankar"]) as file:
        found["shankar"] = {
            row["id"]: set() if row["is_problematic"] == "True"
            else numbers(row["proposed_labels"]) | numbers(row["unclear_multi_labels"])
            for row in csv.DictReader(file)
        }  # fmt: skip
    with open(folder / RAW["tsipras"]) as file:
        found["tsipras"] = {r["id"]: numbers(r["proposed_labels"]) for r in csv.DictReader(file)}
    found["northcutt"] = {}
    for record in json.loads((folder / RAW["northcutt"]).read_text()):
        given, guessed = record["given_original_label"], record["our_guessed_label"]
        votes = record["mturk"]
        valid = set()
        if votes["given"] >= 3 or votes["both"] >= 3:
            valid.add(given)
        if votes["guessed"] >= 3 or votes["both"] >= 3:
            valid.add(guessed)
        found["northcutt"][record["url"].rsplit("/", 1)[1]] = valid
    return found


@pytest.fixture(scope="session")
def five(shared):
    """The original labels and all published reassessments."""
    return Reference.load(label_sets=published.NAMES, data_dir=shared)


def test_the_sets_are_what_the_raw_files_say(raw, shared):
    counts = {}
    for name in published.NAMES:
        one = published.reassessment(name, shared)
        labels = dict(zip(one.labels.file_names.tolist(), map(set, one.labels.to_lists())))
        assert labels == {image: set(valid) for image, valid in raw[name].items()}
        counts[name] = (
            len(labels),
            sum(map(bool, labels.values())),
            sum(len(v) > 1 for v in labels.values()),
        )
        assert one.caveat.endswith(".") and one.source and one.licence and one.title
    assert counts == {
        "real": (50_000, 46_837, 7_443),
        "shankar": (20_000, 18_692, 3_588),
        "tsipras": (10_000, 9_684, 2_156),
        "northcutt": (5_440, 4_549, 597),
    }


@pytest.fixture(scope="session")
def pnasnet(shared, tmp_path_factory):
    """(file, first predictions) of the best of the sixty real models."""
    with np.load(shared / "imagenet_models" / "top5.npz") as file:
        classes = file["classes"][file["models"].tolist().index("pnasnet_large_tf")]
    path = tmp_path_factory.mktemp("pnasnet") / "pnasnet_large_tf.npz"
    np.savez(path, classes=classes)
    return path, classes[:, 0].tolist()


def test_a_real_model_by_every_reassessment(five, raw, pnasnet):
    path, predicted = pnasnet
    found = scoring.score(path, five).results
    original = imagenet.original_labels().classes.tolist()
    known = {
        "real": (87.70, 90.02),
        "shankar": (91.92, 100.00),
        "tsipras": (79.55, 84.05),
        "northcutt": (67.64, 68.61),
    }
    assert round(100 * found.original.top1.value, 2) == 82.86
    rows = {name: row for row, name in enumerate(imagenet.file_names().tolist())}
    for name, (model, own) in known.items():
        counted = [(rows[image], valid) for image, valid in raw[name].items() if valid]
        hits = sum(predicted[row] in valid for row, valid in counted)
        right = sum(original[row] in valid for row, valid in counted)
        one = found.reassessments[name]
        assert (one.top1.value, one.top1.n) == (hits / len(counted), len(counted))
        assert one.original_labels.value == right / len(counted)
        assert (round(100 * one.top1.value, 2), round(100 * one.original_labels.value, 2)) == (
            model,
            own,
        )
        assert one.covered == {"shankar": 18_692, "northcutt": 4_842}.get(name, len(raw[name]))
    # As its authors count: the mean over the classes of the accuracy in each.
    shares = [[] for _ in range(1000)]
    for image, valid in raw["shankar"].items():
        if valid:
            shares[original[rows[image]]].append(predicted[rows[image]] in valid)
    paper = found.reassessments["shankar"].paper
    assert paper[0] == "mean over the original classes"
    assert paper[1] == pytest.approx(np.mean([np.mean(one) for one in shares if one]), abs=1e-12)
    assert all(found.reassessments[name].paper is None for name in ("real", "tsipras", "northcutt"))


def test_the_table_has_a_column_for_each_set(shared, pnasnet, tmp_path, capsys):
    path, _ = pnasnet
    cli.main(
        [
            "score",
            str(path),
            "--label-sets",
            "all",
            "--data-dir",
            str(shared),
            "--json",
            str(tmp_path / "s.json"),
        ]
    )
    said = capsys.readouterr().out
    header, _, top1, intervals, *_ = said.splitlines()
    assert header.split() == ["original", "ReaL", "Shankar", "Tsipras", "Northcutt"]
    assert top1.split()[-5:] == ["82.86%", "87.70%", "91.92%", "79.55%", "67.64%"]
    assert intervals.count("[") == 5
    assert "mean over the original classes" in said and "91.86%" in said
    assert next(r for r in said.splitlines() if r.startswith("images")).split()[1:] == [
        "50,000", "46,837", "18,692", "9,684", "4,549",
    ]  # fmt: skip
    for caveat in ("problematic", "however small", "suspicious images"):
        assert caveat in " ".join(said.split())
    (record,) = json.loads((tmp_path / "s.json").read_text())
    assert record["label_sets"]["shankar"]["paper"]["value"] == pytest.approx(0.91858, abs=1e-5)
    assert record["label_sets"]["tsipras"]["paper"] is None


def test_comparing_a_file_of_several_models_is_refused(shared, pnasnet):
    path = shared / "imagenet_models" / "top5.npz"
    with pytest.raises(
        SystemExit, match=r"top5.npz: holds 60 models \(bninception, .*expected one"
    ):
        cli.main(["compare", str(path), str(pnasnet[0]), "--data-dir", str(shared)])


def test_a_set_without_an_image_of_the_file_is_said(shared, tmp_path, capsys):
    covered = set(published.reassessment("northcutt", shared).labels.file_names.tolist())
    names = [name for name in imagenet.file_names().tolist() if name not in covered][:300]
    labels = imagenet.original_labels()
    covered |= set(published.reassessment("shankar", shared).labels.file_names.tolist())
    names = [name for name in names if name not in covered]
    Predictions(names, labels.take(labels.rows(np.array(names))).classes[:, None] ^ 1).save(
        tmp_path / "p.npz"
    )
    cli.main(
        [
            "score",
            str(tmp_path / "p.npz"),
            "--label-sets",
            "real,northcutt,shankar",
            "--data-dir",
            str(shared),
        ]
    )
    said = capsys.readouterr().out
    assert "The Northcutt labels cover none of its images." in said
    assert "The Shankar labels cover none of its images." in said and "nan" not in said
    assert next(row for row in said.splitlines() if "top-1" in row).split()[-2:] == ["–", "–"]


def test_an_absent_set_is_a_line_with_the_command(shared, pnasnet, tmp_path, capsys):
    shutil.copy(shared / "reassessed_imagenet" / "real.json", tmp_path)
    (tmp_path / "deep" / "below").mkdir(parents=True)
    shutil.copy(shared / "relabellings" / "finegrained.csv", tmp_path / "deep" / "below")
    cli.main(["score", str(pnasnet[0]), "--label-sets", "all", "--data-dir", str(tmp_path)])
    said = " ".join(capsys.readouterr().out.split())
    assert "fetch --label-sets shankar`" in said and "fetch --label-sets northcutt`" in said
    assert "fetch --label-sets tsipras" not in said and "Tsipras" in said
    with pytest.raises(SystemExit, match=r"multilabel.csv: .*fetch --label-sets shankar"):
        cli.main(["score", str(pnasnet[0]), "--label-sets", "shankar", "--data-dir", str(tmp_path)])


def _csv(path, edit):
    """Rewrites a raw CSV with edited rows."""
    with open(path) as file:
        rows = list(csv.DictReader(file))
    path.unlink()
    rows = edit(rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _swap(rows):
    rows[0]["original_label"], rows[1]["original_label"] = "1", "2"
    return rows


def _shift(rows):
    return [
        row | {"id": f"ILSVRC2012_val_{1 + int(row['id'][15:23]) % 50_000:08d}.JPEG"}
        for row in rows
    ]


def _strangers(rows):
    return [row | {"id": f"cat_{i}.jpg"} for i, row in enumerate(rows)]


def _other_version(rows):
    rows[7]["proposed_labels"] = "5"
    return rows


def _twice(rows):
    return [*rows[:-1], rows[0]]


def _nonsense(rows):
    rows[3]["proposed_labels"] = "cat"
    return rows


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            _swap,
            r"2 of its [\d,]+ original labels are not ImageNet's \(first: row 1, .*other images",
        ),
        (_shift, r"original labels are not ImageNet's"),
        (
            _strangers,
            r"row 1 has the file name 'cat_0.jpg'; expected one of ILSVRC-2012's validation images",
        ),
        (_other_version, r"its labels differ from the published file \(commit 04fb51b\)"),
        (_twice, r"rows 1 and \d+ are both about ILSVRC2012_val_\d+.JPEG"),
        (_nonsense, r"row 4 has the proposed_labels 'cat'"),
        (lambda rows: rows[:900], r"has 900 images; expected [\d,]+. Is it cut short"),
        (
            lambda rows: [{"id": r["id"]} for r in rows],
            r"has no column original_label; there are id",
        ),
    ],
)
@pytest.mark.parametrize("name", ["shankar", "tsipras"])
def test_a_mixed_up_csv_is_one_line(shared, tmp_path, name, edit, says):
    path = tmp_path / RAW[name]
    path.write_bytes((shared / "relabellings" / RAW[name]).read_bytes())
    _csv(path, edit)
    with pytest.raises(InputError, match=f"{RAW[name]}: .*{says}") as error:
        published.reassessment(name, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d[:17], "has 17 images; expected 5,440"),
        (lambda d: [*d[:-1], {**d[-1], "given_original_label": 3}], "1 of its 5,440 original labels"),
        (lambda d: [{**d[0], "mturk": {"given": 5}}, *d[1:]], "record 1: expected url"),
        (lambda d: [*d[:2], {**d[2], "url": "cat.jpg"}, *d[3:]], "record 3: expected url"),
        (lambda d: [{**d[0], "mturk": {"given": 0, "guessed": 5, "both": 0, "neither": 0}}, *d[1:]],
         "commit 6d5d6b3"),
        (lambda d: {"a": [1]}, "expected a list of records"),
    ],
)  # fmt: skip
def test_a_mixed_up_json_is_one_line(shared, tmp_path, edit, says):
    content = json.loads((shared / "relabellings" / RAW["northcutt"]).read_text())
    (tmp_path / RAW["northcutt"]).write_text(json.dumps(edit(content)))
    with pytest.raises(InputError, match=says) as error:
        published.reassessment("northcutt", tmp_path)
    assert RAW["northcutt"] in str(error.value) and "\n" not in str(error.value)


def test_damaged_and_exchanged_files(shared, tmp_path):
    folder = shared / "relabellings"
    for name, file in RAW.items():
        (tmp_path / file).write_bytes((folder / file).read_bytes()[:5_000])
        with pytest.raises(InputError, match=file):
            published.reassessment(name, tmp_path)
    shutil.copy(folder / RAW["shankar"], tmp_path / RAW["tsipras"])
    with pytest.raises(
        InputError, match=r"finegrained.csv: has a column is_problematic.*exchanged"
    ):
        published.reassessment("tsipras", tmp_path)
    shutil.copy(folder / RAW["tsipras"], tmp_path / RAW["shankar"])
    with pytest.raises(InputError, match=r"multilabel.csv: has no column unclear_multi_labels"):
        published.reassessment("shankar", tmp_path)
    with pytest.raises(
        InputError, match=r"no published label set 'nobody'; there are real, shankar"
    ):
        published.reassessment("nobody", tmp_path)
    (tmp_path / "real.json").write_text(json.dumps([[0]] * 50_000))
    with pytest.raises(
        InputError, match=r"real.json: its labels differ from the published file .*commit bcd006f"
    ):
        published.reassessment("real", tmp_path)


def test_imagenet_v2_is_a_dataset_of_its_own(tmp_path, capsys):
    """In the layout of its multi-labels: hashed names, classes as text, some images without classes."""
    names = [f"{i:040x}.jpeg" for i in range(60)]
    refined = {
        name: [] if i % 12 == 5 else [str(i % 10), str(i % 10 + 1)] for i, name in enumerate(names)
    }
    (tmp_path / "imagenetv2_refined_labels.json").write_text(json.dumps(refined))
    LabelSets.from_lists(names, [[i % 10] for i in range(60)]).to_json(tmp_path / "original.json")
    Predictions(names, [[i % 10 + (i % 3 == 0), 12] for i in range(60)]).save(tmp_path / "p.npz")
    cli.main([
        "score", str(tmp_path / "p.npz"), "--original", str(tmp_path / "original.json"), "--labels",
        f"refined={tmp_path / 'imagenetv2_refined_labels.json'}", "--json", str(tmp_path / "s.json"),
    ])  # fmt: skip
    (record,) = json.loads((tmp_path / "s.json").read_text())
    assert record["original"]["top1"]["value"] == pytest.approx(2 / 3)
    assert record["label_sets"]["refined"]["top1"]["value"] == 1
    assert record["label_sets"]["refined"]["top1"]["n"] == 55


def test_rows_of_reviewers_give_the_sets():
    with pytest.raises(InputError, match="has 2 images; expected 20,000"):
        relabellings.multilabel_sets(
            ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"],
            imagenet.original_labels().classes[:2].tolist(), [[1], []], [[], [2]], [False, True],
        )  # fmt: skip

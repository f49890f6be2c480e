"""score, compare and report with zero, one, two and five reassessments that cover different images."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from real_labels import InputError, LabelSets, Predictions, accuracy, cli
from real_labels.accuracy import scoring
from real_labels.accuracy.text import remarks
from real_labels.labels import Reassessment, Reference, published
from real_labels.labels.reassessment import entries, mine, parse
from tests.real_labels.analysis import worlds

NAMES = {0: [], 1: ["mine"], 2: ["real", "mine"], 5: ["real", "a", "b-2", "c_3", "mine"]}
IMAGES = 240


@pytest.fixture(scope="module", params=NAMES)
def dataset(tmp_path_factory, request):
    """Original labels, two models and the given number of label sets, each covering some of the images."""
    folder = tmp_path_factory.mktemp("dataset")
    original, real = worlds.labels(images=IMAGES)
    original.to_json(folder / "original.json")
    rng = np.random.default_rng(5)
    sets = {}
    for i, name in enumerate(NAMES[request.param]):
        covered = np.arange(IMAGES) if name == "real" else np.flatnonzero(rng.random(IMAGES) < 0.6)
        lists = [valid if rng.random() < 0.8 else [(i + 3) % 12] for valid in real.to_lists()]
        sets[name] = LabelSets.from_lists(
            real.file_names[covered], [lists[row] for row in covered.tolist()]
        )
        sets[name].to_json(folder / f"{name}.json")
    models = {
        name: worlds.model(original, real, accuracy=p, seed=s)
        for name, p, s in (("good", 0.9, 1), ("fair", 0.6, 2))
    }
    for name, one in models.items():
        one.save(folder / f"{name}.npz")
    return folder, original, sets, models


def arguments(folder, sets) -> list[str]:
    named = [f"--labels={name}={folder / name}.json" for name in sets]
    return [*named, f"--original={folder / 'original.json'}"]


def loop(model: Predictions, labels: LabelSets, k: int) -> tuple[int, int]:
    """(hits, images with a label), in a plain loop."""
    of = dict(zip(labels.file_names.tolist(), labels.to_lists()))
    ranked = dict(zip(model.file_names.tolist(), model.classes.tolist()))
    counted = {name: valid for name, valid in of.items() if valid}
    hits = sum(bool(set(ranked[name][:k]) & set(valid)) for name, valid in counted.items())
    return hits, len(counted)


def test_score(dataset, tmp_path, capsys):
    folder, original, sets, models = dataset
    paths = [str(folder / f"{name}.npz") for name in models]
    cli.main(["score", *paths, *arguments(folder, sets), "--json", str(tmp_path / "s.json")])
    said = capsys.readouterr().out
    labels = dict(zip(original.file_names.tolist(), original.classes.tolist()))
    for record, model in zip(json.loads((tmp_path / "s.json").read_text()), models.values()):
        assert list(record["label_sets"]) == list(sets)
        assert ("real" in record) == ("real" in sets) and "mine" not in record
        assert record["original"]["top1"]["n"] == IMAGES
        first = dict(zip(model.file_names.tolist(), model.classes[:, 0].tolist()))
        for name, one in sets.items():
            found = record["label_sets"][name]
            for k in (1, 5):
                hits, n = loop(model, one, k)
                assert (found[f"top{k}"]["value"], found[f"top{k}"]["n"]) == (hits / n, n)
            hits, n = loop(Predictions.from_labels(original), one, 1)
            own = found["original_labels"]["top1"]
            assert (own["value"], own["n"]) == (hits / n, n)
            counted = [i for i, valid in zip(one.file_names.tolist(), one.to_lists()) if valid]
            same = sum(first[i] == labels[i] for i in counted) / len(counted)
            assert found["original_top1"]["value"] == same
            assert found["original_top1"]["n"] == len(counted)
            if name == "real":
                assert {k: found[k] for k in ("top1", "top5")} == record["real"]
                assert own == record["original_labels"]["real_top1"]
    header, _, *rows = said.splitlines()
    counts = [IMAGES, *(sum(map(bool, one.to_lists())) for one in sets.values())]
    titles = ["original", *("ReaL" if name == "real" else name for name in sets)]
    if len(sets) < 2:
        assert all(f"{title} top-1" in header for title in titles)
        assert rows[0].rstrip().endswith(" / ".join(map(str, counts)))
    else:  # a column for each label set, the intervals below
        assert header.split() == titles
        assert next(r for r in rows if r.startswith("images")).split()[1:] == list(map(str, counts))
        top1 = [f"{100 * record['original']['top1']['value']:.2f}%"]
        top1 += [f"{100 * one['top1']['value']:.2f}%" for one in record["label_sets"].values()]
        assert [r.split()[-len(titles) :] for r in rows if ", top-1" in r][-2] == top1
        same = next(r for r in rows[::-1] if "on original labels" in r).split()[5:]
        assert same == [
            f"{100 * one['original_top1']['value']:.2f}%" for one in record["label_sets"].values()
        ]
    # A remark names each label set that covers only some images, with the original accuracy on them.
    words = " ".join(said.split())
    for name, one in sets.items():
        partial = len(one) < IMAGES
        title = "ReaL" if name == "real" else name
        said = f"The {title} labels cover {len(one)} of its 240 images."
        assert (said + (" On the" if len(sets) < 2 else "") in words) == partial


def test_compare(dataset, tmp_path, capsys):
    folder, original, sets, models = dataset
    paths = [str(folder / f"{name}.npz") for name in models]
    cli.main(["compare", *paths, *arguments(folder, sets), "--json", str(tmp_path / "c.json")])
    said = capsys.readouterr().out
    record = json.loads((tmp_path / "c.json").read_text())
    assert list(record["label_sets"]) == list(sets) and ("real" in record) == ("real" in sets)
    for name, one in {"original": original, **sets}.items():
        found = record["original"] if name == "original" else record["label_sets"][name]
        (a, n), (b, _) = (loop(model, one, 1) for model in models.values())
        assert found["top1"]["value"] == pytest.approx((a - b) / n) and found["top1"]["n"] == n
        assert f"{'ReaL' if name == 'real' else name} top-1" in said


def test_report(dataset, tmp_path, capsys):
    folder, original, sets, models = dataset
    paths = [str(folder / f"{name}.npz") for name in models]
    cli.main(["report", *paths, *arguments(folder, sets), "--out", str(tmp_path / "report")])
    capsys.readouterr()
    record = json.loads((tmp_path / "report" / "report.json").read_text())
    page = (tmp_path / "report" / "index.html").read_text()
    assert {n: one["num_covered"] for n, one in record["label_sets"].items()} == {
        name: len(one) for name, one in sets.items()
    }
    sections = record["sections"]
    suffixes = dict(zip(sets, ["", *(f"_{name}" for name in list(sets)[1:])]))
    for name, one in sets.items():
        by_name = sections["accuracy"]["numbers"]["models"]["good"]["label_sets"][name]
        hits, n = loop(models["good"], one, 1)
        assert (by_name["top1"]["value"], by_name["top1"]["n"]) == (hits / n, n)
        assert sections["calibration"]["numbers"]["good"][name]["ece"]["n"] == n
        # Sections that judge by one label set exist for each, about the images that it covers.
        key = f"triage{suffixes[name]}"
        triage = sections[key]["numbers"]["good"]
        assert triage["num_images"] == len(one)
        valid = dict(zip(one.file_names.tolist(), one.to_lists()))
        label = dict(zip(original.file_names.tolist(), original.classes.tolist()))
        first = dict(zip(models["good"].file_names.tolist(), models["good"].classes[:, 0].tolist()))
        mistakes = [i for i in valid if first[i] != label[i]]
        assert triage["num_mistakes"] == len(mistakes)
        both = sum({first[i], label[i]} <= set(valid[i]) for i in mistakes)
        assert triage["kinds"]["both_valid"]["count"] == both
        errors = sections[f"label_errors{suffixes[name]}"]["numbers"]
        assert errors["num_images"] == len(one)
        assert errors["rejected"]["count"] == sum(label[i] not in valid[i] for i in valid)
        for figure in (key, f"label_errors{suffixes[name]}"):
            assert (tmp_path / "report" / "figures" / f"{figure}.png").exists()
            assert f'id="{figure}"' in page
        title = "ReaL" if name == "real" else name
        if len(one) < IMAGES:
            assert f"about the {len(one)} images that the {title} labels judge" in page
        assert (
            tmp_path / "report" / "lists" / f"label_errors{suffixes[name].replace('_', '@', 1)}.csv"
        ).exists()
    if not sets:
        assert "There are no reassessed labels" in sections["triage"]["missing"][0]
    assert len(page.split('id="')) == 1 + len(
        {*(part.split('"')[0] for part in page.split('id="')[1:])}
    )


def test_the_reference_holds_the_same_images_everywhere(dataset):
    folder, original, sets, _ = dataset
    reference = Reference.load(
        {name: folder / f"{name}.json" for name in sets}, folder / "original.json"
    )
    for name, one in reference.reassessments.items():
        assert (one.labels.file_names == original.file_names).all()
        assert one.num_covered == len(sets[name])
        assert (one.covered is None) == (len(sets[name]) == IMAGES)


def test_without_original_labels_the_images_are_those_of_any_set(dataset):
    folder, _, sets, models = dataset
    if not sets:
        return
    reference = Reference.load({name: folder / f"{name}.json" for name in sets})
    assert set(reference.file_names.tolist()) == {
        name for one in sets.values() for name in one.file_names.tolist()
    }
    known = models["good"].take(models["good"].rows(reference.file_names))
    found = accuracy.results(known, None, reference.reassessments)
    assert found.original is None
    for name, one in sets.items():
        hits, n = loop(models["good"], one, 1)
        assert (found.reassessments[name].top1.value, found.reassessments[name].top1.n) == (
            hits / n,
            n,
        )
        assert found.reassessments[name].original_labels is None
    assert accuracy.Results.from_json(found.as_json()).as_json() == found.as_json()


def test_results_come_back_from_json(dataset):
    folder, _, sets, models = dataset
    reference = Reference.load(
        {name: folder / f"{name}.json" for name in sets}, folder / "original.json"
    )
    found = scoring.score(folder / "good.npz", reference).results
    again = accuracy.Results.from_json(json.loads(json.dumps(found.as_json())))
    assert again == found
    for pair in accuracy.comparison.pairs(models, reference.label_sets):
        assert accuracy.Pair.from_json(json.loads(json.dumps(pair.as_json()))) == pair


def test_authors_may_count_by_class():
    """The mean over the original classes of the accuracy in each, against a plain loop."""
    original, real = worlds.labels(images=300)
    model = worlds.model(original, real, accuracy=0.7)
    one = Reassessment(real, "classes", counting="classes")
    found = accuracy.results(model, original, {"one": one}).reassessments["one"]
    right: dict[int, list[bool]] = {}
    ranked = model.classes[model.rows(original.file_names), 0].tolist()
    for label, valid, top in zip(original.classes.tolist(), real.to_lists(), ranked):
        if valid:
            right.setdefault(label, []).append(top in valid)
    expected = np.mean([np.mean(hits) for hits in right.values()])
    name, value = found.paper
    assert value == pytest.approx(expected) and "classes" in name and value != found.top1.value
    assert found.as_json()["paper"] == {"name": name, "value": value}


def test_a_reassessment_on_other_images():
    """On some of its images and an unknown one, in another order, each image keeps its labels."""
    own = LabelSets.from_lists(["a", "b", "c", "d"], [[1], [2, 3], [], [4]])
    one = Reassessment(own, "own", covered=np.array([True, True, True, False]))
    names = np.array(["x", "c", "b", "d"])
    found = one.on(names)
    assert found.labels.file_names.tolist() == names.tolist()
    assert found.labels.to_lists() == [[], [], [2, 3], [4]]
    assert found.covered.tolist() == [False, True, True, False] and found.num_covered == 2
    assert one.on(own.file_names[:3]).covered is None


def test_spellings_of_label_sets():
    assert parse("real, mine=labels/my=1.json,tags=feature:tags") == {
        "real": "", "mine": "labels/my=1.json", "tags": "feature:tags",
    }  # fmt: skip
    assert parse("") == {} and entries(None) == {}
    assert list(entries("mine=m.json", "real_label")) == ["real", "mine"]
    assert entries(None, "real_label") == {"real": "feature:real_label"}
    assert entries(None, "real_label", "r.json") == {"real": "r.json"}
    assert entries("real=x.json", "real_label") == {"real": "x.json"}
    for text, says in (
        ("real,real", "'real' is named twice"),
        ("original=o.json", "that name is reserved for the original labels"),
        ("a b=x.json", "a name begins with a letter"),
        ("mine=", "expected NAME=FILE"),
        ("tags=feature:", "expected NAME=FILE"),
    ):
        with pytest.raises(InputError, match=says):
            parse(text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--labels", "x.json", "--labels", "y.json"], "there are two label sets real; name them"),
        (["--labels", "original=x.json"], "that name is reserved for the original labels"),
        (["--labels", "mine="], "expected NAME=FILE"),
        (["--labels", "mine=nowhere.json"], "nowhere.json: there is no such file"),
        (["--label-sets", "unreal"], "There is no published label set 'unreal'; there are real"),
    ],
)
def test_bad_options(tmp_path, options, says):
    np.save(tmp_path / "p.npy", np.arange(5))
    with pytest.raises(SystemExit) as stop:
        cli.main(["score", str(tmp_path / "p.npy"), *options])
    assert says in str(stop.value.code)


def test_all_published_sets_that_are_there(published, tmp_path, capsys):
    from real_labels.labels import imagenet

    Predictions.from_labels(imagenet.original_labels()).save(tmp_path / "labels.npz")
    for options in (["--label-sets", "all"], ["--label-sets", "real"], []):
        cli.main(
            [
                "score",
                str(tmp_path / "labels.npz"),
                "--column",
                "classes",
                "--data-dir",
                str(published),
                *options,
            ]
        )
        assert "90.02% [89.75, 90.29]" in capsys.readouterr().out
    labels = str(tmp_path / "labels.npz")
    cli.main(
        ["score", labels, "--data-dir", str(tmp_path), "--label-sets", "all", "--column", "classes"]
    )
    said = capsys.readouterr().out
    assert "real_labels fetch" in said and "original top-1" in said and "ReaL top-1" not in said


def test_a_reassessment_refuses_what_it_is_not():
    labels = LabelSets.from_lists(["a", "b"], [[0], [1]])
    with pytest.raises(InputError, match="counting must be one of images, classes"):
        Reassessment(labels, "x", counting="pixels")
    with pytest.raises(InputError, match=r"covered must have shape \(2,\)"):
        Reassessment(labels, "x", covered=np.ones(3, bool))
    strangers = mine("mine", LabelSets.from_lists(["c"], [[0]]))
    with pytest.raises(InputError, match="1 of its 1 images have no original label"):
        Reference.of(labels, {"mine": strangers})


def test_pairs_of_every_label_set_are_corrected_apart():
    names = [f"{i}.jpg" for i in range(40)]
    sets = {
        name: LabelSets.from_lists(names, [[0]] * n + [[]] * (40 - n))
        for name, n in (("original", 40), ("a", 30), ("b", 0))
    }
    models = {
        str(m): Predictions(names, np.where(np.arange(40) < m, 0, 1)[:, None]) for m in (35, 20, 8)
    }
    tested = accuracy.comparison.pairs(models, sets)
    assert [(p.first, p.second) for p in tested] == list(itertools.combinations(models, 2))
    for pair in tested:
        assert pair.by["b"].n == 0 and pair.p_holm["b"] == 1
        assert pair.by["a"].n == 30 and pair.p_holm["a"] >= pair.by["a"].p_value
    assert published.NAMES == ("real", "shankar", "tsipras", "northcutt")


@pytest.fixture
def halves(tmp_path):
    """Models `a` of the first half of 200 images, `c` of the second; label set `tail` of 50 images of `a`."""
    original, real = worlds.labels(images=200)
    original.to_json(tmp_path / "original.json")
    real.to_json(tmp_path / "real.json")
    real.take(np.arange(50)).to_json(tmp_path / "tail.json")
    model = worlds.model(original, real)
    for name, rows in (
        ("a", np.arange(100)),
        ("c", np.arange(100, 200)),
        ("a_by_class", np.arange(200)),
    ):
        model.take(rows).save(tmp_path / f"{name}.npz")
    return tmp_path


def test_a_label_set_without_the_shown_models_images(halves, capsys):
    """Its sections show another model, or report that there is none; so do score and compare."""
    labels = arguments(halves, ["real", "tail"])
    a, c = str(halves / "a.npz"), str(halves / "c.npz")
    cli.main(["report", c, a, *labels, "--out", str(halves / "out")])
    sections = json.loads((halves / "out" / "report.json").read_text())["sections"]
    assert set(sections["triage"]["numbers"]) == {"a", "c"}
    assert set(sections["triage_tail"]["numbers"]) == {"a"}
    assert (
        "None of these is predicted by c: shown is a instead." in sections["triage_tail"]["remarks"]
    )
    assert [sections[k]["title"] for k in ("triage", "triage_tail")] == [
        "Triage of mistakes: ReaL", "Triage of mistakes: tail",
    ]  # fmt: skip
    cli.main(["report", c, *labels, "--out", str(halves / "alone")])
    sections = json.loads((halves / "alone" / "report.json").read_text())["sections"]
    missing = sections["triage_tail"]["missing"]
    assert missing == ["No predicted image is covered by the tail labels."]
    capsys.readouterr()
    cli.main(["score", c, a, *labels])
    said = " ".join(capsys.readouterr().out.split())
    assert "c.npz: The tail labels cover none of its images." in said
    assert "a.npz: The tail labels cover 50 of its 100 images." in said
    cli.main(["compare", c, str(halves / "a_by_class.npz"), *labels])
    assert "The tail labels cover none of the 100 images compared." in capsys.readouterr().out


def test_names_never_replace_each_others_lists_or_columns(halves, capsys):
    """A model and label sets with the names of a list's file and of its columns."""
    (halves / "by_class.json").write_bytes((halves / "tail.json").read_bytes())
    (halves / "predicted.json").write_bytes((halves / "tail.json").read_bytes())
    labels = arguments(halves, ["real", "by_class", "predicted"])
    models = [str(halves / f"{name}.npz") for name in ("a", "a_by_class")]
    cli.main(["report", *models, *labels, "--out", str(halves / "out"), "--list-mistakes", "all"])
    capsys.readouterr()
    written = json.loads((halves / "out" / "report.json").read_text())["files"]
    assert len(set(written)) == len(written)
    lists = {path.name for path in (halves / "out" / "lists").iterdir()}
    assert {"label_errors_by_class.csv", "label_errors@by_class.csv", "mistakes_a@by_class.csv",
            "mistakes_a_by_class.csv", "mistakes_a_by_class@by_class.csv"} <= lists  # fmt: skip
    mistakes = (halves / "out" / "lists" / "mistakes_a@predicted.csv").read_text().splitlines()
    header = mistakes[0].replace('"', "").split(",")
    assert len(set(header)) == len(header) and {"predicted", "reassessed"} <= set(header)
    page = (halves / "out" / "index.html").read_text()
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(set(ids)) == len(ids)


def test_marks_of_a_further_label_set_link_its_own_images(halves, capsys):
    labels = arguments(halves, ["real", "tail"])
    cli.main(["report", str(halves / "a.npz"), *labels, "--out", str(halves / "out")])
    capsys.readouterr()
    page = (halves / "out" / "index.html").read_text()
    for suffix in ("", "_tail"):
        drawn = (halves / "out" / "figures" / f"triage{suffix}.svg").read_text()
        linked = {part.split('"')[0] for part in drawn.split('data-link="')[1:]}
        kinds = {one for link in linked for one in link.split() if one.startswith("kind-")}
        assert any(f'id="{kind}"' in page for kind in kinds)  # of those that have images
        assert all(kind.endswith("_tail") == (suffix == "_tail") for kind in kinds)


def test_scores_stay_with_the_labels_they_are_of():
    from real_labels.analysis.study import Study

    original, real = worlds.labels()
    _, scores = worlds.rated(original, real)
    study = Study(
        original=original, reassessments=dict(other=mine("other", real), real=mine("real", real)),
        scores=scores, scores_of="real",
    )  # fmt: skip
    assert study.by_judge["other"].scores is None and study.by_judge["real"].scores is scores


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--label-sets=real", "--labels=real=real.json"], "'real' is named twice"),
        (["--labels=ReaL=real.json", "--labels=real=real.json"], "Two label sets are called real"),
        (["--labels=Original=real.json"], "that name is reserved for the original labels"),
    ],
)
def test_names_that_a_reader_could_not_tell_apart(halves, monkeypatch, options, says):
    monkeypatch.chdir(halves)
    with pytest.raises(SystemExit) as stop:
        cli.main(["score", "a.npz", "--original=original.json", *options])
    assert says in str(stop.value.code)


def test_the_authors_number_is_printed():
    original, real = worlds.labels(images=300)
    one = Reassessment(real, "classes", counting="classes")
    found = accuracy.results(worlds.model(original, real), original, {"one": one})
    (said,) = remarks(found, {"original": "original", "one": "classes"})
    value = 100 * found.reassessments["one"].paper[1]
    assert (
        said
        == f"As its authors count (mean over the original classes), classes top-1 is {value:.2f}%."
    )

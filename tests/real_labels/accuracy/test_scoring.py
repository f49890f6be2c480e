import json

import numpy as np
import pytest

from real_labels import LabelSets
from real_labels.accuracy import scoring
from real_labels.errors import InputError
from real_labels.labels import Reference, imagenet
from tests.real_labels import simulate


@pytest.fixture(scope="module")
def imagenet_labels(published):
    return Reference.load(data_dir=published)


def test_accuracy_is_the_plain_definition(tmp_path, imagenet_labels, published):
    """The loop of the published README, and plain counting for the original labels."""
    real = json.loads((published / "real.json").read_text())
    original = imagenet.original_labels().classes.tolist()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50_000, 1000)).astype(np.float32)
    for k, chance in ((0, 0.5), (1, 0.3)):
        chosen = [s[-1] if s and rng.random() < chance else k for s in real]
        logits[np.arange(50_000), chosen] += 4 - k
    np.save(tmp_path / "logits.npy", logits)
    scored = scoring.score(tmp_path / "logits.npy", imagenet_labels)
    top = np.argsort(-logits, axis=1)[:, :5].tolist()
    for k in (1, 5):
        hits = [bool(set(t[:k]) & set(s)) for t, s in zip(top, real) if s]
        found = scored.results.as_json()["real"][f"top{k}"]
        assert found["value"] == np.mean(hits) and found["n"] == len(hits) == 46_837
        hits = [y in t[:k] for t, y in zip(top, original)]
        found = scored.results.as_json()["original"][f"top{k}"]
        assert found["value"] == np.mean(hits) and found["n"] == 50_000
    assert scored.warnings == ()
    itself = scored.results.as_json()["original_labels"]["real_top1"]
    assert itself["value"] == pytest.approx(0.90022845, abs=1e-8)


def test_names_are_matched_however_they_are_written(tmp_path, imagenet_labels):
    names = imagenet.file_names()
    original = imagenet.original_labels().classes
    wnid = np.array(imagenet.wordnet_ids())[original]
    order = np.random.default_rng(0).permutation(50_000)
    for write in (
        lambda n, w: n,
        lambda n, w: f"/data/val/{w}/{n}",
        lambda n, w: f"val\\{n}",
        lambda n, w: n.removesuffix(".JPEG"),
        lambda n, w: n.replace(".JPEG", ".png"),
    ):
        written = [write(str(names[i]), wnid[i]) for i in order]
        rows = "\n".join(f"{n},{original[i]}" for n, i in zip(written, order))
        (tmp_path / "p.csv").write_text(f"image,class\n{rows}\n")
        scored = scoring.score(tmp_path / "p.csv", imagenet_labels, column="class")
        assert scored.results.as_json()["original"]["top1"]["value"] == 1.0
        assert len(scored.warnings) == 1 and "or the labels themselves" in scored.warnings[0]


def test_a_part_is_scored_on_what_it_covers(tmp_path, imagenet_labels, published):
    names, original = imagenet.file_names()[100:300], imagenet.original_labels().classes[100:300]
    np.savez(tmp_path / "p.npz", file_names=names, classes=original)
    scored = scoring.score(tmp_path / "p.npz", imagenet_labels, column="classes")
    real = json.loads((published / "real.json").read_text())[100:300]
    hits = [y in s for s, y in zip(real, original.tolist()) if s]
    assert scored.results.as_json()["original"]["top1"]["n"] == 200
    assert scored.results.as_json()["real"]["top1"]["n"] == len(hits)
    assert scored.results.as_json()["real"]["top1"]["value"] == np.mean(hits)
    assert scored.results.as_json()["original_labels"]["real_top1"]["value"] == np.mean(hits)
    assert scored.warnings[0] == "Covers 200 of the 50,000 images; scored on these."


def test_a_background_class_is_reported_and_repaired_only_when_asked(tmp_path, imagenet_labels):
    real, original = imagenet_labels.reassessments["real"].labels, imagenet_labels.original
    top1 = simulate.model(real, original, 0.8, "uniform", np.random.default_rng(0))
    logits = np.random.default_rng(0).normal(size=(50_000, 1001)).astype(np.float32)
    logits[np.arange(50_000), top1 + 1] += 7
    np.save(tmp_path / "p.npy", logits)
    scored = scoring.score(tmp_path / "p.npy", imagenet_labels)
    assert scored.results.as_json()["original"]["top1"]["value"] < 0.02
    assert scored.repair == "one-based"
    assert any("background class 0" in w for w in scored.warnings)
    assert any("--assume=one-based it would score original top-1" in w for w in scored.warnings)
    honest = scored.repaired.as_json()["original"]["top1"]["value"]
    assert honest == pytest.approx((top1 == original.classes).mean(), abs=0.005)
    record = scored.as_json()
    assert record["repair"]["assume"] == "one-based" and record["warnings"] == list(scored.warnings)
    assert json.loads(json.dumps(record)) == record
    assumed = scoring.score(tmp_path / "p.npy", imagenet_labels, ["one-based"])
    assert assumed.results.as_json()["original"] == scored.repaired.as_json()["original"]
    assert assumed.repair is None and len(assumed.warnings) == 1
    wrong = scoring.score(tmp_path / "p.npy", imagenet_labels, ["one-too-low"])
    assert wrong.repair is not None  # the wrong repair is detected


def test_rows_in_folder_order_come_back_with_their_scores(tmp_path, imagenet_labels):
    rng = np.random.default_rng(0)
    real, original = imagenet_labels.reassessments["real"].labels, imagenet_labels.original
    top1 = simulate.model(real, original, 0.7, "uniform", rng)
    logits = rng.normal(size=(50_000, 1000)).astype(np.float32)
    logits[np.arange(50_000), top1] += 8
    np.save(tmp_path / "by_name.npy", logits)
    np.save(tmp_path / "by_folder.npy", logits[np.argsort(original.classes, kind="stable")])
    by_name = scoring.score(tmp_path / "by_name.npy", imagenet_labels)
    by_folder = scoring.score(tmp_path / "by_folder.npy", imagenet_labels, ["class-folder-order"])
    assert by_folder.results == by_name.results
    np.testing.assert_array_equal(by_folder.predictions.classes, by_name.predictions.classes)
    np.testing.assert_array_equal(by_folder.predictions.scores, by_name.predictions.scores)


def test_the_order_is_that_of_the_names_not_of_the_file(tmp_path, imagenet_labels):
    """Predictions in folder order beside sorted names, with all rows reversed."""
    real, original = imagenet_labels.reassessments["real"].labels, imagenet_labels.original
    top1 = simulate.model(real, original, 0.7, "uniform", np.random.default_rng(0))
    mixed = top1[np.argsort(original.classes, kind="stable")]
    np.savez(tmp_path / "p.npz", file_names=imagenet.file_names()[::-1], classes=mixed[::-1])
    scored = scoring.score(tmp_path / "p.npz", imagenet_labels)
    assert scored.repair == "class-folder-order"
    assert (
        scored.repaired.as_json()["original"]["top1"]["value"] == (top1 == original.classes).mean()
    )


def own_dataset(tmp_path):
    names = [f"{i}.png" for i in (10, 2, 1, 3)]
    (tmp_path / "real.json").write_text(json.dumps(dict(zip(names, [[0, 1], [2], [], [1]]))))
    (tmp_path / "original.json").write_text(json.dumps(dict(zip(names, [[0], [2], [1], [0]]))))


def test_own_datasets(tmp_path):
    own_dataset(tmp_path)
    (tmp_path / "p.csv").write_text("file,class\n1.png,0\n10.png,1\n2.png,2\n3.png,1\n")
    both = Reference.load(tmp_path / "real.json", tmp_path / "original.json")
    scored = scoring.score(tmp_path / "p.csv", both).results.as_json()
    assert scored["original"]["top1"]["value"] == 0.25 and scored["original"]["top1"]["n"] == 4
    assert scored["real"]["top1"]["value"] == 1.0 and scored["real"]["top1"]["n"] == 3
    assert scored["original_labels"]["real_top1"]["value"] == pytest.approx(2 / 3)
    alone = Reference.load(tmp_path / "real.json")
    assert set(scoring.score(tmp_path / "p.csv", alone).results.by_label_set) == {"real"}
    # Without names, rows are in the order of the sorted names: 1, 10, 2, 3.
    np.save(tmp_path / "p.npy", np.array([0, 1, 2, 1]))
    assert scoring.score(tmp_path / "p.npy", both).results.as_json() == scored
    original_only = Reference.load(original=tmp_path / "original.json")
    assert set(scoring.score(tmp_path / "p.csv", original_only).results.by_label_set) == {
        "original"
    }


def test_labels_of_a_part_leave_the_other_images_out(tmp_path):
    own_dataset(tmp_path)
    (tmp_path / "real.json").write_text(json.dumps({"2.png": [2, 0], "3.png": [1]}))
    reference = Reference.load(tmp_path / "real.json", tmp_path / "original.json")
    np.save(tmp_path / "p.npy", np.array([0, 1, 0, 2]))
    scored = scoring.score(tmp_path / "p.npy", reference).results.as_json()
    assert scored["real"]["top1"]["n"] == 2 and scored["real"]["top1"]["value"] == 0.5
    assert scored["original"]["top1"]["n"] == 4


def test_bad_labels_are_explained(tmp_path, published):
    own_dataset(tmp_path)
    with pytest.raises(InputError, match="one class an image; 10.png has 2"):
        Reference.load(original=tmp_path / "real.json")
    (tmp_path / "other.json").write_text('{"z.png": [1]}')
    with pytest.raises(InputError, match=r"1 of its 1 images have no original label .*z\.png"):
        Reference.load(tmp_path / "other.json", tmp_path / "original.json")
    (tmp_path / "high.json").write_text('{"ILSVRC2012_val_00000001.JPEG": [1000]}')
    with pytest.raises(InputError, match=r"high.json: class 1000 is out of range"):
        Reference.load(tmp_path / "high.json")
    with pytest.raises(InputError, match="python -m real_labels fetch"):
        Reference.load(data_dir=tmp_path / "nowhere")


NAMES = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 4)]


@pytest.mark.parametrize(
    ("names", "classes", "complaint"),
    [
        ([*NAMES[:2], "cat.jpg"], [1, 2, 3], r"1 of 3 file names .*row 3, cat\.jpg"),
        (NAMES[:2] + NAMES[:1], [1, 2, 3], r"predicted more than once .*rows 1 and 3"),
        (NAMES, [1, 2, 5_000_000_000], "5000000000 is beyond 32 bits"),
        (NAMES, [1, 2, 2_000_000_000], r"00000003.JPEG, \[2000000000\]"),
        (NAMES, [1, 2, 1000], r"1 images have a class out of range .*00000003.JPEG, \[1000\]"),
        (NAMES, [1, -1, 3], r"00000002.JPEG, \[-1\]"),
        (NAMES, [[1, 1], [2, 3], [3, 4]], "names a class twice"),
        (None, [1, 2, 3], "has 3 rows and no file names; expected 50,000"),
    ],
)
def test_bad_predictions_are_explained(tmp_path, imagenet_labels, names, classes, complaint):
    path = tmp_path / "p.npz"
    arrays = dict(classes=np.array(classes))
    if names:
        arrays["file_names"] = np.array(names)
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=complaint) as error:
        scoring.score(path, imagenet_labels)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("columns", [5, 999, 1002, 2000])
def test_scores_of_another_number_of_classes_are_refused(tmp_path, imagenet_labels, columns):
    np.savez(
        tmp_path / "p.npz",
        file_names=np.array(NAMES),
        logits=np.random.default_rng(0).normal(size=(3, columns)).astype(np.float32),
    )
    with pytest.raises(InputError, match=rf"scores in {columns:,} columns; expected 1,000"):
        scoring.score(tmp_path / "p.npz", imagenet_labels)


def test_the_labels_themselves_are_noticed(tmp_path, imagenet_labels):
    np.save(tmp_path / "p.npy", imagenet_labels.original.classes)
    with pytest.raises(InputError, match="array equals the original labels on all 50,000 images"):
        scoring.score(tmp_path / "p.npy", imagenet_labels)
    scored = scoring.score(tmp_path / "p.npy", imagenet_labels, column="array")
    assert "are these predictions, or the labels themselves?" in scored.warnings[0]


def test_labels_without_images_and_odd_numbers_of_classes(tmp_path):
    for content, complaint in (
        ("{}", "holds no labels"),
        ("[]", "holds no labels"),
        ('{"a.png": [1], "a.png": [2]}', "a.png occurs more than once"),
    ):
        (tmp_path / "l.json").write_text(content)
        with pytest.raises(InputError, match=rf"l.json: .*{complaint}"):
            Reference.load(tmp_path / "l.json")
    (tmp_path / "l.json").write_text('{"a.png": [1]}')
    with pytest.raises(InputError, match="at least 2, found -1"):
        Reference.load(tmp_path / "l.json", num_classes=-1)


def test_absurd_classes_in_labels_are_refused(tmp_path):
    (tmp_path / "l.json").write_text('{"a.png": [2000000000]}')
    with pytest.raises(InputError, match="class 2000000000 is out of range"):
        Reference.load(tmp_path / "l.json")
    (tmp_path / "l.json").write_text('{"a.png": [5000000000]}')
    with pytest.raises(InputError, match="l.json: .*5000000000 is beyond 32 bits"):
        Reference.load(tmp_path / "l.json")


def test_repairs_need_original_labels(tmp_path):
    own_dataset(tmp_path)
    np.save(tmp_path / "p.npy", np.array([0, 1, 2, 1]))
    reference = Reference.load(tmp_path / "real.json")
    with pytest.raises(
        InputError, match="every image has an original label; give the labels with --original"
    ):
        scoring.score(tmp_path / "p.npy", reference, ["class-folder-order"])
    assert scoring.score(tmp_path / "p.npy", reference, ["one-based"]).warnings  # needs no labels
    with pytest.raises(InputError, match="each repair can be done once"):
        scoring.score(tmp_path / "p.npy", reference, ["one-based", "one-based"])


def test_diagnosis_works_on_single_labels_where_there_are_no_original_ones(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 8, 4000)
    names = [f"{i:04d}.png" for i in range(4000)]
    sets = [[int(t)] if rng.random() < 0.8 else [int(t), 8] for t in truth]
    LabelSets.from_lists(names, sets).to_json(tmp_path / "real.json")
    np.save(tmp_path / "p.npy", np.where(rng.random(4000) < 0.7, truth, 0) + 1)
    scored = scoring.score(tmp_path / "p.npy", Reference.load(tmp_path / "real.json"))
    assert "one too high" in scored.warnings[0] and scored.repair == "one-based"
    assert scored.repaired.as_json()["real"]["top1"]["value"] > 0.7
    np.save(tmp_path / "q.npy", rng.permutation(9)[np.load(tmp_path / "p.npy") - 1])
    renumbered = scoring.score(tmp_path / "q.npy", Reference.load(tmp_path / "real.json"))
    assert "numbered in another way" in renumbered.warnings[0] and renumbered.repair is None


def test_images_of_class_folders_with_the_same_names(tmp_path):
    """ant/000.jpg and bee/000.jpg: a base name is not enough, a longer path is matched."""
    names = [f"{c}/{i:03d}.jpg" for c in ("ant", "bee", "cat") for i in range(50)]
    labels = {n: [k // 50] for k, n in enumerate(names)}
    (tmp_path / "o.json").write_text(json.dumps(labels))
    reference = Reference.load(original=tmp_path / "o.json")
    order = np.random.default_rng(0).permutation(150)[:90]
    for prefix in ("/data/val/", "", "val\\"):
        rows = "\n".join(f"{prefix}{names[i]},{i // 50}" for i in order)
        (tmp_path / "p.csv").write_text(f"file,class\n{rows}\n")
        scored = scoring.score(tmp_path / "p.csv", reference, column="class").results.as_json()
        assert scored["original"]["top1"]["value"] == 1.0
    (tmp_path / "p.csv").write_text("file,class\n000.jpg,0\n001.jpg,0\n")
    with pytest.raises(InputError, match="2 of 2 file names are of no image"):
        scoring.score(tmp_path / "p.csv", reference)


def test_a_taste_among_valid_labels_is_no_mixup(tmp_path):
    """Two similar classes are both valid; the model mostly predicts the one that is not the label."""
    rng = np.random.default_rng(0)
    names = [f"{i:04d}.png" for i in range(400)]
    truth = rng.integers(0, 4, 400)
    sibling = truth ^ 1
    (tmp_path / "o.json").write_text(json.dumps({n: [int(t)] for n, t in zip(names, truth)}))
    both = {n: [int(t), int(s)] for n, t, s in zip(names, truth, sibling)}
    (tmp_path / "r.json").write_text(json.dumps(both))
    np.save(tmp_path / "p.npy", np.where(rng.random(400) < 0.9, sibling, truth))
    reference = Reference.load(tmp_path / "r.json", tmp_path / "o.json", num_classes=30)
    assert scoring.score(tmp_path / "p.npy", reference).warnings == ()
    alone = Reference.load(original=tmp_path / "o.json", num_classes=30)
    assert scoring.score(tmp_path / "p.npy", alone).repair == "renumbered-classes"


def test_a_repair_does_not_excuse_classes_out_of_range(tmp_path, imagenet_labels):
    top1 = imagenet_labels.original.classes.astype(np.int64) + 1
    top1[7] = 123_457
    np.save(tmp_path / "p.npy", top1)
    for assume in ([], ["one-based"]):
        with pytest.raises(InputError, match=r"1 images have a class out of range .*\[123456\]"):
            scoring.score(tmp_path / "p.npy", imagenet_labels, assume)


def test_columns_for_more_classes_than_known_are_remarked(tmp_path):
    own_dataset(tmp_path)
    np.savez(tmp_path / "p.npz", file_names=["1.png"], features=np.eye(1, 64))
    reference = Reference.load(tmp_path / "real.json", tmp_path / "original.json")
    warnings = scoring.score(tmp_path / "p.npz", reference).warnings
    assert "64 columns, while the labels have 3 classes" in warnings[0]


def test_class_names_must_be_as_many_as_the_classes(tmp_path):
    (tmp_path / "original.json").write_text('{"a.png": 0, "b.png": 3}')
    (tmp_path / "names.json").write_text('["ant", "bee", "cow"]')
    reference = Reference.load(original=tmp_path / "original.json")
    with pytest.raises(InputError, match=r"names.json: names 3 classes; expected 4"):
        reference.class_names(tmp_path / "names.json")

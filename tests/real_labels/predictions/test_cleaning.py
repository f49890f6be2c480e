"""Rules of cleaning, compared with plain loops and with cleanlab on the same probabilities."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from PIL import Image

from real_labels.cli import main
from real_labels.errors import InputError
from real_labels.predictions import cleaning
from real_labels.predictions.out_of_fold import OutOfFold


def drawn(seed, images=300, classes=7, sigmoid=False):
    """(probabilities, labels) of a model that is right more often than not, some labels wrong."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(images) % classes)
    logits = rng.normal(size=(images, classes)) * rng.uniform(0.3, 3)
    logits[np.arange(images), label] += rng.uniform(0, 3)
    wrong = rng.random(images) < 0.2
    label[wrong] = rng.integers(classes, size=wrong.sum())
    label[:classes] = np.arange(classes)  # each class has an image
    if sigmoid:
        return 1 / (1 + np.exp(-logits)), label
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True), label


def of(probabilities, label):
    names = np.array([f"{i:05d}.png" for i in range(len(label))])
    return OutOfFold.of_probabilities(names, probabilities, label)


def first(found, k):
    """Returns the predictions with the first k classes of each image."""
    return dataclasses.replace(
        found, classes=found.classes[:, :k], scores=found.scores[:, :k], score_sum=found.total
    )


@pytest.mark.parametrize("seed", range(20))
def test_confident_is_cleanlabs(seed):
    probabilities, label = drawn(seed)
    theirs = find_label_issues(
        label, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1
    )
    ours = ~cleaning.keeps("confident", of(probabilities, label))
    assert theirs.any() and (ours == theirs).all()


@pytest.mark.parametrize("kind", ["tenths", "float16", "certain"])
@pytest.mark.parametrize("seed", range(10))
def test_confident_is_cleanlabs_where_classes_are_as_likely(seed, kind):
    """Rounded probabilities: the label ties with another class, or a class is never predicted."""
    probabilities, label = drawn(seed, images=150, classes=6)
    if kind == "tenths":
        probabilities = np.round(probabilities * 10) + 1e-9
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    elif kind == "float16":
        probabilities = probabilities.astype(np.float16).astype(np.float64)
    else:
        probabilities = np.where(np.arange(6) == 5, 0, probabilities)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    theirs = find_label_issues(
        label, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1
    )
    ours = ~cleaning.keeps("confident", of(probabilities, label))
    assert (ours == theirs).all()


@pytest.mark.parametrize("decimals", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_rounded_probabilities_are_used_as_they_are(seed, decimals):
    probabilities, label = drawn(seed)
    probabilities = np.round(probabilities, decimals)
    theirs = find_label_issues(
        label, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1
    )
    assert (~cleaning.keeps("confident", of(probabilities, label)) == theirs).all()


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_a_sigmoid_are_normalised_for_confident(seed):
    scores, label = drawn(seed, sigmoid=True)
    share = scores / scores.sum(axis=1, keepdims=True)
    ours = cleaning.keeps("confident", of(scores, label))
    assert (ours == cleaning.keeps("confident", of(share, label))).all()
    assert 0 < (~ours).sum() < len(label)


def test_the_first_classes_are_enough_or_the_rule_refuses():
    agreed = refused = 0
    for seed in range(30):
        probabilities, label = drawn(seed, images=400, classes=30)
        found = of(probabilities, label)
        expected = cleaning.keeps("confident", found)
        for k in (3, 20):
            try:
                kept = cleaning.keeps("confident", first(found, k))
            except InputError:
                refused += 1
                continue
            agreed += 1
            assert (kept == expected).all()
    assert agreed > 10 and refused > 5


def test_a_missing_class_that_may_be_confident_is_refused():
    # Class 2 is not in the file, and its threshold is 0.1, which the last score 0.2 does not exclude.
    names = np.array(["a", "b", "c"])
    found = OutOfFold(
        names,
        classes=np.array([[0, 1], [1, 0], [0, 1]]),
        scores=np.array([[0.6, 0.3], [0.7, 0.2], [0.5, 0.4]]),
        label=np.array([0, 1, 2]),
        label_score=np.array([0.6, 0.7, 0.1]),
        fold=np.zeros(3, int),
        score_sum=np.ones(3),
    )
    with pytest.raises(InputError, match=r"c may have a confident class beyond the 2"):
        cleaning.keeps("confident", found)


@pytest.mark.parametrize(("rule", "k"), [("top1", 1), ("top-k=1", 1), ("top-k=3", 3)])
def test_the_label_among_the_first(rule, k):
    probabilities, label = drawn(0)
    expected = [
        label[row] in np.argsort(-probabilities[row], kind="stable")[:k].tolist()
        for row in range(len(label))
    ]
    assert cleaning.keeps(rule, of(probabilities, label)).tolist() == expected


@pytest.mark.parametrize("rule", ["top", "top-k=0", "top-k=", "Confident", "top-k=8"])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(InputError, match="--rule"):
        cleaning.keeps(rule, of(*drawn(0)))


def test_files_come_back_as_they_were(tmp_path):
    found = first(of(*drawn(1)), 5)
    found.save(tmp_path / "out_of_fold.npz")
    back = OutOfFold.load(tmp_path / "out_of_fold.npz")
    for field in dataclasses.fields(OutOfFold):
        assert np.array_equal(getattr(back, field.name), getattr(found, field.name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scores": lambda a: a * 2}, "expected probabilities"),
        ({"scores": lambda a: a[:, ::-1]}, "rising scores"),
        ({"scores": lambda a: np.where(a == a.max(), np.nan, a)}, "expected probabilities"),
        ({"label_score": lambda a: a[:-1]}, r"expected an array of shape \(300,\), found \(299,\)"),
        ({"classes": lambda a: np.zeros_like(a)}, "twice"),
        ({"classes": lambda a: a.astype(np.float32) + 0.5}, "classes"),
        ({"label": lambda a: a - 1}, "label"),
        ({"file_names": lambda a: np.full_like(a, "x")}, "file name"),
        ({"scores": lambda a: a.astype(np.int64)}, "expected floats"),
        ({"score_sum": lambda a: a.astype(str)}, "score_sum: expected sums"),
        ({"score_sum": lambda a: a - 2}, "score_sum: expected sums"),
        ({"score_sum": lambda a: a * np.nan}, "score_sum: expected sums"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, says):
    found = first(of(*drawn(2)), 7)
    arrays = {f.name: getattr(found, f.name) for f in dataclasses.fields(OutOfFold)}
    for name, work in change.items():
        arrays[name] = work(arrays[name])
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=says) as error:
        OutOfFold.load(tmp_path / "bad.npz")
    assert "bad.npz" in str(error.value)


def test_the_command(tmp_path, capsys):
    probabilities, label = drawn(3)
    found = of(probabilities, label)
    found.save(tmp_path / "out_of_fold.npz")
    true = np.where(np.random.default_rng(0).random(len(label)) < 0.3, found.classes[:, 0], label)
    truth = {name: [int(c)] for name, c in zip(found.file_names.tolist(), true)}
    (tmp_path / "images").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "images" / "another.png")
    truth[found.file_names[0]] = []  # shows no class, so its label is wrong
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    main(
        ["clean", str(tmp_path / "out_of_fold.npz"), "--rule", "confident",
         "--kept", str(tmp_path / "keep.txt"), "--json", str(tmp_path / "all.json"),
         "--truth", str(tmp_path / "truth.json"), "--report", str(tmp_path / "page"),
         "--images", str(tmp_path / "images")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "of the images to show are not below" in " ".join(said.split())
    kept = cleaning.keeps("confident", found)
    assert (tmp_path / "keep.txt").read_text().split() == sorted(found.file_names[kept])
    record = json.loads((tmp_path / "all.json").read_text())
    wrong = (found.label != true) | (np.arange(300) == 0)
    assert record["dropped"] == (~kept).sum() == sum(c["dropped"] for c in record["classes"])
    assert record["precision"]["value"] == pytest.approx(wrong[~kept].mean())
    assert record["recall"]["value"] == pytest.approx((~kept)[wrong].mean())
    assert f"drops {(~kept).sum()} of 300 images" in said and "by chance" in said
    page = (tmp_path / "page" / "index.html").read_text()
    doubt = cleaning.suspicion(found)
    worst = found.file_names[~kept][np.argmax(doubt[~kept])]
    shown = [name for name in found.file_names.tolist() if name in page]
    assert min(shown, key=page.index) == worst
    assert len(shown) == min(120, (~kept).sum()) and not set(shown) & set(found.file_names[kept])
    assert "http" not in page.replace("http-equiv", "")


def test_a_rule_without_wrong_or_dropped_labels(tmp_path, capsys):
    found = of(*drawn(3))
    found.save(tmp_path / "out_of_fold.npz")
    command = ["clean", str(tmp_path / "out_of_fold.npz"), "--truth", str(tmp_path / "truth.json")]
    command += ["--json", str(tmp_path / "all.json")]
    names = found.file_names.tolist()

    def write(labels):
        (tmp_path / "truth.json").write_text(json.dumps(dict(zip(names, labels, strict=True))))

    write([[c] for c in found.label.tolist()])
    main([*command, "--rule", "top-k=7"])
    assert "none of the 300 labels is wrong." in capsys.readouterr().out
    record = json.loads((tmp_path / "all.json").read_text(), parse_constant=pytest.fail)
    assert record["recall"]["value"] is None and record["share"]["value"] == 0
    write([[(c + 1) % 7] for c in found.label.tolist()])
    main([*command, "--rule", "top-k=7"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Against the truth: 0.0% [0.0, 1.3] of the 300 wrong labels are dropped" in said
    write([[] for _ in names])
    with pytest.raises(SystemExit, match=r"truth.json: gives no label to any of the 300 images"):
        main(command)
    del names[7]
    write([[0]] * 299)
    with pytest.raises(SystemExit, match=r"truth.json: 1 of the 300 images .*"):
        main(command)


def test_bad_output_is_refused_before_anything_is_written(tmp_path):
    of(*drawn(3)).save(tmp_path / "out_of_fold.npz")
    command = ["clean", str(tmp_path / "out_of_fold.npz"), "--kept", str(tmp_path / "keep.txt")]
    (tmp_path / "a file").write_text("")
    for more, says in (
        (("--report", str(tmp_path / "page"), "--images", str(tmp_path / "nowhere")), "no such"),
        (("--report", str(tmp_path / "a file")), "a file"),
    ):
        with pytest.raises(SystemExit, match=says):
            main([*command, *more])
        assert not (tmp_path / "keep.txt").exists()


def test_cleanlabs_arrays_are_taken(tmp_path, capsys):
    probabilities, label = drawn(4)
    np.save(tmp_path / "pred_probs.npy", probabilities)
    np.save(tmp_path / "labels.npy", label)
    main(
        ["clean", str(tmp_path / "pred_probs.npy"), "--original", str(tmp_path / "labels.npy"),
         "--rule", "confident", "--kept", str(tmp_path / "keep.txt")]
    )  # fmt: skip
    assert "holds row numbers, from 0" in " ".join(capsys.readouterr().out.split())
    kept = cleaning.keeps("confident", of(probabilities, label))
    assert (
        sorted(map(int, (tmp_path / "keep.txt").read_text().split()))
        == np.flatnonzero(kept).tolist()
    )
    with pytest.raises(SystemExit, match=r"is no out_of_fold.npz. .*--original LABELS"):
        main(["clean", str(tmp_path / "pred_probs.npy")])
    with pytest.raises(SystemExit, match=r"nope.npz: there is no such file\.$"):
        main(["clean", str(tmp_path / "nope.npz")])
    np.save(tmp_path / "beyond.npy", np.where(np.arange(300) == 8, 70, label))
    with pytest.raises(
        SystemExit, match=r"beyond.npy: row 9 has the label 70; .* of 7 classes, 0 to 6"
    ):
        main(
            ["clean", str(tmp_path / "pred_probs.npy"), "--original", str(tmp_path / "beyond.npy")]
        )
    of(probabilities, label).save(tmp_path / "out_of_fold.npz")
    with pytest.raises(SystemExit, match="has its own labels; leave --original out"):
        main(
            ["clean", str(tmp_path / "out_of_fold.npz"), "--original", str(tmp_path / "labels.npy")]
        )
    np.save(tmp_path / "logits.npy", 3 * probabilities - 1)
    main(["clean", str(tmp_path / "logits.npy"), "--original", str(tmp_path / "labels.npy")])
    assert "no probabilities: their softmax is taken" in " ".join(capsys.readouterr().out.split())
    np.save(tmp_path / "percent.npy", (100 * probabilities).astype(np.float16))
    main(["clean", str(tmp_path / "percent.npy"), "--original", str(tmp_path / "labels.npy")])
    assert "they are divided by 100" in " ".join(capsys.readouterr().out.split())
    np.save(tmp_path / "objects.npy", np.array([None, 1], object), allow_pickle=True)
    with pytest.raises(SystemExit, match=r"objects.npy: .*objects"):
        main(
            ["clean", str(tmp_path / "pred_probs.npy"), "--original", str(tmp_path / "objects.npy")]
        )
    np.save(tmp_path / "short.npy", label[:-1])
    with pytest.raises(SystemExit, match="expected 300 whole numbers"):
        main(["clean", str(tmp_path / "pred_probs.npy"), "--original", str(tmp_path / "short.npy")])

"""Finding the column or array of the predictions; true labels beside them are never scored."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from real_labels.accuracy import scoring
from real_labels.errors import InputError
from real_labels.labels import Reference

N, C = 400, 12
NAMES = [f"x{i:03d}.png" for i in range(N)]


@pytest.fixture
def world(tmp_path):
    """Original labels; true labels in a file (1% differ); predictions, 70% right; scores of every class."""
    rng = np.random.default_rng(0)
    original = rng.integers(0, C, N)
    truth = original.copy()
    truth[:4] = (truth[:4] + 1) % C
    predicted = np.where(rng.random(N) < 0.7, original, rng.integers(0, C, N))
    scores = rng.random((N, C)) / 2
    scores[np.arange(N), predicted] += 1
    (tmp_path / "original.json").write_text(json.dumps(dict(zip(NAMES, original.tolist()))))
    return original, truth, predicted, scores


def accuracy(path, tmp_path, **options):
    reference = Reference.load(original=tmp_path / "original.json", num_classes=C)
    return scoring.score(path, reference, **options).results.original.top1.value


def as_table(scores, prefix):
    return {f"{prefix}{c}": scores[:, c] for c in range(C)}


SCORE_NAMES = ["p", "p_", "softmax_", "c", "class ", ""]
ARRAY_NAMES = [
    "smx",
    "softmax",
    "logits_val",
    "val_logits",
    "probs",
    "output",
    "whatever",
    "y_score",
]


@pytest.mark.parametrize("prefix", SCORE_NAMES)
@pytest.mark.parametrize("label", ["label", "class", "y", "target", "labels"])
def test_scores_of_every_class_are_told_from_the_truth_beside_them(world, tmp_path, prefix, label):
    original, truth, predicted, scores = world
    right = (predicted == original).mean()
    columns = {"file_name": NAMES, label: truth, **as_table(scores, prefix)}
    for order in (list(columns), [*list(columns)[:1], *list(columns)[2:], label]):
        pd.DataFrame(columns)[order].to_csv(tmp_path / "p.csv", index=False)
        assert accuracy(tmp_path / "p.csv", tmp_path) == right
    classes = [f"kind_{chr(97 + c)}" for c in range(C)]
    named = pd.DataFrame({"file_name": NAMES, label: truth, **dict(zip(classes, scores.T))})
    named.to_csv(tmp_path / "n.csv", index=False)
    assert accuracy(tmp_path / "n.csv", tmp_path) == right


@pytest.mark.parametrize("name", ARRAY_NAMES)
def test_arrays_are_told_from_the_truth_in_any_order(world, tmp_path, name):
    original, truth, predicted, scores = world
    arrays = {
        "file_names": np.array(NAMES),
        name: scores,
        "confidence": scores.max(axis=1),
        "labels": truth,
    }
    for number, order in enumerate(itertools.permutations(arrays)):
        if number % 4 == 0:
            np.savez(tmp_path / "p.npz", **{key: arrays[key] for key in order})
            assert accuracy(tmp_path / "p.npz", tmp_path) == (predicted == original).mean()


def test_of_two_class_columns_the_one_that_agrees_too_well_is_the_truth(world, tmp_path):
    original, truth, predicted, _ = world
    for ours, theirs in (("class", "label"), ("label", "class"), ("guess_a", "label")):
        frame = pd.DataFrame({"file_name": NAMES, ours: predicted, theirs: truth})
        frame.to_csv(tmp_path / "p.csv", index=False)
        assert accuracy(tmp_path / "p.csv", tmp_path) == (predicted == original).mean()
        assert accuracy(tmp_path / "p.csv", tmp_path, column=theirs) == 0.99


def test_what_stays_undecided_is_refused_with_the_candidates(world, tmp_path):
    original, truth, predicted, _ = world
    nearly = original.copy()
    nearly[5:8] = (nearly[5:8] + 3) % C
    noise = np.random.default_rng(1).integers(0, C, N)
    for columns, says in (
        ({"class": truth, "label": nearly}, "class, label"),  # both agree as much as true labels do
        ({"class": predicted, "label": np.where(noise % 2, original, noise)}, "class, label"),
        ({"pred_a": predicted, "pred_b": nearly}, "pred_a, pred_b"),
        (
            {"label": truth, "cluster": noise},
            "label, cluster",
        ),  # the other column is unrelated to the labels
    ):
        pd.DataFrame({"file_name": NAMES, **columns}).to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(InputError, match=rf"may be the predictions: {says}\. Name .*--column"):
            accuracy(tmp_path / "p.csv", tmp_path)


def test_a_good_models_lone_column_is_scored(world, tmp_path):
    """99.5% right is a good model if no other column in the file can be the predictions."""
    original, *_ = world
    good = original.copy()
    good[:2] = (good[:2] + 1) % C
    for columns in (
        {"pred": good},
        {"label": good},
        {"label": good, "confidence": np.linspace(0, 1, N)},
        {"label": good, "wnid": [f"name {c}" for c in good]},  # other names of the same classes
        {"class": good, "gt": original},
    ):
        pd.DataFrame({"file_name": NAMES, **columns}).to_csv(tmp_path / "p.csv", index=False)
        assert accuracy(tmp_path / "p.csv", tmp_path) == 1 - 2 / N


def test_equal_to_the_labels_everywhere_is_refused_unless_named(world, tmp_path):
    original, *_ = world
    pd.DataFrame({"file_name": NAMES, "pred": original}).to_csv(tmp_path / "p.csv", index=False)
    np.save(tmp_path / "p.npy", original)
    one_hot = np.eye(C, dtype=int)[original]
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), y=one_hot)
    for path, column in (("p.csv", "pred"), ("p.npy", "array"), ("p.npz", "y")):
        with pytest.raises(
            InputError, match=rf"{column} equals the original labels on all 400 images"
        ):
            accuracy(tmp_path / path, tmp_path)
        assert accuracy(tmp_path / path, tmp_path, column=column) == 1.0
    few = pd.DataFrame({"file_name": NAMES, "pred": original})[:5]
    few.to_csv(tmp_path / "few.csv", index=False)
    assert accuracy(tmp_path / "few.csv", tmp_path) == 1.0  # five images tell nothing


def test_the_truth_is_looked_for_after_a_repair_too(world, tmp_path):
    """One-based true labels agree with no label as given, and with every label after the repair."""
    original, truth, predicted, _ = world
    pd.DataFrame({"file_name": NAMES, "label": original + 1}).to_csv(
        tmp_path / "p.csv", index=False
    )
    with pytest.raises(InputError, match="label equals the original labels on all 400 images"):
        accuracy(tmp_path / "p.csv", tmp_path, assume=["one-based"])
    frame = pd.DataFrame({"file_name": NAMES, "label": truth + 1, "class": predicted + 1})
    frame.to_csv(tmp_path / "p.csv", index=False)
    right = (predicted == original).mean()
    assert accuracy(tmp_path / "p.csv", tmp_path, assume=["one-based"]) == right


def test_predicted_names_beside_the_truth(world, tmp_path):
    original, truth, predicted, _ = world
    words = [f"kind {chr(97 + c)}" for c in range(C)]
    (tmp_path / "names.txt").write_text("\n".join(words))
    from real_labels.labels import ClassNames

    names = ClassNames.load(tmp_path / "names.txt")
    for column in ("prediction", "pred_class", "guessed", "output"):
        frame = {"file_name": NAMES, "label": truth, column: [words[c] for c in predicted]}
        pd.DataFrame(frame).to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(InputError, match=f"{column}"):
            accuracy(tmp_path / "p.csv", tmp_path)
    frame = pd.DataFrame({"file_name": NAMES, "prediction": [words[c].title() for c in predicted]})
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert (
        accuracy(tmp_path / "p.csv", tmp_path, class_names=names) == (predicted == original).mean()
    )


def test_every_candidate_can_be_named(world, tmp_path):
    original, truth, predicted, scores = world
    columns = {"file_name": NAMES, "label": truth, "other": predicted, **as_table(scores, "p")}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    right = (predicted == original).mean()
    for column, expected in (
        ("label", 0.99),
        ("other", right),
        ("p", right),
        ("p0 … p11", right),
    ):
        assert accuracy(tmp_path / "p.csv", tmp_path, column=column) == expected
    with pytest.raises(
        InputError, match="has no column 'q' of classes; there are label, other, p0 … p11"
    ):
        accuracy(tmp_path / "p.csv", tmp_path, column="q")


def few_classes(tmp_path, classes, rng):
    original = rng.integers(0, classes, 200)
    predicted = np.where(rng.random(200) < 0.9, original, rng.integers(0, classes, 200))
    names = [f"x{i:03d}.png" for i in range(200)]
    (tmp_path / "few.json").write_text(json.dumps(dict(zip(names, original.tolist()))))
    reference = Reference.load(original=tmp_path / "few.json", num_classes=classes)
    return original, predicted, names, reference


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("dtype", [int, float, bool, np.uint8])
@pytest.mark.parametrize("name", ["predictions", "scores", "outputs", "whatever", "classes"])
def test_one_hot_rows_are_no_ranking(tmp_path, classes, dtype, name):
    original, predicted, names, reference = few_classes(tmp_path, classes, np.random.default_rng(2))
    one_hot = np.eye(classes)[predicted].astype(dtype)
    np.savez(tmp_path / "p.npz", file_names=np.array(names), **{name: one_hot})
    np.save(tmp_path / "p.npy", one_hot[np.argsort(names)])
    frame = pd.DataFrame(
        {"file_name": names} | {f"pred_{c}": one_hot[:, c] for c in range(classes)}
    )
    frame.to_csv(tmp_path / "p.csv", index=False)
    words = pd.DataFrame(
        {"file_name": names} | {f"kind{chr(97 + c)}": one_hot[:, c] for c in range(classes)}
    )
    words.to_csv(tmp_path / "w.csv", index=False)
    for path in ("p.npz", "p.npy", "p.csv", "w.csv"):
        found = scoring.score(tmp_path / path, reference).results.original.top1.value
        assert found == (predicted == original).mean(), path


@pytest.mark.parametrize("name", ["scores", "votes", "outputs", "whatever"])
def test_votes_and_whole_scores_of_few_classes(tmp_path, name):
    rng = np.random.default_rng(3)
    original, predicted, names, reference = few_classes(tmp_path, 3, rng)
    right = (predicted == original).mean()
    votes = np.stack(
        [np.bincount(np.append(rng.integers(0, 3, 2), [p] * 3), minlength=3) for p in predicted]
    )
    ranks = np.array([[2 if c == p else (c - p) % 3 - 1 for c in range(3)] for p in predicted])
    large = 10 * ranks + 7  # distinct in every row, and beyond the classes
    for numbers in (votes, ranks, large):
        np.savez(tmp_path / "p.npz", file_names=np.array(names), **{name: numbers})
        assert scoring.score(tmp_path / "p.npz", reference).results.original.top1.value == right
    ranking = np.argsort(-ranks, axis=1)
    if name != "scores" and name != "votes":
        np.savez(tmp_path / "p.npz", file_names=np.array(names), **{name: ranking})
        assert scoring.score(tmp_path / "p.npz", reference).results.original.top1.value == right


def test_a_permutation_that_nothing_decides_is_refused(tmp_path):
    from real_labels.predictions import reading

    rows = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    np.savez(tmp_path / "p.npz", whatever=rows)
    with pytest.raises(
        InputError, match="whatever may hold 3 ranked classes or a whole-number score for each of 3"
    ):
        reading.read(tmp_path / "p.npz")
    np.savez(tmp_path / "q.npz", ranking=rows)
    assert reading.read(tmp_path / "q.npz").classes.tolist() == rows.tolist()


BOXES = "10 20 970 300"


def test_boxes_are_no_classes(tmp_path):
    from real_labels.predictions import reading

    def write(*cells):
        rows = "\n".join(f"ILSVRC2012_val_{i:08d},{cell}" for i, cell in enumerate(cells, start=1))
        (tmp_path / "p.csv").write_text(f"ImageId,PredictionString\n{rows}\n")
        return tmp_path / "p.csv"

    one, two = f"n01440764 {BOXES}", f"n01443537 {BOXES}"
    for cells, classes in (
        ((one, two), [0, 1]),
        ((f"{one} {two}", f"{two} {one} {one}"), [0, 1]),  # several boxes: the first class counts
        ((" ".join([one, two] * 2 + [one]), one), [0, 0]),
    ):
        assert reading.read(write(*cells)).classes.tolist() == [[c] for c in classes]
    assert reading.read(write("n01440764 n01443537", "n01443537 n01440764")).classes.tolist() == [
        [0, 1],
        [1, 0],
    ]
    with pytest.raises(InputError, match="row 2 mixes WordNet ids and numbers in PredictionString"):
        reading.read(write("n01440764 n01443537", "n01440764 0.9"))


def test_wordnet_ids_of_another_dataset(tmp_path):
    """Ten classes of ILSVRC-2012, numbered 0 to 9 like folders, not by their index in ILSVRC-2012."""
    from real_labels.labels import ClassNames, imagenet

    ids = imagenet.wordnet_ids()[::100]
    original = np.arange(100) % 10
    names = [f"{i}.jpg" for i in range(100)]
    (tmp_path / "o.json").write_text(json.dumps(dict(zip(names, original.tolist()))))
    predicted = np.where(np.arange(100) < 90, original, (original + 1) % 10)
    frame = pd.DataFrame({"file_name": names, "pred": [ids[c] for c in predicted]})
    frame.to_csv(tmp_path / "p.csv", index=False)
    reference = Reference.load(original=tmp_path / "o.json")
    with pytest.raises(
        InputError, match=r"WordNet ids.* of another dataset \(10 classes\).*--class-names"
    ):
        scoring.score(tmp_path / "p.csv", reference)
    (tmp_path / "names.txt").write_text("\n".join(ids))
    found = scoring.score(
        tmp_path / "p.csv", reference, class_names=ClassNames.load(tmp_path / "names.txt")
    )
    assert found.results.original.top1.value == 0.9
    (tmp_path / "l.json").write_text(json.dumps({"a.jpg": [ids[0]]}))
    with pytest.raises(
        InputError, match="a.jpg has the WordNet id n01440764, .* Write the class indices"
    ):
        Reference.load(original=tmp_path / "l.json")


def test_ties_among_the_best_are_said_and_many_leave_top5_out(world, tmp_path):
    original, _, predicted, _ = world
    coarse = np.zeros((N, C), np.uint8)
    coarse[np.arange(N), predicted] = 3
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), scores=coarse)
    reference = Reference.load(original=tmp_path / "original.json", num_classes=C)
    scored = scoring.score(tmp_path / "p.npz", reference)
    assert scored.results.original.top1.value == (predicted == original).mean()
    assert not scored.results.original.top5.is_known
    assert "400 of 400 images, so the best 5 are not known" in scored.warnings[0]
    fine = np.random.default_rng(0).permutation(N * C).reshape(N, C).astype(float)
    fine[:8] = np.sort(fine[:8], axis=1)
    fine[:8, -6] = fine[:8, -5]
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), scores=fine)
    scored = scoring.score(tmp_path / "p.npz", reference)
    assert scored.results.original.top5.is_known
    assert "8 of 400 images; there, top-5 counts the lower class index" in scored.warnings[0]


@pytest.mark.parametrize("with_scores", [False, True])
def test_ascending_ranks_are_named_and_undone(world, tmp_path, with_scores):
    original, _, _, scores = world
    best = np.argsort(-scores, axis=1)[:, :5]
    columns = {"file_name": NAMES} | {f"pred_{i}": best[:, 4 - i] for i in range(5)}
    if with_scores:
        columns |= {f"score_{i}": np.sort(scores, axis=1)[:, -5 + i] for i in range(5)}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    reference = Reference.load(original=tmp_path / "original.json", num_classes=C)
    scored = scoring.score(tmp_path / "p.csv", reference)
    assert scored.repair == "ascending-ranks" and "ascending order" in scored.warnings[0]
    assert scored.results.original.top1.value == (best[:, 4] == original).mean()
    undone = scoring.score(tmp_path / "p.csv", reference, ["ascending-ranks"])
    assert undone.results.original.top1.value == (best[:, 0] == original).mean()
    assert undone.results == scored.repaired
    if with_scores:
        expected = np.sort(scores, axis=1)[:, :-6:-1]
        np.testing.assert_allclose(undone.predictions.scores, expected, rtol=1e-6)
    straight = pd.DataFrame({"file_name": NAMES} | {f"pred_{i}": best[:, i] for i in range(5)})
    straight.to_csv(tmp_path / "q.csv", index=False)
    assert scoring.score(tmp_path / "q.csv", reference).repair is None


def test_several_words_an_image_are_one_text(tmp_path):
    from real_labels.predictions import reading

    words = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
    np.savez(tmp_path / "p.npz", words=words, label=np.array([1, 5, 2]))
    assert reading.read(tmp_path / "p.npz").classes.tolist() == [[1], [5], [2]]


def test_an_array_called_like_a_hit_is_a_rival_where_its_content_is_of_classes(world, tmp_path):
    original, truth, predicted, _ = world
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), pred_correct=predicted, labels=truth)
    with pytest.raises(InputError, match="pred_correct"):
        accuracy(tmp_path / "p.npz", tmp_path)
    np.savez(
        tmp_path / "p.npz",
        file_names=np.array(NAMES),
        pred=predicted,
        correct=predicted == original,
    )
    assert accuracy(tmp_path / "p.npz", tmp_path) == (predicted == original).mean()


def test_logits_are_scored_beside_the_truth_as_indices_and_one_hot(world, tmp_path):
    original, truth, predicted, scores = world
    arrays = {"y_true": np.eye(C)[truth], "labels": truth, "logits": scores * 9 - 4}
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), **arrays)
    assert accuracy(tmp_path / "p.npz", tmp_path) == (predicted == original).mean()


def test_an_array_mock_of_another_type_says_nothing(world, tmp_path):
    original, _, predicted, _ = world
    odd = np.zeros(2, dtype=[("a", "i4"), ("b", "f4")])
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), classes=predicted[:, None], mock=odd)
    assert accuracy(tmp_path / "p.npz", tmp_path) == (predicted == original).mean()

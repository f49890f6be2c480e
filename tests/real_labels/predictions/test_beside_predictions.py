"""Files with other columns beside the predictions: scored correctly, or refused with the candidates."""

import json

import numpy as np
import pandas as pd
import pytest

from real_labels.accuracy import scoring
from real_labels.errors import InputError
from real_labels.labels import ClassNames, Reference

N = 300
NAMES = [f"x{i:03d}.png" for i in range(N)]
RNG = np.random.default_rng(0)


def world(classes, right=0.85):
    rng = np.random.default_rng(classes)
    original = rng.integers(0, classes, N)
    wrong = (original + rng.integers(1, classes, N)) % classes
    predicted = np.where(rng.random(N) < right, original, wrong)
    truth = original.copy()
    truth[:2] = (truth[:2] + 1) % classes
    return original, predicted, truth


def reference_of(folder, original, **options):
    (folder / "o.json").write_text(json.dumps(dict(zip(NAMES, original.tolist()))))
    return Reference.load(original=folder / "o.json", **options)


def scored(path, reference, **options):
    return scoring.score(path, reference, **options).results.original.top1.value


def right_or_refused(path, reference, right, must_be_read=False, **options):
    """A refusal lists the possible predictions, or says why there are none."""
    refusal = ""
    try:
        found = scored(path, reference, **options)
    except InputError as error:
        refusal, found = str(error), right
    assert found == right
    assert path.name in refusal if refusal and not must_be_read else not refusal


def table(path, **columns):
    pd.DataFrame({"file": NAMES} | columns).to_csv(path, index=False)
    return path


# Columns of the predictions p and q of two models, and of true labels t (99.3% equal the original labels).
SEVERAL_MODELS = [
    lambda p, q, t: {"pred_1": p, "pred_2": q},
    lambda p, q, t: {"label_0": p, "label_1": q},
    lambda p, q, t: {"model_1": p, "model_2": q},
    lambda p, q, t: {"pred_1": p, "pred_2": q, "pred_3": t},
    lambda p, q, t: {"preds_0": p, "preds_1": t},
]


@pytest.mark.parametrize("columns", SEVERAL_MODELS)
@pytest.mark.parametrize("classes", [2, 3])
def test_columns_of_several_models_are_no_scores(tmp_path, columns, classes):
    original, p, t = world(classes)
    q = world(classes, 0.6)[1]
    reference = reference_of(tmp_path, original, num_classes=classes)
    path = table(tmp_path / "p.csv", **columns(p, q, t))
    first = next(iter(columns(p, q, t)))
    with pytest.raises(InputError, match="may be the predictions|names a class twice"):
        scored(path, reference)
    assert scored(path, reference, column=first) == (p == original).mean()
    rows = "\n".join(f"{n},{a},{b}" for n, a, b in zip(NAMES, t, p))
    (tmp_path / "h.csv").write_text(rows + "\n")
    right_or_refused(tmp_path / "h.csv", reference, (p == original).mean())
    np.save(tmp_path / "s.npy", np.stack([t, p], axis=1)[np.argsort(NAMES)])
    with pytest.raises(InputError, match=r"s.npy: "):
        scored(tmp_path / "s.npy", reference)


def test_lists_that_are_filled_up_are_no_scores(tmp_path):
    original, p, _ = world(5)
    filled = np.full((N, 5), -1)
    filled[:, 0] = p
    reference = reference_of(tmp_path, original, num_classes=5)
    path = table(tmp_path / "p.csv", **{f"top{i + 1}": filled[:, i] for i in range(5)})
    with pytest.raises(
        InputError,
        match="has -1 in some rows, as in lists of classes that are padded with -1; expected 5 ",
    ):
        scored(path, reference)
    assert scored(path, reference, column="top1") == (p == original).mean()


DECIMALS = [
    {"brightness": 2, "contrast": 0},
    {"lat": 2, "lon": 0},
    {"occluded": 1, "truncated": 1},
    {"pc1": 2, "pc2": 2, "pc3": 2, "pc4": 2, "pc5": 2},
    {f"emb_{i}": 2 for i in range(8)},
    {"left": 0, "top": 0, "width": 0, "height": 0},
    {"pred_correct": 1},
    {"prediction_id": 0},
    {"prediction_time": 0},
    {"superclass": 1},
]


@pytest.mark.parametrize("beside", DECIMALS, ids=lambda d: next(iter(d)))
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", ["label", "pred"])
def test_measurements_beside_the_predictions_do_not_count(tmp_path, beside, classes, name):
    original, p, t = world(classes)
    make = {
        0: lambda: RNG.permutation(N),
        1: lambda: RNG.integers(0, 2, N),
        2: lambda: RNG.random(N),
    }
    columns = {key: make[kind]() for key, kind in beside.items()}
    for options in ({"num_classes": classes}, {}):
        reference = reference_of(tmp_path, original, **options)
        path = table(tmp_path / "p.csv", **{name: p}, **columns)
        right_or_refused(path, reference, (p == original).mean(), must_be_read=name == "pred")
        if "left" in columns:
            continue  # measurements by name: the label is the only candidate
        truth = table(tmp_path / "t.csv", label=t, **columns)
        with pytest.raises(InputError, match="t.csv: "):
            scored(truth, reference)
    arrays = {key: np.asarray(column) for key, column in columns.items()}
    np.savez(
        tmp_path / "p.npz",
        file_names=np.array(NAMES),
        labels=p,
        feats=RNG.random((N, 64)),
        **arrays,
    )
    right_or_refused(tmp_path / "p.npz", reference, (p == original).mean())


TEXTS = {
    "clip": lambda p: [f"kind {c} (0.{i:03d})" for i, c in enumerate(p)],
    "response": lambda p: [f"I think it is a {c}, number {i}" for i, c in enumerate(p)],
    "caption": lambda p: [f"kind {c}" for c in p],
    "out": lambda p: [json.dumps({"kind": int(c), "row": i}) for i, c in enumerate(p)],
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("rows", [N, 15])
def test_the_truth_beside_predictions_in_words_is_not_scored(tmp_path, name, rows):
    original, p, t = world(12)
    if rows < N:
        t = original  # with so few images, nearly all are right
    reference = reference_of(tmp_path, original, num_classes=12)
    path = table(tmp_path / "p.csv", label=t, **{name: TEXTS[name](p)})
    pd.read_csv(path)[:rows].to_csv(path, index=False)
    with pytest.raises(
        InputError, match=f"label is the original label of .* the predictions may be in .*{name}"
    ):
        scored(path, reference)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_score_for_each_class_under_its_name(tmp_path, classes):
    original, p, t = world(classes)
    scores = RNG.random((N, classes))
    scores[np.arange(N), p] += 1
    kinds = ["ant", "bee", "cat", "dog", "elk"][:classes]
    reference = reference_of(tmp_path, original, num_classes=classes)
    right = (p == original).mean()
    for template in ("prob_{}", "{}_prob", "{}_score"):
        columns = {template.format(kind): scores[:, c] for c, kind in enumerate(kinds)}
        path = table(tmp_path / "p.csv", label=t, **columns)
        assert scored(path, reference) == right
        assert scored(table(tmp_path / "q.csv", **columns), reference) == right
    np.savez(tmp_path / "b.npz", file_names=np.array(NAMES), labels=t, probs=scores[:, 1])
    if classes == 2:
        with pytest.raises(
            InputError, match="labels is the original label of .* the predictions may be in .*probs"
        ):
            scored(tmp_path / "b.npz", reference)


def test_score_columns_are_the_classes_that_they_are_called_after(tmp_path):
    original, p, _ = world(5)
    scores = RNG.random((N, 5))
    scores[np.arange(N), p] += 1
    kinds = ["owl", "ant", "cat", "bee", "elk"]
    (tmp_path / "names.txt").write_text("\n".join(kinds))
    columns = {kind: scores[:, kinds.index(kind)] for kind in sorted(kinds)}
    path = table(tmp_path / "p.csv", **columns)
    reference = reference_of(tmp_path, original, num_classes=5)
    names = ClassNames.load(tmp_path / "names.txt")
    assert scored(path, reference, class_names=names) == (p == original).mean()


def test_arrays_that_cannot_be_read_are_not_forgotten(tmp_path):
    original, _, t = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    scores = RNG.random((N, 2, 5))
    for name, array in (
        ("logits", scores),
        ("net", scores),
        ("net", np.array([{"kind": 1}] * N, dtype=object)),
        ("net", RNG.random((N - 1, 5))),
        ("net", RNG.random((N, 5)).astype(complex)),
    ):
        np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), labels=t, **{name: array})
        with pytest.raises(InputError, match=f"p.npz: .*{name}"):
            scored(tmp_path / "p.npz", reference)


def test_arrays_of_classes_do_not_set_the_number_of_images(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    scores = RNG.random((N, 5))
    scores[np.arange(N), p] += 1
    soft = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    arrays = {"keys": np.array(NAMES)[::-1], "class_names": np.array(list("abcde"))}
    arrays |= {"classes": np.arange(5), "mock": np.array(False)}
    np.savez(tmp_path / "p.npz", **arrays, logits=scores[::-1], softmax=soft[::-1])
    found = scoring.score(tmp_path / "p.npz", reference)
    assert found.results.original.top1.value == (p == original).mean() and found.warnings == ()


@pytest.mark.parametrize("column", ["__key__", "sample_id", "uid", "index"])
def test_names_are_found_whatever_their_column_is_called(tmp_path, column):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    stems = [name.removesuffix(".png") for name in NAMES]
    frame = pd.DataFrame({column: stems, "pred": p}).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert scored(tmp_path / "p.csv", reference) == (p == original).mean()


def test_the_truth_in_mixed_up_rows_is_not_recommended(tmp_path):
    """Rows in the order of class folders: with that undone, the true labels are right on nearly all."""
    original, p, t = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    order = np.argsort(original, kind="stable")
    pd.DataFrame({"label": t[order], "resnet50": p[order]}).to_csv(tmp_path / "p.csv", index=False)
    pd.DataFrame({"file": NAMES, "label": t + 1, "resnet50": p + 1}).to_csv(
        tmp_path / "q.csv", index=False
    )
    for path in (tmp_path / "p.csv", tmp_path / "q.csv"):
        with pytest.raises(InputError, match="may hold the true labels|may be the predictions"):
            scored(path, reference)


def test_a_shuffled_index_is_no_prediction(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    path = table(tmp_path / "p.csv", index=RNG.permutation(N), label=p)
    assert scored(path, reference) == (p == original).mean()


def test_predicted_names_beside_their_indices(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    path = table(tmp_path / "p.csv", predicted_class=[f"kind {c}" for c in p], class_index=p)
    assert scored(path, reference) == (p == original).mean()


def test_top_names_with_a_class_list(tmp_path):
    original, p, _ = world(5)
    kinds = ["ice cream", "ant", "cat", "bee", "elk"]
    (tmp_path / "names.txt").write_text("\n".join(kinds))
    names = ClassNames.load(tmp_path / "names.txt")
    second = (p + 1) % 5
    reference = reference_of(tmp_path, original, num_classes=5)
    path = table(tmp_path / "p.csv", top1=[kinds[c] for c in p], top2=[kinds[c] for c in second])
    assert scored(path, reference, class_names=names) == (p == original).mean()
    rows = [{"file": n, "preds": [kinds[a], kinds[b]]} for n, a, b in zip(NAMES, p, second)]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    assert scored(tmp_path / "p.json", reference, class_names=names) == (p == original).mean()
    path = table(tmp_path / "p.csv", pred=["icecream", *(kinds[c] for c in p[1:])])
    with pytest.raises(InputError, match="'icecream'"):
        scored(path, reference, class_names=names)


def test_scores_out_of_order_are_left_out_with_a_remark(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    path = table(tmp_path / "p.csv", pred=p, confidence=np.where(np.arange(N) == 7, np.nan, 0.5))
    found = scoring.score(path, reference)
    assert found.results.original.top1.value == (p == original).mean()
    assert "not finite or not in falling order" in found.warnings[0]


def test_lower_is_better_is_not_called_an_ascending_ranking(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    distances = RNG.random((N, 5))
    distances[np.arange(N), p] -= 1
    np.savez(tmp_path / "p.npz", file_names=np.array(NAMES), distances=distances)
    assert scoring.score(tmp_path / "p.npz", reference).repair != "ascending-ranks"


@pytest.mark.parametrize("first", ["0,25", "1", "0"])
def test_decimal_commas_late_in_a_file(tmp_path, first):
    original, p, _ = world(3)
    reference = reference_of(tmp_path, original, num_classes=3)
    conf = [first] * 150 + [f"0,{i:03d}1" for i in range(150)]
    rows = "\n".join(f"{n};{c};{x}" for n, c, x in zip(NAMES, p, conf))
    (tmp_path / "p.csv").write_text(rows + "\n")
    right_or_refused(tmp_path / "p.csv", reference, (p == original).mean(), must_be_read=True)
    (tmp_path / "p.csv").write_text(f"file;pred;confidence\n{rows}\n")
    right_or_refused(tmp_path / "p.csv", reference, (p == original).mean(), must_be_read=True)


def test_numbers_as_numpy_and_pandas_write_them(tmp_path):
    original, p, _ = world(5)
    reference = reference_of(tmp_path, original, num_classes=5)
    order = np.argsort(NAMES)
    np.savetxt(tmp_path / "p.txt", p[order])
    assert scored(tmp_path / "p.txt", reference) == (p == original).mean()
    scores = RNG.random((N, 5))
    scores[np.arange(N), p] += 1
    pd.DataFrame(scores[order]).to_csv(tmp_path / "s.csv", index=False)
    assert scored(tmp_path / "s.csv", reference) == (p == original).mean()


def test_wordnet_ids_of_a_subset_with_ilsvrcs_indices_are_read(tmp_path):
    from real_labels.labels import imagenet

    original, p, _ = world(10)
    classes = np.array([0, 217, 482, 491, 497, 566, 569, 571, 574, 701])
    reference = reference_of(tmp_path, classes[original])
    path = table(tmp_path / "p.csv", pred=np.array(imagenet.wordnet_ids())[classes[p]])
    assert scored(path, reference) == (p == original).mean()

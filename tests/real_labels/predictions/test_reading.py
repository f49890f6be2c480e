import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import special

from real_labels import Predictions
from real_labels.errors import InputError
from real_labels.labels import imagenet
from real_labels.predictions import ranking, reading

N, C = 40, 1000
NAMES = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, N + 1)]


@pytest.fixture
def ranked():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(N, C)).astype(np.float32)
    top = np.argsort(-logits, axis=1)[:, :5]
    return logits, top, np.take_along_axis(logits, top, axis=1)


def check(path, classes, names=NAMES, scores=None):
    found = reading.read(path)
    np.testing.assert_array_equal(found.classes, classes)
    if names is None:
        assert found.file_names is None
    else:
        assert found.file_names.tolist() == list(names)
    if scores is not None:
        np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    return found


def test_arrays(tmp_path, ranked):
    logits, top, values = ranked
    np.save(tmp_path / "a.npy", top[:, 0])
    check(tmp_path / "a.npy", top[:, :1], None)
    np.save(tmp_path / "b.npy", top.astype(np.int16))
    check(tmp_path / "b.npy", top, None)
    np.save(tmp_path / "c.npy", logits)
    assert check(tmp_path / "c.npy", top, None, values).num_columns == C
    np.save(tmp_path / "d.npy", logits.astype(np.float64))
    check(tmp_path / "d.npy", top, None, values)
    np.save(tmp_path / "e.npy", top[:, 0].astype(np.float32))
    check(tmp_path / "e.npy", top[:, :1], None)
    np.save(tmp_path / "f.npy", top.astype(np.float64))  # a ranking saved as floats
    check(tmp_path / "f.npy", top, None)
    np.save(tmp_path / "g.npy", logits[:, :3])  # three classes
    check(tmp_path / "g.npy", np.argsort(-logits[:, :3], axis=1), None)


def test_archives(tmp_path, ranked):
    logits, top, values = ranked
    np.savez(tmp_path / "a.npz", logits=logits, filenames=np.array(NAMES))
    check(tmp_path / "a.npz", top, scores=values)
    np.savez(tmp_path / "b.npz", whatever=top)
    check(tmp_path / "b.npz", top, None)
    np.savez(tmp_path / "c.npz", names=np.array(NAMES, dtype="S"), preds=top[:, 0])
    check(tmp_path / "c.npz", top[:, :1])
    Predictions(NAMES, top, values).save(tmp_path / "d.npz")  # the training program's own
    check(tmp_path / "d.npz", top, scores=values)
    np.savez(tmp_path / "e.npz", file_names=np.array(NAMES), predictions=top[:, 0], logits=logits)
    check(tmp_path / "e.npz", top, scores=values)


def timm_frame(top, values, separate):
    """The data frame of timm's inference.py, --include-index --label-type=name --topk=5."""
    wordnet_ids = np.array(imagenet.wordnet_ids())
    if separate:
        columns = {f"index_{i}": top[:, i] for i in range(5)}
        columns |= {f"label_{i}": wordnet_ids[top[:, i]] for i in range(5)}
        columns |= {f"prob_{i}": values[:, i] for i in range(5)}
    else:
        columns = {"index": list(top), "label": list(wordnet_ids[top]), "prob": list(values)}
    return pd.DataFrame({"filename": NAMES, **columns})


def test_what_timm_writes(tmp_path, ranked):
    logits, top, values = ranked
    for separate in (False, True):
        frame = timm_frame(top, values, separate)
        frame.to_csv(tmp_path / "a.csv", index=False)
        check(tmp_path / "a.csv", top, scores=values)
        frame.set_index("filename").to_parquet(tmp_path / "a.parquet")
        check(tmp_path / "a.parquet", top, scores=values)
        frame.set_index("filename").to_json(tmp_path / "a.json", indent=4, orient="index")
        check(tmp_path / "a.json", top, scores=values)
        frame.to_json(tmp_path / "b.json", lines=True, orient="records")
        check(tmp_path / "b.json", top, scores=values)
        frame.to_json(tmp_path / "c.json", indent=4, orient="split", index=False)
        check(tmp_path / "c.json", top, scores=values)
        by_id = frame.drop(columns=[c for c in frame.columns if c.startswith("index")])
        by_id.to_csv(tmp_path / "d.csv", index=False)  # --label-type=name alone
        check(tmp_path / "d.csv", top, scores=values)
    one = pd.DataFrame({"filename": NAMES, "index": top[:, 0], "prob": values[:, 0]})
    one.to_csv(tmp_path / "e.csv", index=False)
    check(tmp_path / "e.csv", top[:, :1], scores=values[:, :1])
    with np.printoptions(threshold=10**9):  # --topk=0: all probabilities
        pd.DataFrame({"filename": NAMES, "prob": list(logits)}).to_csv(
            tmp_path / "f.csv", index=False
        )
    assert check(tmp_path / "f.csv", top).num_columns == C
    described = one.drop(columns="index").assign(label="tench, Tinca tinca")
    described.to_csv(tmp_path / "g.csv", index=False)
    with pytest.raises(InputError, match="--include-index"):
        reading.read(tmp_path / "g.csv")


def test_tables_as_people_have_them(tmp_path, ranked):
    logits, top, _ = ranked
    wordnet_ids = np.array(imagenet.wordnet_ids())
    top1 = top[:, :1]

    def write(name, content):
        (tmp_path / name).write_text(content)
        return tmp_path / name

    rows = list(zip(NAMES, top[:, 0].tolist()))
    check(write("a.csv", "Image,Class\n" + "\n".join(f"{n},{c}" for n, c in rows)), top1)
    check(write("b.csv", "\n".join(f"{n},{c}" for n, c in rows)), top1)  # no header
    check(write("c.txt", "\n".join(str(c) for _, c in rows)), top1, None)
    check(write("d.csv", "pred\n" + "\n".join(str(c) for _, c in rows)), top1, None)
    check(write("e.csv", "file,wnid\n" + "\n".join(f"{n},{wordnet_ids[c]}" for n, c in rows)), top1)
    check(write("f.tsv", "path\tpred_1\tpred_2\n" + "\n".join(
        f"{n}\t{a}\t{b}" for n, (a, b) in zip(NAMES, top[:, :2]))), top[:, :2])  # fmt: skip
    check(write("g.jsonl", "\n".join(
        json.dumps({"file_name": n, "classes": t}) for n, t in zip(NAMES, top.tolist()))), top)  # fmt: skip
    check(write("h.json", json.dumps(dict(zip(NAMES, top.tolist())))), top)
    check(write("n.json", json.dumps(top.tolist())), top, None)
    check(write("o.json", json.dumps(top[:, 0].tolist())), top1, None)
    check(write("p.txt", "\n".join(f"{n} {c}" for n, c in rows)), top1)
    check(write("i.json", json.dumps(dict(zip(NAMES, wordnet_ids[top].tolist())))), top)
    check(write("j.csv", "file_name,classes\n" + "\n".join(
        f'{n},"{", ".join(map(str, t))}"' for n, t in zip(NAMES, top.tolist()))), top)  # fmt: skip
    check(write("k.csv", "file_name,index\n" + "\n".join(f"{n},{c}.0" for n, c in rows)), top1)
    columns = {"file_name": NAMES} | {str(c): logits[:, c] for c in range(C)}
    pd.DataFrame(columns).to_csv(tmp_path / "l.csv", index=False)
    check(tmp_path / "l.csv", top)
    pd.DataFrame({"image": NAMES, "logits": list(logits)}).to_parquet(tmp_path / "m.parquet")
    check(tmp_path / "m.parquet", top)


# Each file has true labels, or row numbers, beside the predictions 5, 7, 9.
BESIDE_OTHERS = [
    "file_name,class,pred\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,class_id,predicted_class\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,label,pred_class\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,label,top1_pred,top1_prob\na.jpg,1,5,.5\nb.jpg,2,7,.5\nc.jpg,4,9,.5\n",
    "file_name,label,top1,top2\na.jpg,1,5,3\nb.jpg,2,7,3\nc.jpg,4,9,3\n",
    "file_name,true_label,pred_label\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "index,file_name,pred\n0,a.jpg,5\n1,b.jpg,7\n2,c.jpg,9\n",
    "index,file_name,class\n0,a.jpg,5\n1,b.jpg,7\n2,c.jpg,9\n",
    "id,image_path,pred_class\n0,a.jpg,5\n1,b.jpg,7\n2,c.jpg,9\n",
    "file_name,gt,class\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,target,output\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,label,output\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,y_true,y_hat\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n",
    "file_name,top1_class,top2_class\na.jpg,5,1\nb.jpg,7,2\nc.jpg,9,1\n",
    "file_name;prediction\na.jpg;5\nb.jpg;7\nc.jpg;9\n",
    "file_name\tclass\na.jpg\t5\nb.jpg\t7\nc.jpg\t9\n",
]


@pytest.mark.parametrize("content", BESIDE_OTHERS)
def test_predictions_are_told_from_the_truth_beside_them(tmp_path, content):
    (tmp_path / "p.csv").write_text(content)
    found = reading.read(tmp_path / "p.csv")
    assert found.classes[:, 0].tolist() == [5, 7, 9]


def test_what_cannot_be_told_is_asked(tmp_path):
    (tmp_path / "p.csv").write_text("file_name,class,label\na.jpg,1,5\nb.jpg,2,7\nc.jpg,4,9\n")
    with pytest.raises(InputError, match=r"may be the predictions: class, label\. .*--column"):
        reading.read(tmp_path / "p.csv")
    assert reading.read(tmp_path / "p.csv", "label").classes[:, 0].tolist() == [5, 7, 9]
    with pytest.raises(InputError, match="has no column 'width'"):
        reading.read(tmp_path / "p.csv", "width")
    for a, b in (("pred_a", "pred_b"), ("pred_v1", "pred_v2"), ("resnet50", "resnet101")):
        (tmp_path / "q.csv").write_text(f"file_name,{a},{b}\na.jpg,4,4\nb.jpg,7,3\n")
        with pytest.raises(InputError, match=f"may be the predictions: {a}, {b}"):
            reading.read(tmp_path / "q.csv")
        assert reading.read(tmp_path / "q.csv", b).classes[:, 0].tolist() == [4, 3]


def test_scores_of_few_classes_go_before_the_truth_too(tmp_path):
    scores = np.random.default_rng(0).random((30, 10))
    truth = np.zeros(30, int)
    names = [f"{i}.jpg" for i in range(30)]
    best = np.argsort(-scores, axis=1)[:, :5]
    for what, value in (("label", "logit"), ("class", "prob")):
        columns = {"file_name": names, what: truth}
        columns |= {f"{value}_{c}": scores[:, c] for c in range(10)}
        pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
        check(tmp_path / "p.csv", best, names)
    np.savez(tmp_path / "p.npz", labels=truth, logits=scores)
    check(tmp_path / "p.npz", best, None)


def test_integer_scores_and_fixed_size_lists(tmp_path, ranked):
    logits, top, _ = ranked
    quantized = np.round(logits * 1000).astype(np.int32)
    np.save(tmp_path / "q.npy", quantized)
    check(tmp_path / "q.npy", np.argsort(-quantized, axis=1, kind="stable")[:, :5], None)
    np.save(tmp_path / "r.npy", np.argsort(-logits, axis=1))  # a ranking of all classes
    check(tmp_path / "r.npy", np.argsort(-logits, axis=1), None)
    import pyarrow as pa
    from pyarrow import parquet

    fixed = pa.FixedSizeListArray.from_arrays(pa.array(top.ravel()), 5)
    parquet.write_table(pa.table({"file_name": NAMES, "classes": fixed}), tmp_path / "f.parquet")
    check(tmp_path / "f.parquet", top)


def test_logits_go_before_a_class_that_may_be_the_truth(tmp_path, ranked):
    logits, top, _ = ranked
    wrong = (top[:, 0] + 1) % C
    columns = {"file_name": NAMES, "label": wrong} | {f"logit_{c}": logits[:, c] for c in range(C)}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    check(tmp_path / "p.csv", top)
    np.savez(tmp_path / "p.npz", label=wrong, logits=logits)
    check(tmp_path / "p.npz", top, None)
    np.savez(tmp_path / "q.npz", label=wrong, top1=top[:, 0])
    check(tmp_path / "q.npz", top[:, :1], None)


class Surprise:
    """An object whose unpickling raises an error."""

    def __reduce__(self):
        return (exec, ("raise SystemError('a pickle was loaded')",))


BAD_TABLES = [
    ("a.csv", "", "is empty"),
    ("a.csv", "file_name,index\n", "has no rows"),
    ("a.csv", "file_name,index\na.jpg,1\nb.jpg,\n", "row 2 has no index"),
    ("a.csv", "file_name,index\na.jpg,1\n,2\n", "row 2 has no file_name"),
    ("a.csv", "file_name,index\na.jpg,1.5\n", r"row 1 has the index '1\.5'"),
    ("a.csv", "file_name,index\na.jpg,1\nb.jpg,cat\n", "row 2 has the index 'cat'"),
    ("a.csv", "file_name,index\na.jpg,[1 2]\nb.jpg,[1]\n", "row 2 has 1 entries in index, row 1 has 2"),
    ("a.csv", "file_name,index\na.jpg,[1 2]\nb.jpg,[1 x]\n", "row 2 has the index 'x'"),
    ("a.csv", "file_name,width\na.jpg,wide\n", "found the columns file_name, width"),
    ("a.csv", "file_name,index\na.jpg,1\nb.jpg\n", "line 3 has 1 cells where the first has 2"),
    ("a.json", '{"a.jpg": [1, 2', "is not JSON, or is cut short"),
    ("a.json", '[1, {"a": 2}]', "expected a list of records"),
    ("a.json", '{"columns": ["a"], "data": [[1, 2]]}', 'row 1 of its "data" is not a list of 1 cells'),
    ("a.json", '{"columns": ["a"], "data": 5}', 'its "data" is not a list of rows'),
    ("a.csv", "file_name,index\na.jpg,99999999999999999999\n", "row 1 has the index '99999999999999999999'"),
    ("a.csv", "file_name,index\na.jpg,n01440764\nb.jpg,--5\n", "row 2 has the index '--5'"),
    ("a.json", '{"a.jpg": [1], "a.jpg": [2]}', "a.jpg occurs more than once"),
    ("a.json", '{"a.jpg": [], "b.jpg": []}', "row 1 has no classes"),
    ("a.json", '[{"file_name": "a", "index": {"b": 1}}]', "something unexpected"),
    ("a.json", '[{"file_name": "a", "index": 1000000000000000000000000000000}]', "a.json: "),
    ("a.csv", "file_name,index,index\na.jpg,1,2\n", "several columns named index"),
    ("a.jsonl", '{"file_name": "a.jpg", "index": 1}\n{"file_name"', "line 2 is not JSON, or is cut short"),
    ("a.parquet", "PAR1 and nothing", "cannot be read as parquet"),
    ("a.xls", "1", "unknown ending '.xls'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "complaint"), BAD_TABLES)
def test_bad_tables_name_file_and_row(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=complaint) as error:
        reading.read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")


def test_bad_arrays_are_explained(tmp_path, ranked):
    logits, top, _ = ranked
    path = tmp_path / "a.npy"
    for array, complaint in (
        (np.array([0.5, 0.25]), r"row 1 holds 0\.5"),
        (np.zeros((2, 2, 2)), r"found shape \(2, 2, 2\)"),
        (np.zeros((0, 5), int), r"found shape \(0, 5\)"),
        (np.array(["cat"]), "found shape"),
        (np.where(np.arange(C) == 7, np.nan, logits), "row 1 has the score nan at class 7"),
        (np.where(np.arange(C) > 2, -np.inf, logits), r"row 1 has the score -inf .*rank 4"),
        (np.where(np.arange(C) == 1, np.inf, logits), "row 1 has the score inf at class 1"),
    ):
        np.save(path, array)
        with pytest.raises(InputError, match=complaint) as error:
            reading.read(path)
        assert str(error.value).count("a.npy") == 1
    np.save(path, np.array([Surprise()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="never loaded"):
        reading.read(path)
    np.savez(tmp_path / "a.npz", classes=np.array([Surprise()], dtype=object))
    with pytest.raises(InputError, match="never loaded"):
        reading.read(tmp_path / "a.npz")
    np.save(path, top)
    whole = path.read_bytes()
    for cut in (0, 5, 60, len(whole) - 8):
        path.write_bytes(whole[:cut])
        with pytest.raises(
            InputError, match=r"a.npy: is (empty|not a \.npy file, or is cut short)"
        ):
            reading.read(path)
    np.savez(tmp_path / "b.npz", file_names=np.array(NAMES[1:]), classes=top)
    with pytest.raises(InputError, match="classes has 40 rows, .* 39 file names"):
        reading.read(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", width=top, height=top)
    with pytest.raises(InputError, match="found width, height"):
        reading.read(tmp_path / "c.npz")
    with pytest.raises(InputError, match="there is no such file"):
        reading.read(tmp_path / "nowhere.csv")
    np.savez(tmp_path / "e.npz", file_names=np.array([b"\xff.jpg"]), classes=[1])
    with pytest.raises(InputError, match=r"e.npz: file_names is not UTF-8 text"):
        reading.read(tmp_path / "e.npz")
    np.save(path, np.array([1e300]))
    with pytest.raises(InputError, match=r"row 1 holds 1e\+300"):
        reading.read(path)
    for ending in (".npy", ".npz", ".csv"):
        (tmp_path / f"folder{ending}").mkdir()
        with pytest.raises(InputError, match="is a folder"):
            reading.read(tmp_path / f"folder{ending}")


@given(
    st_numpy.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(1, 7), st.integers(1, 9)),
        elements=st.sampled_from([-2.0, -0.5, 0.0, 0.25, 3.0]),
    ),
    st.integers(1, 6),
)
def test_top_k_is_a_stable_sort(scores, k):
    classes, values = ranking.top_k(scores, k)
    expected = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.parametrize("k", [5, 200, 700])
def test_top_k_of_many_rows(k):
    scores = np.random.default_rng(0).normal(size=(3000, 700)).astype(np.float32)
    scores[:100] = scores[:100].round()  # ties
    classes, values = ranking.top_k(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))
    scores[2999, 3] = np.nan
    with pytest.raises(InputError, match="row 3000 has the score nan at class 3"):
        ranking.top_k(scores, k)


def test_probabilities_are_the_softmax_however_large_the_logits():
    scores = np.random.default_rng(0).normal(size=(500, 40)).astype(np.float32) * 200
    scores[:100] += 5000
    classes, best = ranking.top_k(scores, 3)
    expected = special.softmax(scores.astype(np.float64), axis=1)
    found = ranking.probabilities(scores, best)
    np.testing.assert_allclose(
        found, np.take_along_axis(expected, classes, 1), rtol=1e-3, atol=1e-30
    )
    likely = np.take_along_axis(expected, classes, 1)
    np.testing.assert_array_equal(ranking.probabilities(expected, likely), likely)

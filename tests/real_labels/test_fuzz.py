"""Every reader, fed with random and with damaged files: it reads the file, or raises an InputError."""

from __future__ import annotations

import functools
import io
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from real_labels import LabelSets, Predictions
from real_labels.aggregation import Start
from real_labels.analysis import other_models
from real_labels.answers import Answers, Gold, Questions, Scores
from real_labels.errors import InputError
from real_labels.labels import ClassNames, relabellings, reviewed_mistakes
from real_labels.labels.class_names import load_descriptions
from real_labels.labels.hierarchy import Hierarchy
from real_labels.predictions import reading, several_models
from real_labels.predictions.out_of_fold import OutOfFold
from real_labels.proposals.expert_labels import ExpertLabels
from real_labels.rating import database, tasks
from tests import damage

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl")
READERS = {
    "predictions": (reading.read, (*TEXT_ENDINGS, ".npy", ".npz", ".parquet", ".csv.gz")),
    "answers": (Answers.load, (*TEXT_ENDINGS, ".npz", ".parquet")),
    "gold": (Gold.load, (".csv", ".json", ".npz")),
    "scores": (Scores.load, (".npz",)),
    "our predictions": (Predictions.load, (".npz",)),
    "start": (Start.load, (".npz",)),
    "labels": (LabelSets.from_json, (".json",)),
    "class names": (ClassNames.load, (".json", ".txt")),
    "accuracies": (lambda path: other_models.read([path]), (".csv", ".json", ".parquet")),
    "questions": (Questions.load, (*TEXT_ENDINGS, ".parquet")),
    "tasks": (tasks.load, (".jsonl",)),
    "out of fold": (OutOfFold.load, (".npz",)),
    "several models": (lambda path: list(several_models.read_each(path)), (".npz",)),
    "hierarchy": (Hierarchy.load, (".csv", ".tsv", ".jsonl")),
    "descriptions": (load_descriptions, (".json", ".txt")),
    "expert labels": (ExpertLabels.load, (".csv", ".json", ".npz")),
    "multilabel.csv": (relabellings.multilabel, (".csv",)),
    "finegrained.csv": (relabellings.finegrained, (".csv",)),
    "imagenet_mturk.json": (relabellings.label_errors, (".json",)),
    "reviewed mistakes": (lambda path: reviewed_mistakes.read(path, "ViT-3B"), (".json",)),
    "rating database": (lambda path: database.opened(f"sqlite:///{path}").close(), (".db",)),
}
NAMES = [
    "file_name",
    "image",
    "label",
    "rater",
    "answer",
    "truth",
    "pred_0",
    "pred_1",
    "index",
    "logits",
    "p0",
    "p1",
    "model",
    "original",
    "real",
    "tensor",
    "info",
    "ids",
    "classes",
    "scores",
    "confusion",
    "prior",
    "raters",
    "categories",
    "data",
    "columns",
    "schema",
]
VALUES = [
    "yes", "no", "maybe", "n01440764", "0", "1", "2", "1.5", "0,5", "-1", "1e400", "nan", "inf", "9" * 20,
    "a.jpg", "ILSVRC2012_val_00000001.JPEG", "Zoe\u0308", "", " ", '"', "[1 2]", "[", "n01440764 1 2 3 4",
    "true", "\x00", "\ud800", "\ufeff", "2026-11-25",
]  # fmt: skip
WORDS = st.sampled_from([*NAMES, *VALUES])
CELLS = st.one_of(WORDS, st.text(max_size=6))
SEPARATORS = st.sampled_from([",", ";", "\t", " ", "|"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), CELLS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(CELLS, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def tables(draw):
    separator, width = draw(SEPARATORS), draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6))
    return draw(st.sampled_from(["\n", "\r\n"])).join(separator.join(row) for row in rows)


@st.composite
def records(draw):
    names = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, JSON)), min_size=1, max_size=4))
    return draw(st.sampled_from([json.dumps(rows), "\n".join(map(json.dumps, rows))]))


DTYPES = ["i8", "u1", "f2", "f4", "f8", "?", "U5", "S5", "c16", "M8[s]", "i4,f4"]


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    raw = draw(st.binary(min_size=1, max_size=8)) * (1 + int(np.prod(shape)) * kind.itemsize)
    if kind.kind == "U":  # not every four bytes are a character
        words = np.array(list(raw[: int(np.prod(shape))]), dtype=np.str_)
        return np.resize(words, shape) if words.size else np.zeros(shape, "U5")
    return np.frombuffer(raw[: int(np.prod(shape)) * kind.itemsize], kind).reshape(shape)


@st.composite
def archives(draw):
    found = draw(st.dictionaries(WORDS.filter(lambda w: w.isidentifier()), arrays(), max_size=4))
    file = io.BytesIO()
    np.savez(file, **found)
    return file.getvalue()


INFO = np.array([["a.jpg", "1"], ["b.jpg", "2"]])
VALID = [
    {"tensor": np.eye(3)[None, :2], "info": INFO, "ids": np.array(["x"])},
    {"tensor": np.array([0.1, 0.9]), "info": INFO},
    {"raters": np.array(["x"]), "confusion": np.full((1, 2, 2), 0.5), "prior": np.array(0.3),
     "categories": np.array(["no", "yes"])},
    {"file_names": np.array(["a.jpg", "b.jpg"]), "classes": np.array([[1, 2], [0, 1]]),
     "scores": np.array([[0.9, 0.1], [0.8, 0.2]], np.float32), "mock": np.array(False)},
]  # fmt: skip


@st.composite
def nearly_valid_archives(draw):
    """A valid archive with one array replaced by a random one."""
    found = dict(draw(st.sampled_from(VALID)))
    found[draw(st.sampled_from(sorted(found)))] = draw(arrays())
    file = io.BytesIO()
    np.savez(file, **found)
    return file.getvalue()


@st.composite
def single_arrays(draw):
    file = io.BytesIO()
    np.save(file, draw(arrays()))
    return file.getvalue()


@st.composite
def parquets(draw):
    import pyarrow as pa
    from pyarrow import parquet

    column = st.one_of(
        st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=3, max_size=3),
        st.lists(st.one_of(st.none(), st.floats()), min_size=3, max_size=3),
        st.lists(st.one_of(st.none(), st.booleans()), min_size=3, max_size=3),
        st.lists(st.one_of(st.none(), st.binary(max_size=3)), min_size=3, max_size=3),
        st.lists(st.sampled_from(["a.jpg", "1", "yes", "x"]), min_size=3, max_size=3),
        st.lists(st.lists(st.integers(-2, 3), max_size=2), min_size=3, max_size=3),
        st.lists(st.dates(), min_size=3, max_size=3),
        st.lists(st.fixed_dictionaries({"a": st.integers(0, 3)}), min_size=3, max_size=3),
    )
    names = draw(st.lists(WORDS.filter(str.isidentifier), min_size=1, max_size=4, unique=True))
    file = io.BytesIO()
    parquet.write_table(pa.table({name: draw(column) for name in names}), file)
    return file.getvalue()


def encoded(text, encoding):
    return text.encode(
        encoding, errors="surrogatepass" if encoding.startswith("utf") else "replace"
    )


ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1251"])
CONTENTS = {
    ".json": st.builds(encoded, st.one_of(JSON.map(json.dumps), records()), ENCODINGS),
    ".jsonl": st.builds(encoded, records(), ENCODINGS),
    ".npz": st.one_of(archives(), nearly_valid_archives()),
    ".npy": single_arrays(),
    ".parquet": parquets(),
}
TEXTS = st.builds(encoded, st.one_of(tables(), st.text(max_size=60)), ENCODINGS)


@st.composite
def files(draw, ending):
    """The bytes of a file: valid for its ending, damaged in one place, or random."""
    content = draw(CONTENTS.get(ending, TEXTS))
    damage = draw(st.sampled_from(["none", "none", "none", "cut", "byte", "rubbish"]))
    if damage == "cut":
        content = content[: draw(st.integers(0, max(len(content) - 1, 0)))]
    elif damage == "byte" and content:
        at = draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    elif damage == "rubbish":
        content = draw(st.binary(max_size=200))
    return content


def _npz(**arrays) -> damage.Seed:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return damage.Seed(file.getvalue())


PAIRS = b"file_name,label\na.jpg,1\na.jpg,2\nb.jpg,0\n"
MULTILABEL = (
    b"id,category,original_label,proposed_labels,manually_validated,unclear_multi_labels,"
    b"wrong_multi_labels,is_problematic\nILSVRC2012_val_00047963.JPEG,A,24,24,True,,,False\n"
    b'ILSVRC2012_val_00023277.JPEG,M,582,"415, 813, 868",True,,"467, 582",True\n'
)
VOTE = {
    "url": "https://a/ILSVRC2012_val_00000293.JPEG", "given_original_label": 0, "our_guessed_label": 48,
    "mturk": {"given": 5, "guessed": 0, "neither": 0, "both": 0},
}  # fmt: skip
MISTAKE = {
    "top_prediction": 192, "failure category": "Fine-grained error", "failure severity": "Minor"
}  # fmt: skip
TASK = {"task": "t1", "file_name": "a.jpg", "labels": [1, 2], "ask": [1], "names": ["cat", "dog"]}
STUDIO = [{
    "id": 1, "data": {"image": "a.jpg", "label": 3},
    "annotations": [{"completed_by": 7, "result": [{"type": "choices", "value": {"choices": ["yes"]}}]}],
}]  # fmt: skip
RANKED = {"classes": np.array([[1, 2], [0, 1]]), "scores": np.array([[0.9, 0.1], [0.8, 0.2]])}
FILE_NAMES = np.array(["a.jpg", "b.jpg"])


@functools.cache
def rating_database() -> damage.Seed:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rating.db"
        database.create(f"sqlite:///{path}").close()
        return damage.Seed(path.read_bytes())


# Valid files of each reader, to be damaged: its name, the ending, a strategy.
SEEDS = [
    ("predictions", ".csv", damage.changed(damage.Seed(b"file_name,pred_0,pred_1\na.jpg,1,2\nb.jpg,0,1\n"))),
    ("predictions", ".npz", damage.zip_files(_npz(file_names=FILE_NAMES, **RANKED))),
    ("our predictions", ".npz", damage.zip_files(_npz(file_names=FILE_NAMES, **RANKED))),
    ("several models", ".npz", damage.zip_files(_npz(
        models=np.array(["x", "y"]), file_names=FILE_NAMES, classes=np.zeros((2, 2, 2), int)))),
    ("answers", ".csv", damage.changed(damage.Seed(b"file_name,label,rater,answer\na,1,x,yes\na,1,y,no"))),
    ("answers", ".json", damage.json_files(STUDIO)),
    ("answers", ".npz", damage.zip_files(_npz(**VALID[0]))),
    ("gold", ".csv", damage.changed(damage.Seed(b"file_name,label,truth\na.jpg,1,yes\nb.jpg,2,no\n"))),
    ("scores", ".npz", damage.zip_files(_npz(**VALID[1]))),
    ("start", ".npz", damage.zip_files(_npz(**VALID[2]))),
    ("labels", ".json", damage.json_files({"a.jpg": [1, 2], "b.jpg": []})),
    ("class names", ".json", damage.json_files({"0": "cat", "1": "dog"})),
    ("accuracies", ".csv", damage.changed(damage.Seed(b"model,top1,top5\nvit,88.5,98.7\nbit,85.4,97.8\n"))),
    ("questions", ".csv", damage.changed(damage.Seed(PAIRS))),
    ("tasks", ".jsonl", damage.json_files(TASK)),
    ("out of fold", ".npz", damage.zip_files(_npz(
        file_names=FILE_NAMES, label=np.array([1, 0]), label_score=np.array([0.9, 0.8]),
        fold=np.array([0, 1]), **RANKED))),
    ("hierarchy", ".csv", damage.changed(damage.Seed(b"child,parent\n0,a\n1,a\n2,x\na,x\n"))),
    ("descriptions", ".json", damage.json_files(["a small cat", "a dog"])),
    ("expert labels", ".json", damage.json_files({"a.jpg": [1], "b.jpg": [0, 2]})),
    ("multilabel.csv", ".csv", damage.changed(damage.Seed(MULTILABEL))),
    ("finegrained.csv", ".csv", damage.changed(damage.Seed(MULTILABEL))),
    ("imagenet_mturk.json", ".json", damage.json_files([VOTE])),
    ("reviewed mistakes", ".json", damage.json_files({"ILSVRC2012_val_00000612.JPEG": MISTAKE})),
    ("rating database", ".db", st.builds(rating_database).flatmap(damage.changed)),
]  # fmt: skip
CASES = [(name, ending) for name, (_, endings) in READERS.items() for ending in endings]


def feed(name: str, ending: str, content: bytes, folder: pathlib.Path) -> None:
    path = folder / f"fuzzed{ending}"
    path.write_bytes(content)
    message = ""
    try:
        READERS[name][0](path)
    except InputError as error:
        message = str(error)
    assert not message or ("fuzzed" in message and "\n" not in message.strip()), message


@pytest.mark.parametrize(("name", "ending"), CASES)
@settings(suppress_health_check=list(HealthCheck), max_examples=100)
@given(st.data())
def test_a_reader_reads_or_raises_the_one_error(tmp_path_factory, name, ending, data):
    feed(name, ending, data.draw(files(ending)), tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(("name", "ending", "content"), SEEDS, ids=[seed[0] for seed in SEEDS])
@settings(suppress_health_check=list(HealthCheck), max_examples=100)
@given(st.data())
def test_a_reader_reads_damaged_files_or_raises_the_one_error(
    tmp_path_factory, name, ending, content, data
):
    feed(name, ending, data.draw(content), tmp_path_factory.getbasetemp())


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=list(HealthCheck), max_examples=20_000)
@given(st.data())
def test_a_reader_holds_against_twenty_thousand_files(tmp_path_factory, name, data):
    random = [(ending, files(ending)) for ending in READERS[name][1]]
    seeds = [(ending, content) for seed, ending, content in SEEDS if seed == name]
    ending, content = data.draw(st.sampled_from([*random, *seeds]))
    feed(name, ending, data.draw(content), tmp_path_factory.getbasetemp())

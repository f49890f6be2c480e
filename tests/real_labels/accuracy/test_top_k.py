import ast
import importlib.util
import math
import pathlib
import re

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from real_labels import LabelSets, Predictions, accuracy, top_k_accuracy
from real_labels.accuracy.text import as_table
from real_labels.files.records import as_json
from real_labels.labels import imagenet
from tests.real_labels.analysis import worlds

NUM_CLASSES = 6


@st.composite
def a_model_and_labels(draw):
    n = draw(st.integers(1, 15))
    k = draw(st.integers(1, NUM_CLASSES))
    ranks = [draw(st.permutations(range(NUM_CLASSES)))[:k] for _ in range(n)]
    sets = [draw(st.sets(st.integers(0, NUM_CLASSES - 1))) for _ in range(n)]
    return ranks, sets


@given(a_model_and_labels(), st.integers(1, 7), st.randoms())
def test_top_k_is_the_share_of_labelled_images_with_a_hit(case, k, random):
    ranks, sets = case
    names = [f"{i}.jpg" for i in range(len(ranks))]
    order = list(range(len(ranks)))
    random.shuffle(order)  # images are matched by name, not by place
    labels = LabelSets.from_lists([names[i] for i in order], [sets[i] for i in order])
    found = top_k_accuracy(Predictions(names, np.array(ranks)), labels, k)

    labelled = [(r, s) for r, s in zip(ranks, sets) if s]
    hits = sum(bool(set(r[:k]) & s) for r, s in labelled)
    assert found.n == len(labelled)
    if labelled:
        assert found.value == hits / len(labelled)
        assert found.low <= found.value <= found.high
    else:
        assert math.isnan(found.value) and (found.low, found.high) == (0, 1)


def test_single_labels_give_scikit_learns_accuracy():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((500, 10)), rng.integers(0, 10, 500)
    names = [str(i) for i in range(500)]
    predictions = Predictions(names, np.argsort(-scores, axis=1))
    label_sets = LabelSets.from_lists(names, labels[:, None].tolist())
    for k in (1, 3, 5):
        expected = sklearn.metrics.top_k_accuracy_score(labels, scores, k=k)
        assert top_k_accuracy(predictions, label_sets, k).value == pytest.approx(expected, abs=0)


def test_the_original_imagenet_labels_score_what_the_paper_says(published):
    real, original = LabelSets.from_json(published / "real.json"), imagenet.original_labels()
    scored = accuracy.results(
        Predictions.from_labels(original), original, worlds.reassessed(real)
    ).as_json()
    assert scored["original"]["top1"]["value"] == 1.0
    itself = scored["original_labels"]["real_top1"]
    assert itself["value"] == pytest.approx(0.90022845, abs=1e-8)
    assert itself["n"] == 46_837
    assert scored["real"]["top1"] == itself


def test_original_labels_are_those_of_tensorflow_datasets():
    """Compares our file with those of the installed package, which are read without importing it."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None:
        pytest.skip("tensorflow-datasets is not installed")
    theirs = pathlib.Path(spec.origin).parent / "datasets"
    ids = (theirs / "imagenet2012" / "labels.txt").read_text().split()
    labels = (theirs / "imagenet2012" / "validation_labels.txt").read_text().split()
    names = re.search(
        r"IMAGENET_LABELS_LIST = (\[.*?\n\])", (theirs / "siscore" / "labels.py").read_text(), re.S
    )
    assert imagenet.wordnet_ids() == tuple(sorted(ids))
    assert imagenet.class_names() == tuple(ast.literal_eval(names[1]))
    original = imagenet.original_labels()
    assert [imagenet.wordnet_ids()[c] for c in original.classes.tolist()] == labels
    assert len(original) == 50_000 and original.file_names[0] == "ILSVRC2012_val_00000001.JPEG"
    assert np.bincount(original.classes).tolist() == [50] * 1000
    # The first validation image is a sea snake, n01751748; class 0 is tench, 999 toilet tissue.
    assert imagenet.wordnet_ids()[original.classes[0]] == "n01751748"
    assert imagenet.wordnet_ids()[0] == "n01440764" and imagenet.wordnet_ids()[999] == "n15075141"


def test_the_table_shows_every_number_and_nothing_as_nothing():
    names = ["a", "b"]
    original = LabelSets.from_lists(names, [[0], [1]])
    predictions = Predictions(names, [[0, 1], [0, 1]])

    def real_of(lists):
        return worlds.reassessed(LabelSets.from_lists(names, lists))

    scored = accuracy.results(predictions, original, real_of([[0, 1], []]))
    table = as_table(scored, {"original": "original", "real": "ReaL"})
    assert "50.00%" in table and "100.00%" in table and "n=1" in table and "n=2" in table
    nothing = accuracy.results(predictions, original, real_of([[], []]))
    assert nothing.as_json()["real"]["top1"]["value"] is None
    assert "no labelled image" in as_table(nothing, {"original": "original", "real": "ReaL"})
    assert "original_labels" not in accuracy.results(predictions, original, {}).as_json()


def test_real_labels_needs_neither_jax_nor_tensorflow():
    import subprocess
    import sys

    program = (
        "import sys, real_labels; "
        "sys.exit(any(m in sys.modules for m in ('jax', 'tensorflow', 'flax')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- few predicted classes ----------------------------------------------------------------------


def test_top5_of_one_class_each_is_no_figure():
    names = ["a", "b"]
    original = LabelSets.from_lists(names, [[0], [9]])
    one = accuracy.results(Predictions(names, [[0], [1]]), original, {})
    assert one.original.top1.value == 0.5
    assert as_json(one.original.top5) == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    assert "–" in as_table(one, {"original": "original", "real": "ReaL"})
    three_classes = LabelSets.from_lists(names, [[0], [2]])
    every = accuracy.results(Predictions(names, [[0, 1, 2], [1, 0, 2]]), three_classes, {})
    assert every.original.top5.value == 1.0


# ---- two models ---------------------------------------------------------------------------------


def test_paired_difference_is_matched_by_name_and_its_interval_a_bootstrap():
    rng = np.random.default_rng(0)
    n = 400
    names = np.array([f"{i:03d}" for i in range(n)])
    truth = rng.integers(0, 3, n)
    sets = [[t] if rng.random() < 0.9 else [] for t in truth]
    labels = LabelSets.from_lists(names, sets)
    first = np.where(rng.random(n) < 0.8, truth, rng.integers(0, 3, n))
    second = np.where(rng.random(n) < 0.6, truth, rng.integers(0, 3, n))
    shuffled = rng.permutation(n)
    found = accuracy.paired_difference(
        Predictions(names, first[:, None]),
        Predictions(names[shuffled], second[shuffled][:, None]),
        labels,
    )
    counted = np.array([bool(s) for s in sets])
    ours, theirs = (first == truth)[counted], (second == truth)[counted]
    assert found.n == counted.sum()
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    assert (found.only_first, found.only_second) == ((ours > theirs).sum(), (theirs > ours).sum())
    expected = scipy.stats.bootstrap(
        (ours.astype(float) - theirs,), np.mean, n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.006)
    assert found.high == pytest.approx(expected.high, abs=0.006)
    again = accuracy.paired_difference(
        Predictions(names, first[:, None]), Predictions(names, second[:, None]), labels
    )
    assert again == found  # the same seed
    with pytest.raises(ValueError, match="1 of 400 images were not predicted"):
        accuracy.paired_difference(
            Predictions(names, first[:, None]), Predictions(names[1:], second[1:, None]), labels
        )

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from real_labels import LabelSets, Predictions, accuracy, top_k_accuracy, wilson_interval

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


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.5, 0.999))
def test_wilson_interval_is_scipys(hits, n, confidence):
    hits = min(hits, n)
    expected = scipy.stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose(wilson_interval(hits, n, confidence), expected, atol=1e-12)


@pytest.mark.parametrize(("hits", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_wilson_interval_refuses(hits, n, confidence):
    with pytest.raises(ValueError):
        wilson_interval(hits, n, confidence)


def test_the_original_imagenet_labels_score_what_the_paper_says(published):
    wnids, validation = _tfds_imagenet_labels()
    real = LabelSets.from_json(published / "real.json")
    original = LabelSets.from_lists(real.file_names.tolist(), [[wnids[w]] for w in validation])
    scored = accuracy.results(Predictions.from_labels(original), original, real)
    assert scored["original"]["top1"]["value"] == 1.0
    itself = scored["original_labels"]["real_top1"]
    assert itself["value"] == pytest.approx(0.90022845, abs=1e-8)
    assert itself["n"] == 46_837
    assert scored["real"]["top1"] == itself


def _tfds_imagenet_labels():
    import importlib.util
    import pathlib

    package = pathlib.Path(importlib.util.find_spec("tensorflow_datasets").origin).parent
    folder = package / "datasets" / "imagenet2012"
    wnids = {w: i for i, w in enumerate(sorted((folder / "labels.txt").read_text().split()))}
    return wnids, (folder / "validation_labels.txt").read_text().split()


def test_the_table_shows_every_number_and_nothing_as_nothing():
    names = ["a", "b"]
    original = LabelSets.from_lists(names, [[0], [1]])
    predictions = Predictions(names, [[0, 1], [0, 1]])
    scored = accuracy.results(predictions, original, LabelSets.from_lists(names, [[0, 1], []]))
    table = accuracy.as_table(scored)
    assert "50.00%" in table and "100.00%" in table and "n=1" in table and "n=2" in table
    nothing = accuracy.results(predictions, original, LabelSets.from_lists(names, [[], []]))
    assert nothing["real"]["top1"]["value"] is None
    assert "no labelled image" in accuracy.as_table(nothing)
    assert "original_labels" not in accuracy.results(predictions, original, None)


def test_real_labels_needs_neither_jax_nor_tensorflow():
    import subprocess
    import sys

    program = (
        "import sys, real_labels; "
        "sys.exit(any(m in sys.modules for m in ('jax', 'tensorflow', 'flax')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

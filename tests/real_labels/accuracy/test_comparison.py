import numpy as np

from real_labels import LabelSets, Predictions, accuracy
from real_labels.accuracy import comparison
from real_labels.accuracy.text import accuracy_table, pairs_table
from real_labels.labels import label_sets_of
from tests.real_labels.analysis import worlds

TITLES = {"original": "original", "real": "ReaL"}
NAMES = [f"{i}.jpg" for i in range(40)]


def models():
    """Three models that are right on the first 30, 20 and 24 of 40 images; every label is 0."""
    return {
        name: Predictions(NAMES, np.where(np.arange(40) < right, 0, 1)[:, None])
        for name, right in (("good", 30), ("bad", 20), ("fair", 24))
    }


def label_sets():
    original = LabelSets.from_lists(NAMES, [[0]] * 40)
    real = LabelSets.from_lists(NAMES, [[0]] * 28 + [[1]] * 2 + [[]] * 10)
    return original, worlds.reassessed(real)


def test_every_pair_is_tested_the_first_minus_the_second():
    original, real = label_sets()
    tested = comparison.pairs(models(), label_sets_of(original, real))
    assert [(t.first, t.second) for t in tested] == [
        ("good", "bad"),
        ("good", "fair"),
        ("bad", "fair"),
    ]
    assert [t.by["original"].value for t in tested] == [0.25, 0.15, -0.1]
    # On ReaL: 28, 22 and 26 of 30 are right; images 28 and 29 are of class 1.
    assert [round(30 * t.by["real"].value) for t in tested] == [6, 2, -4]
    assert tested[0].by["original"].only_first == 10
    assert tested[0].by["original"].p_value == 2 / 2**10
    table = pairs_table(tested, TITLES)
    assert "+25.00 [" in table
    assert "-10.00 [" in table
    assert "0.002" in table


def test_without_real_labels_the_original_ones_are_enough():
    original, _ = label_sets()
    tested = comparison.pairs(models(), {"original": original})
    assert "real" not in tested[0].by
    assert "ReaL" not in pairs_table(tested, TITLES)


def test_the_table_has_every_models_accuracies():
    original, real = label_sets()
    records = [(name, accuracy.results(one, original, real)) for name, one in models().items()]
    own = {"real": records[0][1].reassessments["real"].original_labels}
    table = accuracy_table(records, TITLES, ("the labels", own))
    lines = table.splitlines()
    assert lines[2].startswith("good")
    assert "75.00% [59.81, 85.81]" in lines[2]
    assert "93.33% [" in lines[2]
    assert lines[2].rstrip().endswith("40 / 30")
    assert lines[-1].startswith("the labels")
    assert "93.33%" in lines[-1]

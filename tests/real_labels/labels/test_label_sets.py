import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_labels import LabelSets

lists_of_classes = st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=12)


def named(n):
    return [f"image{i}.jpg" for i in range(n)]


@given(lists_of_classes)
def test_lists_come_back_as_sorted_sets(lists):
    labels = LabelSets.from_lists(named(len(lists)), lists)
    assert labels.to_lists() == [sorted(set(classes)) for classes in lists]
    assert labels.counts.tolist() == [len(set(classes)) for classes in lists]


@given(lists_of_classes, st.data())
def test_contains_is_membership(lists, data):
    labels = LabelSets.from_lists(named(len(lists)), lists)
    if not lists:
        return
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=9))
    asked = data.draw(
        st.lists(
            st.lists(st.integers(0, 40), min_size=3, max_size=3),
            min_size=len(rows),
            max_size=len(rows),
        )
    )
    expected = [[c in set(lists[r]) for c in classes] for r, classes in zip(rows, asked)]
    assert labels.contains(np.array(rows), np.array(asked)).tolist() == expected


@given(lists_of_classes, st.data())
def test_take_picks_images(lists, data):
    labels = LabelSets.from_lists(named(len(lists)), lists)
    rows = data.draw(st.permutations(range(len(lists))))[: len(lists) // 2 + 1]
    taken = labels.take(np.array(rows, dtype=int))
    assert taken.to_lists() == [sorted(set(lists[row])) for row in rows]
    assert taken.file_names.tolist() == [f"image{row}.jpg" for row in rows]


def test_json_of_other_images_is_an_object_and_comes_back(tmp_path):
    labels = LabelSets.from_lists(["b.png", "a.png"], [[3, 1], []])
    labels.to_json(tmp_path / "labels.json")
    assert json.loads((tmp_path / "labels.json").read_text()) == {"b.png": [1, 3], "a.png": []}
    again = LabelSets.from_json(tmp_path / "labels.json")
    assert again.file_names.tolist() == ["b.png", "a.png"] and again.to_lists() == [[1, 3], []]
    assert [p.name for p in tmp_path.iterdir()] == ["labels.json"]  # nothing temporary is left


def test_published_labels(published, tmp_path):
    labels = LabelSets.from_json(published / "real.json")
    assert len(labels) == 50_000
    assert len(labels.classes) == 57_553
    assert (labels.counts > 0).sum() == 46_837
    assert (labels.counts > 1).sum() == 7_443
    assert labels.file_names[0] == "ILSVRC2012_val_00000001.JPEG"
    labels.to_json(tmp_path / "real.json")
    theirs = json.loads((published / "real.json").read_text())
    assert json.loads((tmp_path / "real.json").read_text()) == [sorted(c) for c in theirs]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[[1], [2", "cut short"),
        ('"labels"', "expected a list"),
        ("[[1], 2]", "ILSVRC2012_val_00000002.JPEG"),
        ('{"a.jpg": ["cat"]}', "a.jpg"),
        ("[[1.5]]", "class indices"),
    ],
)
def test_bad_json_names_file_and_place(tmp_path, content, complaint):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint) as error:
        LabelSets.from_json(path)
    assert "bad.json" in str(error.value)


@pytest.mark.parametrize(
    ("names", "offsets", "classes", "complaint"),
    [
        (["a", "a"], [0, 1, 2], [1, 2], "several images"),
        (["a", ""], [0, 1, 2], [1, 2], "empty file name"),
        (["a", "b"], [0, 2], [1, 2], "one more than"),
        (["a", "b"], [0, 2, 1], [1, 2], "rise"),
        (["a"], [0, 2], [2, 1], "ascending"),
        (["a"], [0, 2], [2, 2], "ascending"),
        (["a"], [0, 1], [-1], "negative"),
        (["a"], [0, 1], [0.5], "integers"),
    ],
)
def test_the_constructor_refuses(names, offsets, classes, complaint):
    with pytest.raises(ValueError, match=complaint):
        LabelSets(np.array(names), np.array(offsets), np.array(classes))


def test_rows_are_found_by_name_and_strangers_named():
    labels = LabelSets.from_lists(["a", "b", "c"], [[0], [1], [2]])
    assert labels.rows(np.array(["c", "a"])).tolist() == [2, 0]
    with pytest.raises(ValueError, match="1 of the 2 images .*first: z"):
        labels.rows(np.array(["z", "a"]))

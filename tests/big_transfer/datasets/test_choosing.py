"""Choosing training images and labels."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from big_transfer import datasets
from big_transfer.datasets import choosing
from big_transfer.datasets.source import DatasetError


class Words:
    """A source with empty images; file names are only in the examples."""

    dataset, split, label_keys = "words", "train", ("label",)
    num_classes = types.MappingProxyType({"label": 4})
    class_names = types.MappingProxyType({"label": ("a", "b", "c", "d")})

    def __init__(self, names):
        self.names = list(names)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return {"image": b"", "file_name": self.names[index], "index": index, "label": (index % 4,)}


NAMES = [f"n{i % 3}/img_{i:03d}.JPEG" for i in range(60)]


def names_in(source):
    return [source[i]["file_name"] for i in range(len(source))]


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_list_of_images_to_keep(tmp_path, caplog):
    caplog.set_level("INFO", "big_transfer")
    keep = write(tmp_path / "keep.txt", [*NAMES[5:20], "", NAMES[5], "of another split.JPEG"])
    kept = choosing.kept(Words(NAMES), keep)
    assert names_in(kept) == NAMES[5:20] and [kept[i]["index"] for i in range(15)] == list(
        range(15)
    )
    assert "Learning from the 15 of 60 images" in caplog.text
    assert "1 names in" in caplog.text and "of another split.JPEG" in caplog.text
    assert datasets.file_names_of(kept).tolist() == NAMES[5:20]


def test_the_published_list_has_names_without_folders(tmp_path):
    keep = write(tmp_path / "fnames_clean.txt", [n.partition("/")[2] for n in NAMES[::2]])
    assert names_in(choosing.kept(Words(NAMES), keep)) == NAMES[::2]


def test_names_of_another_folder_are_other_images(tmp_path, caplog):
    words = Words([f"dog/{i:03d}.png" for i in range(20)])
    keep = write(tmp_path / "keep.txt", [f"cat/{i:03d}.png" for i in range(10)])
    with pytest.raises(DatasetError, match="none of the 10 names .* must not differ"):
        choosing.kept(words, keep)
    (tmp_path / "labels.json").write_text(json.dumps({f"cat/{i:03d}.png": [1] for i in range(10)}))
    with pytest.raises(DatasetError, match="none of the 10 images .* must not differ"):
        choosing.relabelled(
            words, "label", str(tmp_path / "labels.json"), max_labels=1, loss="softmax"
        )
    keep = write(tmp_path / "keep.txt", [f"/data/dog/{i:03d}.png" for i in range(10)])
    assert names_in(choosing.kept(words, keep)) == words.names[:10]


def test_names_are_equal_in_every_unicode_form(tmp_path, caplog):
    keep = write(tmp_path / "keep.txt", ["cafe\u0301/1.png", "cafe\u0301/2.png "])
    kept = choosing.kept(Words(["caf\u00e9/1.png", "caf\u00e9/2.png", "caf\u00e9/3.png"]), keep)
    assert names_in(kept) == ["caf\u00e9/1.png", "caf\u00e9/2.png"]
    keep = write(tmp_path / "keep.txt", ["caf\u00e9/1.png"])
    kept = choosing.kept(Words(["cafe\u0301/1.png", "cafe\u0301/2.png"]), keep)
    assert names_in(kept) == ["cafe\u0301/1.png"]
    assert "not images" not in caplog.text


def test_an_image_has_one_entry_in_a_label_file(tmp_path):
    names = {"n0/img_000.JPEG": [1], "img_000.JPEG": [2], "unknown.JPEG": [1]}
    (tmp_path / "labels.json").write_text(json.dumps(names))
    with pytest.raises(DatasetError, match=r"labels.json: .* are the same image"):
        choosing.relabelled(
            Words(NAMES), "label", str(tmp_path / "labels.json"), max_labels=1, loss="softmax"
        )


def test_lists_without_a_known_name_are_refused(tmp_path):
    for lines, complaint in (([], "is empty"), (["x.png", "y.png"], "none of the 2 names")):
        with pytest.raises(DatasetError, match=complaint) as error:
            choosing.kept(Words(NAMES), write(tmp_path / "keep.txt", lines))
        assert "keep.txt" in str(error.value)
    with pytest.raises(DatasetError, match="no such file") as error:
        choosing.kept(Words(NAMES), str(tmp_path / "nowhere.txt"))
    assert "nowhere.txt" in str(error.value)


def test_other_labels_for_some_images(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({NAMES[0]: [3], NAMES[7]: [1, 2], NAMES[9]: [], "else.JPEG": [0]}))
    source = choosing.relabelled(Words(NAMES), "label", str(path), max_labels=2, loss="sigmoid")
    expected = [(i % 4,) for i in range(60)]
    expected[0], expected[7], expected[9] = (3,), (1, 2), ()
    assert [source[i]["label"] for i in range(60)] == expected
    assert names_in(source) == NAMES


@pytest.mark.parametrize(
    ("labels", "loss", "complaint"),
    [
        ({NAMES[0]: [4]}, "softmax", "has class 4, but words has 4 classes"),
        ({NAMES[0]: [1, 2, 3]}, "sigmoid", "has 3 labels .* raise input.max_labels"),
        ({NAMES[0]: []}, "softmax", "softmax cannot learn"),
        ({"x.png": [1]}, "softmax", "none of the 1 images"),
        ([1, 2], "softmax", "labels.json"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, labels, loss, complaint):
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(DatasetError, match=complaint):
        choosing.relabelled(
            Words(NAMES), "label", str(tmp_path / "labels.json"), max_labels=2, loss=loss
        )


def test_folds_partition_the_images_and_more_images_move_none():
    folds = np.array([choosing.in_fold(Words(NAMES), k, 5, 1) for k in range(5)])
    assert (folds.sum(axis=0) == 1).all() and (folds.sum(axis=1) > 0).all()
    more = Words([*(f"new_{i}" for i in range(30)), *NAMES[::-1]])
    again = np.array([choosing.in_fold(more, k, 5, 1) for k in range(5)])[:, 30:][:, ::-1]
    assert (folds == again).all()
    other = np.array([choosing.in_fold(Words(NAMES), k, 5, 2) for k in range(5)])
    assert (folds != other).any()


def test_folds_are_of_equal_size_but_for_chance():
    many = [f"ILSVRC2012_{i}" for i in range(20_000)]
    sizes = np.bincount([choosing.fold_of(name, 10, 0) for name in many], minlength=10)
    # Binomial(20,000, 1/10): standard deviation 42.
    assert abs(sizes - 2_000).max() < 5 * 42.5


def test_file_names_are_kept_beside_the_dataset(scenes_dir):
    source = datasets.open_source(
        "digit_scenes", "train[:50%]", ["original_label"], data_dir=scenes_dir
    )
    names = datasets.file_names_of(source)
    assert names.tolist() == names_in(source)
    again = datasets.open_source(
        "digit_scenes", "train[:50%]", ["original_label"], data_dir=scenes_dir
    )
    again._source = range(len(again))  # examples can no longer be read
    assert datasets.file_names_of(again).tolist() == names.tolist()


def test_labels_are_known_through_lists_and_other_labels_without_an_image(tmp_path):
    """Few-shot training needs the labels of every image in a folder."""

    class Folder(Words):
        @property
        def file_names(self):
            return self.names

        def labels_of(self, label_key):
            return [(i % 4,) for i in range(len(self))]

        def __getitem__(self, index):
            raise AssertionError("an image was read")

    (tmp_path / "labels.json").write_text(json.dumps({NAMES[6]: [0]}))
    source = choosing.relabelled(
        Folder(NAMES), "label", str(tmp_path / "labels.json"), max_labels=1, loss="softmax"
    )
    kept = choosing.kept(source, write(tmp_path / "keep.txt", NAMES[5:9]))
    assert list(datasets.labels_of(kept, "label")) == [(1,), (0,), (3,), (0,)]
    assert datasets.file_names_of(kept).tolist() == NAMES[5:9]

import numpy as np
import pytest

from real_labels import LabelSets, Predictions
from real_labels.errors import InputError


def test_saved_predictions_come_back_and_equal_ones_give_equal_files(tmp_path):
    predictions = Predictions(["a", "b"], [[3, 1], [0, 2]], [[0.9, 0.1], [0.5, 0.5]])
    predictions.save(tmp_path / "one.npz")
    predictions.save(tmp_path / "two.npz")
    again = Predictions.load(tmp_path / "one.npz")
    assert again.file_names.tolist() == ["a", "b"]
    assert again.classes.tolist() == [[3, 1], [0, 2]]
    np.testing.assert_array_equal(again.scores, predictions.scores)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as archive:
        assert sorted(archive.files) == ["classes", "file_names", "scores"]


@pytest.mark.parametrize(
    ("names", "classes", "scores", "complaint"),
    [
        (["a"], [[1, 1]], None, "twice"),
        (["a"], [[-1]], None, "negative"),
        (["a", "b"], [[1]], None, r"shape \(2, k\)"),
        (["a"], [[1.0]], None, "integers"),
        (["a"], [[1, 2]], [[0.1, 0.9]], "never rise"),
        (["a"], [[1, 2]], [[0.1, np.nan]], "finite"),
        (["a"], [[1, 2]], [[0.1]], "shape"),
        (["a", "a"], [[1], [1]], None, "several images"),
    ],
)
def test_the_constructor_refuses(names, classes, scores, complaint):
    with pytest.raises(ValueError, match=complaint):
        Predictions(names, np.array(classes), scores)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "predictions.npz"
    Predictions(["a"], [[1]]).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="predictions.npz: is not a .npz file, or is cut short"):
        Predictions.load(path)
    np.savez(path, classes=[[1]])
    with pytest.raises(ValueError, match="lacks file_names"):
        Predictions.load(path)


def test_only_single_labels_stand_for_predictions():
    labels = LabelSets.from_lists(["a", "b"], [[4], [2]])
    assert Predictions.from_labels(labels).classes.tolist() == [[4], [2]]
    with pytest.raises(ValueError, match="b has 2 labels"):
        Predictions.from_labels(LabelSets.from_lists(["a", "b"], [[4], [2, 3]]))


def test_empty_classes_of_another_kind_are_refused(tmp_path):
    classes = np.zeros((0, 2), dtype="i4,f4")
    np.savez(tmp_path / "p.npz", file_names=np.zeros(0, "U5"), classes=classes)
    with pytest.raises(InputError, match="p.npz: Predictions: classes must be integers"):
        Predictions.load(tmp_path / "p.npz")

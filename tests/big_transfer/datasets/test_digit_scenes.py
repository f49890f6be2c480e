import cv2
import numpy as np
import pytest
import scipy.stats
import tensorflow_datasets as tfds

from big_transfer.datasets import tfds_source
from big_transfer.datasets.builders import digit_scenes


@pytest.fixture(scope="module")
def validation():
    return [digit_scenes.make_scene("validation", i) for i in range(5000)]


def test_its_features_are_those_of_imagenet2012_real(tmp_path):
    features = tfds.builder("digit_scenes", data_dir=str(tmp_path)).info.features
    expected = tfds.builder("imagenet2012_real", data_dir=str(tmp_path)).info.features
    assert sorted(features) == sorted(expected)
    for name in expected:
        assert type(features[name]) is type(expected[name])
    assert type(features["real_label"].feature) is type(expected["real_label"].feature)


def test_the_digits_of_train_and_validation_are_disjoint():
    from sklearn.datasets import load_digits

    train, train_classes = digit_scenes.source_digits("train")
    validation, validation_classes = digit_scenes.source_digits("validation")
    rows = {image.tobytes() for image in train} & {image.tobytes() for image in validation}
    assert not rows
    assert len(train) + len(validation) == len(load_digits().images)
    assert set(train_classes) == set(validation_classes) == set(range(10))


def test_a_scene_is_a_function_of_split_and_index():
    image, original, present = digit_scenes.make_scene("train", 7)
    again, original_again, present_again = digit_scenes.make_scene("train", 7)
    np.testing.assert_array_equal(image, again)
    assert (original, present) == (original_again, present_again)
    assert not np.array_equal(image, digit_scenes.make_scene("validation", 7)[0])
    assert not np.array_equal(image, digit_scenes.make_scene("train", 8)[0])
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8


def within(count, n, rate):
    """Whether `count` of `n` is plausible for a rate (binomial test, p > 0.001)."""
    return scipy.stats.binomtest(count, n, rate).pvalue > 0.001


def test_the_original_labels_are_as_wrong_as_imagenets(validation):
    labelled = [(original, present) for _, original, present in validation if present]
    correct = sum(original in present for original, present in labelled)
    assert within(correct, len(labelled), 1 - 0.1)
    assert 0.89 < correct / len(labelled) < 0.915
    empty = len(validation) - len(labelled)
    assert 0.05 < empty / len(validation) < 0.07
    counts = np.bincount([len(present) for _, present in labelled], minlength=5)
    assert (counts[1:] > 0).all()
    assert counts[5:].sum() == 0


def test_wrong_labels_are_mostly_look_alikes(validation):
    wrong = [(o, p) for _, o, p in validation if len(p) == 1 and o not in p]
    first = sum(original == digit_scenes.LOOK_ALIKES[present[0]][0] for original, present in wrong)
    # Two thirds of the wrong labels are look-alikes; a ninth of the others match by chance.
    share = (digit_scenes.LOOK_ALIKE_RATE + digit_scenes.ABSENT_RATE / 9) / 0.1
    assert within(first, len(wrong), share)


def test_prepared_examples_are_the_scenes(scenes_dir):
    source = tfds_source.TfdsSource(
        "digit_scenes", "validation", ["original_label", "real_label"], data_dir=scenes_dir
    )
    names = set()
    for example in (source[i] for i in range(len(source))):
        names.add(example["file_name"])
        index = int(example["file_name"].removesuffix(".JPEG").rpartition("_")[2]) - 1
        image, original, present = digit_scenes.make_scene("validation", index)
        assert example["original_label"] == (original,)
        assert example["real_label"] == tuple(present)
        assert example["image"].startswith(b"\xff\xd8")
        decoded = cv2.imdecode(np.frombuffer(example["image"], np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.abs(decoded.astype(int) - image).mean() < 6
    assert len(names) == len(source) == 61


def test_the_learner_sees_no_real_labels(scenes_dir):
    source = tfds_source.TfdsSource("digit_scenes", "train", ["real_label"], data_dir=scenes_dir)
    assert {source[i]["real_label"] for i in range(len(source))} == {()}


def test_each_half_is_of_its_own_digits_alone(tmp_path, monkeypatch):
    """Labels are numbered from 0, and are correct as often as in the whole dataset."""
    monkeypatch.setattr(digit_scenes, "NUM_EXAMPLES", {"train": 30, "validation": 300})
    for name, digits in (("digit_scenes_low", range(5)), ("digit_scenes_high", range(5, 10))):
        source = tfds_source.TfdsSource(
            name, "validation", ["original_label", "real_label"], data_dir=str(tmp_path)
        )
        assert source.class_names["real_label"] == tuple(str(digit) for digit in digits)
        present = [example["real_label"] for example in source]
        assert {label for labels in present for label in labels} == set(range(5))
        right = [
            example["original_label"][0] in example["real_label"]
            for example in source
            if example["real_label"]
        ]
        assert within(sum(right), len(right), 0.90)
        index = int(source[0]["file_name"].removesuffix(".JPEG").rpartition("_")[2]) - 1
        _, label, scene = digit_scenes.make_scene("validation", index, tuple(digits))
        assert source[0]["original_label"] == (label - digits[0],)
        assert source[0]["real_label"] == tuple(digit - digits[0] for digit in scene)

import collections
import importlib

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from big_transfer import datasets
from big_transfer.datasets import prepare, tfds_source
from big_transfer.datasets.builders import digit_scenes
from big_transfer.run import sharding

KEYS = ["original_label", "real_label"]


@pytest.fixture(scope="module")
def train(scenes_dir):
    return tfds_source.TfdsSource("digit_scenes", "train", KEYS, data_dir=scenes_dir)


@pytest.fixture(scope="module")
def validation(scenes_dir):
    return tfds_source.TfdsSource("digit_scenes", "validation", KEYS, data_dir=scenes_dir)


def train_batches(source, steps, *, put=lambda batch: batch, **changes):
    options = dict(
        label_key="original_label",
        batch_size=24,
        max_labels=1,
        seed=3,
        crop="random",
        size=16,
        resize_to=20,
        flip=False,
        num_threads=3,
        num_workers=0,
    )
    return list(datasets.train_batches(source, put, steps=steps, **(options | changes)))


def eval_batches(source, batch_size, **changes):
    options = dict(label_key="original_label", max_labels=1, size=16, num_threads=3, num_workers=0)
    return list(
        datasets.eval_batches(
            source, lambda batch: batch, batch_size=batch_size, **(options | changes)
        )
    )


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for a, b in zip(batches, expected):
        assert sorted(a) == sorted(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_each_epoch_is_a_fresh_permutation():
    order = datasets.ShuffledPositions(100, seed=1)
    epochs = [[order[100 * e + i] for i in range(100)] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(100))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    other = datasets.ShuffledPositions(100, seed=2)
    assert [other[i] for i in range(100)] != epochs[0]


def test_any_position_is_reached_at_once_however_far():
    order = datasets.ShuffledPositions(1_281_167, seed=0)
    far = 900 * 1_281_167 + 5
    assert order[far] == datasets.ShuffledPositions(1_281_167, seed=0)[far]
    assert 0 <= order[far] < 1_281_167


def test_batches_are_a_function_of_the_step(train):
    """200 examples in batches of 24: step 8 crosses from one epoch to the next."""
    whole = train_batches(train, range(12))
    assert whole[0]["image"].shape == (24, 16, 16, 3)
    assert whole[0]["image"].dtype == np.float32
    assert whole[0]["labels"].shape == (24, 1)
    assert_same(train_batches(train, range(7, 12)), whole[7:])
    assert_same(train_batches(train, range(12), num_threads=1), whole)
    other_seed = train_batches(train, range(1), seed=4)
    assert not np.array_equal(other_seed[0]["image"], whole[0]["image"])


def test_worker_processes_make_the_same_batches(train):
    assert_same(
        train_batches(train, range(5), num_workers=2, num_threads=2), train_batches(train, range(5))
    )


def test_augmentation_is_new_in_each_epoch_and_for_each_example(train):
    batches = train_batches(train, range(2), batch_size=200)
    order = datasets.ShuffledPositions(200, seed=3)
    first = {order[i]: image for i, image in enumerate(batches[0]["image"])}
    second = {order[200 + i]: image for i, image in enumerate(batches[1]["image"])}
    changed = [not np.array_equal(first[i], second[i]) for i in range(200)]
    assert np.mean(changed) > 0.8  # 25 places for the crop


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_load_disjoint_parts_of_the_same_batches(train, monkeypatch, processes):
    whole = train_batches(train, range(9))
    parts = []
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    for index in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append(train_batches(train, range(9)))
    for step, batch in enumerate(whole):
        for key in batch:
            joined = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(joined, batch[key])


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [4, 16, 60, 64, 256])
def test_evaluation_sees_each_example_once(validation, monkeypatch, batch_size, processes):
    """61 examples."""
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    seen, real, padding = [], 0, 0
    for index in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        for batch, examples in eval_batches(validation, batch_size):
            assert batch["image"].shape == (batch_size // processes, 16, 16, 3)
            assert batch["mask"].sum() == len(examples)
            real += batch["mask"].sum()
            padding += (~batch["mask"]).sum()
            assert (batch["labels"][~batch["mask"]] == -1).all()
            seen.extend(example["index"] for example in examples)
            kept = batch["labels"][batch["mask"]]
            for example, label in zip(examples, kept):
                assert example["original_label"] == tuple(label)
    assert sorted(seen) == list(range(61))
    assert (real + padding) % batch_size == 0 and real == 61


def test_batches_become_global_arrays(train):
    mesh = sharding.make_mesh()
    batches = train_batches(train, range(2), put=lambda local: sharding.put_batch(mesh, local))
    plain = train_batches(train, range(2))
    for batch, expected in zip(batches, plain):
        assert batch["image"].sharding == sharding.batch_sharding(mesh)
        np.testing.assert_array_equal(batch["image"], expected["image"])


def test_too_many_labels_for_the_config_are_named(validation):
    with pytest.raises(datasets.DatasetError, match=r"JPEG has \d labels; raise input.max"):
        eval_batches(validation, 16, label_key="real_label")
    padded = eval_batches(validation, 61, label_key="real_label", max_labels=5)
    batch, examples = padded[0]
    for row, example in zip(batch["labels"], examples):
        assert row[row >= 0].tolist() == list(example["real_label"])


# ---- sources ------------------------------------------------------------------------------------


def test_mock_data_has_the_datasets_features():
    source = tfds_source.TfdsSource("imagenet2012_real", "validation", KEYS, mock=True)
    assert source.num_classes == {"original_label": 1000, "real_label": 1000}
    names = collections.Counter(source[i]["file_name"] for i in range(len(source)))
    assert len(names) == len(source) == 64
    assert max(names.values()) == 1
    assert all(0 <= c < 1000 for c in source[5]["real_label"])


class Nameless(tfds.core.GeneratorBasedBuilder):
    """Sixteen 2×2 images, all different, without file names, in two splits."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(2, 2, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 12), "test": self._generate_examples(12, 16)}

    def _generate_examples(self, first, end):
        for i in range(first, end):
            yield i, {"image": np.full((2, 2, 3), i, np.uint8), "label": i % 2}


def test_images_without_file_names_have_one_name_in_every_part_of_a_split(tmp_path):
    tfds.builder("nameless", data_dir=str(tmp_path)).download_and_prepare(
        file_format="array_record"
    )

    def images(split):
        source = tfds_source.TfdsSource("nameless", split, ["label"], data_dir=str(tmp_path))
        examples = [source[i] for i in range(len(source))]
        assert datasets.file_names_of(source).tolist() == [e["file_name"] for e in examples]
        return {example["file_name"]: example["image"] for example in examples}

    train, test = images("train"), images("test")
    assert list(train) == [f"train/{i:08d}" for i in range(12)] and len(test) == 4
    for split in ("train[:25%]", "train[25%:]", "train[3:-2]", "test+train[5:]"):
        part = images(split)
        assert part.items() <= (train | test).items() and part != train
    assert list(images("train[25%:]")) == list(train)[3:]
    assert list(images("test[:0]+train[:2]")) == list(train)[:2]
    with pytest.raises(datasets.DatasetError, match=r"cannot be read .it ends before it begins"):
        images("train[8:4]+test")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("digit_scnees", "train", KEYS), "no dataset 'digit_scnees'"),
        (
            ("digit_scenes", "test", KEYS),
            "the split 'test' cannot be read .Unknown split 'test'",
        ),
        (("digit_scenes", "train", ["label"]), "no feature 'label'; it has .*original_label"),
        (
            ("imagenet2012", "train", ["label"]),
            r"is not prepared .*\n  python -m big_transfer.datasets.prepare imagenet2012 --data_dir",
        ),
    ],
)
def test_unreadable_datasets_say_what_to_do(scenes_dir, arguments, complaint):
    with pytest.raises(datasets.DatasetError, match=complaint):
        tfds_source.TfdsSource(*arguments, data_dir=scenes_dir)


def test_other_classes_than_the_models_are_refused(train):
    with pytest.raises(datasets.DatasetError, match="has 10 classes .* num_classes is 1000"):
        datasets.check_num_classes(train, 1000)


def test_tfrecords_are_refused_with_the_command_that_converts_them(tmp_path, monkeypatch, train):
    monkeypatch.setattr(digit_scenes, "NUM_EXAMPLES", {"train": 30, "validation": 10})
    builder = tfds.builder("digit_scenes", data_dir=str(tmp_path))
    builder.download_and_prepare(file_format="tfrecord")
    with pytest.raises(datasets.DatasetError, match="cannot be read at random") as error:
        tfds_source.TfdsSource("digit_scenes", "train", KEYS, data_dir=str(tmp_path))
    command = str(error.value).splitlines()[-1].split()
    assert command[:3] == ["python", "-m", "big_transfer.datasets.prepare"]
    assert importlib.util.find_spec(command[2])
    prepare.prepare("digit_scenes", data_dir=str(tmp_path))
    converted = tfds_source.TfdsSource("digit_scenes", "train", KEYS, data_dir=str(tmp_path))
    by_name = {example["file_name"]: example for example in (train[i] for i in range(200))}
    assert len(converted) == 30
    for example in (converted[i] for i in range(30)):
        assert example["image"] == by_name[example["file_name"]]["image"]
        assert example["original_label"] == by_name[example["file_name"]]["original_label"]


def test_imagenet21k_is_read_from_a_tar_of_tars(tmp_path, monkeypatch):
    import io
    import tarfile

    import tensorflow as tf

    from big_transfer.datasets.builders import imagenet21k

    monkeypatch.setattr(imagenet21k, "NUM_CLASSES", 2)
    jpeg = tf.io.encode_jpeg(np.zeros((9, 8, 3), np.uint8)).numpy()

    def tar(members):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as file:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    archive = tar(
        [
            ("n02.tar", tar([("n02_1.JPEG", jpeg), ("n02_2.JPEG", jpeg)])),
            ("n01.tar", tar([("n01_7.JPEG", jpeg)])),
        ]
    )
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / imagenet21k.ARCHIVE).write_bytes(archive)
    prepare.prepare("imagenet21k", str(tmp_path / "data"), str(tmp_path / "manual"))
    source = tfds_source.TfdsSource(
        "imagenet21k", "train", ["label"], data_dir=str(tmp_path / "data")
    )
    found = {source[i]["file_name"]: source[i]["label"] for i in range(len(source))}
    assert found == {"n01/n01_7.JPEG": (0,), "n02/n02_1.JPEG": (1,), "n02/n02_2.JPEG": (1,)}

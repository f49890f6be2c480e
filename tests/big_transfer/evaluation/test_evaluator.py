import jax
import numpy as np
import pytest

from big_transfer import config as config_lib
from big_transfer import datasets
from big_transfer.datasets import tfds_source
from big_transfer.evaluation import evaluator, gallery, results
from big_transfer.evaluation.evaluator import Evaluator, make_eval_step
from big_transfer.run import sharding
from real_labels import LabelSets
from tests.big_transfer.test_resnet import random_params
from tests.configs import tiny


def evaluated(scenes_dir, batch_size, **changes):
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    config.eval.batch_size = batch_size
    config.update_from_flattened_dict(changes)
    config = config_lib.completed(config_lib.check(config), config_lib.EvaluationConfig)
    model = config.make_model()
    mesh = sharding.make_mesh()  # eight devices
    made = Evaluator(config, model, mesh)
    params = jax.device_put(random_params(model), sharding.replicated(mesh))
    return made.run(params)


@pytest.fixture(scope="module")
def plain(scenes_dir):
    return evaluated(scenes_dir, 8)


@pytest.mark.parametrize("batch_size", [7, 60, 61, 1000])
def test_any_batch_size_on_any_devices_counts_each_image_once(scenes_dir, plain, batch_size):
    found = evaluated(scenes_dir, batch_size)
    assert len(found.predictions) == 61
    np.testing.assert_array_equal(found.predictions.file_names, plain.predictions.file_names)
    np.testing.assert_array_equal(found.predictions.classes, plain.predictions.classes)
    assert found.loss == pytest.approx(plain.loss, rel=1e-5)
    assert found.original.to_lists() == plain.original.to_lists()
    assert (
        found.reassessments["real"].labels.to_lists()
        == plain.reassessments["real"].labels.to_lists()
    )


def test_one_pass_costs_one_forward_pass_per_image(scenes_dir, monkeypatch):
    """Counts images: both label sets, top-k and loss need 61 images, rounded up to whole batches."""
    images = []
    make = make_eval_step

    def counting(*args, **kwargs):
        step = make(*args, **kwargs)

        def counted(params, batch):
            images.append(batch["image"].shape[0])
            return step(params, batch)

        return counted

    monkeypatch.setattr(evaluator, "make_eval_step", counting)
    found = evaluated(scenes_dir, 16)
    assert sum(images) == 64
    record = found.record("digit_scenes", "validation", 3).as_json()
    assert record["original"]["top1"]["n"] == 61
    assert record["real"]["top1"]["n"] == (found.reassessments["real"].labels.counts > 0).sum() < 61


def test_an_image_that_cannot_be_read_is_named(scenes_dir, monkeypatch):
    broken = tfds_source.TfdsSource.__getitem__

    def getitem(self, index):
        example = broken(self, index)
        return example | {"image": example["image"][:100]} if index == 5 else example

    monkeypatch.setattr(tfds_source.TfdsSource, "__getitem__", getitem)
    with pytest.raises(Exception, match=r"digit_scenes .*JPEG: is no image, or cut short"):
        evaluated(scenes_dir, 16)


@pytest.fixture
def named(tmp_path, scenes_dir, plain):
    """A folder with two label sets (of some scenes, and of other images), and the labels of the first."""
    names = plain.predictions.file_names[::3]
    mine = LabelSets.from_lists(names, [[i % 10, 3] for i in range(len(names))])
    mine.to_json(tmp_path / "mine.json")
    LabelSets.from_lists(["elsewhere.jpg"], [[1]]).to_json(tmp_path / "strangers.json")
    return tmp_path, mine


def test_every_label_set_is_scored_from_one_pass(scenes_dir, monkeypatch, named, plain, caplog):
    folder, mine = named
    images = []
    make = make_eval_step

    def counting(*args, **kwargs):
        step = make(*args, **kwargs)
        return lambda params, batch: images.append(len(batch["image"])) or step(params, batch)

    monkeypatch.setattr(evaluator, "make_eval_step", counting)
    monkeypatch.setattr(evaluator.log, "propagate", True)
    sets = f"mine={folder}/mine.json,also=feature:real_label,strangers={folder}/strangers.json"
    found = evaluated(scenes_dir, 16, **{"eval.label_sets": sets})
    assert sum(images) == 64  # one pass over 61 images in whole batches
    assert list(found.reassessments) == ["real", "mine", "also"]
    assert "The label set strangers has none of the images" in caplog.text
    record = found.record("digit_scenes", "validation", 0).as_json()
    assert record["label_sets"]["also"] == record["label_sets"]["real"]
    assert record["real"] == plain.record("digit_scenes", "validation", 0).as_json()["real"]
    assert found.reassessments["mine"].num_covered == len(mine) == 21
    hits = sum(
        classes[0] in valid
        for name, classes in zip(found.predictions.file_names, found.predictions.classes.tolist())
        for valid in [dict(zip(mine.file_names.tolist(), mine.to_lists())).get(name, [])]
    )
    top1 = record["label_sets"]["mine"]["top1"]
    assert (top1["value"], top1["n"]) == (hits / 21, 21)
    assert results.best_metrics(found.accuracies)["mine/top1"] == hits / 21


def test_a_label_set_alone_takes_the_place_of_real(scenes_dir, named):
    folder, _ = named
    changes = {"eval.label_sets": f"mine={folder}/mine.json", "eval.real_key": None}
    found = evaluated(scenes_dir, 16, **changes)
    assert list(found.reassessments) == ["mine"]
    assert "real" not in found.record("digit_scenes", "validation", 0).as_json()
    changes = {"eval.label_sets": f"real={folder}/mine.json"}  # wins over real_key
    found = evaluated(scenes_dir, 16, **changes)
    assert list(found.reassessments) == ["real"] and found.reassessments["real"].num_covered == 21


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ("mine=nowhere.json", r"nowhere\.json: there is no such file"),
        ("unreal", "There is no published label set 'unreal'"),
        ("tags=feature:tags", "tags"),
        (
            "high={folder}/high.json",
            r"high\.json: the labels have class 10, but there are 10 classes",
        ),
    ],
)
def test_label_sets_that_do_not_fit_are_said_before_the_pass(scenes_dir, named, sets, says):
    folder, _ = named
    LabelSets.from_lists(["a"], [[10]]).to_json(folder / "high.json")
    with pytest.raises(datasets.DatasetError, match=says):
        evaluated(scenes_dir, 16, **{"eval.label_sets": sets.format(folder=folder)})


def test_the_best_checkpoint_needs_a_label_set_of_these_images(scenes_dir, named):
    folder, _ = named
    changes = {"eval.label_sets": f"strangers={folder}/strangers.json"}
    changes["checkpoint_best"] = "strangers/top1"
    with pytest.raises(datasets.DatasetError, match="strangers/top1 cannot be measured"):
        evaluated(scenes_dir, 16, **changes)


def test_the_picture_says_nothing_of_images_that_nobody_looked_at(scenes_dir, named):
    folder, mine = named
    changes = {"eval.label_sets": f"mine={folder}/mine.json", "eval.real_key": None}
    found = evaluated(scenes_dir, 16, **changes)
    known = set(mine.file_names.tolist())
    for row, kind in gallery.choose(found, 61, seed=0):
        if kind != "Other images":
            assert str(found.predictions.file_names[row]) in known, kind

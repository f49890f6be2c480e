import jax
import numpy as np
import pytest

from big_transfer import config as config_lib
from big_transfer import resnet
from big_transfer.datasets import tfds_source
from big_transfer.evaluation import evaluator
from big_transfer.evaluation.evaluator import Evaluator, make_eval_step
from big_transfer.run import sharding
from tests.big_transfer.test_resnet import random_params
from tests.configs import tiny


def evaluated(scenes_dir, batch_size, **changes):
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    config.eval.batch_size = batch_size
    config.update(changes)
    config = config_lib.resolve(config)
    model = resnet.make_model(config)
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
    assert found.real.to_lists() == plain.real.to_lists()


def test_one_pass_costs_one_forward_pass_per_image(scenes_dir, monkeypatch):
    """Counted: both label sets, top-k and loss come from 61 images rounded up to whole batches."""
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
    record = found.results("digit_scenes", "validation", 3)
    assert record["original"]["top1"]["n"] == 61
    assert record["real"]["top1"]["n"] == (found.real.counts > 0).sum() < 61


def test_an_image_that_cannot_be_read_is_named(scenes_dir, monkeypatch):
    broken = tfds_source.TfdsSource.__getitem__

    def getitem(self, index):
        example = broken(self, index)
        return example | {"image": example["image"][:100]} if index == 5 else example

    monkeypatch.setattr(tfds_source.TfdsSource, "__getitem__", getitem)
    with pytest.raises(Exception, match=r"digit_scenes .*JPEG: is no image, or cut short"):
        evaluated(scenes_dir, 16)

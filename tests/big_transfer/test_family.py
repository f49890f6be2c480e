import csv
import math

import jax
import jax.numpy as jnp
import pytest

from big_transfer import family, resnet
from tests.conftest import PROJECT

# Number of parameters with 1,000 classes, computed by hand from the description of the architecture. In
# millions to two decimals, the numbers agree with timm's table of results (tested below).
PARAMETERS = {
    "R50x1": 25_549_352,
    "R50x3": 217_319_080,
    "R101x1": 44_541_480,
    "R101x3": 387_934_888,
    "R152x2": 236_335_208,
    "R152x4": 936_533_224,
}


@pytest.mark.parametrize("name", family.VARIANTS)
def test_each_member_runs_at_its_published_resolution_and_has_the_published_parameters(name):
    depth, width = family.VARIANTS[name]
    model = resnet.ResNetV2(depth=depth, width=width, num_classes=1000)
    size = family.evaluation_size(f"BiT-M-{name}-ILSVRC2012")
    assert size == 480
    shapes = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == PARAMETERS[name]
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    logits = jax.eval_shape(lambda p, x: model.apply({"params": p}, x), shapes, images)
    assert logits.shape == (2, 1000)


def test_the_numbers_of_parameters_are_timms():
    path = PROJECT.parent / "shared" / "data" / "timm_results" / "results-imagenet.csv"
    if not path.exists():
        pytest.skip("timm's results are not on this machine (../shared/data)")
    found = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            if "_bit.goog_in21k_ft_in1k" in row["model"]:
                member = row["model"].removeprefix("resnetv2_").partition("_")[0]
                found[f"R{member}"] = float(row["param_count"])
    assert found == {name: round(count / 1e6, 2) for name, count in PARAMETERS.items()}


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("R50x1", "R50x1"),
        ("BiT-M-R101x3", "R101x3"),
        ("BiT-S-R152x4-ILSVRC2012", "R152x4"),
        ("R50x1_160", "R50x1"),
        ("BiT-R50x1-cifar10", None),
        ("R50x11", None),
        ("R34x1", None),
        ("resnet", None),
    ],
)
def test_names_speak_of_members(name, variant):
    assert family.variant_of(name) == variant


@pytest.mark.parametrize(
    ("name", "resolution", "size"),
    [
        ("BiT-M-R50x1-ILSVRC2012", "public", 480),
        ("BiT-M-R50x1-ILSVRC2012", "paper", 384),
        ("BiT-S-R50x1", "public", 224),
        ("R50x1_160", "public", 160),
        ("R50x1_224", "public", 224),
        ("resnetv2_50x1_bit.goog_distilled_in1k", "public", 224),
        ("resnetv2_152x2_bit.goog_teacher_in21k_ft_in1k_384", "public", 384),
        ("resnetv2_50x1_bit.goog_in21k_ft_in1k", "public", 480),
        ("mine", "public", 480),
    ],
)
def test_checkpoints_are_evaluated_at_what_they_were_published_at(name, resolution, size):
    assert family.evaluation_size(name, resolution) == size


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("BiT-M-R50x1-ILSVRC2012.npz", "bit_models/BiT-M-R50x1-ILSVRC2012.npz"),
        ("R50x1_224.npz", "bit_models/distill/R50x1_224.npz"),
        ("BiT-M-R50x1-run0-caltech101.npz", "bit_models/vtab/BiT-M-R50x1-run0-caltech101.npz"),
        ("BiT-R50x1-cifar10.npz", None),
        ("R50x1-mine.safetensors", None),
    ],
)
def test_published_files_have_an_address(name, where):
    address = family.address_of(name)
    assert address is None if where is None else address.endswith(where)


def test_models_are_described():
    assert family.describe(50, 1.0) == "R50x1"
    assert family.describe((3, 8, 36, 3), 4) == "R152x4"
    assert family.describe((1, 1), 0.5) == "ResNet of (1, 1) units, width 0.5"

"""The programs of a plan, compiled for this machine's CPU devices, where the counts can be checked."""

from __future__ import annotations

import dataclasses
import math

import jax
import pytest

from big_transfer import config as config_lib
from big_transfer import resnet
from big_transfer.compilation import measuring, programs
from big_transfer.config import completion, known_datasets
from big_transfer.run import sharding
from configs import bit_s_imagenet2012

SIZE = known_datasets.size_of("imagenet2012", "train")
STATE = 2  # parameters and momentum


def plan(**fields):
    """A complete config of a small model on 8 devices."""
    config = bit_s_imagenet2012.get_config()
    config.model.depth, config.model.units, config.model.dtype = None, (1, 1), "float32"
    config.input.batch_size = config.eval.batch_size = 16
    config.input.size = config.eval.size = 96
    for name, value in fields.items():
        section, _, field = name.rpartition("__")
        (config[section] if section else config)[field] = value
    return completion.plan_training(config_lib.check(config), SIZE)


def measured(program, available=2**40):
    return measuring.compiled(program, available)


def parameter_count(config):
    model = config.make_model()
    params = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    return sum(math.prod(array.shape) for array in jax.tree.leaves(params))


def convolutions(units, width, size, num_classes):
    """Multiplications and additions of the convolutions for one image: (root, others)."""

    def cost(kernel, cin, cout, side):
        return 2 * kernel * kernel * cin * cout * side * side

    channels = int(64 * width)
    side = size // 2
    root = cost(7, 3, channels, side)
    side //= 2
    cin, others = channels, 0
    for stage, number in enumerate(units):
        mid = channels * 2**stage
        for unit in range(number):
            stride = 2 if unit == 0 and stage > 0 else 1
            others += cost(1, cin, mid, side)
            out = side // stride
            others += cost(3, mid, mid, out) + cost(1, mid, 4 * mid, out)
            if unit == 0:
                others += cost(1, cin, 4 * mid, out)
            side, cin = out, 4 * mid
    return root, others + 2 * cin * num_classes


@pytest.mark.parametrize("strategy", ["replicated", "fsdp"])
def test_bytes_of_the_arguments(strategy):
    config, mesh = plan(sharding=strategy), sharding.make_mesh()
    program = programs.training_program(config, mesh)
    needs = measured(program)
    images = 16 // 8
    assert program.parts["batch"] == images * (96 * 96 * 3 * 4 + 4)
    count = parameter_count(config)
    if strategy == "replicated":
        assert program.parts["parameters"] == 4 * count
    else:
        assert 4 * count / 8 <= program.parts["parameters"] < 4 * count / 4
    # The optimizer has the momentum and the number of its steps; the state also has a step.
    assert program.parts["optimizer"] == program.parts["parameters"] + 4
    assert needs.argument_bytes == sum(program.parts.values()) + 4
    assert needs.fits and needs.memory_bytes > needs.argument_bytes + needs.temporary_bytes


@pytest.mark.parametrize("steps", [1, 2])
def test_operations_follow_the_formula(steps):
    config = plan(input__accumulate_steps=steps)
    needs = measured(programs.training_program(config, sharding.make_mesh()))
    root, others = convolutions((1, 1), 1, 96, 1000)
    expected = (16 // 8) * (2 * root + 3 * others)  # no gradient of the images
    assert (
        0.98 * expected < needs.flops < 1.15 * expected
    )  # normalization, MixUp and the update come on top


def test_an_evaluation_needs_a_third_and_no_optimizer():
    mesh = sharding.make_mesh()
    needs = measured(programs.evaluation_program(plan(), mesh))
    root, others = convolutions((1, 1), 1, 96, 1000)
    assert 0.98 * (root + others) < needs.flops / 2 < 1.15 * (root + others)  # no padding counted
    assert needs.parts.keys() == {"parameters", "batch"}
    assert needs.parts["parameters"] == 4 * parameter_count(plan())


def test_fsdp_gathers_kernels_once_and_moves_no_activations():
    config, mesh = plan(sharding="fsdp"), sharding.make_mesh()
    needs = measured(programs.training_program(config, mesh))
    found = {each.kind: each for each in needs.collectives}
    model = config.make_model()
    params = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    split = [
        array
        for array, place in zip(
            jax.tree.leaves(params),
            jax.tree.leaves(sharding.state_shardings(params, mesh, "fsdp")),
        )
        if not place.is_fully_replicated
    ]
    assert found["all-gather"].bytes == sum(4 * math.prod(array.shape) for array in split)
    reduced = sum(found[kind].bytes for kind in ("all-reduce", "reduce-scatter") if kind in found)
    assert found.keys() <= {"all-gather", "all-reduce", "reduce-scatter"}
    assert reduced < 1.1 * 4 * parameter_count(config)


def test_a_batch_that_does_not_split_is_refused():
    config = plan()
    config = dataclasses.replace(config, input=dataclasses.replace(config.input, batch_size=12))
    with pytest.raises(sharding.BatchSizeError, match="does not split over 8 devices"):
        programs.training_program(config, sharding.make_mesh())


def test_only_what_changes_the_program_changes_its_text():
    """The text is the key under which results are kept."""
    mesh = sharding.make_mesh()

    def text(step=programs.training_program, **fields):
        return step(plan(**fields), mesh).lowered.as_text()

    unchanged = dict(seed=1, total_epochs=3.0, log_every_steps=7, optimizer__base_learning_rate=1.0)
    assert text() == text(**unchanged)
    assert len({text(), text(mixup_alpha=0.1), text(loss="sigmoid"), text(sharding="fsdp")}) == 4
    evaluation = programs.evaluation_program
    assert text(evaluation) == text(evaluation, sharding="fsdp", mixup_alpha=0.1)


def test_arrays_of_the_run_count_beside_the_program():
    """Four batches wait on the devices; an evaluation in a training run has the state beside it."""
    config, mesh = plan(input__batch_size=32), sharding.make_mesh()
    image, count = 96 * 96 * 3 * 4, parameter_count(config)
    training = programs.training_program(config, mesh)
    assert training.resident == {"next batches": 4 * 4 * (image + 4)}
    evaluation = programs.evaluation_program(config, mesh).resident
    assert evaluation["next batches"] == 2 * 4 * (image + 4) + 4 * 2 * (image + 4 + 1)
    assert evaluation["training state"] == STATE * 4 * count + 2 * 4  # and two numbers of steps
    needs = measured(training)
    least = needs.memory_bytes + sum(needs.resident.values())
    assert measured(training, least).fits and not measured(training, least - 1).fits

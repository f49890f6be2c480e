import pytest

from big_transfer import config as config_lib
from big_transfer import hyperrule, training
from big_transfer.config import completion
from configs import bit_transfer


def published_rate(step, num_examples, base=0.003):
    """The learning rate of a step, written out from the paper with the public code's boundaries.

    Small datasets: warm-up to step 100, then a tenth after steps 200, 300 and 400. The public code lowers the
    rate at steps *after* a boundary, so that the boundary itself still has the old rate.
    """
    if num_examples < 20_000:
        end_of_warmup, after, end = 100, [200, 300, 400], 500
    elif num_examples < 500_000:
        end_of_warmup, after, end = 500, [3000, 6000, 9000], 10_000
    else:
        end_of_warmup, after, end = 500, [6000, 12_000, 18_000], 20_000
    if step >= end:
        return None
    if step < end_of_warmup:
        return base * step / end_of_warmup
    for boundary in after:
        if step > boundary:
            base /= 10
    return base


def config_for(num_examples, area=224 * 224):
    config = bit_transfer.get_config("dataset=cifar10,model=R50x1")
    rule = hyperrule.hyperrule(num_examples, area)
    config.total_steps = rule.total_steps
    config.optimizer.warmup_steps = rule.warmup_steps
    config.optimizer.decay_steps = rule.decay_steps
    return config_lib.check(config)


@pytest.mark.parametrize(
    "num_examples", [1, 50, 19_999, 20_000, 20_001, 499_999, 500_000, 500_001, 1_281_167]
)
def test_the_learning_rate_of_every_step_is_the_public_codes(num_examples):
    config = config_for(num_examples)
    assert config.total_steps == next(
        s for s in range(30_000) if published_rate(s, num_examples) is None
    )
    schedule = training.make_schedule(config, num_examples, config.total_steps)
    boundaries = [b - 1 for b in config.optimizer.decay_steps]
    steps = {0, 1, config.optimizer.warmup_steps - 1, config.optimizer.warmup_steps}
    steps |= {b + d for b in boundaries for d in (-1, 0, 1, 2)} | {config.total_steps - 1}
    for step in sorted(steps):
        assert float(schedule(step)) == pytest.approx(
            published_rate(step, num_examples), rel=1e-5
        ), step


def test_the_boundarys_own_step_still_has_the_old_rate():
    """The first step with a tenth of the rate is 201, not 200."""
    schedule = training.make_schedule(config_for(1000), 1000, 500)
    assert [round(float(schedule(s)), 7) for s in (199, 200, 201)] == [0.003, 0.003, 0.0003]


@pytest.mark.parametrize(
    ("num_examples", "mixup"),
    [(1, 0.0), (19_999, 0.0), (20_000, 0.1), (499_999, 0.1), (500_000, 0.1)],
)
def test_mixup_is_for_data_from_20000_on(num_examples, mixup):
    assert hyperrule.hyperrule(num_examples, 32 * 32).mixup_alpha == mixup


@pytest.mark.parametrize(
    ("area", "resolution", "expected"),
    [
        (32 * 32, "public", (160, 128)),
        (96 * 96 - 1, "paper", (160, 128)),
        (96 * 96, "public", (512, 480)),
        (96 * 96, "paper", (448, 384)),
        (500 * 375, "public", (512, 480)),
        (500 * 375, "paper", (448, 384)),
    ],
)
def test_the_resolution_is_the_areas(area, resolution, expected):
    rule = hyperrule.hyperrule(1000, area, resolution)
    assert (rule.resize_to, rule.size) == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0, 1024), "found 0 examples"),
        ((10, 0), "0 pixels"),
        ((10, 1024, "mine"), "public, paper, found 'mine'"),
    ],
)
def test_impossible_datasets_are_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        hyperrule.hyperrule(*arguments)


def mock_transfer(argument, **changes):
    config = bit_transfer.get_config(argument)
    config.input.mock = True
    for name, value in changes.items():
        section = config
        *parents, last = name.split("__")
        for parent in parents:
            section = section[parent]
        section[last] = value
    return mock_transfer_of(config)


def mock_transfer_of(config):
    return completion.complete_training(config_lib.check(config))


def test_a_config_is_completed_from_its_dataset():
    """Classes, labels and splits come from CIFAR-10; the rule sees 64 mock images of 32×32 pixels."""
    config, source = mock_transfer("dataset=cifar10,model=R101x3")
    assert (config.num_classes, len(source)) == (10, 64)
    assert (config.input.label_key, config.eval.original_key) == ("label", "label")
    assert config.eval.split == "test"
    assert (config.total_steps, config.optimizer.warmup_steps) == (500, 100)
    assert config.optimizer.decay_steps == (201, 301, 401)
    assert (config.mixup_alpha, config.input.resize_to, config.input.size) == (0, 160, 128)
    assert config.eval.size == 128
    assert (config.model.depth, config.model.width) == (101, 3)
    assert (config.optimizer.weight_decay, config.input.batch_size) == (0, 512)
    assert config.reset_head


def test_what_is_set_wins_over_the_rule():
    config, _ = mock_transfer(
        "dataset=cifar100,model=R50x1", total_steps=7, input__size=64, mixup_alpha=0.2
    )
    assert (config.num_classes, config.total_steps, config.mixup_alpha) == (100, 7, 0.2)
    assert (config.input.size, config.input.resize_to, config.eval.size) == (64, 80, 64)


def test_few_shot_is_what_the_rule_counts():
    config, source = mock_transfer(
        "dataset=cifar10,model=R50x1", input__examples_per_class=2, seed=3
    )
    assert len(source) <= 20
    assert config.total_steps == 500


def test_imagenet_is_measured_on_both_label_sets():
    config, _ = mock_transfer("dataset=imagenet2012,model=R50x1,resolution=paper")
    assert (config.eval.dataset, config.eval.split) == ("imagenet2012_real", "validation")
    assert (config.eval.original_key, config.eval.real_key) == ("original_label", "real_label")
    assert config.num_classes == 1000
    assert config.eval.size in (128, 384)  # mock images may be small


def test_digits_are_not_mirrored():
    for name in (
        "svhn_cropped",
        "digit_scenes_high",
        "mnist_corrupted",
        "emnist/letters",
        "mnist:3.0.1",
    ):
        assert not bit_transfer.get_config(f"dataset={name},model=R50x1").input.flip
    assert bit_transfer.get_config("dataset=cifar10,model=R50x1").input.flip


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("dataset=cifar10,model=R34", "no BiT model 'R34'; expected one of R50x1"),
        ("dataset=cifar10,modle=R50x1", "found 'modle=R50x1'"),
        ("cifar10", "found 'cifar10'"),
        ("dataset=cifar10,resolution=big", "resolution=public\\|paper .*found 'resolution=big'"),
    ],
)
def test_a_mistyped_argument_is_explained(argument, complaint):
    with pytest.raises(ValueError, match=complaint):
        bit_transfer.get_config(argument)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("cifar10", "BiT-R50x1-cifar10.npz"),
        ("cifar10:3.*.*", "BiT-R50x1-cifar10_3_.npz"),
        ("~/my/flowers/", "BiT-R50x1-flowers.npz"),
    ],
)
def test_the_model_is_named_after_its_data(dataset, name):
    assert bit_transfer.get_config(f"dataset={dataset},model=BiT-M-R50x1").export_npz == name


def test_an_empty_training_set_is_named(tmp_path):
    from big_transfer import datasets

    with pytest.raises(datasets.DatasetError, match="is empty"):
        datasets.typical_area(datasets.Subset(mock_transfer("dataset=cifar10")[1], []))


def test_a_split_that_cannot_be_guessed_is_asked_for(monkeypatch):
    from big_transfer import datasets
    from big_transfer.datasets import tfds_source

    monkeypatch.setattr(tfds_source, "splits_of", lambda *_: ["train", "unsupervised"])
    with pytest.raises(
        datasets.DatasetError, match="set the evaluation split with --config.eval.split"
    ):
        datasets.evaluation_split_of("stl10", None, False)


@pytest.mark.parametrize("reset", [True, False])
def test_the_head_starts_at_zero_even_where_the_checkpoints_would_fit(tmp_path, reset):
    import jax

    from big_transfer import checkpoint
    from tests.big_transfer.test_resnet import random_params

    config = bit_transfer.get_config("dataset=cifar10,model=R50x1,debug")
    config.reset_head = reset
    params = jax.device_get(random_params(mock_transfer_of(config)[0].make_model()))
    checkpoint.save_npz(tmp_path / "BiT.npz", params)
    config.checkpoint = str(tmp_path / "BiT.npz")
    state = training.fresh_state(training.build(config_lib.check(config)))
    assert state["params"]["head"]["conv2d"]["kernel"].any() != reset
    kernel = state["params"]["root_block"]["standardized_conv2d"]["kernel"]
    assert (kernel == params["root_block"]["standardized_conv2d"]["kernel"]).all()


@pytest.mark.parametrize(
    ("dataset", "num_examples", "side", "expected"),
    [
        ("cifar10", 50_000, 32, (10_000, 0.1, 160, 128)),
        ("cifar100", 50_000, 32, (10_000, 0.1, 160, 128)),
        ("oxford_iiit_pet", 3_680, 224, (500, 0, 512, 480)),
        ("oxford_flowers102", 1_020, 224, (500, 0, 512, 480)),
        ("imagenet2012", 1_281_167, 224, (20_000, 0.1, 512, 480)),
    ],
)
def test_the_public_codes_datasets(dataset, num_examples, side, expected):
    rule = hyperrule.hyperrule(num_examples, side * side)
    assert (rule.total_steps, rule.mixup_alpha, rule.resize_to, rule.size) == expected
    splits = {"imagenet2012": ("train", "validation")}.get(dataset, ("train", "test"))
    assert bit_transfer.SPLITS[dataset] == splits

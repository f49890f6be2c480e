import dataclasses
import math
import re

import pytest
from flax.traverse_util import flatten_dict

from big_transfer import config as config_lib
from big_transfer import hyperrule, losses
from big_transfer.run import sharding
from big_transfer.training import optimizer
from configs import (
    bit_m_imagenet21k,
    bit_s_imagenet2012,
    bit_transfer,
    digit_scenes,
    noisy_digit_scenes,
    noisy_imagenet,
)
from tests.configs import tiny

CONFIGS = {
    "digit_scenes": digit_scenes.get_config,
    "digit_scenes:debug": lambda: digit_scenes.get_config("debug"),
    "bit_s": bit_s_imagenet2012.get_config,
    "bit_s:debug": lambda: bit_s_imagenet2012.get_config("debug"),
    "bit_m": bit_m_imagenet21k.get_config,
    "bit_m:debug": lambda: bit_m_imagenet21k.get_config("debug"),
    "bit_transfer": lambda: bit_transfer.get_config("dataset=cifar10,model=R50x1"),
    "bit_transfer:debug": lambda: bit_transfer.get_config("dataset=mnist,model=R101x3,debug"),
    "noisy_imagenet": lambda: noisy_imagenet.get_config("loss=sigmoid,labels=clean,epochs=270"),
    "noisy_imagenet:debug": lambda: noisy_imagenet.get_config("debug"),
    "noisy_digit_scenes": lambda: noisy_digit_scenes.get_config("loss=softmax,steps=4800"),
    "tiny": tiny.get_config,
}


def test_choices_are_those_of_the_code_they_choose_from():
    """The schema repeats the names because it does not import the modules that define them."""
    names = {
        "loss": losses.NAMES,
        "sharding": sharding.STRATEGIES,
        "hyperrule": hyperrule.RESOLUTIONS,
        "optimizer.schedule": optimizer.SCHEDULES,
    }
    for name, choices in names.items():
        rule = config_lib.all_fields()[name].type.rule
        assert rule.expected == f"one of {', '.join(choices)}"
        assert all(map(rule.usable, choices)) and not rule.usable("another")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_resolves_and_has_the_common_fields(name):
    config = CONFIGS[name]()
    config_lib.check(config)
    # Each field must exist in the config, so that it can be set on the command line.
    for field in (
        "seed",
        "total_steps",
        "total_epochs",
        "checkpoint_every_steps",
        "eval_every_steps",
        "input.batch_size",
        "model.depth",
        "model.units",
        "model.width",
        "num_classes",
        "checkpoint",
    ):
        section = config
        for part in field.split("."):
            assert part in section, field
            section = section[part]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_can_be_set_on_the_command_line(name):
    """Each field needs a value, or a placeholder with a type, in the config."""
    config = CONFIGS[name]()
    for field in config_lib.all_fields():
        *parents, last = field.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        assert section.get_type(last) in (int, float, str, bool, tuple), field


@pytest.mark.parametrize(
    "config_file", [digit_scenes, bit_s_imagenet2012, bit_m_imagenet21k], ids=lambda m: m.__name__
)
def test_a_configs_unknown_argument_is_refused(config_file):
    with pytest.raises(ValueError, match="'debgu'"):
        config_file.get_config("debgu")


def test_upstream_recipes_are_the_published_ones():
    for module, classes, loss in (
        (bit_s_imagenet2012, 1000, "softmax"),
        (bit_m_imagenet21k, 21_843, "sigmoid"),
    ):
        config = config_lib.check(module.get_config())
        assert (config.num_classes, config.loss) == (classes, loss)
        assert (config.total_epochs, config.optimizer.decay_epochs) == (90, (30, 60, 80))
        assert (config.input.batch_size, config.input.size) == (4096, 224)
        assert (config.input.crop, config.input.flip) == ("inception", True)
        assert config.optimizer.base_learning_rate == 0.03
        assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 1e-4)
        assert config.optimizer.warmup_steps == 5000
        assert (config.model.depth, config.model.width) == (50, 1)


def changed(**fields):
    config = tiny.get_config().to_dict()
    for name, value in fields.items():
        section = config
        *parents, last = name.split("__")
        for parent in parents:
            section = section[parent]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    return config


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model__dpeth": 50}, r"model\.dpeth: there is no such field; did you mean model\.depth"),
        ({"sead": 1}, "sead: there is no such field; did you mean seed"),
        ({"loss": ...}, "loss: is missing; expected one of softmax, sigmoid"),
        (
            {"model__units": None, "model__depth": 34},
            r"model\.depth: expected 50, 101, 152 or .*, found 34",
        ),
        (
            {"model__units": None, "model__depth": (34,)},
            r"model\.depth: expected 50, 101, 152 or .*, found 34",
        ),
        ({"model__width": 0.3}, r"model\.width: expected a multiple of 0\.5, found 0\.3"),
        ({"model__width": "wide"}, "found 'wide'"),
        (
            {"input__batch_size": 0},
            r"input\.batch_size: expected a whole number of at least 1, found 0",
        ),
        ({"input__batch_size": 12.5}, "found 12.5"),
        ({"loss": "hinge"}, "loss: expected one of softmax, sigmoid, found 'hinge'"),
        ({"total_steps": None}, "total_steps and total_epochs: both are missing"),
        ({"input__resize_to": 20}, r"input\.resize_to: expected at least input\.size = 24"),
        ({"input__accumulate_steps": 3}, "must divide input.batch_size = 16"),
        ({"optimizer__decay_epochs": (30, 20)}, "each later than the one before"),
        ({"optimizer__momentum": 1.0}, "below 1"),
        ({"checkpoint_best": "loss"}, "expected one of original/top1"),
        (
            {"checkpoint_best": "mine/top1"},
            "there is no label set 'mine'; expected one of original, real",
        ),
        ({"eval__label_sets": "a b=c"}, "eval.label_sets: expected label sets joined by commas"),
        ({"checkpoint_best": "real/top1", "eval__real_key": None}, "needs eval.real_key"),
        (
            {"export_npz": "../../BiT.npz"},
            "export_npz: expected the name of a file, without a folder",
        ),
        (
            {"export_npz": "/tmp/BiT.npz"},
            "export_npz: expected the name of a file, without a folder",
        ),
        ({"export_npz": ".."}, "export_npz: expected the name of a file"),
        ({"model__units": (1,) * 60}, r"model\.units: expected .* in at most 8 stages"),
        ({"model": 50}, "model: expected a section with fields, found 50"),
        ({"mixup_alpha": -0.1}, "mixup_alpha: expected a number of at least 0, found -0.1"),
        ({"seed": True}, "seed: expected a whole number"),
        ({"seed": 2**31}, "seed: expected a whole number"),
    ],
)
def test_bad_fields_are_named(fields, complaint):
    with pytest.raises(config_lib.ConfigError, match=complaint):
        config_lib.check(changed(**fields))


@pytest.mark.parametrize(
    ("depth", "units", "expected"),
    [
        (50, None, (50, None)),
        (None, (2,), (None, (2,))),
        (None, [3, 4, 6, 3], (50, None)),  # units of a model of the family become its depth
        (50, (3, 4, 6, 3), (50, (3, 4, 6, 3))),
        # Values recorded by earlier versions: units as depth, and a depth as a tuple.
        ([1, 1, 1, 1], None, (None, (1, 1, 1, 1))),
        ([3, 4, 23, 3], None, (101, None)),
        ((50,), None, (50, None)),
        ((2,), None, (None, (2,))),
    ],
)
def test_a_model_has_a_depth_or_the_units_of_each_stage(depth, units, expected):
    model = config_lib.check(changed(model__depth=depth, model__units=units)).model
    assert (model.depth, model.units) == expected


def test_units_that_contradict_the_depth_are_refused():
    with pytest.raises(
        config_lib.ConfigError, match=r"model\.units: .* contradicts model\.depth = 50"
    ):
        config_lib.check(changed(model__depth=50, model__units=(1,)))
    for incomplete in ({}, {"model__depth": None}):
        with pytest.raises(config_lib.ConfigError, match=r"model\.depth: is missing; expected 50"):
            config_lib.check(changed(model__units=None, **incomplete))


def test_the_earlier_name_of_a_field_is_accepted():
    fields = changed(checkpoint=...)
    assert config_lib.check({**fields, "init_npz": "a.npz"}).checkpoint == "a.npz"
    assert config_lib.check({**fields, "init_npz": None, "checkpoint": "b"}).checkpoint == "b"
    assert (
        config_lib.check({**fields, "init_npz": "a.npz", "checkpoint": None}).checkpoint == "a.npz"
    )


def test_a_field_of_the_command_line_replaces_its_alternative():
    config = bit_s_imagenet2012.get_config("debug")
    config.total_epochs = 2.0
    config_lib.replace_alternatives(config, ["total_epochs"])
    assert (config.total_steps, config.total_epochs) == (None, 2)
    config.model.depth = 101
    config_lib.replace_alternatives(config, ["model.depth"])
    assert (config.model.depth, config.model.units) == (101, None)
    config.model.units = (1, 1)
    config_lib.replace_alternatives(config, ["model.units", "model.depth"])
    with pytest.raises(config_lib.ConfigError, match="contradicts"):
        config_lib.check(config)
    config_lib.replace_alternatives(config, ["model.units"])
    assert config_lib.check(config).model.units == (1, 1)


def test_a_field_is_set_to_none_on_the_command_line():
    """Where ml_collections can only read texts, numbers and tuples."""
    arguments = [
        "main.py", "--config.total_steps=", "--config.model.units=None", "--config.checkpoint=none",
        "--config.loss=", "--config.seed=", "--workdir=", "--config.total_epochs=3",
    ]  # fmt: skip
    kept, cleared = config_lib.split_cleared(arguments)
    assert cleared == ["total_steps", "model.units", "checkpoint"]
    assert kept == [
        "main.py",
        "--config.loss=",
        "--config.seed=",
        "--workdir=",
        "--config.total_epochs=3",
    ]
    config = digit_scenes.get_config()
    config_lib.clear(config, cleared)
    assert (config.total_steps, config.model.units, config.checkpoint) == (None, None, None)


@pytest.mark.parametrize(
    ("argument", "current"),
    [
        ("--config.init_npz=a.npz", "--config.checkpoint=a.npz"),
        ("--config.init_npz", "--config.checkpoint"),
        ("--config.model.depth=(1,1)", "--config.model.units=(1,1)"),
        ("--config.model.depth=[1, 1]", "--config.model.units=[1, 1]"),
        ("--config.model.depth=50", "--config.model.depth=50"),
        ("--init_npz=a", "--init_npz=a"),
    ],
)
def test_arguments_with_earlier_names_are_understood(argument, current):
    assert config_lib.current_argument(argument) == current


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"modl": {}}, "modl: there is no such field; did you mean model"),
        ({"init_npzz": "a"}, "init_npzz: there is no such field; did you mean init_npz"),
        ({"model__dpth": 50}, r"model\.dpth: there is no such field; did you mean model\.depth"),
        ({"optimizer__lr": 0.1}, r"optimizer\.lr: there is no such field$"),
        ({"input__foo": 1}, r"input\.foo: there is no such field$"),
    ],
)
def test_hints_come_from_the_same_section(fields, complaint):
    with pytest.raises(config_lib.ConfigError, match=complaint):
        config_lib.check(changed(**fields))
    assert "is a section" in config_lib.explain_unknown(["model"])


def test_total_steps_replace_total_epochs_in_one_form():
    """So that a run which recorded both fields is the run that records one of them."""
    both = config_lib.check(changed(total_steps=7, total_epochs=90.0))
    assert (both.total_steps, both.total_epochs) == (7, None)


def test_a_checked_config_stays_as_it_is():
    checked = config_lib.check(tiny.get_config())
    assert config_lib.check(checked) is checked
    with pytest.raises(AttributeError):
        checked.seed = 1


@pytest.mark.parametrize("name", CONFIGS)
def test_a_complete_config_has_a_value_in_every_open_field(name):
    """Transfer configs leave fields to the dataset and the HyperRule; the error names these fields."""
    checked = config_lib.check(CONFIGS[name]())
    if not name.startswith("bit_transfer"):
        complete = config_lib.completed(checked, config_lib.TrainingConfig)
        assert flatten_dict(dataclasses.asdict(complete)) == flatten_dict(
            dataclasses.asdict(checked)
        )
        assert complete.make_model().num_classes == checked.num_classes
        return
    with pytest.raises(config_lib.ConfigError, match="num_classes: is missing") as error:
        config_lib.completed(checked, config_lib.TrainingConfig)
    assert "input.label_key: is missing; expected a text" in str(error.value)


def test_evaluating_needs_no_field_that_training_alone_needs():
    needed = {n for n, field in config_lib.all_fields().items() if field.needed_to_train}
    assert needed == {
        "eval_every_steps", "checkpoint_every_steps", "input.dataset", "input.split", "input.batch_size",
        "input.crop", "input.flip", "optimizer.base_learning_rate", "optimizer.schedule",
    }  # fmt: skip
    open_fields = {n for n, field in config_lib.all_fields().items() if field.is_open}
    assert open_fields == {
        "num_classes", "mixup_alpha", "model.width", "input.label_key", "input.size", "eval.split",
        "eval.original_key", "eval.size", "optimizer.warmup_steps", "optimizer.decay_steps",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith(":debug")])
def test_debug_shrinks_every_experiment_alike(name):
    config = config_lib.check(CONFIGS[name]())
    assert (config.total_steps, config.model.units, config.model.width) == (4, (1, 1, 1, 1), 0.5)
    assert config.input.mock and config.input.batch_size == config.eval.batch_size == 16
    assert config.input.size == config.eval.size == 32


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        (
            "loss=mse",
            r"loss=sigmoid\|softmax,data=TEXT and, for a short test, debug; found 'loss=mse'",
        ),
        ("loss", "found 'loss'"),
        ("data=", "found 'data='"),
        ("debug=1", "found 'debug=1'"),
        ("data=a,data=b", "sets data twice"),
    ],
)
def test_a_wrong_argument_of_a_config_file_is_explained(argument, complaint):
    with pytest.raises(ValueError, match=complaint):
        config_lib.parse_argument(argument, loss=("sigmoid", "softmax"), data="none")


def test_a_config_file_that_misspells_a_field_or_its_type_is_refused():
    config = config_lib.default_config()
    with pytest.raises(TypeError):
        config.model.depth = "fifty"
    config.model.dpeth = 50
    with pytest.raises(config_lib.ConfigError, match="did you mean model.depth"):
        config_lib.check(config)


def test_all_problems_come_at_once():
    with pytest.raises(config_lib.ConfigError) as error:
        config_lib.check(changed(seed=-1, eval__batch_size=..., loss="x"))
    assert str(error.value).count("\n") == 3


def test_total_steps_wins_over_total_epochs():
    from big_transfer import training

    both = config_lib.check(changed(total_steps=7, total_epochs=3.0))
    assert training.steps_of(both, 1000) == 7
    epochs = config_lib.check(changed(total_steps=None, total_epochs=3.0))
    assert training.steps_of(epochs, 1000) == round(3 * 1000 / 16)


def test_the_configs_for_noisy_labels():
    """The sigmoid head starts at the log-odds of a class's share; decay epochs scale with the schedule."""
    config = noisy_imagenet.get_config("loss=sigmoid,labels=clean,epochs=900")
    assert config.loss == "sigmoid" and config.total_epochs == 900
    assert config.optimizer.decay_epochs == (300, 600, 800)
    assert 1 / (1 + math.exp(-config.model.head_bias)) == pytest.approx(1 / 1000)
    assert config.input.keep.endswith("fnames_clean.txt")
    plain = noisy_imagenet.get_config("loss=softmax")
    assert plain.model.head_bias == 0 and plain.input.keep is None and plain.total_epochs == 90
    digits = noisy_digit_scenes.get_config("steps=14400")
    assert 1 / (1 + math.exp(-digits.model.head_bias)) == pytest.approx(0.1)
    assert digits.total_steps == 14_400
    # Only the fields that follow from the argument differ from the config of digit_scenes.
    ours, demo = (
        flatten_dict(one.to_dict(), sep=".") for one in (digits, digit_scenes.get_config())
    )
    assert {name for name in ours if ours[name] != demo[name]} == {
        "total_steps",
        "eval_every_steps",
        "model.head_bias",
    }
    for wrong in ("epochs=91", "loss=mse", "labels", "steps=90"):
        with pytest.raises(ValueError, match=re.escape("labels=all|clean")):
            noisy_imagenet.get_config(wrong)

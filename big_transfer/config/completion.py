"""Completes configs: the dataset, the checkpoint and the BiT-HyperRule fill in the open fields.

One transfer config therefore fits any dataset. The dataset determines the classes, the label key and the
splits. The number of examples (after few-shot selection) and the area of the images determine the schedule,
MixUp and the resolution.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from big_transfer import datasets, family, hyperrule, resnet
from big_transfer.config import known_datasets, sources
from big_transfer.config.checking import ConfigError, completed
from big_transfer.config.schema import Config, EvaluationConfig, TrainingConfig

log = logging.getLogger("big_transfer")
Section = TypeVar("Section")


def complete_training(config: Config) -> tuple[TrainingConfig, datasets.Source]:
    """Fills the open fields of a training config; fields with a value keep it.

    Returns:
      The complete config and the training examples.

    Raises:
      DatasetError: if the dataset cannot be read.
      ConfigError: if an open field cannot be filled, or a filled value contradicts the other fields.
    """
    data = dataclasses.replace(
        config.input,
        label_key=sources.label_key(config),
        keep_sha256=_hash("keep", config.input.keep),
        relabel_sha256=_hash("relabel", config.input.relabel),
    )
    config = _with_evaluation_named(dataclasses.replace(config, input=data))
    source = sources.training_source(config)
    config = _filled(config, num_classes=source.num_classes[sources.label_key(config)])
    if config.hyperrule is not None:
        # All folds follow the rule for the images of all folds, so that they are trained alike.
        whole = config.fold is None
        images = (
            source if whole else sources.training_source(dataclasses.replace(config, fold=None))
        )
        config = _with_rule(config, len(images), datasets.typical_area(images))
    return completed(config, TrainingConfig), source


def plan_training(config: Config, size: known_datasets.Size) -> TrainingConfig:
    """Fills the open fields of a training config without its dataset, to compile it.

    Labels are not read, so their feature and the split of the evaluation get any name.

    Args:
      config: a config that is checked for training.
      size: the size of the training set, as far as it is known.

    Raises:
      ConfigError: if an open field depends on an unknown size.
    """
    config = dataclasses.replace(
        _filled(config, num_classes=size.num_classes),
        input=_filled(config.input, label_key="label"),
        eval=_filled(config.eval, original_key="label", split="validation"),
    )
    if config.num_classes is None:
        raise ConfigError(
            f"num_classes: is not known without {config.input.dataset}; set --config.num_classes"
        )
    if config.hyperrule is not None:
        if size.num_examples is None or size.area is None:
            raise ConfigError(
                "hyperrule: needs the number of training images and the area of an image, which are not "
                f"known without {config.input.dataset}; give --examples=N --area=PIXELS (height · width)"
            )
        config = _with_rule(config, size.num_examples, size.area)
    return completed(config, TrainingConfig)


def plan_evaluation(config: Config) -> EvaluationConfig:
    """Fills the open fields of an evaluation without its dataset and checkpoint, to compile it.

    Args:
      config: a checked config; the name of its checkpoint determines the model and the resolution.

    Raises:
      ConfigError: if the number of classes or the model is not known, or there are several checkpoints.
    """
    if "," in (config.checkpoint or ""):
        raise ConfigError("checkpoint: there are several; plan the evaluation of one at a time")
    name = pathlib.PurePath(config.checkpoint or "").stem
    variant = family.variant_of(name)
    model = config.model
    if model.depth is None and model.units is None and variant is not None:
        depth, width = family.VARIANTS[variant]
        model = _filled(model, depth=depth, width=float(width))
    if config.num_classes is None or (model.depth is None and model.units is None):
        raise ConfigError(
            "the model is not known without its checkpoint and dataset; set --config.model.depth, "
            "--config.model.width and --config.num_classes"
        )
    size = _evaluation_size(
        config, name, lambda: family.evaluation_size(name, config.hyperrule or "public")
    )
    section = _filled(config.eval, size=size, original_key="label", split="validation")
    return completed(dataclasses.replace(config, model=model, eval=section), EvaluationConfig)


# How to obtain the file of each field; completes the message of a missing file.
_HOW_TO_OBTAIN = {
    "keep": "The list of clean ImageNet labels is fnames_clean.txt of release v1.0 of "
    "github.com/google-research/reassessed-imagenet; make your own with `real_labels clean --kept`.",
    "relabel": "The file is JSON that maps file names to classes.",
}


def _hash(name: str, path: str | None) -> str | None:
    """SHA-256 of the file of input.keep or input.relabel; None without a file."""
    if path is None:
        return None
    try:
        return datasets.sha256_of(path)
    except datasets.DatasetError as error:
        raise datasets.DatasetError(f"input.{name}: {error} {_HOW_TO_OBTAIN[name]}") from None


def open_evaluation(
    config: Config, recorded: Mapping[str, Any] | None = None
) -> tuple[Config, datasets.Source]:
    """Fills the open fields for the images and classes of an evaluation, and opens the images.

    The training images are not needed.

    Args:
      config: a checked config.
      recorded: the recorded config of the evaluated run, under current field names. For the same evaluation
        dataset, its split, label key and size fill the open fields.

    Returns:
      The config and the examples to evaluate.

    Raises:
      DatasetError: if the dataset cannot be read.
    """
    recorded_eval = (recorded or {}).get("eval", {})
    if recorded_eval.get("dataset") == config.eval.dataset:
        values = {field: recorded_eval.get(field) for field in ("split", "original_key", "size")}
        config = dataclasses.replace(config, eval=_filled(config.eval, **values))
    config = _with_evaluation_named(config)
    source = sources.evaluation_source(config)
    return _filled(config, num_classes=source.num_classes[source.label_keys[0]]), source


def complete_evaluation(
    config: Config, source: datasets.Source, name: str, model: resnet.ResNetV2
) -> EvaluationConfig:
    """Fills the remaining open fields for the evaluation of one checkpoint.

    Args:
      config, source: see `open_evaluation`.
      name: name of the checkpoint, without folder and ending; it determines the resolution.
      model: model of the checkpoint.

    Raises:
      ConfigError: if an open field cannot be filled.
    """
    network = config.model
    if network.depth is None and network.units is None:
        is_number = isinstance(model.depth, int)
        network = _filled(network, **{"depth" if is_number else "units": model.depth})
    size = _evaluation_size(
        config, name, lambda: _rule(config, len(source), datasets.typical_area(source)).size
    )
    config = dataclasses.replace(
        config,
        model=_filled(network, width=model.width),
        eval=dataclasses.replace(config.eval, size=size),
    )
    return completed(config, EvaluationConfig)


def _evaluation_size(config: Config, name: str, size_by_rule: Callable[[], int]) -> int:
    """The size of evaluation images in pixels: set, of the checkpoint's name, or by the HyperRule."""
    if config.eval.size is not None:
        return config.eval.size
    if config.hyperrule is None:
        return family.evaluation_size(name)
    return (
        config.input.size or size_by_rule()
    )  # the rule's resolution depends on the area of the images


def _with_evaluation_named(config: Config) -> Config:
    """The config with the label key and the split of the evaluation filled in."""
    data, section = config.input, config.eval
    key = section.original_key or datasets.label_key_of(section.dataset, data.data_dir)
    split = section.split or datasets.evaluation_split_of(section.dataset, data.data_dir, data.mock)
    return dataclasses.replace(config, eval=_filled(section, original_key=key, split=split))


def _rule(config: Config, num_examples: int, area: float) -> hyperrule.HyperRule:
    assert config.hyperrule is not None
    return hyperrule.hyperrule(num_examples, area, config.hyperrule)


def _with_rule(config: Config, num_examples: int, area: float) -> Config:
    """The config with open fields filled by the HyperRule."""
    rule = _rule(config, num_examples, area)
    size = config.input.size or rule.size
    # Another crop size keeps the rule's ratio of resized size to crop size.
    resize_to = round(rule.resize_to * size / rule.size)
    config = dataclasses.replace(
        _filled(config, mixup_alpha=rule.mixup_alpha),
        input=_filled(config.input, size=size, resize_to=resize_to),
        eval=_filled(config.eval, size=size),
        optimizer=_filled(
            config.optimizer, warmup_steps=rule.warmup_steps, decay_steps=rule.decay_steps
        ),
    )
    if config.total_epochs is None:
        config = _filled(config, total_steps=rule.total_steps)
    log.info(
        "BiT-HyperRule for %s images of about %.0f² pixels: %s steps, %s pixels, %s.",
        f"{num_examples:,}",
        area**0.5,
        f"{config.total_steps:,}" if config.total_steps else f"{config.total_epochs} epochs'",
        config.input.size,
        f"MixUp {config.mixup_alpha}" if config.mixup_alpha else "no MixUp",
    )
    return config


def _filled(section: Section, **values: Any) -> Section:
    """The section with these values set in fields that are None."""
    missing = {name: value for name, value in values.items() if getattr(section, name) is None}
    return dataclasses.replace(section, **missing)  # pyright: ignore[reportArgumentType, reportCallIssue]

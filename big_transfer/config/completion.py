"""Completes configs: the dataset, the checkpoint and the BiT-HyperRule fill in the open fields.

So one transfer config fits any dataset: the dataset gives its classes, label key and splits; the number of
examples (few-shot included) and the area of the images decide on schedule, MixUp and resolution.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from big_transfer import datasets, family, hyperrule, resnet
from big_transfer.config import sources
from big_transfer.config.checking import completed
from big_transfer.config.schema import Config, EvaluationConfig, TrainingConfig

log = logging.getLogger("big_transfer")
Section = TypeVar("Section")


def complete_training(config: Config) -> tuple[TrainingConfig, datasets.Source]:
    """Fills the open fields of a training config; fields with a value keep it.

    Returns:
      The config, and its training examples.

    Raises:
      DatasetError: if the dataset cannot be read.
      ConfigError: if nothing fills an open field, or a filled value contradicts the other fields.
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
        config = _with_rule(config, source)
    return completed(config, TrainingConfig), source


_FROM = {
    "keep": "The list of clean ImageNet labels is fnames_clean.txt of release v1.0 of "
    "github.com/google-research/reassessed-imagenet; your own comes from `real_labels clean --kept`.",
    "relabel": "It is JSON from file name to classes.",
}


def _hash(name: str, path: str | None) -> str | None:
    """The hash of the file of input.keep or input.relabel."""
    if path is None:
        return None
    try:
        return datasets.sha256_of(path)
    except datasets.DatasetError as error:
        raise datasets.DatasetError(f"input.{name}: {error} {_FROM[name]}") from None


def open_evaluation(
    config: Config, recorded: Mapping[str, Any] | None = None
) -> tuple[Config, datasets.Source]:
    """Fills the open fields that name an evaluation's images and classes, and opens the images.

    The training images need not be there.

    Args:
      config: a checked one.
      recorded: the config of the run whose evaluation is repeated, under the field names of today.

    Returns:
      The config, and the examples to evaluate.

    Raises:
      DatasetError: if the dataset cannot be read.
    """
    earlier = (recorded or {}).get("eval", {})
    if earlier.get("dataset") == config.eval.dataset:
        again = {field: earlier[field] for field in ("split", "original_key", "size")}
        config = dataclasses.replace(config, eval=_filled(config.eval, **again))
    config = _with_evaluation_named(config)
    source = sources.evaluation_source(config)
    return _filled(config, num_classes=source.num_classes[source.label_keys[0]]), source


def complete_evaluation(
    config: Config, source: datasets.Source, name: str, model: resnet.ResNetV2
) -> EvaluationConfig:
    """Fills the remaining open fields for the evaluation of one checkpoint.

    Args:
      config, source: see `open_evaluation`.
      name: of the checkpoint, without folder and ending; it decides on the resolution.
      model: of the checkpoint.

    Raises:
      ConfigError: if nothing fills an open field.
    """
    network = config.model
    if network.depth is None and network.units is None:
        is_number = isinstance(model.depth, int)
        network = _filled(network, **{"depth" if is_number else "units": model.depth})
    size = config.eval.size
    if size is None and config.hyperrule is None:
        size = family.evaluation_size(name)
    elif size is None:  # of the rule, only the resolution matters here, and that is the area's
        size = config.input.size or _rule(config, source, datasets.typical_area(source)).size
    config = dataclasses.replace(
        config,
        model=_filled(network, width=model.width),
        eval=dataclasses.replace(config.eval, size=size),
    )
    return completed(config, EvaluationConfig)


def _with_evaluation_named(config: Config) -> Config:
    """The config with the label key and the split to evaluate on."""
    data, section = config.input, config.eval
    key = section.original_key or datasets.label_key_of(section.dataset, data.data_dir)
    split = section.split or datasets.evaluation_split_of(section.dataset, data.data_dir, data.mock)
    return dataclasses.replace(config, eval=_filled(section, original_key=key, split=split))


def _rule(config: Config, source: datasets.Source, area: float) -> hyperrule.HyperRule:
    assert config.hyperrule is not None
    return hyperrule.hyperrule(len(source), area, config.hyperrule)


def _with_rule(config: Config, source: datasets.Source) -> Config:
    """The config with the fields that the HyperRule fills."""
    area = datasets.typical_area(source)
    rule = _rule(config, source, area)
    size = config.input.size or rule.size
    # Another size keeps the rule's proportion of what is cropped.
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
        f"{len(source):,}",
        area**0.5,
        f"{config.total_steps:,}" if config.total_steps else f"{config.total_epochs} epochs'",
        config.input.size,
        f"MixUp {config.mixup_alpha}" if config.mixup_alpha else "no MixUp",
    )
    return config


def _filled(section: Section, **values: Any) -> Section:
    """The section with these values in the fields that are None."""
    missing = {name: value for name, value in values.items() if getattr(section, name) is None}
    return dataclasses.replace(section, **missing)  # pyright: ignore[reportArgumentType, reportCallIssue]

"""What a config leaves open (None), filled in from its dataset and the BiT-HyperRule.

So one transfer config fits any dataset: its classes, labels and splits say themselves, and its number
of examples, few-shot included, and the area of its images decide schedule, MixUp and resolution.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import ml_collections

from big_transfer import config as config_lib
from big_transfer import dataset, family, hyperrule, resnet, sources

log = logging.getLogger("big_transfer")


def complete(
    config: ml_collections.FrozenConfigDict,
) -> tuple[ml_collections.FrozenConfigDict, sources.Source]:
    """Fills the open fields of a training config; fields with a value keep it.

    Args:
      config: a resolved one.

    Returns:
      The config, and its training examples.

    Raises:
      DatasetError: if the dataset cannot be read.
      ConfigError: if a field is open that nothing fills, or what is filled in does not fit the rest.
    """
    fields = config.to_dict()
    data = fields["input"]
    _fill(data, "label_key", lambda: dataset.label_key_of(data["dataset"], data["data_dir"]))
    _fill_evaluation(fields)
    source = dataset.training_source(ml_collections.FrozenConfigDict(fields))
    _fill(fields, "num_classes", lambda: source.num_classes[data["label_key"]])
    if fields["hyperrule"] is not None:
        _apply_rule(fields, source)
    _require(fields, training=True)
    return config_lib.resolve(fields), source


def complete_evaluation(
    config: ml_collections.FrozenConfigDict,
    name: str | None = None,
    model: resnet.ResNetV2 | None = None,
    recorded: dict[str, Any] | None = None,
) -> ml_collections.FrozenConfigDict:
    """Fills the open fields that an evaluation needs; the training set need not be there.

    Args:
      config: a resolved one.
      name: of the checkpoint, without folder and ending; says what it is evaluated at.
      model: that the checkpoint is of.
      recorded: the config of the run that is evaluated, whose evaluation is repeated.

    Raises:
      DatasetError, ConfigError: as `complete`.
    """
    fields = config.to_dict()
    earlier = (recorded or {}).get("eval", {})
    if earlier.get("dataset") == fields["eval"]["dataset"]:
        fields["eval"] |= {
            field: earlier[field]
            for field in ("split", "original_key", "size")
            if fields["eval"][field] is None
        }
    _fill_evaluation(fields)
    if model is not None:
        _fill(fields["model"], "depth", lambda: model.depth)
        _fill(fields["model"], "width", lambda: model.width)
    if fields["num_classes"] is None or fields["eval"]["size"] is None:
        source = dataset.evaluation_source(ml_collections.FrozenConfigDict(fields))
        _fill(fields, "num_classes", lambda: source.num_classes[source.label_keys[0]])
        if fields["hyperrule"] is not None:
            # Of the rule, only the resolution matters here, and that is the area's.
            area = sources.typical_area(source)
            rule = hyperrule.hyperrule(len(source), area, fields["hyperrule"])
            _fill(fields["eval"], "size", lambda: fields["input"]["size"] or rule.size)
        elif name is not None:
            _fill(fields["eval"], "size", lambda: family.evaluation_size(name))
    _require(fields, training=False)
    return config_lib.resolve(fields, training=False)


def _fill_evaluation(fields: dict[str, Any]) -> None:
    data_dir, mock = fields["input"]["data_dir"], fields["input"]["mock"]
    section = fields["eval"]
    _fill(section, "original_key", lambda: dataset.label_key_of(section["dataset"], data_dir))
    _fill(section, "split", lambda: dataset.evaluation_split_of(section["dataset"], data_dir, mock))


def _apply_rule(fields: dict[str, Any], source: sources.Source) -> None:
    area = sources.typical_area(source)
    rule = hyperrule.hyperrule(len(source), area, fields["hyperrule"])
    if fields["total_epochs"] is None:
        _fill(fields, "total_steps", lambda: rule.total_steps)
    _fill(fields, "mixup_alpha", lambda: rule.mixup_alpha)
    _fill(fields["input"], "size", lambda: rule.size)
    # Another size keeps the rule's proportion of what is cropped.
    size = fields["input"]["size"]
    _fill(fields["input"], "resize_to", lambda: round(rule.resize_to * size / rule.size))
    _fill(fields["eval"], "size", lambda: fields["input"]["size"])
    _fill(fields["optimizer"], "warmup_steps", lambda: rule.warmup_steps)
    _fill(fields["optimizer"], "decay_steps", lambda: rule.decay_steps)
    log.info(
        "BiT-HyperRule for %s images of about %.0f² pixels: %s steps, %s pixels, %s.",
        f"{len(source):,}",
        area**0.5,
        f"{fields['total_steps']:,}"
        if fields["total_steps"]
        else f"{fields['total_epochs']} epochs'",
        fields["input"]["size"],
        f"MixUp {fields['mixup_alpha']}" if fields["mixup_alpha"] else "no MixUp",
    )


def _fill(section: dict[str, Any], name: str, value: Callable[[], Any]) -> None:
    if section[name] is None:
        section[name] = value()


def _require(fields: dict[str, Any], *, training: bool) -> None:
    """Raises ConfigError listing the fields that are still open."""
    flat = config_lib.flat(fields)
    problems = [
        f"{name}: is missing; expected {field.expected}"
        for name, field in config_lib.flat(config_lib.SCHEMA).items()
        if field.open and flat[name] is None and (training or not field.to_train)
    ]
    if problems:
        raise config_lib.ConfigError("the config cannot be used:\n  " + "\n  ".join(problems))

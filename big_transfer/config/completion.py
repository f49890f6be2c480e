"""What a config leaves open (None), filled in from its dataset and the BiT-HyperRule.

So one transfer config fits any dataset: its classes, labels and splits say themselves, and its number
of examples, few-shot included, and the area of its images decide schedule, MixUp and resolution.
"""

from __future__ import annotations

import logging
from typing import Any

import ml_collections

from big_transfer import datasets, family, hyperrule, resnet
from big_transfer.config.schema import resolve

log = logging.getLogger("big_transfer")


def complete_training(
    config: ml_collections.FrozenConfigDict,
) -> tuple[ml_collections.FrozenConfigDict, datasets.Source]:
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
    if data["label_key"] is None:
        data["label_key"] = datasets.label_key_of(data["dataset"], data["data_dir"])
    _name_evaluation(fields)
    for name in ("keep", "relabel"):
        path = data[name]
        data[f"{name}_sha256"] = None if path is None else _hash(name, path)
    source = datasets.training_source(ml_collections.FrozenConfigDict(fields))
    _fill(fields, num_classes=source.num_classes[data["label_key"]])
    if fields["hyperrule"] is not None:
        _apply_rule(fields, source)
    return resolve(fields, complete=True), source


_FROM = {
    "keep": "The list of clean ImageNet labels is fnames_clean.txt of release v1.0 of "
    "github.com/google-research/reassessed-imagenet; your own comes from `real_labels clean --kept`.",
    "relabel": "It is JSON from file name to classes.",
}


def _hash(name: str, path: str) -> str:
    """The hash of the file of input.keep or input.relabel."""
    try:
        return datasets.sha256_of(path)
    except datasets.DatasetError as error:
        raise datasets.DatasetError(f"input.{name}: {error} {_FROM[name]}") from None


def open_evaluation(
    config: ml_collections.FrozenConfigDict, recorded: dict[str, Any] | None = None
) -> tuple[ml_collections.FrozenConfigDict, datasets.Source]:
    """Fills the open fields that name an evaluation's images and classes, and opens it.

    The training set need not be there.

    Args:
      config: a resolved one.
      recorded: the config of the run that is evaluated, whose evaluation is repeated.

    Returns:
      The config, and the examples to evaluate.

    Raises:
      DatasetError: if the dataset cannot be read.
    """
    fields = config.to_dict()
    earlier = (recorded or {}).get("eval", {})
    if earlier.get("dataset") == fields["eval"]["dataset"]:
        again = {field: earlier[field] for field in ("split", "original_key", "size")}
        _fill(fields["eval"], **again)
    _name_evaluation(fields)
    source = datasets.evaluation_source(ml_collections.FrozenConfigDict(fields))
    _fill(fields, num_classes=source.num_classes[source.label_keys[0]])
    return resolve(fields, training=False), source


def complete_evaluation(
    config: ml_collections.FrozenConfigDict,
    source: datasets.Source,
    name: str,
    model: resnet.ResNetV2,
) -> ml_collections.FrozenConfigDict:
    """Fills what else is open for the evaluation of one checkpoint.

    Args:
      config, source: see `open_evaluation`.
      name: of the checkpoint, without folder and ending; says what it is evaluated at.
      model: that the checkpoint is of.

    Raises:
      ConfigError: if a field is open that nothing fills.
    """
    fields = config.to_dict()
    _fill(fields["model"], depth=model.depth, width=model.width)
    if fields["eval"]["size"] is None:
        if fields["hyperrule"] is None:
            size = family.evaluation_size(name)
        else:  # of the rule, only the resolution matters here, and that is the area's
            size = (
                fields["input"]["size"] or _rule(fields, source, datasets.typical_area(source)).size
            )
        fields["eval"]["size"] = size
    return resolve(fields, training=False, complete=True)


def _name_evaluation(fields: dict[str, Any]) -> None:
    data_dir, mock = fields["input"]["data_dir"], fields["input"]["mock"]
    section = fields["eval"]
    if section["original_key"] is None:
        section["original_key"] = datasets.label_key_of(section["dataset"], data_dir)
    if section["split"] is None:
        section["split"] = datasets.evaluation_split_of(section["dataset"], data_dir, mock)


def _rule(fields: dict[str, Any], source: datasets.Source, area: float) -> hyperrule.HyperRule:
    return hyperrule.hyperrule(len(source), area, fields["hyperrule"])


def _apply_rule(fields: dict[str, Any], source: datasets.Source) -> None:
    area = datasets.typical_area(source)
    rule = _rule(fields, source, area)
    data = fields["input"]
    if fields["total_epochs"] is None:
        _fill(fields, total_steps=rule.total_steps)
    _fill(fields, mixup_alpha=rule.mixup_alpha)
    _fill(data, size=rule.size)
    # Another size keeps the rule's proportion of what is cropped.
    _fill(data, resize_to=round(rule.resize_to * data["size"] / rule.size))
    _fill(fields["eval"], size=data["size"])
    _fill(fields["optimizer"], warmup_steps=rule.warmup_steps, decay_steps=rule.decay_steps)
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


def _fill(section: dict[str, Any], **values: Any) -> None:
    """Gives the open ones of these fields their values."""
    section |= {name: value for name, value in values.items() if section[name] is None}

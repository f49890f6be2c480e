"""What a config may hold, and the check that refuses anything else before a run begins."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ml_collections
from flax.traverse_util import flatten_dict
from ml_collections import config_dict

from big_transfer import resnet
from real_labels.errors import ExpectedError
from real_labels.labels import ORIGINAL, reassessment
from real_labels.labels.reassessment import REAL

_REQUIRED = object()
_MOST_UNITS_OF_ONE_STAGE = 10
_BEST = re.compile(r"([A-Za-z][\w-]*)/top[15]")


class ConfigError(ExpectedError, ValueError):
    """A config with unknown, missing or unusable fields; the message lists them all."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: its default (or that it must be given), and what a usable value is."""

    expected: str
    usable: Callable[[Any], bool]
    default: Any = _REQUIRED
    kind: type = str  # what the command line makes of a text, where the default is None
    to_train: bool = False  # only training needs it
    open: bool = (
        False  # None lets the dataset, the checkpoint or the HyperRule say (see `completion`)
    )


def _whole(least: int, default=_REQUIRED) -> Field:
    return Field(
        f"a whole number from {least} on", lambda v: _is_int(v) and v >= least, default, int
    )


def _number(least: float, below: float = float("inf"), default=_REQUIRED) -> Field:
    expected = f"a number from {least} on" + (f", below {below}" if below < float("inf") else "")
    return Field(expected, lambda v: _is_number(v) and least <= v < below, default, float)


def _choice(choices: tuple[str, ...], default=_REQUIRED) -> Field:
    return Field(f"one of {', '.join(choices)}", lambda v: v in choices, default)


def _text(default=_REQUIRED) -> Field:
    return Field("a text", lambda v: isinstance(v, str) and bool(v), default)


def _switch(default=_REQUIRED) -> Field:
    return Field("True or False", lambda v: isinstance(v, bool), default)


def _optional(field: Field) -> Field:
    usable = lambda v: v is None or field.usable(v)  # noqa: E731
    return Field(f"{field.expected}, or None", usable, None, field.kind)


def _to_train(field: Field) -> Field:
    return dataclasses.replace(field, to_train=True)


def _open(field: Field) -> Field:
    return dataclasses.replace(field, open=True)


def _is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_valid(check: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def usable(value) -> bool:
        try:
            check(value)
        except (ValueError, TypeError):
            return False
        return True

    return usable


_DEPTH = Field(
    f"{', '.join(map(str, resnet.UNITS))} or the units of each stage, such as (3, 4, 6, 3)",
    _is_valid(resnet.units_per_stage),
)
_BEST_METRIC = Field(
    "one of original/top1, original/top5, or NAME/top1, NAME/top5 of a label set",
    lambda v: isinstance(v, str) and bool(_BEST.fullmatch(v)),
)
_LABEL_SETS = Field(
    "label sets joined by commas: a published name, NAME=FILE or NAME=feature:KEY",
    lambda v: isinstance(v, str) and _is_valid(reassessment.parse)(v),
)
_WIDTH = Field("a multiple of 0.5", lambda v: _is_number(v) and _is_valid(resnet.root_channels)(v))


def _rising(what: str, is_one: Callable[[Any], bool]) -> Field:
    def usable(value) -> bool:
        is_row = isinstance(value, (tuple, list)) and all(is_one(e) and e > 0 for e in value)
        return is_row and list(value) == sorted(set(value))

    return Field(f"{what}, each later than the one before", usable, (), tuple)


# The fields of every config. Units and meaning stand where they are used; the configs' own comments
# say why a value is what it is.
SCHEMA: dict[str, Field | dict[str, Field]] = {
    "seed": Field(
        "a whole number from 0 on, below 2³¹", lambda v: _is_int(v) and 0 <= v < 2**31, 0
    ),
    "total_steps": _optional(_whole(1)),  # wins over total_epochs
    "total_epochs": _optional(_number(0)),
    "hyperrule": _optional(_choice(("public", "paper"))),  # fills the open fields below
    "folds": _optional(_whole(2)),  # of cross-validation
    "fold": _optional(_whole(0)),  # the one that training leaves out
    "num_classes": _open(_whole(2)),
    "init_npz": _optional(_text()),  # public checkpoint to start from, or those to evaluate: a,b
    "reset_head": _switch(False),  # start from a head of zeros, whatever init_npz has
    "export_npz": _optional(_text()),  # name, in the workdir, of the trained model in that layout
    "loss": _choice(("softmax", "sigmoid")),
    "mixup_alpha": _to_train(_open(_number(0, default=0.0))),  # 0: no MixUp
    "sharding": _choice(("replicated", "fsdp"), "replicated"),
    "log_every_steps": _whole(1, 50),
    "eval_every_steps": _to_train(_whole(1)),
    "checkpoint_every_steps": _to_train(_whole(1)),
    "checkpoint_keep": _whole(1, 3),  # the newest so many
    "checkpoint_best": _optional(_BEST_METRIC),  # and the best of the evaluated ones
    "example_images": _whole(0, 24),  # in examples.png; 0: no picture
    "model": {
        "depth": _open(_DEPTH),
        "width": _open(_WIDTH),
        "dtype": _choice(("float32", "bfloat16"), "float32"),
        "remat": _switch(False),
        # Of a new head, in each class. For sigmoid: the log-odds of a class's share of the labels.
        "head_bias": Field("a number", lambda v: _is_number(v) and math.isfinite(v), 0.0, float),
    },
    "input": {
        "dataset": _to_train(_text()),  # a name for TFDS, or the path of a folder or tar of images
        "split": _to_train(_text()),
        "data_dir": _optional(_text()),  # None: TFDS's default
        "mock": _switch(False),  # random images instead of the dataset's, for trying a config
        "label_key": _to_train(_open(_text())),
        "examples_per_class": _optional(_whole(1)),  # few-shot: so many, chosen by the seed
        "keep": _optional(_text()),  # list of the images to learn from, by file name
        "keep_sha256": _optional(_text()),  # of that list; filled in
        "relabel": _optional(_text()),  # JSON of other labels for some images, by file name
        "relabel_sha256": _optional(_text()),  # of that file; filled in
        "max_labels": _whole(1, 1),
        "batch_size": _to_train(_whole(1)),
        "accumulate_steps": _whole(1, 1),  # micro-batches per step
        "crop": _to_train(_choice(("inception", "random", "none"))),
        "size": _to_train(_open(_whole(1))),
        "resize_to": _optional(_whole(1)),
        "flip": _to_train(_switch()),
        "num_threads": _optional(_whole(1)),
        "num_workers": _whole(0, 0),
    },
    "eval": {
        "dataset": _text(),
        "split": _open(_text()),
        "original_key": _open(_text()),
        # Reassessments: "real,mine=labels.json,tags=feature:tags"; files are matched by file name.
        "label_sets": _optional(_LABEL_SETS),
        # Old spellings of the entry real: a feature (or the published labels), and a file.
        "real_key": _optional(_text()),
        "real_labels": _optional(_text()),
        "batch_size": _whole(1),
        "size": _open(_whole(1)),
    },
    "optimizer": {
        "base_learning_rate": _to_train(_number(0)),
        "scale_with_batch": _switch(True),  # base_learning_rate is for a batch of 256
        "momentum": _number(0, 1, 0.9),
        "weight_decay": _number(0, default=0.0),
        "clip_norm": _optional(_number(0)),
        "schedule": _to_train(_choice(("steps", "cosine"))),
        "warmup_steps": _to_train(_open(_whole(0, 0))),
        "decay_epochs": _rising("epochs", _is_number),
        "decay_steps": _to_train(_open(_rising("steps", _is_int))),  # besides those of decay_epochs
    },
}


def defaults() -> dict[str, Any]:
    """The default of every field that has one, under its dotted name."""
    fields = flatten_dict(SCHEMA, sep=".")
    return {name: field.default for name, field in fields.items() if field.default is not _REQUIRED}


def complete(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Adds the fields a config leaves to their defaults, so that the command line can set them."""
    _complete(config, SCHEMA)
    return config


def _complete(config, schema) -> None:
    for name, field in schema.items():
        if isinstance(field, dict):
            if name in config:
                _complete(config[name], field)
        elif name not in config and field.default is not _REQUIRED:
            is_none = field.default is None
            config[name] = config_dict.placeholder(field.kind) if is_none else field.default


def resolve(
    config: Mapping[str, Any] | ml_collections.ConfigDict,
    *,
    training: bool = True,
    complete: bool = False,
) -> ml_collections.FrozenConfigDict:
    """Checks a config and fills in what it leaves to the defaults.

    Args:
      config: the fields of SCHEMA. Open ones may be None; `completion` fills them.
      training: whether the fields that only training needs must be there; else they may be None.
      complete: whether open fields must have a value, too.

    Raises:
      ConfigError: listing every unknown, missing and unusable field.
    """
    if isinstance(config, (ml_collections.ConfigDict, ml_collections.FrozenConfigDict)):
        config = config.to_dict()
    if isinstance(config.get("model"), Mapping) and "depth" in config["model"]:
        depth = _number_of(config["model"]["depth"])
        config = {**config, "model": {**config["model"], "depth": depth}}
    problems: list[str] = []
    may_be_none = lambda field: (  # noqa: E731
        (field.to_train and not training) or (field.open and not complete)
    )
    resolved = _resolve(config, SCHEMA, "", may_be_none, problems)
    if not problems:
        _check_together(resolved, training, problems)
    elif training and resolved.get("input", {}).get("dataset") is None:
        problems.insert(0, "it names nothing to learn from; to evaluate, add --mode=evaluate")
    if problems:
        raise ConfigError("the config cannot be used:\n  " + "\n  ".join(problems))
    return ml_collections.FrozenConfigDict(resolved)


def _resolve(config, schema, prefix, may_be_none, problems) -> dict[str, Any]:
    for name in config:
        if name not in schema:
            close = difflib.get_close_matches(name, schema, 1)
            hint = f"; did you mean {prefix}{close[0]}?" if close else ""
            problems.append(f"{prefix}{name}: there is no such field{hint}")
    resolved = {}
    for name, field in schema.items():
        if isinstance(field, dict):
            section = config.get(name, {})
            if not isinstance(section, Mapping):
                problems.append(f"{prefix}{name}: expected fields below it, found {section!r}")
                continue
            resolved[name] = _resolve(section, field, f"{prefix}{name}.", may_be_none, problems)
            continue
        value = config.get(name, field.default)
        if (field.default is None or field.open) and value == "":
            value = None  # how the command line says so
        if value is _REQUIRED and field.to_train:
            value = None
        if value is None and may_be_none(field):
            resolved[name] = None
        elif value is _REQUIRED or (value is None and not field.usable(None)):
            problems.append(f"{prefix}{name}: is missing; expected {field.expected}")
        elif not field.usable(value):
            problems.append(f"{prefix}{name}: expected {field.expected}, found {value!r}")
        else:
            resolved[name] = tuple(value) if isinstance(value, list) else value
    return resolved


def _number_of(depth: Any) -> Any:
    """The family's name of a depth, where it has one: 50 for (3, 4, 6, 3).

    And for the (50,) that the command line makes of 50 where a config gives units per stage, which
    nobody means as one stage of fifty units.
    """
    if not isinstance(depth, (tuple, list)):
        return depth
    is_number = len(depth) == 1 and _is_int(depth[0]) and depth[0] > _MOST_UNITS_OF_ONE_STAGE
    return depth[0] if is_number else resnet.depth_of(tuple(depth))


def explain_unknown(fields: Iterable[str]) -> str:
    """What to say of those fields of a command line that could not be set, or nothing.

    Args:
      fields: dotted names, such as "model.depth".
    """
    known = list(flatten_dict(SCHEMA, sep="."))
    lines = []
    for field in fields:
        if field not in known:
            close = difflib.get_close_matches(field, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"config.{field}: there is no such field{hint}")
    return "\n  ".join(lines)


def _check_together(config: dict[str, Any], training: bool, problems: list[str]) -> None:
    """What no field can tell alone."""
    unruled = config["hyperrule"] is None
    if training and unruled and config["total_steps"] is None and config["total_epochs"] is None:
        problems.append("total_steps: is missing, and total_epochs too; give one of them")
    data = config["input"]
    is_known = data["size"] is not None and (unruled or data["resize_to"] is not None)
    if data["crop"] == "random" and is_known and (data["resize_to"] or 0) < data["size"]:
        problems.append(
            f"input.resize_to: expected at least input.size = {data['size']} with "
            f"input.crop='random', found {data['resize_to']}"
        )
    if training and data["batch_size"] % data["accumulate_steps"]:
        problems.append(
            f"input.accumulate_steps: must divide input.batch_size = {data['batch_size']}, found "
            f"{data['accumulate_steps']}"
        )
    if config["fold"] is not None and not 0 <= config["fold"] < (config["folds"] or 0):
        problems.append(
            f"fold: expected less than folds = {config['folds']}, found {config['fold']}"
        )
    if config["eval"]["real_labels"] is not None and config["eval"]["real_key"] is None:
        problems.append("eval.real_labels: needs a name for them, eval.real_key=real_label")
    best = config["checkpoint_best"]
    name = (best or ORIGINAL).partition("/")[0]
    section = config["eval"]
    names = reassessment.entries(section["label_sets"], section["real_key"], section["real_labels"])
    if name == REAL and REAL not in names:
        problems.append(f"checkpoint_best: {best} needs eval.real_key or eval.label_sets=real")
    elif name not in (ORIGINAL, *names):
        known = ", ".join((ORIGINAL, *names))
        problems.append(f"checkpoint_best: there is no label set {name!r}; there are {known}")

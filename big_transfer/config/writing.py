"""Functions for config files: default fields, options in the argument, and a debug version.

def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = parse_argument(arg, loss=("sigmoid", "softmax"))
    config = default_config()
    config.loss = options["loss"]
    …
    return debug(config) if options["debug"] else config
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from big_transfer.config import checking

# Pairs of fields in which setting one field replaces the other.
_ALTERNATIVES = (("total_steps", "total_epochs"), ("model.depth", "model.units"))


def default_config() -> ml_collections.ConfigDict:
    """All fields of the schema with their defaults; a field without a default is None until it is set.

    Each field has a type; the command line and the config file can only set values of this type.
    """
    config: Any = ml_collections.ConfigDict()
    for name, field in checking.all_fields().items():
        section = name.rpartition(".")[0]
        if section and section not in config:
            config[section] = ml_collections.ConfigDict()
        value = None if field.default is dataclasses.MISSING else field.default
        if value is None or field.type.is_optional:
            value = config_dict.FieldReference(value, field_type=field.type.kind)
        _set(config, name, value)
    return config


def debug(config: Any) -> Any:
    """Turns an experiment into a one-minute test: a tiny model, four steps, small random images.

    Args:
      config: a ConfigDict from `default_config`; changed in place and returned.
    """
    config.total_steps = 4
    config.log_every_steps = 1
    config.eval_every_steps = config.checkpoint_every_steps = 2
    config.model.depth, config.model.units, config.model.width = None, (1, 1, 1, 1), 0.5
    config.input.mock = True
    config.input.batch_size = config.eval.batch_size = 16
    config.input.accumulate_steps = 1
    config.input.size = config.eval.size = 32
    if config.input.resize_to is not None:
        config.input.resize_to = 36
    config.optimizer.warmup_steps = 2
    return config


def parse_argument(arg: str, **allowed: Iterable[str] | str) -> dict[str, Any]:
    """Parses the argument of a config file, such as "loss=sigmoid,steps=4800,debug".

    Args:
      arg: the text after the colon in --config=FILE:ARG.
      allowed: the valid values of each option, the default first. A text in place of the values is the
        default of an option that accepts any text.

    Returns:
      The value of each option, and "debug": whether `arg` contains the word debug.

    Raises:
      ValueError: for an unknown or repeated option; lists the options.

    >>> parse_argument("steps=4800,debug", loss=("sigmoid", "softmax"), steps=("1600", "4800"))
    {'loss': 'sigmoid', 'steps': '4800', 'debug': True}
    """
    choices = {key: None if isinstance(v, str) else tuple(v) for key, v in allowed.items()}
    options: dict[str, Any] = {
        key: v if isinstance(v, str) else next(iter(v)) for key, v in allowed.items()
    }
    options["debug"] = False
    given = set()
    for part in filter(None, arg.split(",")):
        key, _, value = part.partition("=")
        if key in given:
            raise ValueError(f"the config's argument sets {key} twice; found {arg!r}.")
        given.add(key)
        if part == "debug":
            options["debug"] = True
        elif key in choices and value and value in (choices[key] or (value,)):
            options[key] = value
        else:
            raise ValueError(
                f"the config's argument must be {_described(choices)}; found {part!r}."
            )
    return options


def _described(choices: Mapping[str, tuple[str, ...] | None]) -> str:
    if not choices:
        return "'debug' or empty"
    options = ",".join(f"{k}={'TEXT' if v is None else '|'.join(v)}" for k, v in choices.items())
    return f"{options} and, for a short test, debug"


def split_cleared(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Splits off the arguments that set a field to None, as --config.total_steps= and =None do.

    Only text fields can be set to None by ml_collections itself.

    Returns:
      The other arguments, and the dotted names of the fields.
    """
    kept, cleared = [], []
    fields = checking.all_fields()
    for argument in arguments:
        name, equals, value = argument.partition("=")
        field = fields.get(name.removeprefix("--config."))
        is_none = bool(equals) and value.strip().lower() in ("", "none", "null")
        if name.startswith("--config.") and field and field.type.is_optional and is_none:
            cleared.append(name.removeprefix("--config."))
        else:
            kept.append(argument)
    return kept, cleared


def clear(config: Any, fields: Iterable[str]) -> None:
    """Sets fields of a ConfigDict to None, by dotted name."""
    for field in fields:
        _set(config, field, None)


def _set(config: Any, field: str, value: Any) -> None:
    section, _, last = field.rpartition(".")
    (config[section] if section else config)[last] = value


def replace_alternatives(config: Any, given: Iterable[str]) -> None:
    """Sets a field to None if the command line sets its alternative, such as total_steps for total_epochs.

    Args:
      config: a ConfigDict that includes the values of the command line; changed in place.
      given: dotted names of the fields that the command line sets.
    """
    given = set(given)
    for pair in _ALTERNATIVES:
        for new, old in (pair, pair[::-1]):
            if new in given and old not in given:
                clear(config, [old])

"""Checks configs: every unknown, missing and unusable field is named before a run begins."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import ml_collections

from big_transfer import resnet
from big_transfer.config import earlier, rules
from big_transfer.config.schema import Config, EvaluationConfig, TrainingConfig
from real_labels.errors import ExpectedError
from real_labels.labels import ORIGINAL, reassessment
from real_labels.labels.reassessment import REAL

AnyConfig = ml_collections.ConfigDict | ml_collections.FrozenConfigDict | Mapping[str, Any] | Config
Complete = TypeVar("Complete", bound=EvaluationConfig)


class ConfigError(ExpectedError, ValueError):
    """A config with unknown, missing or unusable fields; the message lists them all."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the schema.

    Attributes:
      type: of its values in a checked config; None is one of them also where the value is still open.
      default: `dataclasses.MISSING` if the experiment must give a value.
      needed_to_train: whether training needs a value, and an evaluation does not.
      is_open: whether completion may fill in the value.
    """

    type: rules.FieldType
    default: Any
    needed_to_train: bool
    is_open: bool

    @property
    def expected(self) -> str:
        """The usable values, in words."""
        is_none_a_value = self.type.is_optional and not (self.is_open or self.needed_to_train)
        return self.type.rule.expected + (", or None" if is_none_a_value else "")

    def may_be_none(self, training: bool) -> bool:
        """Whether None is a value of the field in a checked config."""
        return self.type.is_optional and (self.is_open or not training or not self.needed_to_train)


@functools.cache
def all_fields() -> dict[str, Field]:
    """The fields of the schema by dotted name, in its order."""
    written, complete = _annotations(Config), _annotations(TrainingConfig)
    fields = {}
    for name, (annotation, default) in written.items():
        kind = rules.field_type(annotation)
        is_narrowed = kind.is_optional and not rules.field_type(complete[name][0]).is_optional
        is_given = default is dataclasses.MISSING
        fields[name] = Field(kind, default, is_narrowed and is_given, is_narrowed and not is_given)
    return fields


def _annotations(cls: type, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """(annotation, default) of each leaf of a config class, by dotted name."""
    hints = typing.get_type_hints(cls, include_extras=True)
    leaves = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            leaves |= _annotations(typing.cast(type, hint), f"{prefix}{field.name}.")
        else:
            leaves[f"{prefix}{field.name}"] = (hint, field.default)
    return leaves


@functools.cache
def defaults() -> dict[str, Any]:
    """The default of every field that has one, by dotted name."""
    return {
        name: field.default
        for name, field in all_fields().items()
        if field.default is not dataclasses.MISSING
    }


def check(config: AnyConfig, *, training: bool = True) -> Config:
    """Checks a config, and gives fields that it leaves out their defaults.

    Args:
      config: its fields, also under earlier names; open ones may be None. A checked one stays as it is.
      training: whether the fields that training alone needs must have values.

    Raises:
      ConfigError: listing every unknown, missing and unusable field.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, (ml_collections.ConfigDict, ml_collections.FrozenConfigDict)):
        config = config.to_dict()
    problems: list[str] = []
    values = _values(earlier.under_current_names(config), training, problems)
    if not problems:
        checked = _built(Config, values)
        problems = [*_contradictions(checked, training)]
        if not problems:
            return checked
    elif training and values.get("input.dataset") is None:
        problems.insert(0, "it names nothing to learn from; to evaluate, add --mode=evaluate")
    raise _unusable(problems)


def completed(config: Config, cls: type[Complete]) -> Complete:
    """A config whose open fields were filled, as an object of its complete class.

    Raises:
      ConfigError: listing every field that is still open, or was filled with an unusable value.
    """
    values, annotations = flattened(config), _annotations(cls)
    may_be_none = {n: rules.field_type(a).is_optional for n, (a, _) in annotations.items()}
    found = (_problem(name, value, may_be_none[name]) for name, value in values.items())
    problems = [problem for problem in found if problem is not None]
    if not problems:
        complete = _built(cls, values)
        problems = [*_contradictions(complete, isinstance(complete, TrainingConfig))]
        if complete.model.depth is None and complete.model.units is None:
            problems.append(_no_depth())
        if not problems:
            return complete
    raise _unusable(problems)


def flattened(config: Config) -> dict[str, Any]:
    """The values of a config by dotted name."""
    return dict(_leaves(dataclasses.asdict(config)))


def _unusable(problems: Iterable[str]) -> ConfigError:
    return ConfigError("the config cannot be used:\n  " + "\n  ".join(problems))


def _leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _values(config: Mapping[str, Any], training: bool, problems: list[str]) -> dict[str, Any]:
    """The usable values of a config, by dotted name; the others are added to the problems."""
    given: dict[str, Any] = {}
    sections = {name.partition(".")[0] for name in all_fields() if "." in name}
    for name, value in config.items():
        if name in sections and isinstance(value, Mapping):
            given |= {f"{name}.{field}": inner for field, inner in value.items()}
        elif name in sections:
            problems.append(f"{name}: expected fields below it, found {value!r}")
        else:
            given[name] = value
    for name in given.keys() - all_fields().keys():
        problems.append(_unknown(name))
    values = {}
    for name, field in all_fields().items():
        value = given.get(name, field.default)
        if value == "" and field.type.is_optional:
            value = None  # on the command line, an empty text says None
        if value is dataclasses.MISSING:
            value = None
        if isinstance(value, list):
            value = tuple(value)
        if problem := _problem(name, value, field.may_be_none(training)):
            problems.append(problem)
        values[name] = value
    return values


def _problem(name: str, value: Any, may_be_none: bool) -> str | None:
    """The complaint about a value, if there is one."""
    field = all_fields()[name]
    if value is None:
        return None if may_be_none else f"{name}: is missing; expected {field.expected}"
    if not field.type.rule.usable(value):
        return f"{name}: expected {field.expected}, found {value!r}"
    return None


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, all_fields(), 1)
    return f"{name}: there is no such field" + (f"; did you mean {close[0]}?" if close else "")


def _built(cls: type[Config], values: Mapping[str, Any]) -> Any:
    """A config of a class from the values by dotted name."""
    nested: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[field] = value
    sections = {name: hints[name](**v) for name, v in nested.items() if isinstance(v, dict)}
    return cls(**nested | sections)


def explain_unknown(fields: Iterable[str]) -> str:
    """The unknown fields of a command line, a line each with the nearest name; "" if all are known.

    Args:
      fields: dotted names, such as "model.depth".
    """
    known = all_fields()
    return "\n  ".join(f"config.{_unknown(field)}" for field in fields if field not in known)


def _no_depth() -> str:
    return f"model.depth: is missing; expected {all_fields()['model.depth'].type.rule.expected}"


def _contradictions(config: Config, training: bool) -> Iterable[str]:
    """Fields whose values do not go together."""
    unruled = config.hyperrule is None
    if training and unruled and config.total_steps is None and config.total_epochs is None:
        yield "total_steps: is missing, and total_epochs too; give one of them"
    model, data, section = config.model, config.input, config.eval
    if model.depth is not None and model.units not in (None, resnet.UNITS[model.depth]):
        yield (
            f"model.units: {model.units} contradicts model.depth = {model.depth}; set one of them to None"
        )
    if training and model.depth is None and model.units is None:
        yield _no_depth()
    if (
        data.crop == "random"
        and data.size is not None
        and (unruled or data.resize_to is not None)
        and (data.resize_to or 0) < data.size
    ):
        yield (
            f"input.resize_to: expected at least input.size = {data.size} with input.crop='random', "
            f"found {data.resize_to}"
        )
    if training and data.batch_size is not None and data.batch_size % data.accumulate_steps:
        yield (
            f"input.accumulate_steps: must divide input.batch_size = {data.batch_size}, found "
            f"{data.accumulate_steps}"
        )
    if config.fold is not None and config.fold >= (config.folds or 0):
        yield f"fold: expected less than folds = {config.folds}, found {config.fold}"
    if section.real_labels is not None and section.real_key is None:
        yield "eval.real_labels: needs a name for them, eval.real_key=real_label"
    best = config.checkpoint_best
    name = (best or ORIGINAL).partition("/")[0]
    names = reassessment.entries(section.label_sets, section.real_key, section.real_labels)
    if name == REAL and REAL not in names:
        yield f"checkpoint_best: {best} needs eval.real_key or eval.label_sets=real"
    elif name not in (ORIGINAL, *names):
        known = ", ".join((ORIGINAL, *names))
        yield f"checkpoint_best: there is no label set {name!r}; there are {known}"

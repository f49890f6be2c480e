"""Checks configs before a run starts and reports every unknown, missing and invalid field."""

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
from big_transfer.run import workdir
from real_labels.errors import ExpectedError
from real_labels.labels import ORIGINAL, reassessment
from real_labels.labels.reassessment import REAL

AnyConfig = ml_collections.ConfigDict | ml_collections.FrozenConfigDict | Mapping[str, Any] | Config
Complete = TypeVar("Complete", bound=EvaluationConfig)


class ConfigError(ExpectedError, ValueError):
    """A config with unknown, missing or invalid fields; the message lists all of them."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the schema.

    Attributes:
      type: the type of the field's values in a checked config; optional if the value may still be open.
      default: the default value; `dataclasses.MISSING` if the experiment must set the field.
      needed_to_train: whether training needs a value while an evaluation does not.
      is_open: whether completion may fill in the value.
    """

    type: rules.FieldType
    default: Any
    needed_to_train: bool
    is_open: bool

    @property
    def expected(self) -> str:
        """The valid values, in words."""
        is_none_a_value = self.type.is_optional and not (self.is_open or self.needed_to_train)
        return self.type.rule.expected + (", or None" if is_none_a_value else "")

    def may_be_none(self, training: bool) -> bool:
        """Whether the field may be None in a checked config."""
        return self.type.is_optional and (self.is_open or not training or not self.needed_to_train)


@functools.cache
def all_fields() -> dict[str, Field]:
    """The fields of the schema by dotted name, in the order of the schema."""
    written, complete = _annotations(Config), _annotations(TrainingConfig)
    fields = {}
    for name, (annotation, default) in written.items():
        kind = rules.field_type(annotation)
        is_narrowed = kind.is_optional and not rules.field_type(complete[name][0]).is_optional
        has_default = default is not dataclasses.MISSING
        fields[name] = Field(
            kind,
            default,
            needed_to_train=is_narrowed and not has_default,
            is_open=is_narrowed and has_default,
        )
    return fields


def _annotations(cls: type, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """(annotation, default) of each field of a config class and its sections, by dotted name."""
    hints = typing.get_type_hints(cls, include_extras=True)
    annotations = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            annotations |= _annotations(typing.cast(type, hint), f"{prefix}{field.name}.")
        else:
            annotations[f"{prefix}{field.name}"] = (hint, field.default)
    return annotations


@functools.cache
def defaults() -> dict[str, Any]:
    """The default of every field that has one, by dotted name."""
    return {
        name: field.default
        for name, field in all_fields().items()
        if field.default is not dataclasses.MISSING
    }


def check(config: AnyConfig, *, training: bool = True) -> Config:
    """Checks a config, and gives each omitted field its default.

    Args:
      config: the config; earlier names of fields are accepted, and open fields may be None. A Config counts
        as checked, and is returned unchanged.
      training: whether the fields that only training needs must have values.

    Raises:
      ConfigError: listing every unknown, missing and invalid field or, if there are none, every contradiction
        between fields.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, (ml_collections.ConfigDict, ml_collections.FrozenConfigDict)):
        config = config.to_dict()
    problems: list[str] = []
    values = _values(earlier.under_current_names(config), training, problems)
    if not problems:
        checked = _build(Config, values)
        problems = [*_contradictions(checked, training)]
        if not problems:
            return checked
    elif training and values.get("input.dataset") is None:
        problems.insert(
            0, "there is no training dataset (input.dataset); to evaluate, add --mode=evaluate"
        )
    raise _unusable(problems)


def completed(config: Config, cls: type[Complete]) -> Complete:
    """Converts a config to the complete class `cls`; all open fields must have values.

    Raises:
      ConfigError: listing every field that is still open or has an invalid value or, if there are none, every
        contradiction between fields.
    """
    values, annotations = flattened(config), _annotations(cls)
    may_be_none = {n: rules.field_type(a).is_optional for n, (a, _) in annotations.items()}
    checks = (_problem(name, value, may_be_none[name]) for name, value in values.items())
    problems = [problem for problem in checks if problem is not None]
    if not problems:
        complete = _build(cls, values)
        problems = [*_contradictions(complete, isinstance(complete, TrainingConfig))]
        if not problems:
            return complete
    raise _unusable(problems)


def flattened(config: Config) -> dict[str, Any]:
    """The values of a config by dotted name."""
    return workdir.flattened(dataclasses.asdict(config))


def _unusable(problems: Iterable[str]) -> ConfigError:
    return ConfigError("the config cannot be used:\n  " + "\n  ".join(problems))


def _values(config: Mapping[str, Any], training: bool, problems: list[str]) -> dict[str, Any]:
    """The values of a config by dotted name; appends a message for every bad field to `problems`."""
    given: dict[str, Any] = {}
    for name, value in config.items():
        if name in _sections() and isinstance(value, Mapping):
            given |= {f"{name}.{field}": inner for field, inner in value.items()}
        elif name in _sections():
            problems.append(f"{name}: expected a section with fields, found {value!r}")
        else:
            given[name] = value
    problems += [_unknown(str(name)) for name in given if name not in all_fields()]
    values = {}
    for name, field in all_fields().items():
        value = given.get(name, field.default)
        if value == "" and field.type.is_optional:
            value = None  # an empty text on the command line means None
        if value is dataclasses.MISSING:
            value = None
        if isinstance(value, list):
            value = tuple(value)
        if problem := _problem(name, value, field.may_be_none(training)):
            problems.append(problem)
        values[name] = value
    return values


def _problem(name: str, value: Any, may_be_none: bool) -> str | None:
    """The error message for an invalid value; None if the value is valid."""
    field = all_fields()[name]
    if value is None:
        return None if may_be_none else f"{name}: is missing; expected {field.expected}"
    if not field.type.rule.usable(value):
        return f"{name}: expected {field.expected}, found {value!r}"
    return None


def _unknown(name: str) -> str:
    if name in _sections():
        return f"{name}: is a section; set a field of it, such as {_sections()[name]}"
    section, dot, last = name.rpartition(".")
    # Names of the same section, else of the top level.
    names = [f.removeprefix(section + dot) for f in all_fields() if f.rpartition(".")[0] == section]
    if not section:
        names += [*_sections(), *earlier.RENAMED]
    matches = difflib.get_close_matches(last, names, 1)
    hint = f"; did you mean {section}{dot}{matches[0]}?" if matches else ""
    return f"{name}: there is no such field{hint}"


@functools.cache
def _sections() -> dict[str, str]:
    """A field of each section, by the name of the section."""
    return {name.partition(".")[0]: name for name in all_fields() if "." in name}


def _build(cls: type[Config], values: Mapping[str, Any]) -> Any:
    """Builds a config of class `cls` from values by dotted name."""
    nested: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[field] = value
    sections = {name: hints[name](**v) for name, v in nested.items() if isinstance(v, dict)}
    return cls(**nested | sections)


def explain_unknown(fields: Iterable[str]) -> str:
    """An error line for each unknown field, with the most similar known name; "" if all fields are known.

    Args:
      fields: dotted names on the command line, such as "model.depth".
    """
    known = all_fields()
    return "\n  ".join(f"config.{_unknown(field)}" for field in fields if field not in known)


def _contradictions(config: Config, training: bool) -> Iterable[str]:
    """Error messages for fields whose values contradict each other."""
    has_no_rule = config.hyperrule is None
    if training and has_no_rule and config.total_steps is None and config.total_epochs is None:
        yield "total_steps and total_epochs: both are missing; set one of them"
    model, data, section = config.model, config.input, config.eval
    if model.depth is not None and model.units not in (None, resnet.UNITS[model.depth]):
        yield (
            f"model.units: {model.units} contradicts model.depth = {model.depth}; set one of them to None"
        )
    needs_model = training or isinstance(config, EvaluationConfig)
    if needs_model and model.depth is None and model.units is None:
        yield f"model.depth: is missing; expected {all_fields()['model.depth'].type.rule.expected}"
    if (
        data.crop == "random"
        and data.size is not None
        and (has_no_rule or data.resize_to is not None)
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
        yield "eval.real_labels: also needs a key for these labels; set eval.real_key=real_label"
    best = config.checkpoint_best
    name = (best or ORIGINAL).partition("/")[0]
    names = reassessment.entries(section.label_sets, section.real_key, section.real_labels)
    if name == REAL and REAL not in names:
        yield f"checkpoint_best: {best} needs eval.real_key or eval.label_sets=real"
    elif name not in (ORIGINAL, *names):
        known = ", ".join((ORIGINAL, *names))
        yield f"checkpoint_best: there is no label set {name!r}; expected one of {known}"

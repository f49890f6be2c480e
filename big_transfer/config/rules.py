"""Types of config fields: Python type, valid values, and their description for error messages."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from big_transfer import resnet
from big_transfer.run import profiling
from real_labels.labels import reassessment


@dataclasses.dataclass(frozen=True)
class Rule:
    """The valid values of a field.

    Attributes:
      expected: describes valid values in an error message, such as "a whole number of at least 1".
      usable: returns whether a value is valid; takes any object.
    """

    expected: str
    usable: Callable[[Any], bool]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _passes(check: Callable[[Any], Any], value: Any) -> bool:
    try:
        check(value)
    except (ValueError, TypeError):
        return False
    return True


def _whole(least: int) -> Rule:
    return Rule(f"a whole number of at least {least}", lambda v: _is_int(v) and v >= least)


def _rising(elements: str, is_element: Callable[[Any], bool]) -> Rule:
    def usable(value: Any) -> bool:
        is_valid = isinstance(value, (tuple, list)) and all(is_element(e) and e > 0 for e in value)
        return is_valid and list(value) == sorted(set(value))

    return Rule(f"{elements}, each later than the one before", usable)


_MAX_STAGES = 8  # each doubles the channels
_BEST = re.compile(r"([A-Za-z][\w-]*)/top[15]")

Count: TypeAlias = Annotated[int, _whole(0)]
Positive: TypeAlias = Annotated[int, _whole(1)]
TwoOrMore: TypeAlias = Annotated[int, _whole(2)]
Seed: TypeAlias = Annotated[
    int,
    Rule("a whole number of at least 0 and below 2³¹", lambda v: _is_int(v) and 0 <= v < 2**31),
]
Finite: TypeAlias = Annotated[float, Rule("a number", lambda v: _is_number(v) and math.isfinite(v))]
NotNegative: TypeAlias = Annotated[
    float, Rule("a number of at least 0", lambda v: _is_number(v) and 0 <= v < math.inf)
]
BelowOne: TypeAlias = Annotated[
    float, Rule("a number of at least 0 and below 1", lambda v: _is_number(v) and 0 <= v < 1)
]
FileName: TypeAlias = Annotated[
    str,
    Rule(
        "the name of a file, without a folder",
        lambda v: (
            isinstance(v, str) and bool(v) and v not in (".", "..") and not set(v) & set("/\\\0")
        ),
    ),
]
TracedSteps: TypeAlias = Annotated[
    str,
    Rule(
        "training steps as START:STOP, from 1, such as 10:15",
        lambda v: isinstance(v, str) and profiling.parse(v) is not None,
    ),
]
Text: TypeAlias = Annotated[str, Rule("a text", lambda v: isinstance(v, str) and bool(v))]
Epochs: TypeAlias = Annotated[tuple[float, ...], _rising("epochs", _is_number)]
Steps: TypeAlias = Annotated[tuple[int, ...], _rising("steps", _is_int)]
Depth: TypeAlias = Annotated[
    int,
    Rule(
        f"{', '.join(map(str, resnet.UNITS))} or the units of each stage in model.units",
        lambda v: _is_int(v) and v in resnet.UNITS,
    ),
]
Units: TypeAlias = Annotated[
    tuple[int, ...],
    Rule(
        f"the units of each stage, such as (3, 4, 6, 3), in at most {_MAX_STAGES} stages",
        lambda v: (
            isinstance(v, (tuple, list))
            and len(v) <= _MAX_STAGES
            and _passes(resnet.units_per_stage, v)
        ),
    ),
]
Width: TypeAlias = Annotated[
    float,
    Rule("a multiple of 0.5", lambda v: _is_number(v) and _passes(resnet.root_channels, v)),
]
BestMetric: TypeAlias = Annotated[
    str,
    Rule(
        "one of original/top1, original/top5, or NAME/top1, NAME/top5 of a label set",
        lambda v: isinstance(v, str) and bool(_BEST.fullmatch(v)),
    ),
]
LabelSetNames: TypeAlias = Annotated[
    str,
    Rule(
        "label sets joined by commas: a published name, NAME=FILE or NAME=feature:KEY",
        lambda v: isinstance(v, str) and _passes(reassessment.parse, v),
    ),
]

_SWITCH = Rule("True or False", lambda v: isinstance(v, bool))


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The parts of an annotation of the schema.

    Attributes:
      rule: the rule for values other than None.
      kind: the Python type to which a value on the command line is converted.
      is_optional: whether None is a valid value.
    """

    rule: Rule
    kind: type
    is_optional: bool


def field_type(annotation: Any) -> FieldType:
    """Parses an annotation: `bool`, `Literal[…]` or `Annotated[…, Rule]`, each also with `| None`."""
    is_optional = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (annotation,) = (a for a in typing.get_args(annotation) if a is not type(None))
        is_optional = True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        rule = Rule(f"one of {', '.join(arguments)}", lambda v: v in arguments)
        return FieldType(rule, str, is_optional)
    if annotation is bool:
        return FieldType(_SWITCH, bool, is_optional)
    kind, rule = arguments
    return FieldType(rule, typing.get_origin(kind) or kind, is_optional)

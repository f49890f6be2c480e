"""Results as JSON and back: frozen dataclasses become objects, once, at the edge."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def as_json(value: Any) -> Any:
    """What json.dump takes: dataclasses and mappings become objects, sequences lists, NaN null.

    A field called `class_` becomes "class". An object with a method `as_json` says itself.
    """
    if hasattr(value, "as_json"):
        return value.as_json()
    if dataclasses.is_dataclass(value):
        return {
            field.name.rstrip("_"): as_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def with_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of numbers that `as_json` wrote: null becomes NaN."""
    return {key: math.nan if value is None else value for key, value in record.items()}

"""Converting results (frozen dataclasses) to JSON and back, where they are written and read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def as_json(value: Any) -> Any:
    """Returns a value in types for json.dump: dataclasses become dicts, tuples lists, NaN None.

    A field called `class_` becomes "class". An object with a method `as_json` is converted by that method.
    """
    if hasattr(value, "as_json"):
        return value.as_json()
    if dataclasses.is_dataclass(value):
        return {
            field.name.rstrip("_"): as_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def with_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns number fields as `as_json` wrote them, with None (null) as NaN."""
    return {key: math.nan if value is None else value for key, value in record.items()}

"""Configs of earlier versions, in workdirs and in people's files: fields under their earlier names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from big_transfer import resnet

RENAMED = {"init_npz": "checkpoint"}  # earlier name -> today's
_MOST_UNITS_OF_ONE_STAGE = 10


def under_current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config, nested, under the names of today.

    The units of each stage were once a value of `model.depth`. Units of a member of the family become its
    depth, so that a model has one description.
    """
    current = dict(fields)
    for old, new in RENAMED.items():
        if old in current:
            value = current.pop(old)
            current[new] = value if current.get(new) is None else current[new]
    model = current.get("model")
    if isinstance(model, Mapping):
        current["model"] = _with_units(dict(model))
    return current


def _with_units(model: dict[str, Any]) -> dict[str, Any]:
    depth, units = model.get("depth"), model.get("units")
    if isinstance(depth, (list, tuple)) and units is None:
        # Where a config gave units, the command line made (50,) of the depth 50.
        is_number = len(depth) == 1 and isinstance(depth[0], int)
        if is_number and depth[0] > _MOST_UNITS_OF_ONE_STAGE:
            return model | {"depth": depth[0]}
        depth, units = None, depth
    if depth is None and isinstance(units, (list, tuple)):
        name = resnet.depth_of(tuple(units))
        if isinstance(name, int):
            return model | {"depth": name, "units": None}
    return model if units is None else model | {"depth": depth, "units": units}

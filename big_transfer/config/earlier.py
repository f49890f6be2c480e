"""Reads configs of earlier versions, in workdirs and config files, and renames their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from big_transfer import resnet

RENAMED = {"init_npz": "checkpoint"}  # earlier name -> current name
_MOST_UNITS_OF_ONE_STAGE = 10


def under_current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The nested fields of a config under their current names, in one form for each meaning.

    total_epochs is None if total_steps has a value, because total_steps has priority. In earlier versions
    `model.depth` could hold the units of each stage; they move to `model.units`. Units that belong to a depth
    of the family become this depth, so that each model has one description.
    """
    current = dict(fields)
    for old, new in RENAMED.items():
        if old in current:
            value = current.pop(old)
            current[new] = value if current.get(new) is None else current[new]
    if current.get("total_steps") is not None and "total_epochs" in current:
        current["total_epochs"] = None
    model = current.get("model")
    if isinstance(model, Mapping):
        current["model"] = _with_units(dict(model))
    return current


def current_argument(argument: str) -> str:
    """An argument of the command line, such as --config.init_npz=x, with the field's current name.

    >>> current_argument("--config.model.depth=(1, 2)")
    '--config.model.units=(1, 2)'
    """
    name, equals, value = argument.partition("=")
    field = name.removeprefix("--config.")
    if field != name:
        is_units = field == "model.depth" and value.lstrip().startswith(("(", "["))
        name = f"--config.{'model.units' if is_units else RENAMED.get(field, field)}"
    return name + equals + value


def _with_units(model: dict[str, Any]) -> dict[str, Any]:
    depth, units = model.get("depth"), model.get("units")
    if isinstance(depth, (list, tuple)) and units is None:
        # If the config file set units, --config.model.depth=50 was recorded as (50,).
        is_number = len(depth) == 1 and isinstance(depth[0], int)
        if is_number and depth[0] > _MOST_UNITS_OF_ONE_STAGE:
            return model | {"depth": depth[0]}
        depth, units = None, depth
    if depth is None and isinstance(units, (list, tuple)):
        depth_or_units = resnet.depth_of(tuple(units))
        if isinstance(depth_or_units, int):
            return model | {"depth": depth_or_units, "units": None}
    return model if units is None else model | {"depth": depth, "units": units}

"""Reads the config recorded in a workdir and checks whether another config may use the workdir."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from big_transfer.config import checking, earlier
from big_transfer.config.schema import Config
from big_transfer.run import workdir


def recorded(folder: epath.PathLike) -> dict[str, Any] | None:
    """The config with which a workdir's run was started, under current field names; None if there is none."""
    fields = workdir.recorded_config(folder)
    return None if fields is None else earlier.under_current_names(fields)


def with_defaults(recorded_config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recorded config by dotted name; missing fields have their defaults."""
    return _as_json(checking.defaults() | workdir.flattened(recorded_config))


def check_belongs(
    folder: epath.PathLike, config: Config, sections: Sequence[str] | None = None
) -> None:
    """Raises an error if the workdir holds a run with another config.

    Args:
      folder: the workdir; may be new.
      config: the complete config of the run. Fields missing in the recorded config have their defaults.
      sections: dotted names of the fields or sections to compare; None: all fields.

    Raises:
      WorkdirError: listing the fields that differ.
    """
    recorded_config = recorded(folder)
    if recorded_config is None:
        return
    if not workdir.has_checkpoints(folder) and workdir.read_results(folder) is None:
        return
    differing = [
        f"{name}: {old} in the workdir, {new} now"
        for name, old, new in workdir.differences(
            with_defaults(recorded_config), _as_json(checking.flattened(config))
        )
        if sections is None or any(f"{name}.".startswith(f"{s}.") for s in sections)
    ]
    if differing:
        raise workdir.WorkdirError(
            f"{folder} belongs to a run with another config:\n  "
            + "\n  ".join(differing)
            + "\nGive another --workdir, or the config with which the run was started."
        )


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields after a round trip through JSON: tuples become lists."""
    return json.loads(json.dumps(fields))

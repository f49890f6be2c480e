"""The config that is recorded in a workdir, and whether another config may use that workdir."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from big_transfer.config import checking, earlier
from big_transfer.config.schema import Config
from big_transfer.run import workdir


def recorded(folder: epath.PathLike) -> dict[str, Any] | None:
    """The config that a workdir was begun with, under the field names of today; None if there is none."""
    fields = workdir.recorded_config(folder)
    return None if fields is None else earlier.under_current_names(fields)


def check_belongs(
    folder: epath.PathLike, config: Config, sections: Sequence[str] | None = None
) -> None:
    """Refuses a workdir that holds the run of another config.

    Args:
      folder: the workdir; may be new.
      config: the complete config of the run. A recorded config that lacks a field has that field's default.
      sections: dotted names of the fields to compare, or of sections; None: all fields.

    Raises:
      WorkdirError: with the fields that differ.
    """
    found = recorded(folder)
    if found is None or not (workdir.has_checkpoints(folder) or workdir.read_results(folder)):
        return
    there = checking.defaults() | workdir.flattened(found)
    differing = [
        f"{name}: {old} there, {new} now"
        for name, old, new in workdir.differences(
            as_json(there), as_json(checking.flattened(config))
        )
        if sections is None or any(f"{name}.".startswith(f"{s}.") for s in sections)
    ]
    if differing:
        raise workdir.WorkdirError(
            f"{folder} belongs to a run of another config:\n  "
            + "\n  ".join(differing)
            + "\nGive another --workdir, or the config it was begun with."
        )


def as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as they come back from JSON: tuples are lists."""
    return json.loads(json.dumps(fields))

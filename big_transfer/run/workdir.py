"""A run's folder: the config it belongs to, and the results it ends with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils

from real_labels import files
from real_labels.errors import ExpectedError

# Files whose content counts, as their hashes in the config tell, and not where they lie.
_BY_CONTENT = {"input.keep", "input.relabel"}


class WorkdirError(ExpectedError, ValueError):
    """A workdir that belongs to another run."""


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recorded config by dotted name."""
    return flatten_dict(config, sep=".")


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(dotted name, first value, second value) of each field in which two recorded configs differ, by name.

    Args:
      first, second: fields by dotted name, as JSON has them.
    """
    shown = [
        (name, _shown(first, name), _shown(second, name))
        for name in sorted((first.keys() | second.keys()) - _BY_CONTENT)
    ]
    return [one for one in shown if one[1] != one[2]]


def claim(workdir: epath.PathLike, config: Mapping[str, Any]) -> None:
    """Records the config, nested, of the run that the workdir now belongs to."""
    if jax.process_index() == 0:
        files.write_json(epath.Path(workdir) / "config.json", config, indent=2)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("claimed the workdir")


def has_checkpoints(workdir: epath.PathLike) -> bool:
    """Whether a run has saved anything complete there."""
    folder = epath.Path(workdir) / "checkpoints"
    return folder.exists() and any(path.name.isdigit() for path in folder.iterdir())


def recorded_config(workdir: epath.PathLike) -> dict[str, Any] | None:
    """The config the workdir was begun with, or None if it was not."""
    return _read_json(epath.Path(workdir) / "config.json")


def write_results(workdir: epath.PathLike, results: dict[str, Any]) -> None:
    """Writes results.json."""
    files.write_json(epath.Path(workdir) / "results.json", results, indent=2)


def read_results(workdir: epath.PathLike) -> dict[str, Any] | None:
    """What results.json holds, or None if there is none."""
    return _read_json(epath.Path(workdir) / "results.json")


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return json.dumps(fields[name]) if name in fields else "nothing"


def _read_json(path: epath.Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"{path}: is no JSON, or cut short ({error}).") from None

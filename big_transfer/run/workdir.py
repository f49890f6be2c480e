"""The folder of a run: its recorded config and its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils

from real_labels import files
from real_labels.errors import ExpectedError, InputError
from real_labels.files import json_text

REPAIRS = {
    "config.json": "If the workdir is of this config, remove config.json and run the same command again.",
    "results.json": "Remove results.json; the same command then evaluates the newest checkpoint again.",
}
# Fields that may differ: of the files, the config also records the hash of their content.
_MAY_DIFFER = {"input.keep", "input.relabel", "profile"}


class WorkdirError(ExpectedError, ValueError):
    """A workdir belongs to another run, or one of its files cannot be read."""


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a recorded config by dotted name."""
    return flatten_dict(config, sep=".")


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns (dotted name, first value, second value) of each field in which two configs differ, by name.

    Args:
      first, second: fields by dotted name, with the values of the JSON file.
    """
    fields = [
        (name, _value_text(first, name), _value_text(second, name))
        for name in sorted((first.keys() | second.keys()) - _MAY_DIFFER)
    ]
    return [field for field in fields if field[1] != field[2]]


def claim(workdir: epath.PathLike, config: Mapping[str, Any]) -> None:
    """Writes the nested config of a run to config.json; the workdir then belongs to this run."""
    if jax.process_index() == 0:
        files.write_json(epath.Path(workdir) / "config.json", config, indent=2)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("claimed the workdir")


def has_checkpoints(workdir: epath.PathLike) -> bool:
    """Whether the workdir holds a complete checkpoint."""
    folder = epath.Path(workdir) / "checkpoints"
    return folder.exists() and any(path.name.isdigit() for path in folder.iterdir())


def recorded_config(workdir: epath.PathLike) -> dict[str, Any] | None:
    """Reads config.json, or returns None if the workdir has none."""
    return _read_json(epath.Path(workdir) / "config.json")


def write_results(workdir: epath.PathLike, results: dict[str, Any]) -> None:
    """Writes results.json."""
    files.write_json(epath.Path(workdir) / "results.json", results, indent=2)


def read_results(workdir: epath.PathLike) -> dict[str, Any] | None:
    """Reads results.json, or returns None if the workdir has none."""
    return _read_json(epath.Path(workdir) / "results.json")


def _value_text(fields: Mapping[str, Any], name: str) -> str:
    return json.dumps(fields[name]) if name in fields else "nothing"


def _read_json(path: epath.Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json_text.read(path)
        if not isinstance(content, dict):
            raise InputError(f"expected an object, found {type(content).__name__}.")
    except InputError as error:
        raise WorkdirError(f"{path}: {error} {REPAIRS[path.name]}") from None
    return content

"""A run's folder: the config it belongs to, and the results it ends with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
from etils import epath
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils

from real_labels import files
from real_labels.errors import ExpectedError

# Files whose content counts, as their hashes in the config tell, and not where they lie.
_BY_CONTENT = {"input.keep", "input.relabel"}


class WorkdirError(ExpectedError, ValueError):
    """A workdir that belongs to another run."""


def check(
    workdir: epath.PathLike,
    config: ml_collections.FrozenConfigDict,
    defaults: Mapping[str, Any],
    sections: Sequence[str] | None = None,
) -> None:
    """Makes sure that a workdir with a run in it is this config's.

    Args:
      workdir: the run's folder.
      config: a resolved one.
      defaults: under dotted names, of the fields that a recorded config may lack.
      sections: compare these fields, or all below them; everything if None.

    Raises:
      WorkdirError: if it is another config's, listing the fields that differ.
    """
    found = recorded_config(workdir)
    if found is None or not (has_checkpoints(workdir) or read_results(workdir)):
        return
    ours = json.loads(json.dumps(config.to_dict()))
    differing = [
        f"{name}: {there} there, {now} now"
        for name, there, now in differences(found, ours, json.loads(json.dumps(defaults)))
        if sections is None or any(f"{name}.".startswith(f"{s}.") for s in sections)
    ]
    if differing:
        raise WorkdirError(
            f"{workdir} belongs to a run of another config:\n  "
            + "\n  ".join(differing)
            + "\nGive another --workdir, or the config it was begun with."
        )


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str]]:
    """(dotted name, first, second) of each field in which two recorded configs differ, by name.

    Args:
      first, second: as JSON has them.
      defaults: under dotted names, of the fields that the first may lack.
    """
    theirs, ours = (flatten_dict(one, sep=".") for one in (first, second))
    theirs = (defaults or {}) | theirs
    shown = [
        (name, _shown(theirs, name), _shown(ours, name))
        for name in sorted((ours.keys() | theirs.keys()) - _BY_CONTENT)
    ]
    return [one for one in shown if one[1] != one[2]]


def claim(workdir: epath.PathLike, config: ml_collections.FrozenConfigDict) -> None:
    """Makes the workdir this config's (see `check`)."""
    if jax.process_index() == 0:
        files.write_json(epath.Path(workdir) / "config.json", config.to_dict(), indent=2)
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


def _shown(fields: dict[str, Any], name: str) -> str:
    return json.dumps(fields[name]) if name in fields else "nothing"


def _read_json(path: epath.Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"{path}: is no JSON, or cut short ({error}).") from None

"""Files: whether there is something to read, and writing so that no reader meets half of one."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

from real_labels.errors import InputError

_MODULES = {"google-cloud-storage": "google.cloud.storage"}  # where the package is called otherwise


def path_of(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path as an object: of pathlib, or of etils, which has the same methods, for gs://….

    Raises:
      InputError: naming what to install, if it is in a bucket that no installed package reads.
    """
    if "://" not in str(path):
        return pathlib.Path(path)
    check_reachable(path)
    from etils import epath

    return cast(pathlib.Path, epath.Path(path))  # it has the same methods


def check_reachable(path: str | os.PathLike[str], *more: str) -> None:
    """Makes sure that the packages are installed which read and write a bucket (gs://…).

    Args:
      path: a bucket's, or any other, of which nothing is asked.
      more: packages that are needed as well, where there is no TensorFlow.

    Raises:
      InputError: naming what to install.
    """
    if "://" not in str(path):
        return
    needed = ["etils"] if _is_installed("tensorflow") else ["etils", "gcsfs", *more]
    missing = [package for package in needed if not _is_installed(_MODULES.get(package, package))]
    if missing:
        raise InputError(f"{path}: a bucket needs more packages: pip install {' '.join(missing)}")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def readable(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path, if there is a file.

    Raises:
      InputError: if there is none, without its name (see errors.naming).
    """
    path = path_of(path)
    if not path.exists():
        raise InputError("there is no such file.")
    if path.is_dir():
        raise InputError("is a folder.")
    return path


def short_names(paths: Sequence[str]) -> list[str]:
    """What to call files in a table: their last components, as many as tell them apart."""
    parts = [pathlib.PurePath(path).parts for path in paths]
    for components in range(1, max(map(len, parts), default=1) + 1):
        names = [os.path.join(*p[-components:]) if p else "" for p in parts]
        if len(set(names)) == len(set(paths)):
            return names
    return list(paths)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path` to write to, and renames it when all went well.

    `path` is the old file or the new one, never half of one; buckets (gs://…) work like folders.
    """
    path = path_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays: some writers choose the format by it.
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # not the temporary one, which means nothing to anybody
        raise
    finally:
        if temporary.exists():
            temporary.unlink()


def write_json(path: str | os.PathLike[str], content: Any, indent: int | None = None) -> None:
    """Writes JSON, atomically; `indent` is for a person to read it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")

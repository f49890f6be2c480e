"""Paths on disk and in buckets: checks before reading, and atomic writing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

from real_labels.errors import InputError

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\..")  # names of temporary files
_WRITING_SECONDS = 60.0
_MODULES = {
    "google-cloud-storage": "google.cloud.storage"
}  # packages whose module has another name


def path_of(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path as a pathlib object, or for gs://… as an etils object with the same methods.

    Raises:
      InputError: naming the packages to install, if the path is in a bucket and a package is missing.
    """
    if "://" not in str(path):
        return pathlib.Path(path)
    check_reachable(path)
    from etils import epath

    return cast(pathlib.Path, epath.Path(path))  # etils paths have the same methods


def check_reachable(path: str | os.PathLike[str], *more: str) -> None:
    """Checks that the packages that read and write buckets (gs://…) are installed.

    Args:
      path: a path in a bucket; any other path needs no package.
      more: further packages that are needed if TensorFlow is not installed.

    Raises:
      InputError: naming the packages to install.
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
    except ModuleNotFoundError:  # the parent package is missing
        return False


def readable(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path as an object if it is an existing file.

    Raises:
      InputError: if there is no file, or it is a folder, a pipe or a device; without the path (see
        errors.naming).
    """
    path = path_of(path)
    if not path.exists():
        raise InputError("there is no such file.")
    if path.is_dir():
        raise InputError("is a folder.")
    if "://" not in str(path) and not path.is_file():
        raise InputError("is a pipe or a device; expected a regular file.")
    return path


def short_names(paths: Sequence[str]) -> list[str]:
    """Returns short names of files for a table: the fewest last path components that differ."""
    parts = [pathlib.PurePath(path).parts for path in paths]
    for components in range(1, max(map(len, parts), default=1) + 1):
        names = [os.path.join(*p[-components:]) if p else "" for p in parts]
        if len(set(names)) == len(set(paths)):
            return names
    return list(paths)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` to write to, and renames it to `path` on success.

    So `path` always holds the complete old or new file. Buckets (gs://…) work like folders.
    """
    path = path_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keep the ending: some writers choose the format by it.
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")  # see _TEMPORARY
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # errors must name the file that the user knows
        raise
    finally:
        if temporary.exists():
            temporary.unlink()


def why_unwritable(path: str | os.PathLike[str]) -> str | None:
    """Why `replacing` cannot write a file, as a part of a sentence; None if it can."""
    path = path_of(path)
    if path.is_dir():
        return "is a folder"
    if not isinstance(path, pathlib.Path):  # a bucket has no folders to look at
        return None
    folder = next(p for p in path.absolute().parents if p.exists())
    if folder.is_dir() and os.access(folder, os.W_OK):
        return None
    return f"cannot be written, because {folder} is not a writable folder"


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes the temporary files of `replacing` that killed programs left in a folder.

    Files that were changed within the last minute stay: another program may be writing them.
    """
    folder = path_of(folder)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another program may remove it, too
            if (
                _TEMPORARY.match(path.name)
                and time.time() - path.stat().st_mtime > _WRITING_SECONDS
            ):
                path.unlink()


def write_json(path: str | os.PathLike[str], content: Any, indent: int | None = None) -> None:
    """Writes JSON atomically, on one line or with `indent` spaces per level."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")

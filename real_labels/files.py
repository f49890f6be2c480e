"""Files: whether there is something to read, and writing so that no reader meets half of one."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

from etils import epath

from real_labels.errors import InputError


def readable(path: str | os.PathLike[str]) -> epath.Path:
    """The path, if there is a file.

    Raises:
      InputError: if there is none, without its name (see errors.naming).
    """
    path = epath.Path(path)
    if not path.exists():
        raise InputError("there is no such file.")
    if path.is_dir():
        raise InputError("is a folder.")
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[epath.Path]:
    """Gives a temporary path beside `path` to write to, and renames it when all went well.

    `path` is the old file or the new one, never half of one; buckets (gs://…) work like folders.
    """
    path = epath.Path(path)
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

"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

from etils import epath


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

"""Reading JSON: every failure is one line, and no name stands twice in an object."""

from __future__ import annotations

import json
import os
from typing import Any

from real_labels.errors import InputError
from real_labels.files.parsing import parsing
from real_labels.files.text import read_text


def read(path: str | os.PathLike[str], *, literal: bool = False) -> Any:
    """The content of a JSON file.

    Args:
      path: the file; UTF-8, or as its byte order mark says; may be compressed by gzip.
      literal: whether numbers, true and false come as the text that stands in the file.

    Raises:
      InputError: without the file's name (see errors.naming), if it is no JSON or an object has a name twice.
    """
    return parse(read_text(path), literal=literal)


def parse(text: str, *, literal: bool = False) -> Any:
    """The content of a JSON text; see `read`."""
    hooks: dict[str, Any] = {"object_pairs_hook": _distinct}
    if literal:
        hooks |= dict.fromkeys(("parse_int", "parse_float", "parse_constant"), str)
    if not text.strip():
        raise InputError("is empty.")
    with parsing("is no JSON, or cut short"):
        return json.loads(text, **hooks)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; plain JSON would keep the last of two equal names."""
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise InputError(f"{twice} occurs more than once.")
    return content

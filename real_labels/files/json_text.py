"""Reading JSON: every failure is one line, and no name stands twice in an object."""

from __future__ import annotations

import json
import os
from typing import Any

from real_labels.errors import InputError
from real_labels.files.parsing import parsing
from real_labels.files.text import read_text


def read(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file.

    Args:
      path: the file; UTF-8, or as its byte order mark says; may be compressed by gzip.

    Raises:
      InputError: without the file's name (see errors.naming), if it is no JSON or an object has a name twice.
    """
    return parse(read_text(path))


def parse(text: str, *, literal: bool = False) -> Any:
    """The content of a JSON text; see `read`.

    Args:
      text: the JSON.
      literal: whether numbers come as the text that stands there, and NaN as nothing.
    """
    hooks: dict[str, Any] = {"object_pairs_hook": _distinct}
    if literal:
        hooks |= {"parse_int": str, "parse_float": str, "parse_constant": lambda name: None}
    if not text.strip():
        raise InputError("is empty.")
    with parsing("is no JSON, or cut short"):
        try:
            content = json.loads(text, **hooks)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":
                raise InputError(
                    f"has more behind its first value, in line {error.lineno}: JSON lines are called .jsonl."
                ) from None
            raise
    if "\\ud" in text or "\\uD" in text:  # may be half of a pair, which is no character
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InputError("holds half a character (a lone surrogate such as \\ud800).") from None
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; plain JSON would keep the last of two equal names."""
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise InputError(f"{twice} occurs more than once.")
    return content

"""Reading JSON: every failure is a one-line error, also a key that occurs twice in an object."""

from __future__ import annotations

import json
import os
from typing import Any

from real_labels.errors import InputError
from real_labels.files.parsing import parsing
from real_labels.files.text import read_text


def read(path: str | os.PathLike[str]) -> Any:
    """Returns the content of a JSON file.

    Args:
      path: the file, in UTF-8 or in the encoding of its byte order mark; may be compressed by gzip.

    Raises:
      InputError: if the file is not JSON or an object has a key twice; without the file's name (see
        errors.naming).
    """
    return parse(read_text(path))


def parse(text: str, *, literal: bool = False) -> Any:
    """Returns the content of a JSON text; see `read`.

    Args:
      text: the JSON.
      literal: whether to return numbers as their text in the file, and NaN and Infinity as None.
    """
    hooks: dict[str, Any] = {"object_pairs_hook": _distinct}
    if literal:
        hooks |= {"parse_int": str, "parse_float": str, "parse_constant": lambda name: None}
    if not text.strip():
        raise InputError("is empty.")
    with parsing("is not JSON, or is cut short"):
        try:
            content = json.loads(text, **hooks)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":
                raise InputError(
                    f"has more text after its first JSON value, in line {error.lineno}; files of JSON lines "
                    f"must be named .jsonl."
                ) from None
            raise
    if "\\ud" in text or "\\uD" in text:  # a surrogate, which is a character only in a pair
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InputError(
                "holds an invalid character (a lone surrogate such as \\ud800)."
            ) from None
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the pairs as a dict and refuses repeated keys; json.loads alone would keep the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        repeated = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise InputError(f"the key {repeated} occurs more than once in an object.")
    return content

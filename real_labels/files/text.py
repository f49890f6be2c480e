"""Encodings of text files, and Unicode normalisation of names."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence

import numpy as np

from real_labels.errors import InputError
from real_labels.files.parsing import parsing
from real_labels.files.paths import readable

# Longer byte order marks first: the mark of UTF-32-LE begins with that of UTF-16-LE.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MOST_BYTES = 4 << 30  # largest decompressed size
_CHUNK = 1 << 24
# Characters that are invisible at the ends of a name.
_SPACES = (
    "".join(chr(c) for c in range(0x3001) if chr(c).isspace()) + "\ufeff\u200b\u200e\u200f\u2060"
)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Returns the content of a file, decompressed if it is a gzip file.

    Raises:
      InputError: if the file is missing, damaged or grows beyond 4 GiB; without the file's name.
    """
    raw = readable(path).read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    parts, size = [], 0
    with parsing("is not a gzip file, or is cut short"), gzip.open(io.BytesIO(raw)) as file:
        while part := file.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _MOST_BYTES:
                raise InputError("grows beyond 4 GiB when decompressed; decompress it yourself.")
    return b"".join(parts)


def read_text(path: str | os.PathLike[str]) -> str:
    """Returns the text of a file in UTF-8, or in the encoding of its byte order mark.

    Raises:
      InputError: if the file has another encoding, with a guess at it and a command that converts the file.
    """
    return decoded(read_bytes(path), os.fspath(path))


def decoded(raw: bytes, name: str = "FILE") -> str:
    """Returns the text of `raw`; see `read_text`. `name` is the file in the error's command."""
    encoding, mark = encoding_of(raw)
    try:
        return raw[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        raise not_text(raw, mark + error.start, encoding, name) from None


def encoding_of(raw: bytes) -> tuple[str, int]:
    """Returns (encoding, length of the byte order mark) of a text; UTF-8 if it cannot be detected."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return encoding, len(mark)
    head = raw[:4096]
    if len(head) >= 4 and b"\0" in head:  # UTF-16 without a mark: every other byte of ASCII is 0
        if head[1::2].count(0) > 0.4 * len(head) / 2:
            return "utf-16-le", 0
        if head[::2].count(0) > 0.4 * len(head) / 2:
            return "utf-16-be", 0
    return "utf-8", 0


def not_text(raw: bytes, at: int, encoding: str, name: str) -> InputError:
    """Returns the error for bytes that are not text in the assumed encoding.

    Args:
      raw: the bytes.
      at: position of the first bad byte.
      encoding: the assumed encoding.
      name: the file's name, for the command that converts the file.
    """
    if raw.startswith(b"PK"):
        return InputError(
            "is a zip archive, such as an Excel workbook, and not text; save it as CSV."
        )
    line = raw.count(b"\n", 0, at) + 1
    if encoding != "utf-8":
        return InputError(
            f"begins like {encoding.upper()} text, but line {line} cannot be decoded; save it as UTF-8."
        )
    # Words in other alphabets are runs of non-ASCII bytes; accented letters are mostly single bytes.
    runs = re.findall(rb"[\xc0-\xff]{3,}", raw[:65536])
    guess = "WINDOWS-1251" if runs else "WINDOWS-1252"
    kind = "Windows-1251 (Cyrillic)" if runs else "Windows-1252 or Latin-1"
    return InputError(
        f"is not UTF-8 text: line {line} has the byte 0x{raw[at]:02x}, perhaps because it is {kind}. If so, "
        f"convert it: iconv -f {guess} -t UTF-8 {shlex.quote(name)} > NEW"
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Returns the first `most` names joined by commas, with the total number if there are more."""
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def normalised(name: str) -> str:
    """Returns a name in the form used for comparison: Unicode NFC, without space at either end.

    >>> normalised(" Zoe\\u0308 ") == "Zoë"
    True
    """
    name = name.strip(_SPACES)
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def all_normalised(names: np.ndarray) -> np.ndarray:
    """Returns (N,) str names, each as `normalised` returns it; the array itself for plain ASCII names."""
    if not names.size or not names.itemsize:
        return names
    codes = np.ascontiguousarray(names).view(np.uint32).reshape(len(names), -1)
    if codes.max() < 128 and not ((codes > 0) & (codes <= 32)).any():
        return names  # shortcut for the usual case: ASCII without spaces
    return np.array([normalised(name) for name in names.tolist()], dtype=np.str_)

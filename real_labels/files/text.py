"""Text files: their encoding, and names in one form."""

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

# The longer ones first: UTF-32's begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MOST_BYTES = 4 << 30  # that a compressed file may grow to
_CHUNK = 1 << 24
# Invisible at either end of a name.
_SPACES = (
    "".join(chr(c) for c in range(0x3001) if chr(c).isspace()) + "\ufeff\u200b\u200e\u200f\u2060"
)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, decompressed if it is gzip's.

    Raises:
      InputError: if there is none, or it is damaged or grows beyond 4 GiB; without its name.
    """
    raw = readable(path).read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    parts, size = [], 0
    with parsing("is no gzip file, or is cut short"), gzip.open(io.BytesIO(raw)) as file:
        while part := file.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _MOST_BYTES:
                raise InputError("grows beyond 4 GiB when decompressed; decompress it yourself.")
    return b"".join(parts)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, or in the encoding that its byte order mark names.

    Raises:
      InputError: if it is in another encoding, with a guess at it and the command that converts it.
    """
    return decoded(read_bytes(path), os.fspath(path))


def decoded(raw: bytes, name: str = "FILE") -> str:
    """The text of `raw`; see `read_text`."""
    encoding, mark = encoding_of(raw)
    try:
        return raw[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        raise not_text(raw, mark + error.start, encoding, name) from None


def encoding_of(raw: bytes) -> tuple[str, int]:
    """(encoding, length of the byte order mark) of a text; UTF-8 if nothing tells."""
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
    """The error of text that is not in the encoding that it should be in.

    Args:
      raw: the bytes.
      at: where the first bad one is.
      encoding: what they were taken for.
      name: of the file, for the command that converts it.
    """
    if raw.startswith(b"PK"):
        return InputError(
            "is a zip archive, such as an Excel workbook, and no text: save it as CSV."
        )
    line = raw.count(b"\n", 0, at) + 1
    if encoding != "utf-8":
        return InputError(
            f"begins like {encoding.upper()} text, but line {line} is not; save it as UTF-8."
        )
    # Words of other alphabets are runs of bytes beyond ASCII; accents stand alone.
    runs = re.findall(rb"[\xc0-\xff]{3,}", raw[:65536])
    guess = "WINDOWS-1251" if runs else "WINDOWS-1252"
    kind = "Windows-1251 (Cyrillic)" if runs else "Windows-1252 or Latin-1"
    return InputError(
        f"is not UTF-8 text: line {line} has the byte 0x{raw[at]:02x}, perhaps as in {kind}. If so, convert "
        f"it: iconv -f {guess} -t UTF-8 {shlex.quote(name)} > NEW"
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names joined by commas, as many as fit a message."""
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def normalised(name: str) -> str:
    """A name in the form that names are compared in: Unicode's NFC, no space at either end.

    >>> normalised(" Zoe\\u0308 ") == "Zoë"
    True
    """
    name = name.strip(_SPACES)
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def all_normalised(names: np.ndarray) -> np.ndarray:
    """(N,) str names, each in the form of `normalised`; the array itself where they are so already."""
    if not names.size or not names.itemsize:
        return names
    codes = np.ascontiguousarray(names).view(np.uint32).reshape(len(names), -1)
    if codes.max() < 128 and not ((codes > 0) & (codes <= 32)).any():
        return names  # plain ASCII without spaces, the usual case, told at once
    return np.array([normalised(name) for name in names.tolist()], dtype=np.str_)

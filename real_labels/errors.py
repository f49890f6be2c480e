"""Errors that a person can act on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class ExpectedError(Exception):
    """An error that a person can act on; the message says what, where, expected, found and the fix.

    The programs print it without a traceback. Any other exception is a mistake of ours.
    """


class InputError(ExpectedError, ValueError):
    """Input of `real_labels` that cannot be used."""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name in front of the InputErrors raised inside, unless it is there already.

    What the operating system refuses to read becomes one, too.
    """
    try:
        yield
    except InputError as error:
        said = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise InputError(_in_one_line(said)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _in_one_line(text: str) -> str:
    """The text with spaces for line breaks, and � for other characters that a terminal would obey."""
    text = " ".join(text.splitlines()).replace("\t", " ")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)

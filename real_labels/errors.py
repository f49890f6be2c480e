"""Errors that the user can fix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class ExpectedError(Exception):
    """An error that the user can fix; the message states what, where, expected, found and the fix.

    The programs print it without a traceback. Any other exception is a bug in this project.
    """


class InputError(ExpectedError, ValueError):
    """Invalid input of `real_labels`."""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Prefixes each InputError raised inside with the file's name, unless it begins with that name.

    An OSError raised inside becomes an InputError, too.
    """
    try:
        yield
    except InputError as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise InputError(_in_one_line(message)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _in_one_line(text: str) -> str:
    """Returns the text with line breaks and tabs as spaces, and control characters as �."""
    text = " ".join(text.splitlines()).replace("\t", " ")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)

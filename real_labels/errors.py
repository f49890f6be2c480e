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
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None

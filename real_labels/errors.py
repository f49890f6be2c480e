"""Errors that the user can fix."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

# Control characters but line break and tab, further line ends, directions of writing, surrogates.
_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)

_BUCKET_LIBRARIES = (
    "tensorflow.python.framework.errors",
    "gcsfs.",
    "google.auth.",
    "google.api_core.",
    "google.cloud.",
    "aiohttp.",
)


class ExpectedError(Exception):
    """An error that the user can fix.

    The message states what is wrong and where, what was expected, what was found, and how to fix it.

    The programs print it, as they print an OSError, without a traceback. Other exceptions are bugs.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(ExpectedError, ValueError):
    """Invalid input of `real_labels`."""


def is_of_bucket(error: BaseException) -> bool:
    """Whether an error is of a library that reads buckets (gs://…), such as a lack of credentials."""
    return type(error).__module__.startswith(_BUCKET_LIBRARIES)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts a file's name in front of the message of an InputError raised in this context.

    A message that begins with the name stays. The error becomes a plain InputError, in one line. An OSError
    and an error of a bucket become InputErrors, too.
    """
    try:
        yield
    except InputError as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise InputError(_in_one_line(message)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:
        if not is_of_bucket(error):
            raise
        raise InputError(f"{path}: cannot be read ({_in_one_line(str(error))}).") from None


def printable(text: str) -> str:
    """Returns the text with control characters as escapes such as \\x1b; line breaks and tabs stay.

    A file name may hold commands to a terminal, or turn the order of letters around; as escapes they are
    shown, and not executed. Lone surrogates are escaped, too, as no encoding has them.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _in_one_line(text: str) -> str:
    """Returns the text with line breaks and tabs as spaces."""
    return " ".join(text.splitlines()).replace("\t", " ")

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

# Modules of the libraries that read and write buckets, and TensorFlow's errors that concern a bucket; its
# other errors are mistakes in a program.
_BUCKET_LIBRARIES = ("gcsfs.", "google.auth.", "google.api_core.", "google.cloud.", "aiohttp.")
_TENSORFLOW = "tensorflow.python.framework.errors"
_OF_TENSORFLOW = {
    "AbortedError", "DeadlineExceededError", "FailedPreconditionError", "NotFoundError",
    "PermissionDeniedError", "UnauthenticatedError", "UnavailableError",
}  # fmt: skip


class ExpectedError(Exception):
    """An error that the user can fix.

    The message states what is wrong and where, what was expected, what was found, and how to fix it.

    The programs print it, as they print an OSError, without a traceback. Other exceptions are bugs.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputError(ExpectedError, ValueError):
    """Invalid input of `real_labels`."""


@contextlib.contextmanager
def bucket_errors_as_os_errors() -> Iterator[None]:
    """Turns errors of buckets (gs://…), such as missing credentials, into OSErrors with one line of text."""
    try:
        yield
    except Exception as error:
        module, name = type(error).__module__, type(error).__name__
        is_of_tensorflow = module.startswith(_TENSORFLOW) and name in _OF_TENSORFLOW
        if not is_of_tensorflow and not module.startswith(_BUCKET_LIBRARIES):
            raise
        raise OSError(printable(" ".join(str(error).split()))) from None


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts a file's name in front of the message of an InputError raised in this context.

    A message that begins with the name stays. The error becomes a plain InputError, in one line. An OSError
    and an error of a bucket become InputErrors, too.
    """
    try:
        with bucket_errors_as_os_errors():
            yield
    except InputError as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise InputError(_in_one_line(message)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def printable(text: str) -> str:
    """Returns the text with control characters as escapes such as \\x1b; line breaks and tabs stay.

    A file name may hold commands to a terminal, or turn the order of letters around; as escapes they are
    shown, and not executed. Lone surrogates are escaped, too, as no encoding has them.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _in_one_line(text: str) -> str:
    """Returns the text with line breaks and tabs as spaces."""
    return " ".join(text.splitlines()).replace("\t", " ")

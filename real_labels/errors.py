"""The error of bad input."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where, expected, found and the fix.

    The command line prints it as one line. Any other ValueError is a mistake of this package.
    """


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

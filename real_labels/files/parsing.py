"""Turns the exceptions of parsers into one-line errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from real_labels.errors import ExpectedError, InputError


@contextlib.contextmanager
def parsing(complaint: str, *, with_words: bool = True) -> Iterator[None]:
    """Turns any failure of a parser into an InputError.

    Wrap only the parser call, so that a bug of this project is not reported as a bad file. An OSError of the
    operating system is raised unchanged; `errors.naming` turns it into a message.

    Args:
      complaint: predicate of the message, such as "is not a .npz file, or is cut short".
      with_words: whether to add the parser's own message.
    """
    try:
        yield
    except ExpectedError:
        raise
    except MemoryError:
        raise InputError(f"{complaint}: it needs more memory than is available.") from None
    except RecursionError:
        raise InputError(f"{complaint}: it is nested too deeply.") from None
    except Exception as error:  # parsers raise many types, depending on the damage
        if isinstance(error, OSError) and error.errno is not None:
            raise  # from the operating system; Arrow's parsers raise OSErrors without errno
        words = " ".join(str(error).split())[:200] if with_words else ""
        raise InputError(f"{complaint}{words and f' ({words})'}.") from None

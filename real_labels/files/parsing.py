"""One line for whatever a parser says about a file that it cannot read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from real_labels.errors import ExpectedError, InputError


@contextlib.contextmanager
def parsing(complaint: str, *, with_words: bool = True) -> Iterator[None]:
    """Turns any failure of a parser into an InputError.

    It stands around the call of a parser alone, so that a mistake of ours is not taken for a bad file. What
    the operating system refuses passes: `errors.naming` explains it.

    Args:
      complaint: what the file is not, such as "is no .npz file, or is cut short".
      with_words: whether the parser's own words help a reader.
    """
    try:
        yield
    except ExpectedError:
        raise
    except MemoryError:
        raise InputError(f"{complaint}: it asks for more memory than there is.") from None
    except RecursionError:
        raise InputError(f"{complaint}: it is nested too deeply.") from None
    except Exception as error:  # parsers have a word of their own for each damage
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, and not a parser's (Arrow's are OSErrors, too)
        words = " ".join(str(error).split())[:200] if with_words else ""
        raise InputError(f"{complaint}{words and f' ({words})'}.") from None

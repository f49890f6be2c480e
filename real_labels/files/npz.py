"""Reading `.npz` files with one clear message for each way they can be wrong."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files.paths import readable

_DAMAGED = (ValueError, TypeError, EOFError, AttributeError)  # NumPy has a word for each damage


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str], required: tuple[str, ...] = ()
) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens a `.npz`; whatever is wrong with it, then or while arrays are read, is an InputError.

    Pickled arrays are never loaded: unpickling runs whatever code the file names.

    Args:
      path: the file; may be gs://….
      required: arrays that must be there.
    """
    with naming(path), _explained(), readable(path).open("rb") as file:
        if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle
            raise zipfile.BadZipFile("no zip archive")
        with np.load(file, allow_pickle=False) as archive:
            missing = set(required) - set(archive.files)
            if missing:
                raise InputError(
                    f"lacks {', '.join(sorted(missing))}; it holds "
                    f"{', '.join(archive.files) or 'nothing'}."
                )
            yield archive


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (*_DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise pickled() from None
        raise InputError(f"is no .npz file, or cut short ({error}).") from None


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of an array in an archive, up to where its values begin.

    Returns:
      Its shape, whether it is column-major, and its dtype, which is no object.

    Raises:
      InputError: if it is pickled, or of a version of the format that is not known.
    """
    version = np.lib.format.read_magic(member)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise InputError(f"holds an array in version {version} of NumPy's format.")
    shape, column_major, dtype = readers[version](member)
    if dtype.hasobject:
        raise pickled()
    return shape, column_major, dtype


def pickled() -> InputError:
    """The error of a file with pickled arrays."""
    return InputError(
        "holds pickled Python objects, which are never loaded, since that can run any code. "
        "Save plain arrays: np.savez(path, file_names=np.array(names, dtype=str), …)."
    )

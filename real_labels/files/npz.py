"""Reading `.npz` and `.npy` files: whatever is wrong with one, then or later, is an InputError.

Pickled arrays are never loaded: unpickling runs whatever code the file names.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files.parsing import parsing
from real_labels.files.paths import readable

_NO_ARCHIVE = "is no .npz file, or cut short"
_NO_ARRAY = "is no .npy file, or cut short"


class Archive:
    """The arrays of an open `.npz`, read when they are asked for."""

    def __init__(self, archive: np.lib.npyio.NpzFile):
        assert archive.zip is not None  # it is open
        self._archive, self._zip = archive, archive.zip
        self.files = list(archive.files)

    def __getitem__(self, name: str) -> np.ndarray:
        """One array.

        Raises:
          InputError: if it is damaged or pickled.
        """
        with parsing(_NO_ARCHIVE):
            try:
                return self._archive[name]
            except ValueError as error:
                if "allow_pickle" in str(error):
                    raise pickled() from None
                raise

    @property
    def members(self) -> list[str]:
        """Names of all files in the archive, arrays or not."""
        return self._zip.namelist()

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of an array's file; see `read_header`."""
        with parsing(_NO_ARCHIVE), self._zip.open(f"{name}.npy") as file:
            yield file


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], required: tuple[str, ...] = ()) -> Iterator[Archive]:
    """Opens a `.npz`.

    Args:
      path: the file; may be gs://….
      required: arrays that must be there.

    Raises:
      InputError: naming the file, if it is none, is damaged, or lacks an array.
    """
    with naming(path), readable(path).open("rb") as file:
        with parsing(_NO_ARCHIVE):
            if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle
                raise zipfile.BadZipFile("no zip archive")
            loaded = np.load(file, allow_pickle=False)
        with loaded:
            archive = Archive(loaded)
            missing = set(required) - set(archive.files)
            if missing:
                raise InputError(
                    f"lacks {', '.join(sorted(missing))}; it holds "
                    f"{', '.join(archive.files) or 'nothing'}."
                )
            yield archive


def as_text(array: np.ndarray, what: str) -> np.ndarray:
    """(N,) str of an array of text, bytes in UTF-8 or whole numbers.

    Raises:
      InputError: if it is another array.
    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise InputError(f"{what} must be (N,) of str, found {array.shape} of {array.dtype}.")
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{what} is no UTF-8 text ({error}).") from None
    return array.astype(np.str_)


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a `.npy`, memory-mapped where it is on a disk.

    Raises:
      InputError: without the file's name, if it is none, damaged or pickled.
    """
    path = readable(path)
    with path.open("rb") as file:
        if (magic := file.read(6)) != b"\x93NUMPY":  # NumPy would take it for a pickle
            raise InputError(f"{_NO_ARRAY}." if magic else "is empty.")
    with parsing(_NO_ARRAY):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "Python objects" in str(error):
                raise pickled() from None
            raise


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of an array in an archive, up to where its values begin.

    Returns:
      Its shape, whether it is column-major, and its dtype, which is no object.

    Raises:
      InputError: if it is pickled, damaged, or of a version of the format that is not known.
    """
    with parsing(_NO_ARCHIVE):
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

"""Reading `.npz` and `.npy` files: every failure, on opening or later, is an InputError.

Pickled arrays are never loaded, because unpickling can run any code.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files.parsing import parsing
from real_labels.files.paths import readable

_NO_ARCHIVE = "is not a .npz file, or is cut short"
# Largest size of an array that is compressed to less than a hundredth, as a decompression bomb is.
_MOST_BYTES = 4 << 30
_NO_ARRAY = "is not a .npy file, or is cut short"


class Archive:
    """The arrays of an open `.npz`, each read on access."""

    def __init__(self, archive: np.lib.npyio.NpzFile):
        assert archive.zip is not None  # it is open
        self._archive, self._zip = archive, archive.zip
        self.files = list(archive.files)

    def __getitem__(self, name: str) -> np.ndarray:
        """Returns the array of this name.

        Raises:
          InputError: if the array is damaged or pickled.
        """
        self._check_size(name)
        with parsing(_NO_ARCHIVE):
            try:
                array = self._archive[name]
            except ValueError as error:
                if "allow_pickle" in str(error):
                    raise pickled() from None
                raise
        _check_text(array, _NO_ARCHIVE)
        return array

    def _check_size(self, name: str) -> None:
        """Compares the size in an array's header with the size of its file, before memory is allocated."""
        with self.member(name) as file:
            shape, _, dtype = read_header(file)
            header = file.tell()
        entry = self._zip.getinfo(f"{name}.npy")
        stated, stored = math.prod(shape) * dtype.itemsize, entry.file_size - header
        if stated != stored:
            raise InputError(
                f"{_NO_ARCHIVE}: the header of {name} says {shape} of {dtype}, which are {stated:,} "
                f"bytes, but the file holds {stored:,}."
            )
        if stored > _MOST_BYTES and stored > 100 * entry.compress_size:
            raise InputError(
                f"{name} grows from {entry.compress_size:,} to {stored:,} bytes when decompressed. If that "
                f"is meant, save it without compression: np.savez."
            )

    @property
    def members(self) -> list[str]:
        """Names of all files in the archive, arrays or not."""
        return self._zip.namelist()

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """Opens the `.npy` file of an array inside the archive; see `read_header`."""
        with parsing(_NO_ARCHIVE), self._zip.open(f"{name}.npy") as file:
            yield file


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], required: tuple[str, ...] = ()) -> Iterator[Archive]:
    """Opens a `.npz`.

    Args:
      path: the file; may be gs://….
      required: names of arrays that the file must have.

    Raises:
      InputError: naming the file, if it is missing, not a `.npz`, damaged, or lacks an array.
    """
    with naming(path), readable(path).open("rb") as file:
        with parsing(_NO_ARCHIVE):
            if not zipfile.is_zipfile(file):  # np.load would treat the file as a pickle
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


def as_text(array: np.ndarray, name: str) -> np.ndarray:
    """Returns an array of text, UTF-8 bytes or whole numbers as (N,) str.

    Args:
      array: (N,).
      name: name of the array, for errors.

    Raises:
      InputError: if the array has another shape or dtype, or its bytes are not UTF-8.
    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise InputError(f"{name} must be (N,) of str, found {array.shape} of {array.dtype}.")
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not UTF-8 text ({error}).") from None
    return array.astype(np.str_)


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Returns the array of a `.npy`, memory-mapped if the file is on a disk.

    Raises:
      InputError: if the file is missing, not a `.npy`, damaged or pickled; without the file's name.
    """
    path = readable(path)
    with path.open("rb") as file:
        if (magic := file.read(6)) != b"\x93NUMPY":  # np.load would treat the file as a pickle
            raise InputError(f"{_NO_ARRAY}." if magic else "is empty.")
    with parsing(_NO_ARRAY):
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "Python objects" in str(error):
                raise pickled() from None
            raise
    _check_text(array, _NO_ARRAY)
    return array


def _check_text(array: np.ndarray, complaint: str) -> None:
    """Raises InputError if a text holds a number that is no character; Python could not even print it."""
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return
    characters = np.ascontiguousarray(array).view(
        np.dtype("u4").newbyteorder(array.dtype.byteorder)
    )
    if characters.max() > sys.maxunicode:
        raise InputError(f"{complaint} (its text holds numbers that are no characters).")


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of an array in an archive; the next byte of `member` is the first of the values.

    Returns:
      (shape, whether the array is column-major, dtype); the dtype has no Python objects.

    Raises:
      InputError: if the array is pickled, damaged, or in an unknown version of the format.
    """
    with parsing(_NO_ARCHIVE):
        version = np.lib.format.read_magic(member)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise InputError(
                f"holds an array in version {version} of NumPy's format; expected 1.0 or 2.0."
            )
        shape, column_major, dtype = readers[version](member)
    if dtype.hasobject:
        raise pickled()
    if min(shape, default=0) < 0:
        raise InputError(f"{_NO_ARCHIVE} (an array with the shape {shape}).")
    return shape, column_major, dtype


def pickled() -> InputError:
    """Returns the error for a file with pickled arrays."""
    return InputError(
        "holds pickled Python objects. They are never loaded, because that can run any code. "
        "Save plain arrays: np.savez(path, file_names=np.array(names, dtype=str), …)."
    )

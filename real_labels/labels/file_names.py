"""File names of images: checked, and found among each other."""

from __future__ import annotations

import collections
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int


_SHOWN = 3


IMAGENET_FILE_NAME = "ILSVRC2012_val_{:08d}.JPEG"


@functools.cache
def imagenet_file_names(number: int) -> np.ndarray:
    """(number,) str, read-only: the first file names of ILSVRC-2012's validation images."""
    names = np.array([IMAGENET_FILE_NAME.format(i) for i in range(1, number + 1)])
    names.flags.writeable = False
    return names


def check_file_names(file_names: Sequence[str] | np.ndarray, what: str) -> np.ndarray:
    """Returns the file names as an (N,) str array.

    Args:
      file_names: one per image.
      what: named in the error.

    Raises:
      InputError: if a name is empty or stands for two images.
    """
    names = np.asarray(file_names, dtype=np.str_)
    if names.ndim != 1:
        raise InputError(f"{what}: file_names must have shape (N,), found {names.shape}.")
    if (names[1:] > names[:-1]).all() and (not names.size or names[0]):
        return names  # ascending, hence distinct: the usual case, told at once
    if (names == "").any():
        raise InputError(f"{what}: row {int(np.argmax(names == ''))} has an empty file name.")
    if len(set(names.tolist())) != len(names):
        repeated = [n for n, count in collections.Counter(names.tolist()).items() if count > 1]
        raise InputError(
            f"{what}: {len(repeated)} file names stand for several images "
            f"({', '.join(repeated[:_SHOWN])}…); every image needs a name of its own."
        )
    return names


def find_rows(file_names: np.ndarray, wanted: np.ndarray) -> Int[np.ndarray, "wanted"]:
    """(len(wanted),) int64 row of each wanted name in file_names, -1 where it is not there."""
    same = wanted is file_names  # often: whatever was matched to a dataset has its array
    if same or (len(wanted) == len(file_names) and (file_names == wanted).all()):
        return np.arange(len(wanted))
    row = {name: i for i, name in enumerate(file_names.tolist())}
    return np.array([row.get(name, -1) for name in np.asarray(wanted).tolist()], dtype=np.int64)


def rows_of(
    file_names: np.ndarray, wanted: np.ndarray, complaint: str
) -> Int[np.ndarray, "wanted"]:
    """(len(wanted),) int64 row of each wanted name in file_names.

    Args:
      file_names: (N,) str.
      wanted: (M,) str.
      complaint: the error, in which {missing}, {total}, {first}, {row} (of the first, from 1) and
        {begin} (of file_names) are filled in.

    Raises:
      InputError: if a name is not there.
    """
    rows = find_rows(file_names, wanted)
    require_all(rows, file_names, wanted, complaint)
    return rows


def require_all(
    rows: Int[np.ndarray, "wanted"], file_names: np.ndarray, wanted: np.ndarray, complaint: str
) -> None:
    """Raises the InputError of `rows_of` if a row is -1."""
    missing = rows < 0
    if missing.any():
        row = int(np.argmax(missing))
        raise InputError(
            complaint.format(
                missing=np.count_nonzero(missing),
                total=len(wanted),
                first=wanted[row],
                row=row + 1,
                begin=file_names[0] if len(file_names) else "nothing",
            )
        )

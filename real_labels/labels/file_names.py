"""File names of images: checked, and found among each other."""

from __future__ import annotations

import collections
import functools
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import normalised

if TYPE_CHECKING:
    from jaxtyping import Int


_SHOWN = 3


IMAGENET_FILE_NAME = "ILSVRC2012_val_{:08d}.JPEG"
_IMAGENET_STEM = re.compile(r"ILSVRC2012_val_\d{8}")
_IMAGENET_SUFFIX = re.compile(r"(_n\d{8})?")


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
    names = _in_one_form(names)
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


def _in_one_form(names: np.ndarray) -> np.ndarray:
    """The names as `files.text.normalised` has them; itself where they are so already."""
    if not names.size or not names.itemsize:
        return names
    codes = np.ascontiguousarray(names).view(np.uint32).reshape(len(names), -1)
    if codes.max() < 128 and not ((codes > 0) & (codes <= 32)).any():
        return names
    return np.array([normalised(name) for name in names.tolist()], dtype=np.str_)


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
    """(len(wanted),) int64 row of each wanted image in file_names, whatever its folders (see match).

    Args:
      file_names: (N,) str.
      wanted: (M,) str.
      complaint: the error, in which {missing}, {total}, {first}, {row} (of the first, from 1) and
        {begin} (of file_names) are filled in.

    Raises:
      InputError: if a name is not there.
    """
    rows = match(file_names, wanted)
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


def match(file_names: np.ndarray, wanted: np.ndarray) -> Int[np.ndarray, "wanted"]:
    """(len(wanted),) int64 row of each image in file_names, whatever its folders; -1 without one.

    Names are compared as they are; then by their last components, as many as tell the images apart; then
    without ending, where ILSVRC-2012's may have their WordNet id behind
    (`ILSVRC2012_val_00000001_n01751748.JPEG`). The first of these counts that finds all wanted images, or
    else all of `file_names`; else the names as they are, and if these find nothing, those whose folders are
    the end of the other's, once each side's common folder is left away.

    Args:
      file_names: (N,) str, distinct.
      wanted: (M,) str.
    """
    exact = find_rows(file_names, wanted)
    if (exact >= 0).all() or not len(file_names):
        return exact
    ours, theirs = file_names.tolist(), np.asarray(wanted).tolist()
    depth = max(len(_components(name)) for name in ours)
    ways: list[Callable[[str], str]] = [
        *(functools.partial(_last, components) for components in range(depth, 0, -1)),
        stem,
    ]
    tried = []
    for shorten in ways:
        known = {shorten(name): row for row, name in enumerate(ours)}
        if len(known) == len(ours):
            rows = np.array([known.get(shorten(name), -1) for name in theirs], dtype=np.int64)
            if (rows >= 0).all():
                return rows
            tried.append(rows)
    for rows in tried:
        found = rows[rows >= 0]
        if len(found) == len(ours) and len(set(found.tolist())) == len(ours):
            return rows
    return exact if (exact >= 0).any() else _by_common_end(ours, theirs)


def check_distinct(rows: Int[np.ndarray, "wanted"], wanted: np.ndarray) -> None:
    """Raises InputError if two wanted names (see match) are the same image."""
    known = np.flatnonzero(rows >= 0)
    order = known[np.argsort(rows[known], kind="stable")]
    twice = np.flatnonzero(np.diff(rows[order]) == 0)
    if len(twice):
        first, second = wanted[order[twice[0]]], wanted[order[twice[0] + 1]]
        raise InputError(f"{first} and {second} are the same image; an image stands once.")


def _by_common_end(ours: list[str], theirs: list[str]) -> Int[np.ndarray, "wanted"]:
    """Rows of the names whose folders are the end of the other's."""
    known: dict[str, list[tuple[int, list[str]]]] = {}
    for row, components in enumerate(_without_common_folder(ours)):
        known.setdefault(stem(components[-1]), []).append((row, components[:-1]))
    rows = np.full(len(theirs), -1, np.int64)
    for i, components in enumerate(_without_common_folder(theirs)):
        folders = components[:-1]
        fitting = [
            row
            for row, other in known.get(stem(components[-1]), ())
            if not other or not folders or _ends_with(other, folders) or _ends_with(folders, other)
        ]
        if len(fitting) > 1:
            return np.full(len(theirs), -1, np.int64)  # then folders tell images apart
        if fitting:
            rows[i] = fitting[0]
    return rows


def _ends_with(longer: list[str], shorter: list[str]) -> bool:
    return longer[-len(shorter) :] == shorter


def _without_common_folder(names: list[str]) -> list[list[str]]:
    """The components of each name, without the folders that all have in common."""
    split = [_components(name) for name in names]
    first, last = min(split), max(split)
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return [components[shared:] for components in split]


def _components(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def _last(components: int, name: str) -> str:
    return "/".join(_components(name)[-components:])


def stem(name: str) -> str:
    """A file's name without folder and ending; ILSVRC-2012's without the WordNet id behind its number."""
    base = pathlib.PurePosixPath(_components(name)[-1]).stem
    found = _IMAGENET_STEM.match(base)
    return found[0] if found and _IMAGENET_SUFFIX.fullmatch(base[found.end() :]) else base

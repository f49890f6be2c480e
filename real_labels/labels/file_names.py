"""File names of images: checked, and found among each other."""

from __future__ import annotations

import collections
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import all_normalised

if TYPE_CHECKING:
    from jaxtyping import Int


_SHOWN = 3
IMAGENET_FILE_NAME = "ILSVRC2012_val_{:08d}.JPEG"
_IMAGENET_STEM = re.compile(r"ILSVRC2012_val_\d{8}")
_ENDING = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|npy|ppm)$", re.IGNORECASE)  # of an image
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
    names = all_normalised(names)
    if (names[1:] > names[:-1]).all() and (not names.size or names[0]):
        return names  # ascending, hence distinct: the usual case, told at once
    if (names == "").any():
        raise InputError(f"{what}: row {int(np.argmax(names == '')) + 1} has an empty file name.")
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


def match(
    file_names: np.ndarray, wanted: np.ndarray, *, strict: bool = False
) -> Int[np.ndarray, "wanted"]:
    """(len(wanted),) int64 row of each image in file_names, whatever its folders; -1 without one.

    A name that is not there as it is stands for the one image of the same stem (see `stem`) where the folders
    of one are the end of the folders of the other. If no name is found so, names are compared without the
    folders that each side has in common. What is missing still is compared by the longest common end, if most
    of the wanted images are found so, each once.

    Args:
      file_names: (N,) str, distinct.
      wanted: (M,) str.
      strict: whether contradicting folders are other images.
    """
    rows = find_rows(file_names, wanted)
    if (rows >= 0).all() or not len(file_names):
        return rows
    ours = [_components(name) for name in file_names.tolist()]
    theirs = [_components(name) for name in np.asarray(wanted).tolist()]
    by_stem: dict[str, list[int]] = {}
    for row, components in enumerate(ours):
        by_stem.setdefault(stem(components[-1]), []).append(row)
    missing = np.flatnonzero(rows < 0).tolist()
    same_stem = {i: by_stem.get(stem(theirs[i][-1]), []) for i in missing}
    for i in missing:
        rows[i] = _only(r for r in same_stem[i] if _agree(ours[r], theirs[i]))
    if strict or (rows >= 0).all():
        return rows
    missing = [i for i in missing if rows[i] < 0 and same_stem[i]]
    if len(ours) > 1 and len(theirs) > 1 and not (rows >= 0).any():
        left, right = _common_folders(ours), _common_folders(theirs)
        found = {
            i: [r for r in same_stem[i] if _agree(ours[r][left:], theirs[i][right:])]
            for i in missing
        }
        if not any(len(one) > 1 for one in found.values()):
            for i, one in found.items():
                rows[i] = one[0] if one else -1
    missing = [i for i in missing if rows[i] < 0]
    # Where some are found by their folders, others' folders are no mere spelling.
    stems_tell = (
        not (rows >= 0).any()
        and len(by_stem) == len(ours)
        and len({stem(c[-1]) for c in theirs}) == len(theirs)
    )
    by_end = rows.copy()
    for i in missing:
        ends = {r: _common_end(ours[r], theirs[i]) for r in same_stem[i]}
        longest = max(ends.values())
        if longest or stems_tell:
            by_end[i] = _only(r for r, end in ends.items() if end == longest)
    found = by_end[by_end >= 0]
    are_most = len(found) > 1 and 2 * len(found) >= len(theirs)
    return by_end if are_most and len(set(found.tolist())) == len(found) else rows


def _only(rows: Iterable[int]) -> int:
    """The one row; -1 if there is none, or several."""
    found = list(rows)
    return found[0] if len(found) == 1 else -1


def _agree(first: list[str], second: list[str]) -> bool:
    """Whether the folders of one path are the end of the other's."""
    shared = min(len(first), len(second)) - 1
    return first[len(first) - 1 - shared : -1] == second[len(second) - 1 - shared : -1]


def _common_end(first: list[str], second: list[str]) -> int:
    """Number of folders, from the last one up, that two paths have in common."""
    pairs = zip(reversed(first[:-1]), reversed(second[:-1]), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _common_folders(names: list[list[str]]) -> int:
    """Number of folders, from the top, that all paths have in common."""
    first, last = min(names), max(names)
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return shared


def check_distinct(rows: Int[np.ndarray, "wanted"], wanted: np.ndarray) -> None:
    """Raises InputError if two wanted names (see match) are the same image."""
    known = np.flatnonzero(rows >= 0)
    order = known[np.argsort(rows[known], kind="stable")]
    twice = np.flatnonzero(np.diff(rows[order]) == 0)
    if len(twice):
        first, second = wanted[order[twice[0]]], wanted[order[twice[0] + 1]]
        raise InputError(f"{first} and {second} are the same image; an image stands once.")


def _components(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def stem(name: str) -> str:
    """A file's name without folder and an image's ending; ILSVRC-2012's without its WordNet id, too."""
    base = _ENDING.sub("", _components(name)[-1])
    found = _IMAGENET_STEM.match(base)
    return found[0] if found and _IMAGENET_SUFFIX.fullmatch(base[found.end() :]) else base


def is_imagenet_name(name: str) -> bool:
    """Whether a path is of an image of ILSVRC-2012's validation set, as its file's name tells."""
    return bool(_IMAGENET_STEM.match(stem(name)))


def is_image_name(text: str) -> bool:
    """Whether a text is the file name of an image: by its ending, or as ILSVRC-2012's without one.

    Several names in one text are no name.
    """
    text = text.strip()
    is_one = not any(mark in text for mark in ",;\t")
    return is_one and (bool(_ENDING.search(text)) or is_imagenet_name(text))

"""File names of images: validity checks, and matching between two lists of names."""

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


_SHOWN = 3  # file names in an error
IMAGENET_FILE_NAME = "ILSVRC2012_val_{:08d}.JPEG"
_IMAGENET_STEM = re.compile(r"ILSVRC2012_val_\d{8}")
_ENDING = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|npy|ppm)$", re.IGNORECASE)  # of image files
_IMAGENET_SUFFIX = re.compile(r"(_n\d{8})?")


@functools.cache
def imagenet_file_names(number: int) -> np.ndarray:
    """Returns the first `number` file names of ILSVRC-2012's validation images, (number,) str, read-only."""
    names = np.array([IMAGENET_FILE_NAME.format(i) for i in range(1, number + 1)])
    names.flags.writeable = False
    return names


def check_file_names(file_names: Sequence[str] | np.ndarray, owner: str) -> np.ndarray:
    """Returns file names as an (N,) str array, normalised.

    Args:
      file_names: one name per image.
      owner: the object that has the names, for errors.

    Raises:
      InputError: if a name is empty or occurs twice.
    """
    names = np.asarray(file_names, dtype=np.str_)
    if names.ndim != 1:
        raise InputError(f"{owner}: file_names must have shape (N,), found {names.shape}.")
    names = all_normalised(names)
    if (names[1:] > names[:-1]).all() and (not names.size or names[0]):
        return names  # shortcut for the usual case: ascending names are distinct
    if (names == "").any():
        raise InputError(f"{owner}: row {int(np.argmax(names == '')) + 1} has an empty file name.")
    if len(set(names.tolist())) != len(names):
        repeated = [n for n, count in collections.Counter(names.tolist()).items() if count > 1]
        raise InputError(
            f"{owner}: {len(repeated)} file names stand for several images "
            f"({', '.join(repeated[:_SHOWN])}…); every image needs a name of its own."
        )
    return names


def find_rows(file_names: np.ndarray, wanted: np.ndarray) -> Int[np.ndarray, "wanted"]:
    """Returns the row of each wanted name in file_names, (len(wanted),) int64; -1 for missing names."""
    same = wanted is file_names  # frequent: objects matched to a dataset share its array
    if same or (len(wanted) == len(file_names) and (file_names == wanted).all()):
        return np.arange(len(wanted))
    row = {name: i for i, name in enumerate(file_names.tolist())}
    return np.array([row.get(name, -1) for name in np.asarray(wanted).tolist()], dtype=np.int64)


def rows_of(
    file_names: np.ndarray, wanted: np.ndarray, complaint: str
) -> Int[np.ndarray, "wanted"]:
    """Returns the row of each wanted image in file_names, ignoring folders as `match` does.

    Args:
      file_names: (N,) str.
      wanted: (M,) str.
      complaint: template of the error with {missing} and {total} (numbers of wanted images), {first} (the
        first missing name), {row} (its row in wanted, from 1) and {begin} (the first of file_names).

    Returns:
      (len(wanted),) int64.

    Raises:
      InputError: if a wanted image is missing.
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
    """Returns the row of each wanted image in file_names, although folders may differ; -1 for missing images.

    Names are compared in this order:
    1. As they are.
    2. A missing name matches the only name of the same stem (see `stem`) for which the folders of one path
       are the end of the folders of the other.
    3. If no name has matched yet, step 2 is repeated without the leading folders that all names of a side
       share. Its matches count only if no name has several.
    4. A missing name matches the only name of the same stem with the longest common end of folders. The
       common end may be empty if no name has matched yet and the stems of each side are distinct. The matches
       of this step count only if it leaves at least half of the wanted images found, each in its own row.

    Args:
      file_names: (N,) str, distinct.
      wanted: (M,) str.
      strict: whether to stop after step 2, so that images in contradicting folders differ.

    Returns:
      (M,) int64.
    """
    rows = find_rows(file_names, wanted)
    if (rows >= 0).all() or not len(file_names):
        return rows
    known_parts = [_components(name) for name in file_names.tolist()]
    wanted_parts = [_components(name) for name in np.asarray(wanted).tolist()]
    by_stem: dict[str, list[int]] = {}
    for row, components in enumerate(known_parts):
        by_stem.setdefault(stem(components[-1]), []).append(row)
    missing = np.flatnonzero(rows < 0).tolist()
    same_stem = {i: by_stem.get(stem(wanted_parts[i][-1]), []) for i in missing}
    for i in missing:
        rows[i] = _only_row(r for r in same_stem[i] if _agree(known_parts[r], wanted_parts[i]))
    if strict or (rows >= 0).all():
        return rows
    missing = [i for i in missing if rows[i] < 0 and same_stem[i]]
    if len(known_parts) > 1 and len(wanted_parts) > 1 and not (rows >= 0).any():
        left, right = _common_folders(known_parts), _common_folders(wanted_parts)
        candidates = {
            i: [r for r in same_stem[i] if _agree(known_parts[r][left:], wanted_parts[i][right:])]
            for i in missing
        }
        if not any(len(matches) > 1 for matches in candidates.values()):
            for i, matches in candidates.items():
                rows[i] = matches[0] if matches else -1
    missing = [i for i in missing if rows[i] < 0]
    # If the folders of some images match, different folders of the others mean other images.
    stems_suffice = (
        not (rows >= 0).any()
        and len(by_stem) == len(known_parts)
        and len({stem(parts[-1]) for parts in wanted_parts}) == len(wanted_parts)
    )
    by_end = rows.copy()
    for i in missing:
        ends = {r: _common_end(known_parts[r], wanted_parts[i]) for r in same_stem[i]}
        longest = max(ends.values())
        if longest or stems_suffice:
            by_end[i] = _only_row(r for r, end in ends.items() if end == longest)
    found_rows = by_end[by_end >= 0]
    are_most = len(found_rows) > 1 and 2 * len(found_rows) >= len(wanted_parts)
    are_distinct = len(set(found_rows.tolist())) == len(found_rows)
    return by_end if are_most and are_distinct else rows


def _only_row(rows: Iterable[int]) -> int:
    """Returns the row if there is exactly one, else -1."""
    rows = list(rows)
    return rows[0] if len(rows) == 1 else -1


def _agree(first: list[str], second: list[str]) -> bool:
    """Whether the folders of one path are the last folders of the other."""
    shared = min(len(first), len(second)) - 1
    return first[len(first) - 1 - shared : -1] == second[len(second) - 1 - shared : -1]


def _common_end(first: list[str], second: list[str]) -> int:
    """Returns the number of last folders that two paths have in common."""
    pairs = zip(reversed(first[:-1]), reversed(second[:-1]), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _common_folders(names: list[list[str]]) -> int:
    """Returns the number of leading folders that all paths have in common."""
    first, last = min(names), max(names)
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return shared


def check_distinct(rows: Int[np.ndarray, "wanted"], wanted: np.ndarray) -> None:
    """Raises an InputError if two wanted names have the same row (see match)."""
    known = np.flatnonzero(rows >= 0)
    order = known[np.argsort(rows[known], kind="stable")]
    twice = np.flatnonzero(np.diff(rows[order]) == 0)
    if len(twice):
        first, second = wanted[order[twice[0]]], wanted[order[twice[0] + 1]]
        raise InputError(f"{first} and {second} are the same image; an image may occur only once.")


def _components(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def stem(name: str) -> str:
    """Returns a file name without folders and image ending, and for ILSVRC-2012 without the WordNet id."""
    base = _ENDING.sub("", _components(name)[-1])
    prefix = _IMAGENET_STEM.match(base)
    return prefix[0] if prefix and _IMAGENET_SUFFIX.fullmatch(base[prefix.end() :]) else base


def is_imagenet_name(name: str) -> bool:
    """Whether a path has the file name of an ILSVRC-2012 validation image."""
    return bool(_IMAGENET_STEM.match(stem(name)))


def is_image_name(text: str) -> bool:
    """Whether a text is the file name of an image: it has an image ending or is an ILSVRC-2012 name.

    A text with several names is not a file name.
    """
    text = text.strip()
    is_single = not any(mark in text for mark in ",;\t")
    return is_single and (bool(_ENDING.search(text)) or is_imagenet_name(text))

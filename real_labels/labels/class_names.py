"""Class names: of ILSVRC-2012, or read from a file."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError, naming, printable
from real_labels.files import json_text
from real_labels.files.text import normalised, read_text
from real_labels.labels import imagenet

if TYPE_CHECKING:
    from jaxtyping import Int

_HEADERS = ("class", "class_name", "classname", "name", "names", "label", "labels", "category")
_INDEX = re.compile(r"[0-9]{1,9}")


@dataclasses.dataclass(frozen=True)
class ClassNames:
    """Class names in the order of the class indices; classes without a name are called "class 7".

    Attributes:
      names: short name of each class; names are distinct.
    """

    names: tuple[str, ...] = ()

    def __getitem__(self, class_: int) -> str:
        return self.names[class_] if 0 <= class_ < len(self.names) else f"class {class_}"

    def index_of(self, name: str) -> int | None:
        """Returns the class of this name, ignoring case; None if no class has it."""
        return self._rows.get(normalised(name).lower())

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {name.lower(): row for row, name in enumerate(self.names)}

    def of(self, classes: Int[np.ndarray, "n"]) -> np.ndarray:
        """Returns the name of each class, (N,) str."""
        distinct, row = np.unique(classes, return_inverse=True)
        return np.array([self[c] for c in distinct.tolist()], np.str_)[row]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassNames:
        """Reads class names from a JSON list, a JSON object (class index -> name) or text, one name per line.

        Raises:
          InputError: naming the file, if it has none of these layouts.
        """
        with naming(path):
            return cls(_distinct(_texts(path)))

    @classmethod
    def of_imagenet(cls) -> ClassNames:
        """Returns ILSVRC-2012's class names, the first of each in WordNet ("tench"); needs no network."""
        return cls(_imagenet_names())


def load_descriptions(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Reads one description per class from a file in a layout of ClassNames.load.

    Raises:
      InputError: naming the file, if it has none of these layouts.
    """
    with naming(path):
        return tuple(printable(normalised(" ".join(text.split()))) for text in _texts(path))


def _texts(path: str | os.PathLike[str]) -> list[str]:
    """Reads one text per class, in the order of the class indices."""
    if pathlib.PurePath(path).suffix.lower() != ".json":
        return _of_lines(read_text(path))
    content = json_text.read(path)
    if isinstance(content, dict):
        content = _by_index(content)
    if not isinstance(content, list) or not all(isinstance(n, str) for n in content):
        raise InputError(
            "expected a list of texts in the order of the class indices, or an object from class index to "
            "text."
        )
    return content


def _of_lines(text: str) -> list[str]:
    """Returns one name per line, without a header in the first line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if "" in lines:
        raise InputError(f"line {lines.index('') + 1} is empty; expected a name in each line.")
    return lines[1:] if lines and lines[0].lower() in _HEADERS else lines


def _by_index(content: dict[str, str]) -> list[str]:
    if not all(_INDEX.fullmatch(key) for key in content):
        key = next(key for key in content if not _INDEX.fullmatch(key))
        raise InputError(f"expected class indices as keys, found {key!r}.")
    names = {int(key): name for key, name in content.items()}
    if len(names) < len(content):
        raise InputError("two keys are the same class index.")
    missing = next((i for i in range(len(names)) if i not in names), None)
    if missing is not None:
        raise InputError(f"has {len(names)} names, but none for class {missing}.")
    return [names[i] for i in range(len(names))]


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Returns normalised names; appends the class index to empty names and names of several classes."""
    names = [printable(normalised(" ".join(name.split()))) for name in names]
    counts = collections.Counter(name.lower() for name in names)
    return tuple(
        name if name and counts[name.lower()] == 1 else f"{name or 'class'} ({i})"
        for i, name in enumerate(names)
    )


@functools.cache
def _imagenet_names() -> tuple[str, ...]:
    full = imagenet.class_names()
    first = [name.split(",")[0] for name in full]
    counts = collections.Counter(name.lower() for name in first)
    # "maillot" and "Cardigan" are names of two classes each; the full names differ.
    return _distinct(
        [s if counts[s.lower()] == 1 else name for s, name in zip(first, full, strict=True)]
    )

"""ILSVRC-2012's validation set: file names, classes and original labels, without any network.

The class index is the position of the WordNet id in sorted order (0 = n01440764, tench).
"""

from __future__ import annotations

import functools
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from real_labels.labels.file_names import IMAGENET_FILE_NAME, imagenet_file_names
from real_labels.labels.label_sets import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Int

NUM_IMAGES = 50_000
NUM_CLASSES = 1_000
NUM_ANIMALS = 398  # classes 0 to 397 are animals
# One line a class: WordNet id, names, numbers of its 50 validation images.
_TABLE = pathlib.Path(__file__).parent / "data" / "ilsvrc2012.tsv"
_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def file_names() -> np.ndarray:
    """(50000,) str, read-only, `ILSVRC2012_val_00000001.JPEG` first."""
    return imagenet_file_names(NUM_IMAGES)


@functools.cache
def _table() -> tuple[tuple[str, str, str], ...]:
    """(WordNet id, names, numbers of its validation images) of each class."""
    text = _TABLE.read_text(encoding="utf-8")
    return tuple(tuple(line.split("\t")) for line in text.splitlines())


@functools.cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1,000 WordNet ids in the order of the class indices."""
    return tuple(wordnet_id for wordnet_id, _, _ in _table())


@functools.cache
def class_names() -> tuple[str, ...]:
    """Names of the 1,000 classes, each with its synonyms: "tench, Tinca tinca"."""
    return tuple(names for _, names, _ in _table())


@functools.cache
def class_of_wordnet_id() -> dict[str, int]:
    """Class index of each of the 1,000 WordNet ids."""
    return {wordnet_id: index for index, wordnet_id in enumerate(wordnet_ids())}


@functools.cache
def original_labels() -> LabelSets:
    """The original label of each of the 50,000 validation images."""
    classes = np.empty(NUM_IMAGES, np.int32)
    for class_, (_, _, numbers) in enumerate(_table()):
        classes[np.array(numbers.split(), np.int64) - 1] = class_
    return LabelSets(file_names(), np.arange(NUM_IMAGES + 1), classes)


def is_validation_name(name: str) -> bool:
    """Whether this is the file name, without folder, of one of the validation images."""
    match = _NAME.fullmatch(name)
    return match is not None and 1 <= int(match[1]) <= NUM_IMAGES


def row_of(name: str) -> int:
    """Position of a validation image among the sorted file names, from 0."""
    return int(_NAME.fullmatch(name)[1]) - 1


def is_validation_set(names: np.ndarray) -> bool:
    """Whether these are file names of ILSVRC-2012's validation images, as the first one tells."""
    return len(names) > 0 and str(names[0]).startswith(IMAGENET_FILE_NAME.partition("{")[0])


def animals() -> Int[np.ndarray, "398"]:
    """The classes that are animals."""
    return np.arange(NUM_ANIMALS)


def describe(class_: int) -> str:
    """A class index with its WordNet id."""
    ids = wordnet_ids()
    return f"{class_} ({ids[class_]})" if 0 <= class_ < len(ids) else str(class_)

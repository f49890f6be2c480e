"""ILSVRC-2012's validation set: file names, classes and original labels, included in the package.

The class index is the position of the WordNet id in sorted order (0 = n01440764, tench).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import numpy as np

from real_labels.labels.file_names import (
    IMAGENET_FILE_NAME,
    imagenet_file_names,
    is_imagenet_name,
)
from real_labels.labels.imagenet_classes import class_names as class_names
from real_labels.labels.imagenet_classes import class_of_wordnet_id as class_of_wordnet_id
from real_labels.labels.imagenet_classes import table
from real_labels.labels.imagenet_classes import wordnet_ids as wordnet_ids
from real_labels.labels.label_sets import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Int

NUM_IMAGES = 50_000
NUM_CLASSES = 1_000
NUM_ANIMALS = 398  # classes 0 to 397 are animals
# Some copies append the class's WordNet id to the number.
_NAME = re.compile(r"ILSVRC2012_val_(\d{8})(_n\d{8})?\.JPE?G", re.IGNORECASE)


def file_names() -> np.ndarray:
    """Returns the (50000,) str file names, read-only, `ILSVRC2012_val_00000001.JPEG` first."""
    return imagenet_file_names(NUM_IMAGES)


@functools.cache
def original_labels() -> LabelSets:
    """Returns the original labels of the 50,000 validation images."""
    classes = np.empty(NUM_IMAGES, np.int32)
    for class_, (_, _, numbers) in enumerate(table()):
        classes[np.array(numbers.split(), np.int64) - 1] = class_
    return LabelSets(file_names(), np.arange(NUM_IMAGES + 1), classes)


def is_validation_name(name: str) -> bool:
    """Whether a name without folder is the file name of a validation image.

    The name is like `ILSVRC2012_val_00000001.JPEG`, or, as in some copies, with the WordNet id of the class:
    `ILSVRC2012_val_00000001_n01751748.JPEG`.
    """
    match = _NAME.fullmatch(name)
    return match is not None and 1 <= int(match[1]) <= NUM_IMAGES


def row_of(name: str) -> int:
    """Returns the position of a validation image in the sorted file names, from 0."""
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]) - 1


def file_name_of(name: str) -> str:
    """Returns the published file name of a validation image (see is_validation_name)."""
    return IMAGENET_FILE_NAME.format(1 + row_of(name))


def is_validation_set(names: np.ndarray) -> bool:
    """Whether the names are of ILSVRC-2012's validation images, judged by the first name."""
    return len(names) > 0 and is_imagenet_name(str(names[0]))


def animals() -> Int[np.ndarray, "398"]:
    """Returns the class indices of animals."""
    return np.arange(NUM_ANIMALS)


def describe(class_: int) -> str:
    """Returns a class index as text, with its WordNet id."""
    ids = wordnet_ids()
    return f"{class_} ({ids[class_]})" if 0 <= class_ < len(ids) else str(class_)

"""ILSVRC-2012's validation set: file names, classes and original labels, without any network.

The class index is the position of the WordNet id in sorted order (0 = n01440764, tench).
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.labels import IMAGENET_FILE_NAME, LabelSets, imagenet_file_names

if TYPE_CHECKING:
    from jaxtyping import Int

NUM_IMAGES = 50_000
NUM_CLASSES = 1_000
NUM_ANIMALS = 398  # classes 0 to 397 are animals
_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def file_names() -> np.ndarray:
    """(50000,) str, read-only, `ILSVRC2012_val_00000001.JPEG` first."""
    return imagenet_file_names(NUM_IMAGES)


@functools.cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1,000 WordNet ids in the order of the class indices.

    Raises:
      InputError: if tensorflow_datasets is not installed.
    """
    return tuple(sorted(tfds_file("imagenet2012", "labels.txt").split()))


@functools.cache
def class_of_wordnet_id() -> dict[str, int]:
    """Class index of each of the 1,000 WordNet ids."""
    return {wordnet_id: index for index, wordnet_id in enumerate(wordnet_ids())}


@functools.cache
def original_labels() -> LabelSets:
    """The original label of each of the 50,000 validation images.

    Read from the text files of the installed tensorflow_datasets package, which is not imported.

    Raises:
      InputError: if tensorflow_datasets is not installed.
    """
    index = class_of_wordnet_id()
    classes = [index[w] for w in tfds_file("imagenet2012", "validation_labels.txt").split()]
    return LabelSets(file_names(), np.arange(NUM_IMAGES + 1), np.array(classes, np.int32))


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


def tfds_file(dataset: str, name: str) -> str:
    """The text of a file beside a dataset's builder in the installed tensorflow_datasets package.

    Raises:
      InputError: if that package, or the file in it, is not there.
    """
    spec = importlib.util.find_spec("tensorflow_datasets")  # finds it, does not import it
    if spec is None or spec.origin is None:
        raise InputError(
            "The original ImageNet labels come with the package tensorflow-datasets, which is not "
            "installed: pip install tensorflow-datasets, or give the labels with --original."
        )
    path = pathlib.Path(spec.origin).parent / "datasets" / dataset / name
    try:
        return path.read_text()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); ImageNet's labels and names are expected "
            f"there, as tensorflow-datasets 4.9 has them."
        ) from None

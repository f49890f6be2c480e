"""Choosing training images and labels: a list of images to keep, replaced labels, cross-validation folds.

Images are matched by file name, so the order in which a dataset is stored does not matter. Folders in front
of a name may be missing on either side, but must not differ: cat/1.png is not dog/1.png.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from big_transfer.datasets.source import DatasetError, Source, Subset, file_names_of, labels_of
from real_labels import LabelSets, files
from real_labels.errors import InputError, naming
from real_labels.files.text import all_normalised, read_text
from real_labels.labels import check_distinct, match

log = logging.getLogger("big_transfer")

_FOLDERS = "Folders in front of a name may be missing, but must not differ."


class Relabelled(Sequence):
    """A source with replaced labels for some images."""

    def __init__(self, source: Source, label_key: str, labels: Mapping[int, tuple[int, ...]]):
        """Replaces labels.

        Args:
          source: source of the images.
          label_key: key of the replaced labels.
          labels: the new classes of an image, by the index of the image.
        """
        self.source, self._key, self.replaced = source, label_key, labels
        self.dataset, self.split, self.label_keys = source.dataset, source.split, source.label_keys
        self.num_classes, self.class_names = source.num_classes, source.class_names

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        return example | {self._key: self.replaced.get(index, example[self._key])}

    def read_file_names(self) -> np.ndarray:
        """The file name of every image."""
        return file_names_of(self.source)

    def labels_of(self, label_key: str) -> Sequence[tuple[int, ...]]:
        """The labels of every image."""
        labels = labels_of(self.source, label_key)
        if label_key != self._key:
            return labels
        return [self.replaced.get(index, original) for index, original in enumerate(labels)]


def kept(source: Source, path: str) -> Subset:
    """Returns the images listed in a file, one file name per line, such as ILSVRC-2012's fnames_clean.txt.

    Raises:
      DatasetError: if the list cannot be read, is empty, or contains no image of the source.
    """
    names = np.unique(all_normalised(np.array(_text(path).splitlines(), dtype=np.str_)))
    names = names[names != ""]
    if not len(names):
        raise DatasetError(f"input.keep: {path} is empty; expected one file name per line.")
    file_names = file_names_of(source)
    rows = _rows_in(file_names, names)
    kept_rows = np.unique(rows[rows >= 0])
    if not len(kept_rows):
        raise DatasetError(
            f"input.keep: none of the {len(names):,} names of {path} is an image of {source.dataset} "
            f"{source.split} (first name in the list: {names[0]}; first image: {min(file_names)}). {_FOLDERS}"
        )
    missing = names[rows < 0]
    log.info(
        "Learning from the %s of %s images that are listed in %s.",
        f"{len(kept_rows):,}",
        f"{len(file_names):,}",
        path,
    )
    if len(missing):
        log.warning(
            "%s names in %s are not images of %s %s (first: %s).",
            f"{len(missing):,}",
            path,
            source.dataset,
            source.split,
            missing[0],
        )
    return Subset(source, kept_rows)


def relabelled(
    source: Source, label_key: str, path: str, *, max_labels: int, loss: str
) -> Relabelled:
    """Returns the source with some labels replaced by those in a file (see `LabelSets.from_json`).

    Args:
      source: source of the images.
      label_key: key of the replaced labels.
      path: JSON file, from file names to classes.
      max_labels: largest number of labels per image.
      loss: name of the loss; "softmax" needs at least one class for each image.

    Raises:
      DatasetError: if the file cannot be read, contains no image of the source or an image twice, a class is
        not a class of the dataset, or an image has more labels than max_labels, or no label with softmax.
    """
    try:
        labels = LabelSets.from_json(path)
    except InputError as error:
        raise DatasetError(f"input.relabel: {error}") from None
    file_names = file_names_of(source)
    rows = _rows_in(file_names, labels.file_names)
    if not (rows >= 0).any():
        first = next(iter(labels.file_names.tolist()), "none")
        raise DatasetError(
            f"input.relabel: none of the {len(labels):,} images of {path} is an image of {source.dataset} "
            f"{source.split} (first name in the file: {first}; first image: {min(file_names)}). {_FOLDERS}"
        )
    try:
        check_distinct(rows, labels.file_names)
    except InputError as error:
        raise DatasetError(f"input.relabel: {path}: {error}") from None
    num_classes = source.num_classes[label_key]
    if len(labels.classes) and labels.classes.max() >= num_classes:
        raise DatasetError(
            f"input.relabel: {path} has class {labels.classes.max()}, but {source.dataset} has "
            f"{num_classes} classes, 0 to {num_classes - 1}."
        )
    replaced = {}
    for row, name, classes in zip(
        rows.tolist(), labels.file_names.tolist(), labels.to_lists(), strict=True
    ):
        if row < 0:
            continue
        if len(classes) > max_labels:
            raise DatasetError(
                f"input.relabel: {name} has {len(classes)} labels in {path}; raise input.max_labels, which "
                f"is {max_labels}."
            )
        if not classes and loss == "softmax":
            raise DatasetError(
                f"input.relabel: {name} has no label in {path}; softmax cannot learn from it. Leave the "
                f"image out (input.keep), or set --config.loss=sigmoid."
            )
        replaced[row] = tuple(classes)
    log.info(
        "%s of %s images have the labels of %s.", f"{len(replaced):,}", f"{len(file_names):,}", path
    )
    if unknown := np.count_nonzero(rows < 0):
        log.warning(
            "%s images of %s are not used: they are not among the training images of %s %s.",
            f"{unknown:,}",
            path,
            source.dataset,
            source.split,
        )
    return Relabelled(source, label_key, replaced)


def _rows_in(file_names: np.ndarray, names: np.ndarray) -> Int[np.ndarray, "names"]:
    """Returns the row of each name in file_names, -1 for unknown names; different folders differ."""
    return match(all_normalised(file_names), names, strict=True)


def fold_of(file_name: str, folds: int, seed: int) -> int:
    """Returns the fold of an image, 0 to folds - 1.

    The fold depends only on file name and seed, so adding images does not change the folds of others.
    """
    digest = hashlib.sha256(f"{seed}/{file_name}".encode()).digest()
    return int.from_bytes(digest[:8]) % folds


def in_fold(source: Source, fold: int, folds: int, seed: int) -> Bool[np.ndarray, "images"]:
    """Returns, for each image of a source, whether it is in a fold; (N,) bool."""
    names = file_names_of(source).tolist()
    return np.array([fold_of(name, folds, seed) == fold for name in names])


def sha256_of(path: str) -> str:
    """Returns the SHA-256 of a list or label file; a resumed run must find the same hash."""
    with _reading(path):
        return hashlib.sha256(files.readable(path).read_bytes()).hexdigest()


def _text(path: str) -> str:
    with _reading(path):
        return read_text(path)


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turns errors of reading into DatasetErrors that name the file."""
    try:
        with naming(path):
            yield
    except InputError as error:
        raise DatasetError(str(error)) from None

"""Which training images are learned from, and with which labels: a list to keep, other labels, folds.

All go by file name, so that the order in which a dataset is stored does not matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from big_transfer.datasets.source import DatasetError, Source, Subset, file_names_of, labels_of
from real_labels import LabelSets, files
from real_labels.errors import InputError, naming
from real_labels.files.text import read_text
from real_labels.labels import match

log = logging.getLogger("big_transfer")


class Relabelled(Sequence):
    """A source in which some images have other labels than their own."""

    def __init__(self, source: Source, label_key: str, labels: Mapping[int, tuple[int, ...]]):
        """Replaces labels.

        Args:
          source: whose images they are.
          label_key: under which the labels stand.
          labels: the classes of an image, by its index.
        """
        self.source, self._key, self._labels = source, label_key, labels
        self.dataset, self.split, self.label_keys = source.dataset, source.split, source.label_keys
        self.num_classes, self.class_names = source.num_classes, source.class_names

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        return example | {self._key: self._labels.get(index, example[self._key])}

    def read_file_names(self) -> np.ndarray:
        """The source's file names."""
        return file_names_of(self.source)

    def labels_of(self, label_key: str) -> Sequence[tuple[int, ...]]:
        """The labels of every image."""
        labels = labels_of(self.source, label_key)
        if label_key != self._key:
            return labels
        return [self._labels.get(index, own) for index, own in enumerate(labels)]


def kept(source: Source, path: str) -> Subset:
    """The images whose file names a list has, one a line, as ILSVRC-2012's fnames_clean.txt.

    Raises:
      DatasetError: if the list cannot be read, is empty, or names no image of the source.
    """
    names = np.unique([line.strip() for line in _text(path).splitlines() if line.strip()])
    if not len(names):
        raise DatasetError(f"input.keep: {path} is empty; expected file names, one a line.")
    ours = file_names_of(source)
    rows = match(ours, names)
    found = np.unique(rows[rows >= 0])
    if not len(found):
        raise DatasetError(
            f"input.keep: none of the {len(names):,} names of {path} is an image of {source.dataset} "
            f"{source.split} (the list begins with {names[0]}, the images with {min(ours)})."
        )
    missing = names[rows < 0]
    log.info(
        "Learning from the %s of %s images that %s lists.",
        f"{len(found):,}",
        f"{len(ours):,}",
        path,
    )
    if len(missing):
        log.warning(
            "%s names of %s are no images of %s %s (first: %s).",
            f"{len(missing):,}",
            path,
            source.dataset,
            source.split,
            missing[0],
        )
    return Subset(source, found)


def relabelled(
    source: Source, label_key: str, path: str, *, max_labels: int, loss: str
) -> Relabelled:
    """The source with the labels that a file has for some of its images (see `LabelSets.from_json`).

    Args:
      source: the images.
      label_key: under which their labels stand.
      path: JSON, file names to classes.
      max_labels: of an image.
      loss: "softmax" needs a class for each image.

    Raises:
      DatasetError: if the file cannot be read or has no image of the source, a class is none of the
        dataset's, or an image has more labels than max_labels, or none with softmax.
    """
    try:
        labels = LabelSets.from_json(path)
    except InputError as error:
        raise DatasetError(f"input.relabel: {error}") from None
    ours = file_names_of(source)
    rows = match(ours, labels.file_names)
    if not (rows >= 0).any():
        raise DatasetError(
            f"input.relabel: none of the {len(labels):,} images of {path} is one of {source.dataset} "
            f"{source.split} (the file begins with {labels.file_names[0]}, the images with {min(ours)})."
        )
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
                f"input.relabel: {name} has no label in {path}, which softmax cannot learn: leave the image "
                f"out (input.keep), or set --config.loss=sigmoid."
            )
        replaced[row] = tuple(classes)
    log.info("%s of %s images have the labels of %s.", f"{len(replaced):,}", f"{len(ours):,}", path)
    if unknown := len(labels) - len(replaced):
        log.warning(
            "%s images of %s are not learned from: of another split than %s %s, or left out.",
            f"{unknown:,}",
            path,
            source.dataset,
            source.split,
        )
    return Relabelled(source, label_key, replaced)


def fold_of(file_name: str, folds: int, seed: int) -> int:
    """The fold of an image, 0 to folds - 1: it follows from name and seed, so more images move no others."""
    digest = hashlib.sha256(f"{seed}/{file_name}".encode()).digest()
    return int.from_bytes(digest[:8]) % folds


def in_fold(source: Source, fold: int, folds: int, seed: int) -> Bool[np.ndarray, "images"]:
    """(N,) whether each image of a source is in a fold."""
    names = file_names_of(source).tolist()
    return np.array([fold_of(name, folds, seed) == fold for name in names])


def sha256_of(path: str) -> str:
    """The hash of a list or a file of labels: what goes on from an earlier start must have the same."""
    with _reading(path):
        return hashlib.sha256(files.readable(path).read_bytes()).hexdigest()


def _text(path: str) -> str:
    with _reading(path):
        return read_text(path)


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Errors of reading as DatasetErrors that name the file."""
    try:
        with naming(path):
            yield
    except InputError as error:
        raise DatasetError(str(error)) from None

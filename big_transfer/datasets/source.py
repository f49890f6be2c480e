"""The interface of a source of examples, and views of a source: a subset, random images, further labels."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int
from PIL import Image

from real_labels import LabelSets
from real_labels.errors import ExpectedError
from real_labels.labels import match

# Datasets that need no download: scenes that are composed at first use.
EMBEDDED = ("digit_scenes", "digit_scenes_low", "digit_scenes_high")
_THREADS = 16  # threads that read file names from the examples


class DatasetError(ExpectedError, ValueError):
    """A dataset cannot be read; the message says how to fix it."""


class Source(Protocol):
    """A sequence of examples, each {"image": the file's bytes, "file_name": str, "index": i, key: labels …}.

    Under each of `label_keys`, an example has a tuple of class indices.

    Attributes:
      dataset, split: names under which the source was opened.
      label_keys: keys of the labels of each example.
      num_classes: number of classes, by label key.
      class_names: names of the classes in the order of the class indices, by label key.
    """

    dataset: str
    split: str

    @property
    def label_keys(self) -> tuple[str, ...]: ...

    @property
    def num_classes(self) -> dict[str, int]: ...

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


@runtime_checkable
class KnowsFileNames(Protocol):
    """A source that knows the file name of every example, in order, without reading examples."""

    @property
    def file_names(self) -> Sequence[str]: ...


@runtime_checkable
class ReadsFileNames(Protocol):
    """A source with a faster way to read the file names than reading every example."""

    def read_file_names(self) -> np.ndarray: ...


@runtime_checkable
class KnowsLabels(Protocol):
    """A source that knows the labels of every example without reading images."""

    def labels_of(self, label_key: str) -> Sequence[tuple[int, ...]]: ...


class NamedSource(Source, KnowsFileNames, Protocol):
    """A source that knows the file names of its examples."""


class Subset(Sequence):
    """Some examples of a source, renumbered from 0."""

    def __init__(self, source: Source, rows: Sequence[int] | Int[np.ndarray, "rows"]):
        self.source, self.rows = source, np.asarray(rows, np.int64)
        self.dataset, self.split, self.label_keys = source.dataset, source.split, source.label_keys
        self.num_classes, self.class_names = source.num_classes, source.class_names

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.rows[index])] | {"index": index}

    def read_file_names(self) -> np.ndarray:
        """The file name of every example."""
        return file_names_of(self.source)[self.rows]

    def labels_of(self, label_key: str) -> Sequence[tuple[int, ...]]:
        """The labels of every example."""
        labels = labels_of(self.source, label_key)
        return [labels[row] for row in self.rows.tolist()]


class RandomImages(Sequence):
    """A source with random images of 64×64 pixels instead of its own, to try a config without real data.

    File names and labels are those of the source. No image of the source is read. Each random image is a
    function of its index.
    """

    def __init__(self, source: NamedSource):
        self._source = source
        self.dataset, self.split, self.label_keys = source.dataset, source.split, source.label_keys
        self.num_classes, self.class_names = source.num_classes, source.class_names
        self.file_names = list(source.file_names)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        example = {"image": png.getvalue(), "file_name": self.file_names[index], "index": index}
        return example | {key: self.labels_of(key)[index] for key in self.label_keys}

    def labels_of(self, label_key: str) -> Sequence[tuple[int, ...]]:
        """The labels of every image, as in the source."""
        return labels_of(self._source, label_key)


class WithLabels(Sequence):
    """A source with further labels, which are looked up by file name.

    Raises:
      DatasetError: if a label is not a class index, or an image has no entry in the label sets. A missing
        entry is found at once if the source knows its `file_names`, else when the example is read.
    """

    def __init__(
        self,
        source: Source,
        label_sets: Mapping[str, LabelSets],
        class_names: Sequence[str],
        label_keys: Sequence[str],
    ):
        """Matches the label sets with the source by file name.

        Args:
          source: source of the examples.
          label_sets: the further label sets, by label key.
          class_names: names of the classes of every further label set.
          label_keys: label keys of this source, in order: keys of `source` or of `label_sets`.
        """
        self._source, self.label_keys = source, tuple(label_keys)
        self.dataset, self.split = source.dataset, source.split
        file_names = list(source.file_names) if isinstance(source, KnowsFileNames) else []
        self._labels = {key: _by_name(sets, file_names) for key, sets in label_sets.items()}
        further_names = {key: tuple(class_names) for key in label_sets}
        names = {**source.class_names, **further_names}
        self.class_names = {key: names[key] for key in self.label_keys}
        self.num_classes = {key: len(self.class_names[key]) for key in self.label_keys}
        for key, sets in label_sets.items():
            highest = int(sets.classes.max(initial=0))
            if highest >= self.num_classes[key]:
                raise DatasetError(
                    f"{self.dataset}: the labels of {key} have class {highest}, but there are "
                    f"{self.num_classes[key]} classes, 0 to {self.num_classes[key] - 1}."
                )
        for name in file_names:
            self._labels_of_file(name)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self._source[index]
        return example | self._labels_of_file(example["file_name"])

    def _labels_of_file(self, name: str) -> dict[str, tuple[int, ...]]:
        labels_by_key = {}
        for key, labels in self._labels.items():
            if name not in labels:
                raise DatasetError(
                    f"{self.dataset}: the labels have no entry for {name} (the first entry is "
                    f"{next(iter(labels), 'missing')}); images and labels are matched by file name."
                )
            labels_by_key[key] = tuple(labels[name])
        return labels_by_key


def _by_name(sets: LabelSets, known: Sequence[str]) -> dict[str, list[int]]:
    """Returns the labels by file name; also by the names in `known` that differ only in the folders."""
    lists = sets.to_lists()
    labels = dict(zip(sets.file_names.tolist(), lists, strict=True))
    if known:
        rows = match(sets.file_names, np.array(known, dtype=np.str_)).tolist()
        labels |= {name: lists[row] for name, row in zip(known, rows, strict=True) if row >= 0}
    return labels


def labels_of(source: Source, label_key: str) -> Sequence[tuple[int, ...]]:
    """Returns the labels of every example; images are read only if the source does not know its labels."""
    if isinstance(source, KnowsLabels):
        return source.labels_of(label_key)
    return [source[index][label_key] for index in range(len(source))]


def file_names_of(source: Source) -> np.ndarray:
    """Returns the file name of every example, (N,) str; reads the examples if there is no faster way."""
    if isinstance(source, KnowsFileNames):
        return np.array(list(source.file_names), dtype=np.str_)
    if isinstance(source, ReadsFileNames):
        return source.read_file_names()
    return names_read(source)


def names_read(source: Source) -> np.ndarray:
    """Reads every example, and returns their file names, (N,) str."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        names = pool.map(lambda index: source[index]["file_name"], range(len(source)))
        return np.array(list(names), dtype=np.str_)


def split_in_file_name(split: str) -> str:
    """Returns a split's name as part of a file name, different for each split.

    >>> split_in_file_name("train")
    'train'
    >>> split_in_file_name("train[:10%]")
    'train_10-6cda7661'
    """
    plain = re.sub(r"\W+", "_", split).strip("_")
    return plain if plain == split else f"{plain}-{hashlib.sha256(split.encode()).hexdigest()[:8]}"


def check_num_classes(source: Source, num_classes: int) -> None:
    """Raises DatasetError if the numbers of classes of dataset and model differ."""
    for key, found in source.num_classes.items():
        if found != num_classes:
            raise DatasetError(
                f"{source.dataset} has {found} classes ({key}), but num_classes is {num_classes}."
            )

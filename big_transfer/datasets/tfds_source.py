"""TFDS datasets with random access: prepared ArrayRecord files, or mock data."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from jax.experimental import multihost_utils
from tensorflow_datasets.core import registered, splits

from big_transfer.datasets.source import EMBEDDED, DatasetError, names_read, split_in_file_name
from real_labels import files

log = logging.getLogger("big_transfer")

# Builders of this project: name -> module whose import registers the builder with TFDS.
_OWN_BUILDERS = {
    **dict.fromkeys(EMBEDDED, "big_transfer.datasets.builders.digit_scenes"),
    "imagenet21k": "big_transfer.datasets.builders.imagenet21k",
}
_MOCK_EXAMPLES = 64
_FILE_NAMES: dict[tuple[str, str], np.ndarray] = {}  # cache: (folder, split) -> file names


def load_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """Returns the builder of a TFDS dataset or of a dataset of this project.

    Raises:
      DatasetError: if there is no dataset, configuration or version of that name.
    """
    base = name.partition("/")[0].partition(":")[0]
    if base in _OWN_BUILDERS:
        importlib.import_module(_OWN_BUILDERS[base])
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except registered.DatasetNotFoundError:
        raise DatasetError(
            f"TFDS has no dataset {name!r}. Datasets of this project: {', '.join(_OWN_BUILDERS)}; "
            f"tfds.list_builders() lists the others. Give a folder of images by its path: "
            f"./{name}."
        ) from None
    except (ValueError, AssertionError) as error:  # an unknown configuration or version
        raise DatasetError(
            f"TFDS cannot open {name!r}: {str(error).strip().partition(chr(10))[0]} (Give a folder of images "
            f"by its path, such as ./{name.strip('./') or 'images'}.)"
        ) from None
    # TFDS writes alternative file formats to dataset_info.json, but does not read them back.
    for name in builder.info.as_proto.alternative_file_formats:
        file_format = tfds.core.FileFormat(name)
        if file_format not in builder.info.alternative_file_formats:
            builder.info.alternative_file_formats.append(file_format)
    return builder


def supervised_key(dataset: str, data_dir: str | None) -> str:
    """Returns the feature with the labels that a classifier of a dataset learns.

    Raises:
      DatasetError: if the dataset declares no such feature, and does not have exactly one class label.
    """
    info = load_builder(dataset, data_dir).info
    features: Any = info.features
    keys = info.supervised_keys
    if keys is not None and len(keys) == 2 and isinstance(keys[1], str):
        return keys[1]
    labels = [
        name for name, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)
    ]
    if len(labels) != 1:
        raise DatasetError(
            f"{dataset} does not declare which feature to learn; set --config.input.label_key and "
            f"--config.eval.original_key. Its features: {', '.join(features)}."
        )
    return labels[0]


def splits_of(dataset: str, data_dir: str | None) -> list[str]:
    """Returns the splits of a prepared dataset.

    Raises:
      DatasetError: if the dataset is not prepared.
    """
    builder = make_ready(load_builder(dataset, data_dir), dataset, data_dir)
    return list(builder.info.splits)


def _prepare_embedded(builder: tfds.core.DatasetBuilder) -> None:
    """Prepares a dataset that needs no download, in process 0 while the other processes wait."""

    def prepare():
        if not builder.is_prepared():
            log.info(
                "Preparing %s in %s (once, takes a few seconds).", builder.name, builder.data_dir
            )
            tfds.disable_progress_bar()
            with contextlib.redirect_stdout(None):  # TFDS would announce a download
                builder.download_and_prepare(
                    file_format="array_record",
                    download_config=tfds.download.DownloadConfig(try_download_gcs=False),
                )
            tfds.enable_progress_bar()

    if jax.process_index() == 0:
        prepare()
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"prepared {builder.name}")
        prepare()  # needed if the hosts do not share a disk


def make_ready(
    builder: tfds.core.DatasetBuilder, dataset: str, data_dir: str | None
) -> tfds.core.DatasetBuilder:
    """Returns the builder of a dataset that is on disk as ArrayRecord files.

    A dataset that needs no download is prepared first.

    Raises:
      DatasetError: if another dataset is not prepared, or only in other formats.
    """
    if builder.name in EMBEDDED:
        _prepare_embedded(builder)
        builder = load_builder(dataset, data_dir)  # another process may have prepared it
    command = f"python -m big_transfer.datasets.prepare {dataset}" + (
        f" --data_dir={data_dir}" if data_dir else ""
    )
    if not builder.is_prepared():
        raise DatasetError(
            f"{dataset} is not prepared in {builder.data_dir}. Prepare it with\n"
            f"  {command}\n(add --manual_dir=… if it needs files downloaded by hand)."
        )
    formats = builder.info.available_file_formats()
    if tfds.core.FileFormat.ARRAY_RECORD not in formats:
        raise DatasetError(
            f"{dataset} in {builder.data_dir} is prepared as "
            f"{', '.join(f.value for f in formats)}, which cannot be read at random. Convert it "
            f"to ArrayRecord, without preparing it again, with\n  {command}"
        )
    return builder


def as_data_source(builder: tfds.core.DatasetBuilder, split: str, decoders: Any) -> Any:
    """A split of a prepared dataset as a sequence; TFDS's type hints allow only whole datasets here."""
    method: Any = builder.as_data_source
    return method(split=split, decoders=decoders)


class TfdsSource(Sequence):
    """One split of a TFDS dataset (see `Source`).

    If the dataset has no file names, a file name is made of the whole split and the index in it. So an image
    has the same name in every part of the split: with 100 images, the first of test[50%:] is test/00000050.
    Mock images are named by the given split.
    """

    def __init__(
        self,
        dataset: str,
        split: str,
        label_keys: Sequence[str],
        *,
        data_dir: str | None = None,
        mock: bool = False,
    ):
        """Opens the split.

        Args:
          dataset: name of the TFDS dataset.
          split: such as "train" or "validation[:10%]".
          label_keys: features with a class or a sequence of classes.
          data_dir: TFDS data folder; TFDS's default if None.
          mock: use 64 random images with random labels, with the dataset's features, instead of its
            files.

        Raises:
          DatasetError: if the dataset is unknown, not prepared or without random access, or if split or
            feature does not exist.
        """
        self.dataset, self.split, self.label_keys = dataset, split, tuple(label_keys)
        decoders = {"image": tfds.decode.SkipDecoding()}
        mocking = (
            tfds.testing.mock_data(num_examples=_MOCK_EXAMPLES)
            if mock
            else contextlib.nullcontext()
        )
        with mocking:
            builder = load_builder(dataset, data_dir)
            self._check_features(builder.info.features)
            if not mock:
                builder = make_ready(builder, dataset, data_dir)
            try:
                self._parts = [] if mock else _parts(builder, split)
                self._source = as_data_source(builder, split, decoders)
            except ValueError as error:
                raise DatasetError(
                    f"{dataset}: the split {split!r} cannot be read ({error})."
                ) from None
        self._folder = None if mock else epath.Path(builder.data_dir)
        features: Any = builder.info.features
        self._has_names = "file_name" in features
        self.num_classes = {key: self._feature(builder, key).num_classes for key in self.label_keys}
        self.class_names = {
            key: tuple(self._feature(builder, key).names) for key in self.label_keys
        }

    def _check_features(self, features) -> None:
        for key in ("image", *self.label_keys):
            if key not in features:
                raise DatasetError(
                    f"{self.dataset} has no feature {key!r}; it has {', '.join(features)}."
                )

    @staticmethod
    def _feature(builder, key):
        feature = builder.info.features[key]
        return getattr(feature, "feature", feature)  # a Sequence wraps its ClassLabel

    def __len__(self) -> int:
        return len(self._source)

    def read_file_names(self) -> np.ndarray:
        """Returns the file name of every image, (N,) str.

        Names in the examples are read once: the first call in a process reads them from a file in the
        dataset's folder. If that file does not exist, the call reads every example and writes the file, if
        the folder is writable.
        """
        if not self._has_names:
            return np.array([self._made_name(index) for index in range(len(self))], dtype=np.str_)
        if self._folder is None:
            return names_read(self)
        key = str(self._folder), self.split
        if len(_FILE_NAMES.get(key, ())) != len(self):
            _FILE_NAMES[key] = self._find_file_names()
        return _FILE_NAMES[key]

    def _find_file_names(self) -> np.ndarray:
        assert self._folder is not None  # random images have no folder
        path = self._folder / f"file_names-{split_in_file_name(self.split)}.txt"
        if path.exists():
            names = np.array(path.read_text().splitlines(), dtype=np.str_)
            if len(names) == len(self):
                return names
        log.info(
            "Reading the file names of %s %s (%s images, once).",
            self.dataset,
            self.split,
            f"{len(self):,}",
        )
        names = names_read(self)
        try:
            with files.replacing(path) as temporary:
                temporary.write_text("\n".join(names.tolist()) + "\n")
        except OSError as error:
            log.warning("The file names are not saved, and will be read again next time: %s", error)
        return names

    def _made_name(self, index: int) -> str:
        if not self._parts:  # random images
            return f"{self.split}/{index:08d}"
        for split, first, number in self._parts:
            if index < number:
                return f"{split}/{first + index:08d}"
            index -= number
        raise IndexError(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)  # ends a loop over the sequence
        record = self._source[index]
        name = record["file_name"] if self._has_names else self._made_name(index)
        name = name.item() if isinstance(name, np.ndarray) else name
        example = {
            "image": record["image"],
            "file_name": name.decode() if isinstance(name, bytes) else str(name),
            "index": index,
        }
        for key in self.label_keys:
            labels = np.unique(np.asarray(record[key], np.int64))
            if labels.size and labels[0] < 0:
                raise DatasetError(
                    f"{self.dataset} {self.split} has no public labels ({key} of {example['file_name']} is "
                    f"{labels[0]}); use another split."
                )
            example[key] = tuple(labels.tolist())
        return example


def _parts(builder: tfds.core.DatasetBuilder, split: str) -> list[tuple[str, int, int]]:
    """Returns the parts of a split: (name of the whole split, index of the first example, number).

    Raises:
      ValueError: if the split is unknown or empty, or a part ends before it begins, as train[50%:10%].
    """
    whole = builder.info.splits
    parts = []
    for part in splits.AbstractSplit.from_spec(split).to_absolute(whole):
        first = part.from_ or 0  # TFDS gives None for the ends of the whole split
        end = whole[part.splitname].num_examples if part.to is None else part.to
        if end < first:
            raise ValueError("it ends before it begins")
        parts.append((part.splitname, first, end - first))
    if not sum(number for _, _, number in parts):
        raise ValueError("it has no images")
    return parts

"""TFDS datasets, read at random: ArrayRecord files prepared once, or mock data."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from jax.experimental import multihost_utils
from tensorflow_datasets.core import registered

from big_transfer.datasets.source import DatasetError, names_read
from real_labels import files

log = logging.getLogger("big_transfer")

# Builders of our own: name -> module whose import registers it with TFDS.
_OWN = {
    "digit_scenes": "big_transfer.datasets.builders.digit_scenes",
    "digit_scenes_low": "big_transfer.datasets.builders.digit_scenes",
    "digit_scenes_high": "big_transfer.datasets.builders.digit_scenes",
    "imagenet21k": "big_transfer.datasets.builders.imagenet21k",
}
# Those that need no files from anywhere are prepared when first used.
_EMBEDDED = ("digit_scenes", "digit_scenes_low", "digit_scenes_high")
_MOCK_EXAMPLES = 64
_NAMES: dict[tuple[str, str], np.ndarray] = {}  # the file names of a folder's split, once read


def load_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a dataset, ours included.

    Raises:
      DatasetError: if there is none of that name.
    """
    base = name.partition("/")[0].partition(":")[0]
    if base in _OWN:
        importlib.import_module(_OWN[base])
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except registered.DatasetNotFoundError:
        raise DatasetError(
            f"TFDS knows no dataset {name!r}; ours are {', '.join(_OWN)}, and "
            f"tfds.list_builders() lists the others. A folder of images is named with its path: "
            f"./{name}."
        ) from None
    except (ValueError, AssertionError) as error:  # a configuration or version that is not there
        raise DatasetError(
            f"TFDS cannot open {name!r}: {str(error).strip().partition(chr(10))[0]} (A folder of images "
            f"is named with its path, such as ./{name.strip('./') or 'images'}.)"
        ) from None
    # TFDS writes the further formats of a dataset to its dataset_info.json, but forgets to read them.
    for name in builder.info.as_proto.alternative_file_formats:
        file_format = tfds.core.FileFormat(name)
        if file_format not in builder.info.alternative_file_formats:
            builder.info.alternative_file_formats.append(file_format)
    return builder


def supervised_key(dataset: str, data_dir: str | None) -> str:
    """The feature that a classifier of a dataset is to learn.

    Raises:
      DatasetError: if the dataset does not say, and has not exactly one class label.
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
            f"{dataset} does not say which feature to learn; name it with --config.input.label_key "
            f"and --config.eval.original_key. It has {', '.join(features)}."
        )
    return labels[0]


def splits_of(dataset: str, data_dir: str | None) -> list[str]:
    """The splits of a prepared dataset.

    Raises:
      DatasetError: if it is not prepared.
    """
    builder = make_ready(load_builder(dataset, data_dir), dataset, data_dir)
    return list(builder.info.splits)


def _prepare_embedded(builder: tfds.core.DatasetBuilder) -> None:
    """Prepares a dataset that needs no download; one process does it, the others wait."""

    def prepare():
        if not builder.is_prepared():
            log.info("Preparing %s in %s (once, some seconds).", builder.name, builder.data_dir)
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
        prepare()  # where the hosts do not share a disk


def make_ready(
    builder: tfds.core.DatasetBuilder, dataset: str, data_dir: str | None
) -> tfds.core.DatasetBuilder:
    """The builder of the dataset on disk: made if that needs no download, else it must be there."""
    if builder.name in _EMBEDDED:
        _prepare_embedded(builder)
        builder = load_builder(dataset, data_dir)  # another process may have prepared it
    command = f"python -m big_transfer.datasets.prepare {dataset}" + (
        f" --data_dir={data_dir}" if data_dir else ""
    )
    if not builder.is_prepared():
        raise DatasetError(
            f"{dataset} is not prepared in {builder.data_dir}. Prepare it with\n"
            f"  {command}\n(add --manual_dir=… if it needs files you fetched by hand)."
        )
    formats = builder.info.available_file_formats()
    if tfds.core.FileFormat.ARRAY_RECORD not in formats:
        raise DatasetError(
            f"{dataset} in {builder.data_dir} is prepared as "
            f"{', '.join(f.value for f in formats)}, which cannot be read at random. Convert it "
            f"to ArrayRecord, without preparing it anew, with\n  {command}"
        )
    return builder


def as_data_source(builder: tfds.core.DatasetBuilder, split: str, decoders: Any) -> Any:
    """A split of a prepared dataset as a sequence; TFDS declares the method for whole datasets alone."""
    method: Any = builder.as_data_source
    return method(split=split, decoders=decoders)


class TfdsSource(Sequence):
    """One split of a TFDS dataset (see `Source`).

    A dataset without file names gets them made: split and index.
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
          dataset: name for TFDS.
          split: such as "train" or "validation[:10%]".
          label_keys: features with one class or a sequence of them.
          data_dir: TFDS's default if None.
          mock: serve 64 random images with random labels of the dataset's own features instead of
            its files.

        Raises:
          DatasetError: if it is unknown, unprepared, not random-access, or lacks split or feature.
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
                self._source = as_data_source(builder, split, decoders)
            except ValueError as error:
                raise DatasetError(f"{dataset}: {error}") from None
        self._folder = None if mock else epath.Path(builder.data_dir)
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
        """(N,) str: the file name of every image.

        Every example is read for it, once a process; the names are kept beside the dataset, if that can be
        written, for the next.
        """
        if self._folder is None:
            return names_read(self)
        place = str(self._folder), self.split
        if len(_NAMES.get(place, ())) != len(self):
            _NAMES[place] = self._find_file_names()
        return _NAMES[place]

    def _find_file_names(self) -> np.ndarray:
        assert self._folder is not None  # random images have no folder
        kept = self._folder / f"file_names-{_safe(self.split)}.txt"
        if kept.exists():
            names = np.array(kept.read_text().splitlines(), dtype=np.str_)
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
            with files.replacing(kept) as temporary:
                temporary.write_text("\n".join(names.tolist()) + "\n")
        except OSError as error:
            log.warning("The file names are not kept for the next time: %s", error)
        return names

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)  # how a loop over a sequence ends
        record = self._source[index]
        name = record.get("file_name", f"{self.split}/{index:08d}")
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
                    f"{self.dataset} {self.split} keeps its labels to itself ({key} of "
                    f"{example['file_name']} is {labels[0]}); name another split."
                )
            example[key] = tuple(labels.tolist())
        return example


def _safe(split: str) -> str:
    """A split's name as part of a file name: train[:10%] as train_10_-1234abcd."""
    plain = re.sub(r"\W+", "_", split)
    return plain if plain == split else f"{plain}-{hashlib.sha256(split.encode()).hexdigest()[:8]}"

"""From TFDS's random-access sources to batches on the devices.

Which examples make up batch t is computed, not remembered: position p of the endless shuffled
sequence is an index-shuffle of the epoch p // n, and batch t holds the positions t·B … t·B + B - 1.
So any process can make its rows of any batch, at once, and a resumed run goes on exactly where it was.

    index -> bytes and labels (ArrayRecord) -> image (threads) -> local batch -> global jax.Array
"""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np
import tensorflow_datasets as tfds
from absl import flags
from jax.experimental import multihost_utils
from jaxtyping import Int

from big_transfer import preprocessing

log = logging.getLogger("big_transfer")

# Builders of our own: name -> module whose import registers it with TFDS.
_OWN = {
    "digit_scenes": "big_transfer.datasets.digit_scenes",
    "imagenet21k": "big_transfer.datasets.imagenet21k",
}
# Those that need no files from anywhere are prepared when first used.
_EMBEDDED = ("digit_scenes",)
_MOCK_EXAMPLES = 64
_DEVICE_BATCHES = 2  # batches that wait on the devices while one is computed
_NO_LABEL = -1


class DatasetError(ValueError):
    """A dataset that cannot be read; the message says what to do about it."""


# ---- sources ------------------------------------------------------------------------------------


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
    except tfds.core.registered.DatasetNotFoundError:
        raise DatasetError(
            f"TFDS knows no dataset {name!r}; ours are {', '.join(_OWN)}, and "
            f"tfds.list_builders() lists the others."
        ) from None
    # TFDS writes the further formats of a dataset to its dataset_info.json, but forgets to read them.
    for name in builder.info.as_proto.alternative_file_formats:
        file_format = tfds.core.FileFormat(name)
        if file_format not in builder.info.alternative_file_formats:
            builder.info.alternative_file_formats.append(file_format)
    return builder


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


class Source(Sequence):
    """One split of a dataset: example i as {"image": bytes, "file_name": str, "index": i, key: labels …}.

    Labels come as a tuple of class indices under each of `label_keys`. A dataset without file names
    gets them made: split and index.
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
                if builder.name in _EMBEDDED:
                    _prepare_embedded(builder)
                    builder = load_builder(
                        dataset, data_dir
                    )  # another process may have prepared it
                self._check_prepared(builder, data_dir)
            try:
                self._source = builder.as_data_source(split=split, decoders=decoders)
            except ValueError as error:
                raise DatasetError(f"{dataset}: {error}") from None
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

    def _check_prepared(self, builder, data_dir) -> None:
        command = f"python -m big_transfer.datasets.prepare {self.dataset}" + (
            f" --data_dir={data_dir}" if data_dir else ""
        )
        if not builder.is_prepared():
            raise DatasetError(
                f"{self.dataset} is not prepared in {builder.data_dir}. Prepare it with\n"
                f"  {command}\n(add --manual_dir=… if it needs files you fetched by hand)."
            )
        formats = builder.info.available_file_formats()
        if tfds.core.FileFormat.ARRAY_RECORD not in formats:
            raise DatasetError(
                f"{self.dataset} in {builder.data_dir} is prepared as "
                f"{', '.join(f.value for f in formats)}, which cannot be read at random. Convert it "
                f"to ArrayRecord, without preparing it anew, with\n  {command}"
            )

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self._source[index]
        name = record.get("file_name", f"{self.split}/{index:08d}")
        name = name.item() if isinstance(name, np.ndarray) else name
        example = {
            "image": record["image"],
            "file_name": name.decode() if isinstance(name, bytes) else str(name),
            "index": index,
        }
        for key in self.label_keys:
            example[key] = tuple(np.unique(np.asarray(record[key], np.int64)).tolist())
        return example


def check_num_classes(source: Source, num_classes: int) -> None:
    """Raises DatasetError if the dataset has another number of classes than the model."""
    for key, found in source.num_classes.items():
        if found != num_classes:
            raise DatasetError(
                f"{source.dataset} has {found} classes ({key}), but num_classes is {num_classes}."
            )


# ---- order --------------------------------------------------------------------------------------


def shuffled_positions(num_examples: int, seed: int) -> grain.MapDataset:
    """The endless training sequence: element p is an example index; each epoch is a fresh shuffle."""
    if num_examples < 1:
        raise DatasetError("the training split is empty.")
    # Grain shuffles epoch e with seed + e; hashed, the seeds of different runs do not overlap.
    hashed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return grain.MapDataset.range(num_examples).shuffle(seed=hashed).repeat()


def local_rows(batch_size: int) -> range:
    """The rows of each global batch that this process loads."""
    rows = batch_size // jax.process_count()
    return range(jax.process_index() * rows, (jax.process_index() + 1) * rows)


# ---- batches ------------------------------------------------------------------------------------


def train_batches(
    source: Source,
    put: Callable[[dict[str, np.ndarray]], dict[str, jax.Array]],
    *,
    label_key: str,
    batch_size: int,
    max_labels: int,
    seed: int,
    steps: range,
    crop: str,
    size: int,
    resize_to: int | None,
    flip: bool,
    num_threads: int,
    num_workers: int,
) -> Iterator[dict[str, jax.Array]]:
    """Yields the batches of the given steps, as global arrays.

    Args:
      source: where examples come from.
      put: makes global arrays of this process's rows (see `sharding.put_batch`).
      label_key: the feature that holds the labels to learn.
      batch_size: global.
      max_labels: labels per example at most; fewer are padded with -1.
      seed: of shuffling and augmentation.
      steps: 0-based; the k-th batch is that of step steps[k].
      crop, size, resize_to, flip: see `preprocessing.train_image`.
      num_threads: that decode side by side, in this process or in each worker.
      num_workers: processes that decode; 0 decodes in this one.

    Yields:
      {"image": (batch_size, size, size, 3) float32 in [-1, 1],
       "labels": (batch_size, max_labels) int32, padded with -1}.
    """
    rows = local_rows(batch_size)
    order = shuffled_positions(len(source), seed)

    def load(element: int) -> dict[str, np.ndarray]:
        step = steps[element // len(rows)]
        position = step * batch_size + rows[element % len(rows)]
        index = order[position]
        example = source[index]
        rng = np.random.default_rng((seed, position // len(source), index))
        image = preprocessing.train_image(
            example["image"],
            f"{source.dataset} {example['file_name']}",
            rng,
            crop=crop,
            size=size,
            resize_to=resize_to,
            flip=flip,
        )
        labels = _padded(example[label_key], max_labels, example["file_name"])
        return {"image": image, "labels": labels}

    batches = _parallel(load, len(steps) * len(rows), len(rows), num_threads, num_workers)
    return _ahead(put, batches)


def eval_batches(
    source: Source,
    put: Callable[[dict[str, np.ndarray]], dict[str, jax.Array]],
    *,
    label_key: str,
    batch_size: int,
    max_labels: int,
    size: int,
    num_threads: int,
    num_workers: int,
) -> Iterator[tuple[dict[str, jax.Array], list[dict[str, Any]]]]:
    """Yields every example exactly once, in order.

    Args:
      label_key: the feature whose labels the loss is computed on.
      (others as in `train_batches`)

    Yields:
      The global batch, {"image", "labels", "mask": (batch_size,) bool, False on padding}, and this
      process's examples in it, as the source gives them, without their images.
    """
    rows = local_rows(batch_size)
    num_batches = math.ceil(len(source) / batch_size)

    def load(element: int) -> dict[str, Any]:
        index = element // len(rows) * batch_size + rows[element % len(rows)]
        if index >= len(source):
            return {
                "image": np.zeros((size, size, 3), np.float32),
                "labels": np.full(max_labels, _NO_LABEL, np.int32),
                "mask": np.zeros((), bool),
                "example": None,
            }
        example = source[index]
        encoded = example.pop("image")
        name = f"{source.dataset} {example['file_name']}"
        return {
            "image": preprocessing.eval_image(encoded, name, size),
            "labels": _padded(example[label_key], max_labels, example["file_name"]),
            "mask": np.ones((), bool),
            "example": example,
        }

    batches = _parallel(load, num_batches * len(rows), len(rows), num_threads, num_workers)

    def put_arrays(batch):
        examples = [e for e in batch.pop("example") if e is not None]
        return put(batch), examples

    return _ahead(put_arrays, batches)


def _padded(labels: tuple[int, ...], length: int, file_name: str) -> Int[np.ndarray, "length"]:
    if len(labels) > length:
        raise DatasetError(
            f"{file_name} has {len(labels)} labels; raise input.max_labels, which is {length}."
        )
    return np.array(labels + (_NO_LABEL,) * (length - len(labels)), np.int32)


def _stack(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {key: [element[key] for element in elements] for key in elements[0]}
    return {
        key: np.stack(column) if isinstance(column[0], np.ndarray) else column
        for key, column in columns.items()
    }


def _parallel(
    load: Callable[[int], dict[str, Any]],
    num_elements: int,
    batch_size: int,
    num_threads: int,
    num_workers: int,
) -> Iterable[dict[str, Any]]:
    """load(0), load(1), … in batches; computed side by side, delivered in order."""
    elements = grain.MapDataset.range(num_elements).map(load)
    if num_workers:
        if not flags.FLAGS.is_parsed():  # Grain's workers ask for flags; a notebook parses none
            flags.FLAGS.mark_as_parsed()
        # Whole batches travel from the workers, so that each crosses shared memory once.
        return (
            elements.batch(batch_size, batch_fn=_stack)
            .to_iter_dataset(
                grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads)
            )
            .mp_prefetch(
                grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=1)
            )
        )
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=max(2 * batch_size, num_threads)
    )
    return elements.to_iter_dataset(options).batch(batch_size, batch_fn=_stack)


def _ahead(put: Callable, batches: Iterable) -> Iterator:
    """put(batch) for each, a few batches ahead of the consumer, so that the devices need not wait."""
    waiting = collections.deque()
    for batch in batches:
        waiting.append(put(batch))
        if len(waiting) > _DEVICE_BATCHES:
            yield waiting.popleft()
    yield from waiting


@functools.cache
def default_threads() -> int:
    """Decoding threads where the config names none: two per processor hides the file reads."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 16

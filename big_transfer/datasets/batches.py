"""Batches on the devices, from sources with random access.

The examples of batch t are computed from t, without stored state. The training sequence is endless: position
p is element p % n of the permutation of epoch p // n, where n is the number of examples. Batch t of size B
holds the positions t·B … t·B + B - 1. So any process can compute its rows of any batch directly, and a
resumed run continues with exactly the next batch.

    index -> bytes and labels (source) -> image (threads) -> local batch -> global jax.Array
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from big_transfer.datasets import preprocessing
from big_transfer.datasets.source import DatasetError, Source

DEVICE_BATCHES = 2  # batches prefetched to the devices
MAX_IN_FLIGHT = 2  # batches given to the devices before the host waits for the oldest one
_HOST_BATCHES = 2  # batches that the threads decode ahead
_ROWS_OF_A_TASK = 4
_NO_LABEL = -1


# ---- order --------------------------------------------------------------------------------------


class ShuffledPositions:
    """The endless training sequence: element p is an example index; each epoch has a new permutation."""

    def __init__(self, num_examples: int, seed: int):
        """Stores size and seed; an epoch is shuffled at its first use.

        Raises:
          DatasetError: if there are no examples.
        """
        if num_examples < 1:
            raise DatasetError("the training split is empty.")
        self._num_examples, self._seed = num_examples, seed
        self._epochs: dict[int, Int[np.ndarray, "examples"]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self._num_examples)
        order = self._epochs.get(epoch)
        return int((self._shuffle(epoch) if order is None else order)[place])

    def _shuffle(self, epoch: int) -> Int[np.ndarray, "examples"]:
        with self._lock:
            if epoch not in self._epochs:
                order = np.random.default_rng((self._seed, epoch)).permutation(self._num_examples)
                # Some threads may still be in the previous epoch.
                kept = {e: o for e, o in self._epochs.items() if e == epoch - 1}
                self._epochs = kept | {epoch: order}
            return self._epochs[epoch]

    def __getstate__(self):
        return self.__dict__ | {"_lock": None, "_epochs": {}}

    def __setstate__(self, state):
        self.__dict__ |= state | {"_lock": threading.Lock()}


def local_rows(batch_size: int) -> range:
    """Returns the rows of each global batch that this process loads."""
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
      source: source of the examples.
      put: makes global arrays from this process's rows (see `sharding.put_batch`).
      label_key: feature with the labels to learn.
      batch_size: global batch size.
      max_labels: largest number of labels per example; shorter lists are padded with -1.
      seed: seed of shuffling and augmentation.
      steps: 0-based steps; the k-th batch belongs to step steps[k].
      crop, size, resize_to, flip: see `preprocessing.train_image`.
      num_threads: decoding threads, in this process or in each worker process.
      num_workers: worker processes that decode; with 0, this process decodes.

    Yields:
      {"image": (batch_size, size, size, 3) float32 in [-1, 1],
       "labels": (batch_size, max_labels) int32, padded with -1}.
    """
    rows = local_rows(batch_size)
    order = ShuffledPositions(len(source), seed)

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
    return _prefetched(put, batches)


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
    first: int = 0,
) -> Iterator[tuple[dict[str, jax.Array], list[dict[str, Any]]]]:
    """Yields every example exactly once, in order.

    Args:
      label_key: feature with the labels for the loss.
      first: index of the first example.
      (others as in `train_batches`)

    Yields:
      The global batch, {"image", "labels", "mask": (batch_size,) bool, False on padding}, and this
      process's examples in the batch: the dicts of the source, without images.
    """
    rows = local_rows(batch_size)
    num_batches = math.ceil((len(source) - first) / batch_size)

    def load(element: int) -> dict[str, Any]:
        index = first + element // len(rows) * batch_size + rows[element % len(rows)]
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

    return _prefetched(put_arrays, batches)


def _padded(labels: tuple[int, ...], length: int, file_name: str) -> Int[np.ndarray, "length"]:
    if len(labels) > length:
        raise DatasetError(
            f"{file_name} has {len(labels)} labels; raise input.max_labels, which is {length}."
        )
    return np.array(labels + (_NO_LABEL,) * (length - len(labels)), np.int32)


def _parallel(
    load: Callable[[int], dict[str, Any]],
    num_elements: int,
    batch_size: int,
    num_threads: int,
    num_workers: int,
) -> Iterable[dict[str, Any]]:
    """Yields load(0), load(1), … in batches and in order; calls `load` in parallel."""
    if num_workers:
        return _in_processes(load, num_elements, batch_size, num_threads, num_workers)
    return _in_threads(load, num_elements, batch_size, num_threads)


class _Batch:
    """A batch whose rows are written by several threads, directly into its arrays, to avoid a copy."""

    def __init__(self, size: int):
        self._size, self._lock = size, threading.Lock()
        self.columns: dict[str, Any] = {}

    def fill(self, rows: range, load: Callable[[int], dict[str, Any]], start: int) -> None:
        """Sets row r to load(start + r), for each r in `rows`."""
        for row in rows:
            loaded = load(start + row)
            with self._lock:
                if not self.columns:
                    self.columns = {key: self._column(value) for key, value in loaded.items()}
            for key, value in loaded.items():
                self.columns[key][row] = value

    def _column(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.empty((self._size, *value.shape), value.dtype)
        return [None] * self._size


def _in_threads(load, num_elements, batch_size, num_threads) -> Iterator[dict[str, Any]]:
    # Grain's threads use a queue and copy each image, which takes an eighth of the time.
    pool = concurrent.futures.ThreadPoolExecutor(num_threads)
    pending: collections.deque = collections.deque()
    # A few images per task, but enough tasks that every thread works on each batch.
    rows_per_task = max(1, min(_ROWS_OF_A_TASK, batch_size // num_threads))

    def finish() -> dict[str, Any]:
        batch, tasks = pending.popleft()
        for task in tasks:
            task.result()
        return batch.columns

    try:
        for start in range(0, num_elements, batch_size):
            batch = _Batch(batch_size)
            tasks = [
                pool.submit(batch.fill, range(batch_size)[row : row + rows_per_task], load, start)
                for row in range(0, batch_size, rows_per_task)
            ]
            pending.append((batch, tasks))
            if len(pending) > _HOST_BATCHES:
                yield finish()
        while pending:
            yield finish()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_processes(
    load, num_elements, batch_size, num_threads, num_workers
) -> Iterable[dict[str, Any]]:
    import grain
    from absl import flags

    if not flags.FLAGS.is_parsed():  # Grain's workers need them; a notebook parses none
        flags.FLAGS.mark_as_parsed()
    # Workers send whole batches, so each batch is copied through shared memory only once.
    return (
        grain.MapDataset.range(num_elements)
        .map(load)
        .batch(batch_size, batch_fn=_stack)
        .to_iter_dataset(
            grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads)
        )
        .mp_prefetch(
            grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=1)
        )
    )


def _stack(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {key: [element[key] for element in elements] for key in elements[0]}
    return {
        key: np.stack(column) if isinstance(column[0], np.ndarray) else column
        for key, column in columns.items()
    }


def _prefetched(put: Callable, batches: Iterable) -> Iterator:
    """Yields put(batch) for each batch, computed a few batches ahead, so that the devices do not wait."""
    waiting, failure = collections.deque(), None
    try:
        for batch in batches:
            waiting.append(put(batch))
            if len(waiting) > DEVICE_BATCHES:
                yield waiting.popleft()
    except Exception as error:  # for example an unreadable image; deliver the earlier batches first
        failure = error
    yield from waiting
    if failure is not None:
        raise failure


@functools.cache
def default_threads() -> int:
    """Default number of decoding threads: one per processor. Remote files need more threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 8

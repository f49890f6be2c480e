"""Checkpoints of a run, saved by Orbax."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from big_transfer.checkpoint.errors import CheckpointError, CorruptCheckpointError

log = logging.getLogger("big_transfer")

_FULL_DISK = ("RESOURCE_EXHAUSTED", "No space left on device", "Disk quota exceeded")


class Checkpoints:
    """A run's checkpoints below `<workdir>/checkpoints`, one folder per step.

    Saving is asynchronous and atomic (Orbax writes under a temporary name). A fingerprint of every array is
    saved with the state, because the file format does not detect changed values.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        keep: int = 3,
        best_metric: str | None = None,
    ):
        """Opens the folder, and creates it if it does not exist.

        Args:
          workdir: the run's folder.
          keep: number of newest checkpoints to keep.
          best_metric: name of a metric passed to `save`; the checkpoint with its highest value is also kept.
        """
        self.workdir = (
            epath.Path(workdir).resolve() if "://" not in str(workdir) else epath.Path(workdir)
        )
        self.directory = self.workdir / "checkpoints"
        policies: list[Any] = [checkpoint_managers.LatestN(keep)]
        if best_metric is not None:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=lambda metrics: metrics[best_metric],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
            # The policies choose the checkpoints; but Orbax writes metrics to disk only if best_fn is set.
            best_fn=(lambda metrics: metrics[best_metric]) if best_metric is not None else None,
            enable_async_checkpointing=True,
        )
        _drop_late_failures()
        with self._saving():
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=self._options,
                # Named here, so that metadata can be read before the first save or restore.
                item_handlers={
                    "state": ocp.StandardCheckpointHandler(),
                    "fingerprint": ocp.JsonCheckpointHandler(),
                },
            )

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def path(self, step: int) -> epath.Path:
        """Folder of the checkpoint of a step."""
        return self.directory / str(step)

    def save(self, step: int, state: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Starts saving, and returns once the arrays are copied off the devices.

        A step that is already saved is skipped.

        Raises:
          CheckpointError: if this checkpoint, or the one before it, cannot be written, as on a full disk.
        """
        with self._saving():
            if step in self._manager.all_steps():
                return
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    fingerprint=ocp.args.JsonSave(fingerprint(state)),
                ),
                metrics=dict(metrics) if metrics is not None else None,
                force=True,
            )

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Turns the failure of a save, which Orbax reports at a later call, into one line."""
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:  # TensorStore raises ValueErrors, Orbax and the system others
            is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            is_full |= any(words in str(error) for words in _FULL_DISK)
            reason = " ".join(str(error).split())
            found = "the disk is full" if is_full else f"{type(error).__name__}: {reason[:200]}"
            fix = "Free space" if is_full else "Make the folder writable"
            raise CheckpointError(
                f"{self.directory}: a checkpoint cannot be saved ({found}). {fix}, and run the same command "
                f"again: it continues from the newest complete checkpoint."
            ) from None

    def restore(self, step: int, like: Any) -> Any:
        """Restores one checkpoint.

        Args:
          step: one of `steps()`.
          like: tree of arrays or ShapeDtypeStructs with shardings, in the structure of the saved state.

        Raises:
          CorruptCheckpointError: if it cannot be read completely, or its values differ from the saved ones.
          CheckpointError: if its arrays have other names or shapes than `like`.
        """
        self._check_structure(step, like)
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        try:
            with _quiet():
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(abstract),
                        fingerprint=ocp.args.JsonRestore(),
                    ),
                )
        except Exception as error:  # Orbax and TensorStore raise many types for a damaged file.
            reason = str(error).strip().partition("\n")[0][:200]
            raise CorruptCheckpointError(
                f"{self.path(step)}: cannot be read ({type(error).__name__}: {reason})."
            ) from error
        fingerprints = fingerprint(restored["state"])
        changed = [k for k, v in fingerprints.items() if restored["fingerprint"].get(k) != v]
        if changed:
            raise CorruptCheckpointError(
                f"{self.path(step)}: the values of {len(changed)} arrays differ from the "
                f"saved ones (first: {changed[0]})."
            )
        return restored["state"]

    def layout(self, step: int) -> Any:
        """Returns the arrays of a checkpoint as ShapeDtypeStructs on this process's first device, unread.

        Raises:
          CorruptCheckpointError: if the metadata cannot be read.
        """
        try:
            with _quiet():
                tree = self._manager.item_metadata(step)["state"].tree
            place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
            )
        except Exception as error:
            raise CorruptCheckpointError(
                f"{self.path(step)}: the metadata cannot be read."
            ) from error

    def restore_latest(self, like: Any, *, set_aside: bool = True) -> tuple[int, Any] | None:
        """Restores the newest intact checkpoint; warns about newer, damaged ones.

        Args:
          like: see `restore`; with None, the structure is the checkpoint's own (see `layout`).
          set_aside: move damaged checkpoints to `<workdir>/corrupt_checkpoints`, so that their steps can be
            saved again.

        Returns:
          (step, state), or None if there are no checkpoints.

        Raises:
          CheckpointError: if all checkpoints are damaged, or they belong to another model.
        """
        corrupt = []
        for step in reversed(self.steps()):
            try:
                restored = self.restore(step, self.layout(step) if like is None else like)
            except CorruptCheckpointError as error:
                corrupt.append((step, error))
                continue
            for bad_step, error in corrupt:
                target = self.workdir / "corrupt_checkpoints" / str(bad_step)
                log.warning("Skipping a corrupt checkpoint: %s", error)
                if set_aside:
                    log.warning("The corrupt checkpoint is kept in %s.", target)
                    self._set_aside(bad_step, target)
            return step, restored
        if corrupt:
            raise CheckpointError(
                f"none of the {len(corrupt)} checkpoints in {self.directory} can be read. The newest: "
                f"{corrupt[0][1]} Set another --workdir to start from the beginning."
            )
        return None

    def _check_structure(self, step: int, like: Any) -> None:
        """Raises CheckpointError if the metadata can be read and belong to another model or optimizer."""
        try:
            saved = self.layout(step)
        except CorruptCheckpointError:  # reading the arrays will give the reason
            return
        found = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(saved)}
        expected = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(like)}
        wrong = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
        if wrong:
            raise CheckpointError(
                f"{self.path(step)}: belongs to another model or optimizer: {len(wrong)} arrays differ; "
                f"first: {wrong[0]}: expected {expected.get(wrong[0])}, found {found.get(wrong[0])}."
            )

    def _set_aside(self, step: int, target: epath.Path) -> None:
        if jax.process_index() == 0:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rmtree()
            self.path(step).rename(target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"set aside {step}")
        self._manager.reload()

    def wait(self) -> None:
        """Waits until all checkpoints passed to `save` are on disk."""
        with self._saving():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits as `wait` does, then closes the Orbax manager."""
        with self._saving():
            self._manager.close()


@jax.jit
def _checksums(arrays: list[jax.Array]) -> list[jax.Array]:
    """Returns a uint32 per array: a hash of its values and their positions."""

    def checksum(array):
        bits = array.reshape(-1)
        if bits.dtype.itemsize == 4:
            bits = jax.lax.bitcast_convert_type(bits, jnp.uint32)
        # Every element is hashed with its position (MurmurHash3's finalizer). Integer sums wrap and
        # commute, so the result depends neither on the sharding nor on the order of summation.
        position = jax.lax.iota(jnp.uint32, bits.size) * jnp.uint32(2654435761)
        mixed = bits.astype(jnp.uint32) ^ position
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
        return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)

    return [checksum(array) for array in arrays]


def fingerprint(state: Any) -> dict[str, int]:
    """Returns a uint32 hash of the values and positions of every array of a tree, by path."""
    paths, leaves = zip(*_leaves(state), strict=True)
    names = [_name(path) for path in paths]
    checksums = jax.device_get(_checksums(list(leaves)))
    return {n: int(c) for n, c in zip(names, checksums, strict=True)}


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _name(path: Any) -> str:
    """A tree path as text, such as a/0/b; its keys may be of dicts, sequences or named tuples."""
    keys = (getattr(k, "key", getattr(k, "name", getattr(k, "idx", None))) for k in path)
    return "/".join(str(key) for key in keys)


class _DroppedMessages(logging.Filter):
    """Drops asyncio's messages about reads and writes that fail after the first error was raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "exception was never retrieved" not in record.getMessage()


class _DroppedTracebacks(logging.Filter):
    """Drops the tracebacks that each of Orbax's threads logs; `Checkpoints` raises the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not ("orbax" in record.pathname and record.exc_info)


@functools.cache
def _drop_late_failures() -> None:
    """Hides the tracebacks of reads and writes that fail after a first; `Checkpoints` raises the first."""
    hook = sys.unraisablehook

    def drop(unraisable) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = drop
    logging.getLogger("asyncio").addFilter(_DroppedMessages())
    logging.getLogger("absl").addFilter(_DroppedTracebacks())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the tracebacks of abandoned TensorStore reads, which would bury the real error."""
    asyncio_log = logging.getLogger("asyncio")
    hook, level = sys.unraisablehook, asyncio_log.level
    sys.unraisablehook = lambda _: None
    asyncio_log.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception:
        gc.collect()  # reads that fail later, outside this context: see _drop_late_failures
        raise
    finally:
        sys.unraisablehook = hook
        asyncio_log.setLevel(level)

"""A run's own checkpoints, saved by Orbax."""

from __future__ import annotations

import contextlib
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


class Checkpoints:
    """A run's checkpoints below `<workdir>/checkpoints`, one folder per step.

    Saving is asynchronous and atomic (Orbax writes under a temporary name). Beside the state goes a
    fingerprint of every array, so that restoring notices what the file format does not.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        keep: int = 3,
        best_metric: str | None = None,
    ):
        """Opens the folder, or makes it.

        Args:
          workdir: the run's folder.
          keep: how many of the newest checkpoints stay.
          best_metric: the checkpoint where this metric (of `save`'s) was highest stays, too.
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
            # Not for choosing (the policies do), but because Orbax keeps metrics on disk only then.
            best_fn=(lambda metrics: metrics[best_metric]) if best_metric is not None else None,
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=self._options,
            # Named here, so that metadata can be read before anything was saved or restored.
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "fingerprint": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def path(self, step: int) -> epath.Path:
        """Where the checkpoint of a step lies."""
        return self.directory / str(step)

    def save(self, step: int, state: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Starts saving; returns once the arrays are copied off the devices."""
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

    def restore(self, step: int, like: Any) -> Any:
        """Restores one checkpoint.

        Args:
          step: one of `steps()`.
          like: arrays or ShapeDtypeStructs with shardings, in the structure of what was saved.

        Raises:
          CorruptCheckpointError: if it cannot be read whole, or is not what was saved.
          CheckpointError: if it is whole, but holds arrays of other names or shapes.
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
        except Exception as error:  # Orbax and TensorStore raise whatever they meet in a bad file.
            reason = str(error).strip().partition("\n")[0][:200]
            raise CorruptCheckpointError(
                f"{self.path(step)}: cannot be read ({type(error).__name__}: {reason})."
            ) from error
        found = fingerprint(restored["state"])
        changed = [k for k, v in found.items() if restored["fingerprint"].get(k) != v]
        if changed:
            raise CorruptCheckpointError(
                f"{self.path(step)}: {len(changed)} arrays are not what was saved ({changed[0]}…)."
            )
        return restored["state"]

    def layout(self, step: int) -> Any:
        """What a checkpoint holds: a tree of ShapeDtypeStructs, on the first of this process's devices.

        Raises:
          CorruptCheckpointError: if its metadata cannot be read.
        """
        try:
            with _quiet():
                tree = self._manager.item_metadata(step)["state"].tree
            place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
            )
        except Exception as error:
            raise CorruptCheckpointError(f"{self.path(step)}: has no readable metadata.") from error

    def restore_latest(self, like: Any, *, set_aside: bool = True) -> tuple[int, Any] | None:
        """Restores the newest checkpoint that is whole; warns about newer ones that are not.

        Args:
          like: see `restore`; None takes each checkpoint as it is (see `layout`).
          set_aside: move the others to `<workdir>/corrupt_checkpoints`, out of the way of new ones.

        Returns:
          (step, state), or None if there are no checkpoints.

        Raises:
          CheckpointError: if there are some and none is whole, or they are of another model.
        """
        corrupt = []
        for step in reversed(self.steps()):
            try:
                restored = self.restore(step, self.layout(step) if like is None else like)
            except CorruptCheckpointError as error:
                corrupt.append((step, error))
                continue
            for bad_step, error in corrupt:
                aside = self.workdir / "corrupt_checkpoints" / str(bad_step)
                log.warning("Skipping a corrupt checkpoint: %s", error)
                if set_aside:
                    log.warning("It is kept in %s.", aside)
                    self._set_aside(bad_step, aside)
            return step, restored
        if corrupt:
            raise CheckpointError(
                f"none of the {len(corrupt)} checkpoints in {self.directory} can be read. The newest: "
                f"{corrupt[0][1]} Give another --workdir to start afresh."
            )
        return None

    def _check_structure(self, step: int, like: Any) -> None:
        """Tells a checkpoint of another model from a damaged one, where its metadata can be read."""
        try:
            saved = self.layout(step)
        except CorruptCheckpointError:  # reading the arrays will say how
            return
        found = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(saved)}
        expected = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(like)}
        wrong = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
        if wrong:
            raise CheckpointError(
                f"{self.path(step)}: is of another model or optimizer: {len(wrong)} arrays differ, the "
                f"first is {wrong[0]}: expected {expected.get(wrong[0])}, found {found.get(wrong[0])}."
            )

    def _set_aside(self, step: int, aside: epath.Path) -> None:
        if jax.process_index() == 0:
            aside.parent.mkdir(parents=True, exist_ok=True)
            if aside.exists():
                aside.rmtree()
            self.path(step).rename(aside)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"set aside {step}")
        self._manager.reload()

    def wait(self) -> None:
        """Returns when everything started by `save` is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees what the manager holds."""
        self._manager.close()


@jax.jit
def _checksums(arrays: list[jax.Array]) -> list[jax.Array]:
    """One uint32 per array, a hash of its values and their places."""

    def checksum(array):
        bits = array.reshape(-1)
        if bits.dtype.itemsize == 4:
            bits = jax.lax.bitcast_convert_type(bits, jnp.uint32)
        # Every element is hashed with its place (MurmurHash3's finalizer); sums of integers wrap and
        # commute, so neither sharding nor order matter.
        place = jax.lax.iota(jnp.uint32, bits.size) * jnp.uint32(2654435761)
        mixed = bits.astype(jnp.uint32) ^ place
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
        return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)

    return [checksum(array) for array in arrays]


def fingerprint(state: Any) -> dict[str, int]:
    """A hash of every array of a tree: its path -> uint32 of its values and their places."""
    paths, leaves = zip(*_leaves(state), strict=True)
    names = [_name(path) for path in paths]
    checksums = jax.device_get(_checksums(list(leaves)))
    return {n: int(c) for n, c in zip(names, checksums, strict=True)}


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _name(path: Any) -> str:
    """a/0/b for a path, whether its keys are of dicts, sequences or named tuples."""
    keys = (getattr(k, "key", getattr(k, "name", getattr(k, "idx", None))) for k in path)
    return "/".join(str(key) for key in keys)


class _DroppedReads(logging.Filter):
    """Drops what asyncio says of reads that failed after the one whose error was raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "exception was never retrieved" not in record.getMessage()


_DROPPED_READS = _DroppedReads()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the pages of tracebacks that TensorStore's dropped reads print beside the real error."""
    asyncio_log = logging.getLogger("asyncio")
    hook = after = sys.unraisablehook
    level = asyncio_log.level

    def drop_dropped_reads(unraisable) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = lambda _: None
    asyncio_log.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception:
        gc.collect()
        # Reads still under way end, and complain, at some later time.
        after = drop_dropped_reads
        asyncio_log.addFilter(_DROPPED_READS)
        raise
    finally:
        sys.unraisablehook = after
        asyncio_log.setLevel(level)

"""Checkpoints: the public BiT `.npz` files, and a run's own, saved by Orbax.

The public layout is documented in `resnet`: parameters travel under the same names, so reading and
writing a file is a matter of splitting and joining paths, and of checking them.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from big_transfer import resnet
from real_labels import files, npz
from real_labels.errors import InputError

log = logging.getLogger("big_transfer")

PREFIX = "resnet/"
_HEAD = ("head/conv2d/kernel", "head/conv2d/bias")
_NUMBERED = re.compile(r"\bstandardized_conv2d_\d+(?=/)")
_UNIT = re.compile(r"block(\d+)/unit(\d+)/")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is not what it should be; the message says how."""


class CorruptCheckpointError(CheckpointError):
    """A run's checkpoint that is damaged: another one may do instead."""


# ---- public .npz files --------------------------------------------------------------------------


def load_npz(path: epath.PathLike, model: resnet.ResNetV2 | None = None) -> dict:
    """Reads a public BiT checkpoint.

    Args:
      path: a `.npz` in the public layout; convolutions may carry a number, as they do in some
        published files (`standardized_conv2d_17`).
      model: the model that shall take the parameters; by default any the file can be of. Where its
        number of classes is another than the file's, its head starts at zero.

    Returns:
      A nested dict of float32 arrays that `model.apply({"params": params}, images)` takes.

    Raises:
      FileNotFoundError: if there is no such file.
      CheckpointError: naming the arrays that are missing, superfluous or misshapen with their
        shapes, or what else is wrong with the file.
    """
    arrays = _read_npz(path)
    parameters = {}
    for name, array in arrays.items():
        canonical = _NUMBERED.sub("standardized_conv2d", name.removeprefix(PREFIX))
        if canonical in parameters:
            raise CheckpointError(f"{path}: two arrays stand for {PREFIX}{canonical} ({name}).")
        parameters[canonical] = array
    new_head = False
    if model is None:
        model = _model_of(path, parameters)
    elif _HEAD[0] in parameters and parameters[_HEAD[0]].shape[-1] != model.num_classes:
        new_head = True
        log.info(
            "%s has %d classes, the model %d: its head starts at zero.",
            path,
            parameters[_HEAD[0]].shape[-1],
            model.num_classes,
        )
    expected = _expected_shapes(model)
    if new_head:
        # Everything of the file is checked, then its head makes way for the new one.
        classes = parameters[_HEAD[0]].shape[-1]
        _check_names_and_shapes(
            path, parameters, _expected_shapes(model.clone(num_classes=classes))
        )
        parameters |= {name: np.zeros(expected[name], np.float32) for name in _HEAD}
    _check_names_and_shapes(path, parameters, expected)
    for name, array in parameters.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {PREFIX}{name} holds NaN or infinite values.")
    parameters = {name: np.asarray(a, dtype=np.float32) for name, a in parameters.items()}
    return flax.traverse_util.unflatten_dict(parameters, sep="/")


def save_npz(path: epath.PathLike, params: Mapping[str, Any]) -> None:
    """Writes parameters in the public layout, under a temporary name that is then renamed."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    arrays = {PREFIX + name: np.asarray(array) for name, array in flat.items()}
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read_npz(path: epath.PathLike) -> dict[str, np.ndarray]:
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such checkpoint file.")
    try:
        with npz.opened(path) as archive:
            return {name: archive[name] for name in archive.files}
    except InputError as error:
        raise CheckpointError(f"{error} Fetch it again.") from None


def _expected_shapes(model: resnet.ResNetV2) -> dict[str, tuple[int, ...]]:
    params = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def _model_of(path: epath.PathLike, parameters: Mapping[str, np.ndarray]) -> resnet.ResNetV2:
    """The model whose units, width and classes a file has (its other shapes are still unchecked)."""
    stages: dict[int, int] = {}
    for name in parameters:
        if match := _UNIT.match(name):
            stage, unit = int(match[1]), int(match[2])
            stages[stage] = max(stages.get(stage, 0), unit)
    root = parameters.get("root_block/standardized_conv2d/kernel")
    head = parameters.get(_HEAD[1])
    if root is None or head is None or sorted(stages) != list(range(1, len(stages) + 1)):
        found = ", ".join(PREFIX + name for name in list(parameters)[:3]) or "nothing"
        raise CheckpointError(
            f"{path}: is no BiT checkpoint: expected {PREFIX}root_block/standardized_conv2d/kernel, "
            f"{PREFIX}block1/unit01/…, {PREFIX}{_HEAD[1]}; found {found}."
        )
    try:
        return resnet.ResNetV2(
            depth=resnet.units_per_stage(tuple(stages[i] for i in sorted(stages))),
            width=resnet.root_channels(root.shape[-1] / 64) / 64,
            num_classes=head.shape[-1],
        )
    except ValueError as error:
        raise CheckpointError(f"{path}: is of no BiT model: {error}") from None


def _check_names_and_shapes(path, parameters, expected) -> None:
    problems = [f"missing {PREFIX}{n} {expected[n]}" for n in expected if n not in parameters]
    problems += [
        f"superfluous {PREFIX}{name} {array.shape}"
        for name, array in parameters.items()
        if name not in expected
    ]
    problems += [
        f"misshapen {PREFIX}{name}: expected {expected[name]}, found {array.shape}"
        for name, array in parameters.items()
        if name in expected and array.shape != expected[name]
    ]
    if problems:
        more = f"\n  … and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise CheckpointError(
            f"{path}: does not fit the model:\n  " + "\n  ".join(problems[:10]) + more
        )


# ---- a run's own checkpoints --------------------------------------------------------------------


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
        policies = [checkpoint_managers.LatestN(keep)]
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
        self._manager = ocp.CheckpointManager(self.directory, options=self._options)

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
                fingerprint=ocp.args.JsonSave(_fingerprint(state)),
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
        fingerprint = _fingerprint(restored["state"])
        changed = [k for k, v in fingerprint.items() if restored["fingerprint"].get(k) != v]
        if changed:
            raise CorruptCheckpointError(
                f"{self.path(step)}: {len(changed)} arrays are not what was saved ({changed[0]}…)."
            )
        return restored["state"]

    def restore_latest(self, like: Any, *, set_aside: bool = True) -> tuple[int, Any] | None:
        """Restores the newest checkpoint that is whole; warns about newer ones that are not.

        Args:
          like: see `restore`.
          set_aside: move the others to `<workdir>/corrupt_checkpoints`, out of the way of new ones.

        Returns:
          (step, state), or None if there are no checkpoints.

        Raises:
          CheckpointError: if there are some and none is whole, or they are of another model.
        """
        corrupt = []
        for step in reversed(self.steps()):
            try:
                restored = self.restore(step, like)
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
            with _quiet():
                saved = self._manager.item_metadata(step)["state"].tree
        except Exception:  # damaged: reading the arrays will say how
            return
        if saved is None:
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
            jax.experimental.multihost_utils.sync_global_devices(f"set aside {step}")
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


def _fingerprint(state: Any) -> dict[str, int]:
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

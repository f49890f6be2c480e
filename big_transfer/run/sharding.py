"""The device mesh, shardings of state and batches, and placing batches on the devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from real_labels.errors import ExpectedError

AXIS = "data"
STRATEGIES = ("replicated", "fsdp")
# Arrays with fewer elements are kept on every device: gathering them would cost more than it saves.
_FSDP_MIN_SIZE = 2**14


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns a one-dimensional mesh of the devices (by default all devices of all processes).

    Batches are split over the mesh. The devices of a process are adjacent, so that its rows of a batch are
    contiguous.
    """
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with a copy of the array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with the first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def state_shardings(state: Any, mesh: Mesh, strategy: str) -> Any:
    """Returns a sharding for each array of the training state.

    Args:
      state: a tree of arrays or ShapeDtypeStructs.
      mesh: mesh from `make_mesh`.
      strategy: "replicated" (a copy on every device) or "fsdp" (each array from 2^14 elements is split
        along an axis that is divisible by the number of devices: the last axis, so that a kernel can be
        standardized where it is, else the longest; optimizer state is split like its parameter).

    Raises:
      ValueError: for another strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"sharding must be one of {', '.join(STRATEGIES)}, found {strategy!r}.")

    def choose(array) -> NamedSharding:
        axes = [axis for axis, extent in enumerate(array.shape) if extent % mesh.size == 0]
        if strategy == "replicated" or not axes or np.prod(array.shape) < _FSDP_MIN_SIZE:
            return replicated(mesh)
        last = array.ndim - 1
        axis = last if last in axes else max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))

    return jax.tree.map(choose, state)


def split_axis(sharding: NamedSharding) -> int | None:
    """The axis along which an array is split over the devices; None if every device has a copy."""
    return next((axis for axis, name in enumerate(sharding.spec) if name == AXIS), None)


class BatchSizeError(ExpectedError, ValueError):
    """The batch size is not divisible by the number of devices (× micro-batches)."""


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Checks that a batch can be split evenly over the devices and micro-batches.

    Raises:
      BatchSizeError: if not; the message gives the sizes and the nearest valid batch sizes.
    """
    parts = mesh.size * accumulate
    if batch_size % parts:
        below = batch_size // parts * parts
        raise BatchSizeError(
            f"input.batch_size: a batch of {batch_size} does not split over {mesh.size} devices"
            + (f" × {accumulate} micro-batches" if accumulate > 1 else "")
            + f"; the nearest that do: {', '.join(str(b) for b in (below, below + parts) if b)}."
        )


def put_batch(mesh: Mesh, local: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Makes global arrays, split over the mesh, from this process's rows."""
    sharding = batch_sharding(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, rows) for key, rows in local.items()
    }

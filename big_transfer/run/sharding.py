"""The device mesh, what is sharded over it and how, and putting batches on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from real_labels.errors import ExpectedError

AXIS = "data"
STRATEGIES = ("replicated", "fsdp")
# Below this many elements an array costs more to gather than to keep on every device.
_FSDP_MIN_SIZE = 2**14


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """The devices (all of all processes, if None) in one row: batches are split over it.

    Those of one process are neighbours, so that its rows of a batch are contiguous.
    """
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def state_shardings(state: Any, mesh: Mesh, strategy: str) -> Any:
    """A sharding for each array of the training state.

    Args:
      state: a tree of arrays or ShapeDtypeStructs.
      mesh: from `make_mesh`.
      strategy: "replicated" (a copy on every device) or "fsdp" (each large array split along its
        longest axis that the devices divide; optimizer state like its parameter).
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"sharding must be one of {', '.join(STRATEGIES)}, found {strategy!r}.")

    def choose(array) -> NamedSharding:
        axes = [axis for axis, extent in enumerate(array.shape) if extent % mesh.size == 0]
        if strategy == "replicated" or not axes or np.prod(array.shape) < _FSDP_MIN_SIZE:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, AXIS))

    return jax.tree.map(choose, state)


class BatchSizeError(ExpectedError, ValueError):
    """A batch that does not divide among the devices."""


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Refuses a batch that does not divide among the devices (and micro-batches).

    Raises:
      BatchSizeError: naming what does not fit and the nearest sizes that do.
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
    """Makes global arrays, split over the mesh, of this process's rows."""
    sharding = batch_sharding(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, rows) for key, rows in local.items()
    }

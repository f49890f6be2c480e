"""TPU slices by the names that JAX's compiler takes, such as v5e:4x8, and the chips they are made of."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import jax

from real_labels.errors import ExpectedError

_NAME = re.compile(r"(v\d\w*):(\d+(?:x\d+){1,2})")
_GIB = 2**30


class TopologyError(ExpectedError, ValueError):
    """A TPU slice cannot be compiled for."""


@dataclasses.dataclass(frozen=True)
class Chip:
    """A TPU chip.

    Attributes:
      name: such as "v5e".
      flops: bfloat16 operations per second, at most. With JAX's default precision, a float32 convolution is
        computed in bfloat16, too.
      bandwidth: bytes per second from and to the chip's memory, at most.
      memory: bytes.
      usable: bytes of it that the compiler lets a program use.
      dimensions: of the grid of a slice.
      most: chips in the largest slice.
      cores: "megacore" for chips whose two cores work as one device.
    """

    name: str
    flops: float
    bandwidth: float
    memory: int
    usable: float
    dimensions: int
    most: int
    cores: str | None = None


# cloud.google.com/tpu/docs/v4, …/v5e, …/v5p and …/v6e, "System architecture". The usable memory is that of
# libtpu 0.0.42.1.
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 1228e9, 32 * _GIB, 30.75 * _GIB, 3, 4096, "megacore"),
        Chip("v5e", 197e12, 819e9, 16 * _GIB, 15.75 * _GIB, 2, 256),
        Chip("v5p", 459e12, 2765e9, 95 * _GIB, 95 * _GIB, 3, 8960, "megacore"),
        Chip("v6e", 918e12, 1640e9, 32 * _GIB, 31.25 * _GIB, 2, 256),
    )
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """A TPU slice.

    Attributes:
      name: such as "v5e:4x8".
      chip: the chip.
      devices: one for each chip; they compile but cannot compute.
    """

    name: str
    chip: Chip
    devices: tuple[Any, ...]

    @property
    def num_hosts(self) -> int:
        return len({device.process_index for device in self.devices})


def slice_of(topology: str) -> Slice:
    """Returns the slice with a name such as "v5e:4x8".

    Raises:
      TopologyError: if there is no such slice, or the compiler is not installed.
    """
    found = _NAME.fullmatch(topology)
    if found is None or found[1] not in CHIPS:
        raise TopologyError(
            f"--topology: expected a chip ({', '.join(CHIPS)}) and its grid, such as v5e:4x8, found "
            f"{topology!r}."
        )
    chip = CHIPS[found[1]]
    grid = [int(extent) for extent in found[2].split("x")]
    if len(grid) != chip.dimensions or not 1 <= math.prod(grid) <= chip.most:
        example = "2x2x4" if chip.dimensions == 3 else "4x8"
        raise TopologyError(
            f"--topology: {chip.name} has grids of {chip.dimensions} dimensions and at most {chip.most:,} "
            f"chips, such as {chip.name}:{example}; found {topology}."
        )
    if importlib.util.find_spec("libtpu") is None:
        raise TopologyError("--mode=compile needs the TPU's compiler: pip install '.[tpu]'")
    from jax.experimental import topologies

    options: dict[str, Any] = {"chip_config_name": chip.cores} if chip.cores else {}
    if math.prod(grid) < 4:  # a host has four chips, unless a slice is smaller
        options["chips_per_host_bounds"] = (*grid, 1)[:3]
    with _without_a_tpu():
        try:
            devices = topologies.get_topology_desc(
                platform="tpu", topology_name=topology, **options
            ).devices
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise TopologyError(f"--topology: there is no slice {topology} ({reason}).") from None
    return Slice(topology, chip, tuple(devices))


@contextlib.contextmanager
def _without_a_tpu() -> Iterator[None]:
    """Keeps libtpu from asking Google's cloud for a TPU, from now on, and from handling signals."""
    settings = {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # any; without it, libtpu warns
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several plans at once
        "TPU_STDERR_LOG_LEVEL": "3",
        "TPU_MIN_LOG_LEVEL": "3",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():  # libtpu sets its own, which print a stack trace
            signal.signal(number, handler)

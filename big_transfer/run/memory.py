"""Settings of the memory allocator, and advice for a device whose memory is too small."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Makes malloc keep freed memory for the next step instead of returning it to the kernel.

    A step on a CPU allocates gigabytes; by default the kernel maps and zeroes their pages again in each step
    (docs/benchmarks.md). Call this function before JAX starts its threads; later it has little effect.

    Returns:
      Whether the settings took effect; only glibc on Linux supports them.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all(
        mallopt(option, value)
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1))
    )


def advice(error: str) -> str:
    """What to set when a device runs out of memory.

    Args:
      error: the runtime's message.
    """
    reason = error.strip().partition("\n")[0][:200]
    return (
        f"the device's memory is too small ({reason}). For training, set "
        "--config.input.accumulate_steps=2 (4, 8, …: the same result from smaller micro-batches), "
        "--config.model.remat=True, --config.model.dtype=bfloat16 or, with several devices, "
        "--config.sharding=fsdp; for evaluation, a smaller --config.eval.batch_size. On a GPU that other "
        "programs use, set XLA_PYTHON_CLIENT_PREALLOCATE=false."
    )

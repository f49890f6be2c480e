"""Settings of the memory allocator."""

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

"""Where a program's memory comes from."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Lets malloc keep what is freed for the next step, instead of handing it back to the kernel.

    A step on a CPU allocates gigabytes, and by default each of their pages is fetched and zeroed anew
    (docs/benchmarks.md). Call it before JAX starts its threads, or it does little.

    Returns:
      Whether it took effect; only glibc on Linux has it.
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

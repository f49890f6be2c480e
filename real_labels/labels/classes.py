"""Class indices."""

from __future__ import annotations

import numpy as np

from real_labels.errors import InputError

_HIGHEST_CLASS = np.iinfo(np.int32).max


def check_classes(classes: np.ndarray, what: str) -> np.ndarray:
    """Returns class indices as int32.

    Raises:
      InputError: if they are no integers, negative, or beyond 32 bits.
    """
    classes = np.asarray(classes)
    if classes.dtype.kind not in ("iuO" if classes.size else "iuOf"):  # an empty list is of floats
        raise InputError(f"{what} must be integers, found {classes.dtype}.")
    if classes.size and classes.min() < 0:
        raise InputError(f"{what}: {classes.min()} is negative.")
    if classes.size and classes.max() > _HIGHEST_CLASS:
        raise InputError(f"{what}: {classes.max()} is beyond 32 bits; class indices start at 0.")
    return classes.astype(np.int32, copy=False)

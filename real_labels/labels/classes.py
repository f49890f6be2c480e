"""Checking class indices, and reading them from text."""

from __future__ import annotations

import re

import numpy as np

from real_labels.errors import InputError

WORDNET_ID = re.compile(r"n\d{8}")
_HIGHEST_CLASS = np.iinfo(np.int32).max
# Whole numbers of up to 15 digits, also in the notation of floats.
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?")
_EXPONENT = re.compile(r"[+-]?\d\.?\d{0,20}[eE][+-]?\d{1,2}")


def check_classes(classes: np.ndarray, name: str) -> np.ndarray:
    """Returns class indices as int32.

    Args:
      classes: class indices, of any shape.
      name: name of the array, for errors.

    Raises:
      InputError: if a class index is not an integer, is negative, or is beyond 32 bits.
    """
    classes = np.asarray(classes)
    if classes.dtype.kind not in (
        "iuO" if classes.size else "iuOf"
    ):  # np.asarray makes an empty list float
        raise InputError(f"{name} must be integers, found {classes.dtype}.")
    if classes.size and classes.min() < 0:
        raise InputError(f"{name}: {classes.min()} is negative.")
    if classes.size and classes.max() > _HIGHEST_CLASS:
        raise InputError(f"{name}: {classes.max()} is beyond 32 bits; class indices start at 0.")
    return classes.astype(np.int32, copy=False)


def whole_number(text: str) -> int | None:
    """Returns the whole number in a text such as 3, 3.0 or NumPy's 3.0e+00; None for other text."""
    if match := _WHOLE.fullmatch(text):
        return int(match[1])
    if not _EXPONENT.fullmatch(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e15 else None

"""Class indices, and how they are written."""

from __future__ import annotations

import re

import numpy as np

from real_labels.errors import InputError

WORDNET_ID = re.compile(r"n\d{8}")
_HIGHEST_CLASS = np.iinfo(np.int32).max
# Whole numbers of up to 15 digits, also as a float is written.
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?")
_EXPONENT = re.compile(r"[+-]?\d\.?\d{0,20}[eE][+-]?\d{1,2}")


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


def whole_number(text: str) -> int | None:
    """The whole number that a text is: 3, 3.0, or 3.0e+00 as NumPy writes it; None of other text."""
    if found := _WHOLE.fullmatch(text):
        return int(found[1])
    if not _EXPONENT.fullmatch(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e15 else None

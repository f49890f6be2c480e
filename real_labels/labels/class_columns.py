"""Columns of tables that hold classes: indices, or WordNet ids of ILSVRC-2012."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files.tables import numbers, text
from real_labels.labels import imagenet

if TYPE_CHECKING:
    from jaxtyping import Int


_WHOLE = re.compile(r"-?\d{1,15}")


def class_indices(column: Any, what: str, per_row: int = 1) -> Int[np.ndarray, "values"]:
    """(N,) int64 class indices from a pyarrow column of integers, integral floats or WordNet ids.

    Args:
      column: a pyarrow.ChunkedArray.
      what: its name, for the error.
      per_row: values that stand in one row of the table, where the column is made of lists.

    Raises:
      InputError: at the first value that is none of these.
    """
    import pyarrow as pa

    if column.null_count:
        row = column.to_pylist().index(None) // per_row
        raise InputError(f"row {row + 1} has no {what}.")
    if pa.types.is_integer(column.type):
        return numbers(column).astype(np.int64)
    if pa.types.is_floating(column.type):
        values = numbers(column)
        whole = (values == np.floor(values)) & (np.abs(values) < 1 << 53)
        if not whole.all():
            at = int(np.argmin(whole))
            raise InputError(
                f"row {at // per_row + 1} has the {what} {values[at]}, expected a class index."
            )
        return values.astype(np.int64)
    codes, texts = text(column)
    indices = np.zeros(len(texts), np.int64)
    for i, value in enumerate(texts.tolist()):
        value = value.strip()
        if _WHOLE.fullmatch(value):
            indices[i] = int(value)
        elif value in imagenet.class_of_wordnet_id():
            indices[i] = imagenet.class_of_wordnet_id()[value]
        else:
            row = int(np.argmax(codes == i)) // per_row
            raise InputError(
                f"row {row + 1} has the {what} '{value}', expected a class index or a WordNet id "
                f"of ILSVRC-2012 such as n01440764."
            )
    return indices[codes]

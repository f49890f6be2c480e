"""Columns of tables that hold classes: indices, names of a list, or WordNet ids of ILSVRC-2012."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.labels import imagenet
from real_labels.labels.class_names import ClassNames
from real_labels.labels.classes import WORDNET_ID, whole_number

if TYPE_CHECKING:
    from jaxtyping import Int


def class_indices(
    column: Any,
    what: str,
    per_row: int = 1,
    names: ClassNames | None = None,
    rows: Int[np.ndarray, "values"] | None = None,
) -> Int[np.ndarray, "values"]:
    """(N,) int64 class indices of a pyarrow column of whole numbers, class names or WordNet ids.

    Args:
      column: a pyarrow.ChunkedArray.
      what: its name, for the error.
      per_row: values that stand in one row of the table, where the column is made of lists.
      names: the dataset's classes; with them, WordNet ids are names like others, and not ILSVRC-2012's.
      rows: (N,) row of each value, from 0, where the column is a part of the table's.

    Raises:
      InputError: at the first value that is none of these.
    """
    import pyarrow as pa

    def row_of(place: int) -> int:
        """The row of a value, from 1."""
        return 1 + (place // per_row if rows is None else int(rows[place]))

    if column.null_count:
        raise InputError(f"row {row_of(column.to_pylist().index(None))} has no {what}.")
    if pa.types.is_integer(column.type):
        with tables.understood():
            return tables.numbers(column).astype(np.int64)
    if pa.types.is_floating(column.type):
        values = tables.numbers(column)
        whole = (values == np.floor(values)) & (np.abs(values) < 1 << 53)
        if not whole.all():
            at = int(np.argmin(whole))
            raise InputError(
                f"row {row_of(at)} has the {what} {values[at]}, expected a class index."
            )
        return values.astype(np.int64)
    codes, texts = tables.names(column)
    if (codes < 0).any():
        raise InputError(f"row {row_of(int(np.argmin(codes)))} has no {what}.")
    found = [index_of(value, names) for value in texts.tolist()]
    if None in found:
        bad = found.index(None)
        expected = (
            "a class index or a WordNet id of ILSVRC-2012 such as n01440764"
            if names is None
            else "a class index or one of the class names"
        )
        raise InputError(
            f"row {row_of(int(np.argmax(codes == bad)))} has the {what} '{texts[bad]}', expected {expected}."
        )
    return np.array(found, np.int64)[codes]


def index_of(value: str, names: ClassNames | None = None) -> int | None:
    """The class that a text stands for: by its name, as a whole number, or by its WordNet id; or None."""
    if names is not None and (index := names.index_of(value)) is not None:
        return index
    if (number := whole_number(value)) is not None:
        return number
    return imagenet.class_of_wordnet_id().get(value) if names is None else None


def index_of_name(name: str, names: ClassNames | None = None) -> int | None:
    """The class that a column is called after: a class name, or a WordNet id of ILSVRC-2012; or None."""
    if names is not None:
        return names.index_of(name)
    return imagenet.class_of_wordnet_id().get(name.strip())


def are_wordnet_ids(column: Any) -> bool:
    """Whether a column holds WordNet ids, as its first value tells."""
    first = next((v for v in column.slice(0, 100).to_pylist() if v is not None), None)
    return isinstance(first, str) and bool(WORDNET_ID.fullmatch(first.strip()))

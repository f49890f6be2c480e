"""Table columns of classes: class indices, class names, or WordNet ids of ILSVRC-2012."""

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
    column_name: str,
    per_row: int = 1,
    names: ClassNames | None = None,
    rows: Int[np.ndarray, "values"] | None = None,
) -> Int[np.ndarray, "values"]:
    """Returns (N,) int64 class indices from a column of whole numbers, class names or WordNet ids.

    Args:
      column: a pyarrow.ChunkedArray.
      column_name: name of the column, for errors.
      per_row: number of values per row of the table, if the column is flattened from lists.
      names: class names of the dataset; with them, WordNet ids are read as names, not as ILSVRC-2012's.
      rows: (N,) table row of each value, from 0, if the column has only some of the table's rows.

    Raises:
      InputError: at the first value that is missing or not a class.
    """
    import pyarrow as pa

    def row_of(place: int) -> int:
        """Returns the table row of a value, from 1."""
        return 1 + (place // per_row if rows is None else int(rows[place]))

    if column.null_count:
        raise InputError(f"row {row_of(column.to_pylist().index(None))} has no {column_name}.")
    if pa.types.is_integer(column.type):
        with tables.understood():
            return tables.numbers(column).astype(np.int64)
    if pa.types.is_floating(column.type):
        values = tables.numbers(column)
        whole = (values == np.floor(values)) & (np.abs(values) < 1 << 53)
        if not whole.all():
            at = int(np.argmin(whole))
            raise InputError(
                f"row {row_of(at)} has the {column_name} {values[at]}, expected a class index."
            )
        return values.astype(np.int64)
    codes, texts = tables.names(column)
    if (codes < 0).any():
        raise InputError(f"row {row_of(int(np.argmin(codes)))} has no {column_name}.")
    indices = [index_of(value, names) for value in texts.tolist()]
    if None in indices:
        bad = indices.index(None)
        expected = (
            "a class index or a WordNet id of ILSVRC-2012 such as n01440764"
            if names is None
            else "a class index or one of the class names"
        )
        raise InputError(
            f"row {row_of(int(np.argmax(codes == bad)))} has the {column_name} '{texts[bad]}', "
            f"expected {expected}."
        )
    return np.array(indices, np.int64)[codes]


def index_of(value: str, names: ClassNames | None = None) -> int | None:
    """Returns the class of a text: a class name, a whole number or a WordNet id; None for other text.

    With class names, WordNet ids are not read.
    """
    if names is not None and (index := names.index_of(value)) is not None:
        return index
    if (number := whole_number(value)) is not None:
        return number
    return imagenet.class_of_wordnet_id().get(value) if names is None else None


def index_of_name(name: str, names: ClassNames | None = None) -> int | None:
    """Returns the class of a column's name: a class name or a WordNet id of ILSVRC-2012; or None.

    With class names, WordNet ids are not read.
    """
    if names is not None:
        return names.index_of(name)
    return imagenet.class_of_wordnet_id().get(name.strip())


def are_wordnet_ids(column: Any) -> bool:
    """Whether a column holds WordNet ids, judged by its first value."""
    first = next((v for v in column.slice(0, 100).to_pylist() if v is not None), None)
    return isinstance(first, str) and bool(WORDNET_ID.fullmatch(first.strip()))

"""Tables as people have them (CSV, Parquet, JSON lines), read and written with PyArrow."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files.paths import distinct_keys, readable, replacing

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json")


def read(path: str | os.PathLike[str], *, header: bool = True) -> Any:
    """Reads a table by its ending: .csv, .tsv, .txt, .parquet, .jsonl, .ndjson or .json.

    A `.json` holds a list of records, an object from file name to record, or pandas' "split" form.

    Args:
      path: the file.
      header: whether the first line of a CSV names the columns; without, they are f0, f1, ….

    Returns:
      A pyarrow.Table with at least one row.

    Raises:
      InputError: naming the file, if it is none of these, damaged or empty.
    """
    import pyarrow as pa

    path = pathlib.Path(path)
    ending = path.suffix.lower()
    with naming(path):
        if ending not in ENDINGS:
            raise InputError(f"unknown ending '{ending}'; expected one of {', '.join(ENDINGS)}.")
        if not readable(path).stat().st_size:
            raise InputError("is empty.")
        try:
            table = _read(path, ending, header)
        except InputError:
            raise
        except (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError) as error:
            what = " ".join(str(error).split())
            raise InputError(f"cannot be read as {ending[1:]}, or is cut short ({what}).") from None
        if table.num_rows == 0:
            raise InputError("has no rows.")
        repeated = {name for name in table.column_names if table.column_names.count(name) > 1}
        if repeated:
            raise InputError(f"has several columns named {', '.join(sorted(repeated))}.")
        for name in table.column_names:
            if pa.types.is_binary(table.schema.field(name).type):
                raise InputError(f"the column {name} is no UTF-8 text; save the file as UTF-8.")
    return table


def _read(path: pathlib.Path, ending: str, header: bool) -> Any:
    if ending == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path)
    if ending in (".jsonl", ".ndjson"):
        from pyarrow import json as arrow_json

        return arrow_json.read_json(path)
    if ending == ".json":
        return _from_json(path)
    from pyarrow import csv

    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(autogenerate_column_names=not header),
        parse_options=csv.ParseOptions(
            delimiter=_delimiter(path, ending),
            newlines_in_values=True,  # NumPy breaks long arrays over several lines
        ),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, null_values=[""]),
    )


def _delimiter(path: pathlib.Path, ending: str) -> str:
    """What separates the columns, as the first line tells."""
    with path.open("rb") as file:
        line = file.readline()
    kinds = [",", ";", "\t"] + ([" "] if ending == ".txt" else [])
    return next((kind for kind in kinds if kind.encode() in line), ",")


def _from_json(path: pathlib.Path) -> Any:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text, object_pairs_hook=distinct_keys)
    except json.JSONDecodeError:
        if text.lstrip()[:1] != "{":
            raise
        return arrow_json.read_json(path)  # pandas writes JSON lines to .json, too
    if isinstance(content, dict) and {"columns", "data"} <= set(content):
        columns = zip(*content["data"], strict=True)
        return pa.table(dict(zip(content["columns"], map(list, columns), strict=True)))
    if isinstance(content, dict) and content and isinstance(next(iter(content.values())), dict):
        content = [{"file_name": name} | record for name, record in content.items()]
    elif isinstance(content, dict):
        content = [{"file_name": name, "classes": value} for name, value in content.items()]
    elif isinstance(content, list) and not any(isinstance(r, dict) for r in content):
        content = [{"classes": value} for value in content]  # in the order of the sorted names
    if not isinstance(content, list) or not all(isinstance(r, dict) for r in content):
        raise InputError("expected a list of records or an object from file name to classes.")
    return pa.Table.from_pylist(content)


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Turns what Arrow cannot do with a column of an unexpected type into an InputError."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        what = " ".join(str(error).split())
        raise InputError(f"a column holds something unexpected ({what}).") from None


def with_plain_names(table: Any) -> Any:
    """The table with its columns named in lower case and without spaces around them."""
    return table.rename_columns([name.strip().lower() for name in table.column_names])


def write(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> None:
    """Writes columns of equal length as .csv or .parquet, atomically."""
    import pyarrow as pa

    ending = pathlib.Path(path).suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError(f"{path}: tables are written as .csv or .parquet, not {ending or 'that'}.")
    # Arrow takes no NumPy strings.
    table = pa.table(
        {
            # NaN is no value: an empty cell.
            name: pa.array(
                column.tolist() if column.dtype.kind == "U" else column, from_pandas=True
            )
            for name, column in columns.items()
        }
    )
    with replacing(path) as temporary:
        if ending == ".csv":
            from pyarrow import csv

            csv.write_csv(table, temporary)
        else:
            from pyarrow import parquet

            parquet.write_table(table, temporary)


def text(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """(codes (N,) int32, values (V,) str): the distinct values of a column, in order of appearance.

    Nulls have code -1.
    """
    encoded = _as_text(column).combine_chunks().dictionary_encode()
    codes = numbers(encoded.indices)
    if encoded.null_count:
        codes = np.where(np.isnan(codes), -1, codes)
    return codes.astype(np.int32), np.array(encoded.dictionary.to_pylist(), dtype=np.str_)


def strings(column: Any, what: str) -> np.ndarray:
    """(N,) str values of a column.

    Raises:
      InputError: at the first null.
    """
    values = _as_text(column).to_pylist()
    if column.null_count:
        raise InputError(f"row {values.index(None) + 1} has no {what}.")
    return np.array(values, dtype=np.str_)


def numbers(column: Any) -> np.ndarray:
    """(N,) a column's values, of NumPy's type for Arrow's; nulls as NaN."""
    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if array.null_count:
        return array.to_numpy(zero_copy_only=False)
    # to_numpy would import pandas where it is installed, which takes as long as all the rest.
    return np.from_dlpack(array)


def _as_text(column: Any) -> Any:
    import pyarrow as pa

    return column if column.type == pa.string() else column.cast(pa.string())

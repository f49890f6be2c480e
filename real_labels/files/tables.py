"""Reading tables (CSV, Parquet, JSON) in the layouts that users have, and writing them, with PyArrow.

Cells stay text until a reader knows a column's type, because 0001, 1E3 or 12:30 may be names.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import delimited, json_text
from real_labels.files.parsing import parsing
from real_labels.files.paths import readable, replacing
from real_labels.files.text import normalised, read_text

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_DELIMITED = (".csv", ".tsv", ".txt")
_JSON_LINES = (".jsonl", ".ndjson")
ENDINGS = (*_DELIMITED, ".parquet", *_JSON_LINES, ".json")
# Names of columns that hold file names.
FILE_COLUMNS = (
    "file_name", "file_names", "filename", "filenames", "file", "files", "image", "image_name",
    "image_names", "image_id", "imageid", "img", "path", "paths", "filepath", "file_path", "image_path",
    "img_path", "img_name", "image_file", "image_url", "url", "name", "names", "fname", "id",
)  # fmt: skip
_LINES = 1_000  # JSON lines that are converted to columns at a time
_LAYOUTS = (
    "a list of records, an object from file name to record or to classes, an object of columns, or a "
    "layout that pandas writes with orient='records', 'index', 'columns', 'split' or 'table'"
)


def ending_of(path: str | os.PathLike[str]) -> str:
    """Returns the ending that defines a file's format, in lower case; for x.csv.gz it is .csv."""
    path = pathlib.PurePath(path)
    ending = path.suffix.lower()
    return pathlib.PurePath(path.stem).suffix.lower() if ending == ".gz" else ending


def key_of(name: str) -> str:
    """Returns a column's name in the form used for comparison: lower case, _ for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def by_key(names: Iterable[str]) -> dict[str, str]:
    """Returns the mapping from the key of each column name (see key_of) to the name."""
    return {key_of(name): name for name in names}


def read(
    path: str | os.PathLike[str],
    *,
    is_header: Callable[[Sequence[str]], bool] = lambda cells: True,
) -> Any:
    """Reads a table in the format of its ending: .csv, .tsv, .txt, .parquet, .jsonl, .ndjson or .json.

    Text may be compressed (.csv.gz). A `.json` holds one of the layouts that pandas writes, or an object
    from file name to classes.

    Args:
      path: the file.
      is_header: for delimited text, whether the cells of the first row are column names; if not, columns are
        named f0, f1, ….

    Returns:
      A pyarrow.Table with at least one row and distinct column names. Columns are strings or lists of
      strings; those of Parquet may also be numbers, booleans or lists of these. Empty rows at the end are
      left out.

    Raises:
      InputError: naming the file, if its format is unknown, or it is damaged or empty.
    """
    ending = ending_of(path)
    with naming(path):
        if ending not in ENDINGS:
            raise InputError(f"unknown ending '{ending}'; expected one of {', '.join(ENDINGS)}.")
        if not readable(path).stat().st_size:
            raise InputError("is empty.")
        if ending == ".parquet":
            table = _from_parquet(path)
        elif ending in _DELIMITED:
            table = delimited.read(path, ending, is_header)
        elif ending in _JSON_LINES:
            table = _from_json_lines(read_text(path))
        else:
            table = _from_json(read_text(path))
        _check_distinct(table.column_names)
        table = _without_empty_rows(table)
        if table.num_rows == 0:
            raise InputError("has no rows.")
    return table


def _check_distinct(names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    if repeated:
        raise InputError(f"has several columns named {', '.join(repeated)}.")


def _from_parquet(path: str | os.PathLike[str]) -> Any:
    """Reads columns of numbers, text and lists of these; others are converted to text or left out."""
    import pyarrow as pa
    from pyarrow import parquet

    with parsing("cannot be read as parquet, or is cut short", with_words=False):
        table = parquet.read_table(readable(path))
        table.validate(full=True)  # damaged offsets and text
        names, columns = [], []
        for place, field in enumerate(table.schema):
            if pa.types.is_nested(field.type) and not _is_list(field.type):
                continue  # structures have no single value
            plain = _plain_type(field.type)
            column = table.column(place)
            try:
                columns.append(column if plain == field.type else column.cast(plain))
                names.append(field.name)
            except pa.ArrowException:
                continue  # such as image bytes
        if not columns:
            raise InputError("holds no column of numbers or text.")
    return pa.table(columns, names=names)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list_type(kind) for is_list_type in lists) and not pa.types.is_nested(
        kind.value_type
    )


def _plain_type(kind: Any) -> Any:
    """Returns the type to read a column as: numbers and booleans as they are, all others as text."""
    import pyarrow as pa

    if _is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return kind
    return pa.string()


def _without_empty_rows(table: Any) -> Any:
    """Returns the table without the rows at its end in which all cells are null."""
    last = table.num_rows
    while last and all(column.slice(last - 1, 1).null_count for column in table.columns):
        last -= 1
    return table.slice(0, last)


def _from_json_lines(text: str) -> Any:
    """Reads one record per line."""
    import pyarrow as pa

    records, parts = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json_text.parse(line, literal=True)
        except InputError as error:
            raise InputError(f"line {number} {error}") from None
        if not isinstance(record, dict):
            raise InputError(f'line {number} is not an object such as {{"file_name": …}}.')
        records.append(record)
        if len(records) == _LINES:  # Arrow needs a tenth of the memory of Python strings
            parts.append(_from_records(records))
            records = []
    parts.append(_from_records(records))
    try:
        return pa.concat_tables(parts, promote_options="default")
    except pa.ArrowException:
        raise InputError("a column holds lists in some rows and single values in others.") from None


def _from_json(text: str) -> Any:
    try:
        content = json_text.parse(text, literal=True)
    except InputError:
        if not re.match(r"\s*\{.*\}\s*\n\s*\{", text):
            raise
        return _from_json_lines(text)  # pandas writes JSON lines to .json, too
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        if "schema" in content:  # pandas' orient="table"
            content = content["data"]
        elif isinstance(content.get("columns"), list):  # orient="split"
            return _from_split(content["columns"], content["data"])
    elif isinstance(content, dict) and {"columns", "data"} <= set(content):
        raise InputError('holds JSON, but its "data" is not a list of rows.')
    if isinstance(content, dict) and content:
        values = list(content.values())
        if all(isinstance(value, dict) for value in values):
            return _from_records(_records_of(content))
        if any(map(_is_file_column, content)) and all(isinstance(v, list) for v in values):
            return _from_columns(content)
        if not any(isinstance(value, dict) for value in values):
            return _from_records([{"file_name": n, "classes": v} for n, v in content.items()])
    elif isinstance(content, list):
        if all(isinstance(record, dict) for record in content):
            return _from_records(content)
        # One entry per image, in the order of sorted file names.
        if not any(isinstance(record, dict) for record in content):
            return _from_records([{"classes": value} for value in content])
    raise InputError(f"holds JSON, but no table: expected {_LAYOUTS}.")


def _is_file_column(name: str) -> bool:
    return key_of(name) in FILE_COLUMNS


def _records_of(content: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of pandas' orient="columns" (column -> row -> cell) or "index" (row -> record)."""
    labels = list(next(iter(content.values())))
    numbered = labels == [str(i) for i in range(len(labels))]
    if numbered and any(map(_is_file_column, content)):
        return [{name: cells.get(row) for name, cells in content.items()} for row in labels]
    if any(map(_is_file_column, labels)):  # the outer keys are row numbers
        return list(content.values())
    return [{"file_name": name, **record} for name, record in content.items()]


def _from_split(names: list[Any], rows: list[Any]) -> Any:
    if not all(isinstance(name, str) for name in names):
        raise InputError('holds JSON, but the names in its "columns" are not text.')
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(f'row {number} of its "data" is not a list of {len(names)} cells.')
    return _from_records([dict(zip(names, row, strict=True)) for row in rows])


def _from_columns(content: dict[str, list[Any]]) -> Any:
    lengths = {len(cells) for cells in content.values()}
    if len(lengths) > 1:
        raise InputError(
            f"has columns of unequal length: "
            f"{', '.join(f'{name} {len(cells):,}' for name, cells in content.items())}."
        )
    return _arrow(content)


def _from_records(records: Sequence[dict[str, Any]]) -> Any:
    names = list(dict.fromkeys(name for record in records for name in record))
    return _arrow({name: [record.get(name) for record in records] for name in names})


def _arrow(columns: Mapping[str, list[Any]]) -> Any:
    """Builds a table of strings and lists of strings from cells as returned by `json_text`."""
    import pyarrow as pa

    arrays = {}
    for name, cells in columns.items():
        if any(isinstance(cell, list) for cell in cells):
            lists = [c if isinstance(c, list) or c is None else [c] for c in cells]
            texts = [
                None if c is None else [_text(item, name, row) for item in c]
                for row, c in enumerate(lists, start=1)
            ]
            arrays[name] = pa.array(texts, pa.list_(pa.string()))
        else:
            texts = [_text(cell, name, row) for row, cell in enumerate(cells, start=1)]
            arrays[name] = pa.array(texts, pa.string())
    return pa.table(arrays)


def _text(cell: Any, name: str, row: int) -> str | None:
    if isinstance(cell, str) or cell is None:
        return cell
    if isinstance(cell, (list, dict)):
        raise InputError(
            f"row {row} has something unexpected in {name}: a list of lists or an object; expected text, a "
            f"number, or a list of these."
        )
    return json.dumps(cell)


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Turns Arrow's errors about columns of an unexpected type into an InputError."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        message = " ".join(str(error).split())
        raise InputError(f"a column holds unexpected values ({message}).") from None


def with_plain_names(table: Any) -> Any:
    """Returns the table with its columns renamed to their keys (see key_of).

    Raises:
      InputError: if two columns have the same key.
    """
    keys = [key_of(name) for name in table.column_names]
    _check_distinct(keys)
    return table.rename_columns(keys)


def write(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> None:
    """Writes columns of equal length as .csv or .parquet, atomically."""
    import pyarrow as pa

    ending = pathlib.Path(path).suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError(
            f"{path}: unknown ending '{ending}'; tables are written as .csv or .parquet."
        )
    # Arrow does not accept NumPy strings.
    table = pa.table(
        {
            # from_pandas writes NaN as an empty cell.
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


def names(column: Any) -> tuple[Int[np.ndarray, "rows"], np.ndarray]:
    """Returns (codes (N,) int32, values (V,) str): the distinct names in a column, in order of appearance.

    Names are compared in the form of `files.text.normalised`. Nulls and empty names have code -1.
    """
    encoded = _as_text(column).combine_chunks().dictionary_encode()
    codes = numbers(encoded.indices)
    if encoded.null_count:
        codes = np.where(np.isnan(codes), -1, codes)
    codes = codes.astype(np.int32)
    normal = [normalised(name) for name in encoded.dictionary.to_pylist()]
    new_code: dict[str, int] = {}
    for name in normal:
        if name:
            new_code.setdefault(name, len(new_code))
    if len(new_code) == len(normal):
        return codes, np.array(normal, dtype=np.str_)
    renumbered = np.array([new_code.get(name, -1) for name in normal] + [-1], np.int32)
    return renumbered[codes], np.array(list(new_code), dtype=np.str_)


def strings(column: Any, column_name: str) -> np.ndarray:
    """Returns the names in a column, (N,) str in the form of `files.text.normalised`.

    Raises:
      InputError: at the first missing or empty name.
    """
    values = [normalised(v) if v is not None else "" for v in _as_text(column).to_pylist()]
    if "" in values:
        raise InputError(f"row {values.index('') + 1} has no {column_name}.")
    return np.array(values, dtype=np.str_)


def numbers(column: Any) -> np.ndarray:
    """Returns the (N,) values of a column of numbers, in the NumPy dtype of its Arrow type; nulls as NaN."""
    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if array.null_count:
        return array.to_numpy(zero_copy_only=False)
    # to_numpy would import pandas if it is installed, which takes as long as the rest of a command.
    return np.from_dlpack(array)


def floats(column: Any, column_name: str, per_row: int = 1) -> Float[np.ndarray, "values"]:
    """Returns a column of numbers, or of numbers as text, as (N,) float64; empty cells as NaN.

    Args:
      column: a pyarrow.ChunkedArray.
      column_name: name of the column, for errors.
      per_row: number of values per row of the table, if the column is flattened from lists.

    Raises:
      InputError: at the first text that is not a number.
    """
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if is_text(column):
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            column = _as_numbers(column, column_name, per_row)
    with parsing(f"column {column_name} holds values that are not numbers"):
        return np.asarray(numbers(column.cast(pa.float64())))


def release_memory() -> None:
    """Returns the memory of deleted tables to the operating system; Arrow would keep it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def has_header(table: Any) -> bool:
    """Whether the columns are named in the file; if not, they are called f0, f1, …."""
    return delimited.NO_HEADER.encode() not in (table.schema.metadata or {})


def may_have_decimal_commas(table: Any) -> bool:
    """Whether numbers may have decimal commas, because commas do not separate the columns."""
    return delimited.DECIMAL_COMMA.encode() in (table.schema.metadata or {})


def with_decimal_points(column: Any) -> Any:
    """Returns a column of text with decimal commas as points (0,5 as 0.5).

    A column without decimal commas, or whose first 100 cells are not all numbers, is returned unchanged.
    """
    pc: Any = importlib.import_module("pyarrow.compute")  # its functions are created at import

    if not pc.any(pc.match_substring_regex(column, delimited.WITH_COMMA)).as_py():
        return column
    pointed = pc.replace_substring_regex(column, delimited.WITH_COMMA, r"\1.\2")
    are_numbers = all(map(_is_number, pointed.slice(0, 100).drop_null().to_pylist()))
    return pointed if are_numbers else column


def _as_numbers(column: Any, column_name: str, per_row: int) -> Any:
    """Converts a column of text to numbers; ignores surrounding spaces, reads true and false as 1 and 0."""
    import pyarrow as pa

    pc: Any = importlib.import_module("pyarrow.compute")  # its functions are created at import

    trimmed = pc.utf8_lower(pc.utf8_trim_whitespace(with_decimal_points(column)))
    truths = pc.if_else(pc.equal(trimmed, "true"), "1", trimmed)
    truths = pc.if_else(pc.equal(truths, "false"), "0", truths)
    try:
        return truths.cast(pa.float64())
    except pa.ArrowInvalid:
        place = _first_that_is_no_number(truths)
        value = column[place].as_py().strip()
        raise InputError(
            f"row {place // per_row + 1} has the {column_name} '{value}', expected a number."
        ) from None


def _first_that_is_no_number(column: Any) -> int:
    """Place of the first text that Arrow does not read as a number; there is one."""
    import pyarrow as pa

    first, end = 0, len(column)
    while end - first > 1:
        middle = (first + end) // 2
        try:
            column.slice(first, middle - first).cast(pa.float64())
        except pa.ArrowInvalid:
            end = middle
        else:
            first = middle
    return first


def _is_number(text: str) -> bool:
    """Whether `floats` reads a text as a number."""
    return is_number(text) or text.lower() in ("true", "false")


def is_number(text: str) -> bool:
    """Whether a text is a number, such as 3, -0.5, 1e-3, nan or inf."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # only Python accepts １ and 1_000


def is_text(column: Any) -> bool:
    """Whether a column holds text."""
    import pyarrow as pa

    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _as_text(column: Any) -> Any:
    """Returns a column as text; numbers are written in full, whole floats without a decimal point."""
    import pyarrow as pa

    pc: Any = importlib.import_module("pyarrow.compute")  # its functions are created at import

    if column.type == pa.string():
        return column
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = pc.all(pc.or_kleene(pc.equal(pc.floor(column), column), pc.is_null(column))).as_py()
        if whole and pc.max(pc.abs(column)).as_py() is not None:
            with contextlib.suppress(pa.ArrowInvalid):
                return column.cast(pa.int64()).cast(pa.string())
    with parsing("a column holds lists where names are expected", with_words=False):
        return column.cast(pa.string())

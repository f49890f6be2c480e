"""Reading delimited text (CSV, TSV and similar); every cell stays text."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from real_labels.errors import InputError
from real_labels.files import text
from real_labels.files.parsing import parsing

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_BYTES = 1 << 16  # bytes at the beginning of the file in which the delimiter is detected
_SAMPLE_ROWS = 20  # rows of these bytes that are parsed, at most
# Keys of a table's metadata.
NO_HEADER = "no header"  # the first row is data
DECIMAL_COMMA = (
    "decimal comma"  # numbers may have decimal commas, since commas do not separate columns
)
_NAMED_DELIMITER = re.compile(rb"sep=([,;\t|])\r?\n")  # first line of some Excel files
# A number with a decimal comma; the groups are the parts before and after the comma.
WITH_COMMA = r"^\s*([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)\s*$"
_FILE_NAME = re.compile(r"[^,;\t|]+\.[A-Za-z]{3,4}")
_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces", "|": "bars"}


def read(
    path: str | os.PathLike[str], ending: str, is_header: Callable[[Sequence[str]], bool]
) -> Any:
    """Reads a table from delimited text.

    Args:
      path: the file, in UTF-8 or in the encoding of its byte order mark; may be compressed by gzip.
      ending: .csv, .tsv or .txt.
      is_header: whether the cells of the first row are column names; if not, columns are named f0, f1, ….

    Returns:
      A pyarrow.Table of string columns; an empty cell is null. Its metadata has the key DECIMAL_COMMA if
      numbers may have decimal commas, and NO_HEADER if the file has no header.

    Raises:
      InputError: if the file is not delimited text; without the file's name.
    """
    raw = text.read_bytes(path)
    encoding, mark = text.encoding_of(raw)
    if encoding != "utf-8":
        raw, mark = text.decoded(raw, os.fspath(path)).encode(), 0
    elif not raw.isascii():
        text.decoded(raw, os.fspath(path))  # raises an error that names the bad byte
    if not raw[mark : mark + _SAMPLE_BYTES].strip() and not raw[mark:].strip():
        raise InputError("is empty.")
    if sep_line := _NAMED_DELIMITER.match(raw, mark):
        mark = sep_line.end()
    sample, is_whole = _sample(raw, mark)
    delimiter = sep_line[1].decode() if sep_line else _delimiter(sample, is_whole, ending)
    if delimiter == " ":
        raw, mark = re.sub(rb" +", b" ", raw[mark:]), 0
        sample, is_whole = _sample(raw, mark)
    first = next(iter(_records(sample, is_whole, delimiter)), [])
    names = [name.strip() for name in first]
    has_header = is_header(names)
    if has_header:  # a column may lack a name, as after a trailing comma
        names = [name or f"unnamed_{i}" for i, name in enumerate(names)]
    table = _parse(memoryview(raw)[mark:], delimiter, len(first))
    if has_header:
        table = table.slice(1)
    table = table.rename_columns(names if has_header else [f"f{i}" for i in range(len(first))])
    notes = {DECIMAL_COMMA: delimiter != ",", NO_HEADER: not has_header}
    return table.replace_schema_metadata({note: "" for note, is_true in notes.items() if is_true})


def _sample(raw: bytes, start: int) -> tuple[str, bool]:
    """Returns the beginning of the file as text, at least three lines, and whether it is the whole file."""
    end = start
    for _ in range(3):
        end = raw.find(b"\n", end) + 1 or len(raw)
    end = max(end, start + _SAMPLE_BYTES)
    return raw[start:end].decode("utf-8", errors="replace"), end >= len(raw)


def _records(sample: str, is_whole: bool, delimiter: str) -> list[list[str]]:
    """Returns the cells of the first rows, without empty rows.

    The last row of a sample that ends before the file is left out, because it may be incomplete.
    """
    csv.field_size_limit(1 << 30)  # one cell may hold the scores of all classes
    rows = []
    with parsing("cannot be read as a table"):
        for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if cells:
                rows.append(cells)
            if len(rows) == _SAMPLE_ROWS:
                return rows
    return rows if is_whole or len(rows) < 2 else rows[:-1]


def _delimiter(sample: str, is_whole: bool, ending: str) -> str:
    """Returns the delimiter that splits the first rows into equal numbers of cells.

    If several do, a delimiter that yields a file name in a cell is preferred, then the delimiter whose cells
    contain the fewest other delimiters.
    """
    delimiters = [*_DELIMITERS, " "] if ending == ".txt" else list(_DELIMITERS)
    best, best_rank = None, None
    for place, delimiter in enumerate(delimiters):
        if delimiter not in sample:
            continue
        records = _records(sample, is_whole, delimiter)
        widths = {len(cells) for cells in records}
        if len(widths) > 1 or widths == {1}:
            continue
        others = [d for d in _DELIMITERS if d != delimiter]
        cells = [cell for record in records for cell in record]
        broken = sum(
            any(d in cell for d in others) and not (delimiter != "," and re.match(WITH_COMMA, cell))
            for cell in cells
        )
        has_name = any(_FILE_NAME.fullmatch(cell.strip()) for cell in cells)
        rank = (not has_name, broken, place)
        if best_rank is None or rank < best_rank:
            best, best_rank = delimiter, rank
    if best is not None:
        return best
    # Rows of unequal length, or one column: take the first line's delimiter, so that an error names the row.
    line = sample.partition("\n")[0]
    return next((delimiter for delimiter in delimiters if delimiter in line), ",")


def _parse(content: memoryview, delimiter: str, width: int) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    uneven_rows: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        uneven_rows.append((row.number or 0, row.actual_columns))
        return "skip"

    def read(threads: bool) -> Any:
        columns = [str(i) for i in range(width)]
        return arrow_csv.read_csv(
            pa.py_buffer(content),
            read_options=arrow_csv.ReadOptions(column_names=columns, use_threads=threads),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,  # NumPy prints long arrays over several lines
                invalid_row_handler=note,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    with parsing("cannot be read as a table"):
        table = read(threads=True)
        if uneven_rows:
            uneven_rows.clear()
            read(threads=False)  # only a single thread reports row numbers
    if uneven_rows:
        number, num_cells = uneven_rows[0]
        raise InputError(
            f"line {number} has {num_cells} cells where the first has {width}; expected rows of equal "
            f"length, separated by {_DELIMITER_NAMES.get(delimiter, delimiter)}."
        )
    return table

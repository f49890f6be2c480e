"""Text with delimiters (CSV and its kin), read so that every cell stays the text that it is."""

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
_SAMPLE = 1 << 16  # bytes from the beginning, by which the delimiter is found
_RECORDS = 20  # of them
# A table's metadata: its columns have no names; commas do not separate its columns.
NO_HEADER = "no header"
DECIMAL_COMMA = "decimal comma"
_NAMED_DELIMITER = re.compile(rb"sep=([,;\t|])\r?\n")  # which Excel writes into a first line
# A number with a decimal comma: what stands before it, and behind it.
WITH_COMMA = r"^\s*([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)\s*$"
_A_NAME = re.compile(r"[^,;\t|]+\.[A-Za-z]{3,4}")  # of a file


def read(
    path: str | os.PathLike[str], ending: str, is_header: Callable[[Sequence[str]], bool]
) -> Any:
    """Reads a table of text.

    Args:
      path: the file, in UTF-8 or as its byte order mark says; may be compressed by gzip.
      ending: .csv, .tsv or .txt.
      is_header: whether the cells of the first row are the columns' names; else these are f0, f1, ….

    Returns:
      A pyarrow.Table of string columns; an empty cell is null. Its metadata has DECIMAL_COMMA where numbers
      may be written so, and NO_HEADER.

    Raises:
      InputError: without the file's name, if it is no such text.
    """
    raw = text.read_bytes(path)
    encoding, mark = text.encoding_of(raw)
    if encoding != "utf-8":
        raw, mark = text.decoded(raw, os.fspath(path)).encode(), 0
    elif not raw.isascii():
        text.decoded(raw, os.fspath(path))  # says what is wrong with it
    if not raw[mark : mark + _SAMPLE].strip() and not raw[mark:].strip():
        raise InputError("is empty.")
    if named := _NAMED_DELIMITER.match(raw, mark):
        mark = named.end()
    sample, is_whole = _sample(raw, mark)
    delimiter = named[1].decode() if named else _delimiter(sample, is_whole, ending)
    if delimiter == " ":
        raw, mark = re.sub(rb" +", b" ", raw[mark:]), 0
        sample, is_whole = _sample(raw, mark)
    first = next(iter(_records(sample, is_whole, delimiter)), [])
    names = [name.strip() for name in first]
    headed = is_header(names)
    if headed:  # columns that nothing is called, as two commas at the end make
        names = [name or f"unnamed_{i}" for i, name in enumerate(names)]
    table = _parse(memoryview(raw)[mark:], delimiter, len(first))
    if headed:
        table = table.slice(1)
    table = table.rename_columns(names if headed else [f"f{i}" for i in range(len(first))])
    notes = {DECIMAL_COMMA: delimiter != ",", NO_HEADER: not headed}
    return table.replace_schema_metadata({note: "" for note, holds in notes.items() if holds})


def _sample(raw: bytes, start: int) -> tuple[str, bool]:
    """(the first lines, at least three; whether they are all)."""
    end = start
    for _ in range(3):
        end = raw.find(b"\n", end) + 1 or len(raw)
    end = max(end, start + _SAMPLE)
    return raw[start:end].decode("utf-8", errors="replace"), end >= len(raw)


def _records(sample: str, is_whole: bool, delimiter: str) -> list[list[str]]:
    """The first rows, without empty ones and without one that the sample cuts."""
    csv.field_size_limit(1 << 30)  # one cell may hold the scores of all classes
    found = []
    with parsing("cannot be read as a table"):
        for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if cells:
                found.append(cells)
            if len(found) == _RECORDS:
                return found
    return found if is_whole or len(found) < 2 else found[:-1]


def _delimiter(sample: str, is_whole: bool, ending: str) -> str:
    """What separates the columns: what cuts the first rows into equally many cells that look whole."""
    kinds = [*_DELIMITERS, " "] if ending == ".txt" else list(_DELIMITERS)
    best, best_rank = None, None
    for place, kind in enumerate(kinds):
        if kind not in sample:
            continue
        records = _records(sample, is_whole, kind)
        widths = {len(cells) for cells in records}
        if len(widths) > 1 or widths == {1}:
            continue
        others = [k for k in _DELIMITERS if k != kind]
        cells = [cell for record in records for cell in record]
        broken = sum(
            any(k in cell for k in others) and not (kind != "," and re.match(WITH_COMMA, cell))
            for cell in cells
        )
        named = any(_A_NAME.fullmatch(cell.strip()) for cell in cells)
        rank = (not named, broken, place)
        if best_rank is None or rank < best_rank:
            best, best_rank = kind, rank
    if best is not None:
        return best
    # Rows of unequal length, or one column: the first line decides, so that the odd row can be named.
    line = sample.partition("\n")[0]
    return next((kind for kind in kinds if kind in line), ",")


def _parse(content: memoryview, delimiter: str, width: int) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    odd: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        odd.append((row.number or 0, row.actual_columns))
        return "skip"

    def read(threads: bool) -> Any:
        columns = [str(i) for i in range(width)]
        return arrow_csv.read_csv(
            pa.py_buffer(content),
            read_options=arrow_csv.ReadOptions(column_names=columns, use_threads=threads),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,  # NumPy breaks long arrays over several lines
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
        if odd:
            odd.clear()
            read(threads=False)  # the rows are counted then
    if odd:
        number, found = odd[0]
        raise InputError(
            f"line {number} has {found} cells where the first has {width}; expected rows of equal length, "
            f"separated by {_NAMES.get(delimiter, delimiter)}."
        )
    return table


_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces", "|": "bars"}

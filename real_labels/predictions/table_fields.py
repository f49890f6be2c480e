"""The columns of a table as fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.labels import ClassNames, class_columns
from real_labels.labels.classes import WORDNET_ID
from real_labels.labels.file_names import is_image_name
from real_labels.predictions import column_groups
from real_labels.predictions.fields import SAMPLE, Content, Field, Fields, content_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_FEW_COLUMNS = 20  # up to this number, all rows of columns without names are examined
_BRACKETS = str.maketrans("[](),;'\"\n\t", " " * 10)
_BOX = 4  # numbers after a class in Kaggle's PredictionString: x, y, x, y


def is_header(first_row: Sequence[str]) -> bool:
    """Whether the first row of a table holds the names of the columns, not data."""
    cells = [cell.strip() for cell in first_row]
    if len(cells) > 2 and cells == [str(i) for i in range(len(cells))]:
        return True  # 0, 1, 2, …: pandas numbers columns without names
    are_values = all(tables.is_number(c) or WORDNET_ID.fullmatch(c) for c in cells)
    return not are_values and not any(map(is_image_name, cells))


class TableFields(Fields):
    """The fields of a pyarrow.Table."""

    kind = "the columns "

    def __init__(self, table: Any, class_names: ClassNames | None):
        """Finds the fields.

        Args:
          table: a table with at least one row (see files.tables.read).
          class_names: names of the classes, or None.
        """
        self.class_names = class_names
        self.all_names = list(table.column_names)
        has_header = tables.has_header(table)
        file_column = _file_column(table, has_header)
        self.names = (
            None if file_column is None else tables.strings(table[file_column], file_column)
        )
        others = [name for name in table.column_names if name != file_column]
        if tables.may_have_decimal_commas(table):
            table = _with_decimal_points(table, others)
        self._table = table
        # Columns without names are told apart by their content, so all rows are examined.
        is_narrow = table.num_columns <= _FEW_COLUMNS
        self._sampled = table.num_rows if is_narrow and not has_header else SAMPLE
        self._samples: dict[str, list[Any]] = {}
        contents = {name: self._content(name) for name in others}
        self.fields = (
            column_groups.by_name(contents, self._is_binary)
            if has_header
            else column_groups.by_content(contents)
        )

    def _sample(self, name: str) -> list[Any]:
        """The first cells of a column, without nulls."""
        if name not in self._samples:
            column = self._table[name].slice(0, self._sampled)
            self._samples[name] = [c for c in column.to_pylist() if c is not None]
        return self._samples[name]

    def _content(self, name: str) -> tuple[Content, int]:
        """(content, width) of a column."""
        import pyarrow as pa

        cells = [c for c in self._sample(name) if c != ""]
        if not cells:
            return Content.NOTHING, 1
        if pa.types.is_boolean(self._table[name].type):
            return Content.FLAGS, 1
        if self._is_class_name(cells[0]):
            return Content.WHOLE, len(cells[0]) if isinstance(cells[0], list) else 1
        rows = [tokens for tokens in map(_tokens, cells) if tokens]
        if not rows:
            return Content.NOTHING, 1
        return content_of(rows, self.class_names), len(rows[0])

    def _is_binary(self, name: str) -> bool:
        """Whether a column holds only 0 and 1."""
        return {"0", "1", "0.0", "1.0"}.issuperset(str(cell).strip() for cell in self._sample(name))

    def _is_class_name(self, cell: Any) -> bool:
        """Whether a cell is a class name, which may contain spaces, or a list of class names."""
        names = self.class_names
        if names is not None and isinstance(cell, list):
            return bool(cell) and all(map(self._is_class_name, cell))
        return names is not None and isinstance(cell, str) and names.index_of(cell) is not None

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        return np.concatenate([self._class_column(name) for name in field.columns], axis=1)

    def _class_column(self, name: str) -> Int[np.ndarray, "rows k"]:
        flat, k = self._table[name], 1
        named = any(map(self._is_class_name, self._sample(name)[:1]))
        if not named or not tables.is_text(flat):
            flat, k = _flattened(flat, name)
        return class_columns.class_indices(flat, name, k, self.class_names).reshape(-1, k)

    def numbers(self, field: Field) -> Float[np.ndarray, "rows k"]:
        first, *more = field.columns
        if more:
            numbers = np.empty((self._table.num_rows, len(field.columns)))
            for place, name in zip(self._places(field.columns), field.columns, strict=True):
                numbers[:, place] = tables.floats(self._table[name], name)
            return numbers
        flat, k = _flattened(self._table[first], first)
        return tables.floats(flat, first, k).reshape(-1, k)

    def _places(self, columns: Sequence[str]) -> Sequence[int | None]:
        """Place of each column: the class that it is named after if all are named so, else its position."""
        places = [class_columns.index_of_name(name, self.class_names) for name in columns]
        positions = list(range(len(columns)))
        return places if set(places) == set(positions) else positions

    def texts(self, field: Field) -> list[str]:
        cells = self._table[field.columns[0]].to_pylist()
        return ["" if cell is None else str(cell).strip() for cell in cells]

    def are_words(self, field: Field) -> bool:
        first = self._sample(field.columns[0])[:1]
        return self.are_wordnet_ids(field) or any(map(self._is_class_name, first))

    def are_wordnet_ids(self, field: Field) -> bool:
        cell = next(iter(self._sample(field.columns[0])), None)
        return cell is not None and any(map(WORDNET_ID.fullmatch, _tokens(cell)))

    def are_boxes(self, field: Field) -> bool:
        return len(field.columns) == 1 and any(
            _is_boxes(_tokens(cell)) for cell in self._sample(field.columns[0])
        )


def _file_column(table: Any, has_header: bool) -> str | None:
    """Returns the column of file names, or None.

    A column that begins with the name of an image is preferred, first among the columns with usual names,
    then among all; else it is the first column with a usual name.
    """
    by_key = tables.by_key(table.column_names) if has_header else {}
    named = [by_key[n] for n in tables.FILE_COLUMNS if n in by_key]
    for name in (*named, *table.column_names):
        first = table[name][0].as_py()
        if isinstance(first, str) and is_image_name(first):
            return name
    return named[0] if named else None


def _with_decimal_points(table: Any, columns: Sequence[str]) -> Any:
    for name in columns:
        if tables.is_text(table[name]):
            place = table.column_names.index(name)
            table = table.set_column(place, name, tables.with_decimal_points(table[name]))
    return table


def _tokens(cell: Any) -> list[str]:
    """The numbers or words in a cell."""
    if isinstance(cell, list):
        return [str(value).strip() for value in cell]
    return str(cell).translate(_BRACKETS).split()


def _is_boxes(tokens: list[str]) -> bool:
    """Whether the tokens are WordNet ids, each followed by the four numbers of a box."""
    return len(tokens) > _BOX and all(
        WORDNET_ID.fullmatch(token) if place % (_BOX + 1) == 0 else tables.is_number(token)
        for place, token in enumerate(tokens)
    )


def _flattened(column: Any, name: str) -> tuple[Any, int]:
    """Returns (all values in one column, values per row) of a column of lists; else (the column, 1).

    If each class is followed by a box, only the first class of each row is a value.
    """
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = np.array(column.combine_chunks().value_lengths().fill_null(0))
        flat = pa.chunked_array([column.combine_chunks().flatten()])
    elif tables.is_text(column):
        first = column[0].as_py() or ""
        if not any(c in first.strip() for c in " [,;("):
            return column, 1
        texts = [text or "" for text in column.to_pylist()]  # fill_null would import pandas
        lists = [_tokens(text) for text in texts]
        if any(map(_is_boxes, lists)):
            lists = [tokens[:1] if _is_boxes(tokens) else tokens for tokens in lists]
        _check_unmixed(lists, name)
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        flat = pa.chunked_array(
            [pa.array([token for tokens in lists for token in tokens], pa.string())]
        )
    else:
        return column, 1
    if (lengths == 0).any():
        raise InputError(f"row {int(np.argmin(lengths)) + 1} has no {name}.")
    differs = lengths != lengths[0]
    if differs.any():
        row = int(np.argmax(differs))
        raise InputError(
            f"row {row + 1} has {lengths[row]} entries in {name}, row 1 has {lengths[0]}; expected "
            f"the same number in every row."
        )
    return flat, int(lengths[0])


def _check_unmixed(lists: list[list[str]], name: str) -> None:
    """Refuses rows that mix classes with other numbers, such as boxes or scores."""
    boxed = tables.key_of(name) == "predictionstring"
    for row, tokens in enumerate(lists, start=1):
        if boxed and len(tokens) > 1 and not WORDNET_ID.fullmatch(tokens[0]):
            raise InputError(
                f"row {row} has several numbers in {name} ({' '.join(tokens)[:60]}), such as a class with a "
                f"box or a score; expected only the class."
            )
        others = [token for token in tokens if not WORDNET_ID.fullmatch(token)]
        if 0 < len(others) < len(tokens) and all(map(tables.is_number, others)):
            raise InputError(
                f"row {row} mixes WordNet ids and numbers in {name} ({' '.join(tokens)[:60]}); expected "
                f"only classes, the most likely first."
            )

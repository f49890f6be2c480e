"""The columns of a table and the arrays of an archive, alike: what each holds, by name and content."""

from __future__ import annotations

import abc
import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import npz, tables
from real_labels.labels import ClassNames, class_columns
from real_labels.predictions import roles
from real_labels.predictions.predictions import MOCK
from real_labels.predictions.roles import Role

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_FEW_COLUMNS = 20  # of which every row is looked at where they have no names
_SAMPLE = 100  # rows by which a content is told
_IMAGE_NAME = re.compile(
    r"[^,;\t]*\.(jpe?g|png|webp|bmp|gif|tiff?|npy)|ILSVRC2012_val_\d{8}(_n\d{8})?", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)
_BRACKETS = str.maketrans("[](),;'\"\n\t", " " * 10)
ARRAY = "array"  # what the array of a .npy is called
_BOX = 4  # numbers behind a class in Kaggle's PredictionString: x, y, x, y


class Content(enum.Enum):
    """What the cells are."""

    WHOLE = "whole numbers or WordNet ids"
    REAL = "numbers with decimals"
    FLAGS = "true or false"
    TEXT = "text"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Field:
    """A column, some numbered columns together, or an array.

    Attributes:
      key: its name as rules compare it, without the number.
      columns: the columns or the array, in order.
      role: what its name says.
      content: what its first rows hold.
      width: numbers in each row, as the first one tells.
    """

    key: str
    columns: tuple[str, ...]
    role: Role
    content: Content
    width: int

    @property
    def title(self) -> str:
        """What messages call it, and --column may."""
        first, last = self.columns[0], self.columns[-1]
        return first if len(self.columns) == 1 else f"{first} … {last}"

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.content in (Content.WHOLE, Content.REAL) or (
            self.content is Content.FLAGS and self.width > 1
        )


class Fields(abc.ABC):
    """A file's fields beside the file names, and how to read them.

    Attributes:
      names: (N,) str file names; None where rows stand for sorted file names.
      fields: the others.
      found: names of all columns or arrays, for messages.
      kind: what messages call them.
      unread: names of arrays that are none of these, such as those of three dimensions.
      is_mock: whether the file says that its images were random.
      class_names: names that stand for classes, or None.
    """

    names: np.ndarray | None
    fields: list[Field]
    found: list[str]
    kind = ""
    unread: tuple[str, ...] = ()
    is_mock = False
    class_names: ClassNames | None = None

    @abc.abstractmethod
    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        """Class indices; rows of unequal length are refused."""

    @abc.abstractmethod
    def numbers(self, field: Field) -> np.ndarray:
        """(N, k) numbers."""

    @abc.abstractmethod
    def texts(self, field: Field) -> list[str]:
        """(N,) the cells of a field of text."""

    @abc.abstractmethod
    def are_words(self, field: Field) -> bool:
        """Whether classes are written as words: class names, or WordNet ids."""

    @abc.abstractmethod
    def are_wordnet_ids(self, field: Field) -> bool:
        """Whether classes are WordNet ids of ILSVRC-2012."""

    @abc.abstractmethod
    def are_boxes(self, field: Field) -> bool:
        """Whether classes stand in front of boxes, of which only the first class is read."""


def is_data(header: Sequence[str]) -> bool:
    """Whether the first row of a table is data already, and not the names of columns."""
    cells = [cell.strip() for cell in header]
    if len(cells) > 2 and cells == [str(i) for i in range(len(cells))]:
        return False  # 0, 1, 2, …: pandas' names of columns that have none
    return any(_IMAGE_NAME.fullmatch(c) for c in cells) or all(
        _NUMBER.fullmatch(c) or class_columns.WORDNET_ID.fullmatch(c) for c in cells
    )


class TableFields(Fields):
    """The fields of a pyarrow.Table."""

    kind = "the columns "

    def __init__(self, table: Any, has_header: bool, class_names: ClassNames | None):
        """Finds the fields.

        Args:
          table: with at least one row.
          has_header: whether its columns have names.
          class_names: names that stand for classes.
        """
        self._table, self.class_names = table, class_names
        self.found = list(table.column_names)
        file_column = _file_column(table, has_header)
        self.names = (
            None if file_column is None else tables.strings(table[file_column], file_column)
        )
        others = [name for name in table.column_names if name != file_column]
        for name in others if tables.may_have_decimal_commas(table) else ():
            if tables.is_text(table[name]):
                place = table.column_names.index(name)
                table = table.set_column(place, name, tables.with_decimal_points(table[name]))
        self._table = table
        # Without names the contents must tell, and all rows are looked at.
        self._sampled = (
            _SAMPLE if has_header or table.num_columns > _FEW_COLUMNS else table.num_rows
        )
        contents = {name: self._content(name) for name in others}
        if has_header:
            groups = _grouped(others, contents, {n for n in others if self._is_binary(n)})
        else:
            groups = _by_content(others, contents)
        self.fields = [
            Field(key, tuple(names), _role(key, names), *_together([contents[n] for n in names]))
            for key, names in groups.items()
        ]

    def _content(self, name: str) -> tuple[Content, int]:
        """(content, width) of a column."""
        import pyarrow as pa

        cells = [c for c in self._sample(name) if c != ""]
        if not cells:
            return Content.NOTHING, 1
        kind = self._table[name].type
        if pa.types.is_boolean(kind):
            return Content.FLAGS, 1
        if self._is_class_name(cells[0]):
            return Content.WHOLE, len(cells[0]) if isinstance(cells[0], list) else 1
        rows = [tokens for tokens in map(_tokens, cells) if tokens]
        if not rows:
            return Content.NOTHING, 1
        return _content_of(rows, self.class_names), len(rows[0])

    def _is_binary(self, name: str) -> bool:
        """Whether a column holds nothing but 0 and 1."""
        return {"0", "1", "0.0", "1.0"}.issuperset(str(cell).strip() for cell in self._sample(name))

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        if len(field.columns) > 1:
            columns = [self._class_column(name) for name in field.columns]
            return np.concatenate(columns, axis=1)
        return self._class_column(field.columns[0])

    def _is_class_name(self, cell: Any) -> bool:
        """Whether a cell is one of the class names, which may have spaces, or a list of them."""
        names = self.class_names
        if names is not None and isinstance(cell, list):
            return bool(cell) and all(map(self._is_class_name, cell))
        return names is not None and isinstance(cell, str) and names.index_of(cell) is not None

    def _class_column(self, name: str) -> Int[np.ndarray, "rows k"]:
        flat, k = self._table[name], 1
        named = any(map(self._is_class_name, self._sample(name)[:1]))
        if not named or not tables.is_text(flat):
            flat, k = _flattened(flat, name)
        return class_columns.class_indices(flat, name, k, self.class_names).reshape(-1, k)

    def numbers(self, field: Field) -> Float[np.ndarray, "rows k"]:
        if len(field.columns) > 1:
            numbers = np.empty((self._table.num_rows, len(field.columns)))
            for place, name in zip(self._places(field.columns), field.columns, strict=True):
                numbers[:, place] = tables.floats(self._table[name], name)
            return numbers
        flat, k = _flattened(self._table[field.columns[0]], field.columns[0])
        return tables.floats(flat, field.columns[0], k).reshape(-1, k)

    def _places(self, columns: Sequence[str]) -> list[int]:
        """Place of each column: that of the class it is called after, where all are, else as they stand."""
        found = [class_columns.index_of_name(name, self.class_names) for name in columns]
        return (
            found
            if sorted(map(str, found)) == sorted(map(str, range(len(found))))
            else list(range(len(found)))
        )

    def texts(self, field: Field) -> list[str]:
        return [
            str(cell).strip() if cell is not None else ""
            for cell in self._table[field.columns[0]].to_pylist()
        ]

    def are_words(self, field: Field) -> bool:
        return self.are_wordnet_ids(field) or any(
            map(self._is_class_name, self._sample(field.columns[0])[:1])
        )

    def are_wordnet_ids(self, field: Field) -> bool:
        cell = next(iter(self._sample(field.columns[0])), None)
        return cell is not None and any(map(class_columns.WORDNET_ID.fullmatch, _tokens(cell)))

    def are_boxes(self, field: Field) -> bool:
        return len(field.columns) == 1 and any(
            _is_boxes(_tokens(cell)) for cell in self._sample(field.columns[0])
        )

    def _sample(self, name: str) -> list[Any]:
        column = self._table[name].slice(0, self._sampled)
        return [c for c in column.to_pylist() if c is not None]


class ArchiveFields(Fields):
    """The fields of an open `.npz`: its arrays of a row an image."""

    def __init__(self, archive: npz.Archive, class_names: ClassNames | None):
        """Finds the fields by the headers of the arrays; arrays of decimals and of text are read at once."""
        self._archive, self.class_names = archive, class_names
        self._arrays: dict[str, np.ndarray] = {}
        self.found = list(archive.files)
        shapes, unread = {}, []
        for name in archive.files:
            role = roles.role_of(roles.key_of(name))
            try:
                with archive.member(name) as member:
                    shape, _, dtype = npz.read_header(member)
            except InputError:
                if role in (Role.UNKNOWN, Role.ASIDE):
                    unread.append(name)  # pickled, or no array at all
                    continue
                raise
            shapes[name] = (shape, dtype)
        keys = {roles.key_of(name): name for name in shapes}
        named = next((keys[n] for n in tables.FILE_COLUMNS if n in keys), None)
        rows = shapes[named][0][:1] if named else _most_rows(shapes)
        self.names = None if named is None else self._file_names(named)
        self.fields = []
        for name, (shape, dtype) in shapes.items():
            key = roles.key_of(name)
            role = roles.role_of(key)
            if name == named or not shape or role is Role.ASIDE:
                continue
            is_asked = role in (Role.PREDICTED, Role.SCORE, Role.CLASS)
            if shape[:1] != rows:
                if named and is_asked:
                    raise InputError(
                        f"{named} must be {shape[:1]} of str, one per row of {name}; found "
                        f"{shapes[named][0]} of {shapes[named][1]}."
                    )
                unread += [name] if abs(shape[0] - rows[0]) < max(rows[0], 1) / 10 else []
                continue
            if len(shape) > 2 or dtype.kind not in "iufbUS":
                if is_asked:
                    raise InputError(
                        f"{name} must be (N,), (N, k) or (N, C) of numbers; found {shape} of {dtype}."
                    )
                unread.append(name)
                continue
            width = shape[1] if len(shape) > 1 else 1
            content = self._content(name, dtype) if rows[0] and width else Content.NOTHING
            self.fields.append(Field(key, (name,), role, content, width))
        self.unread = tuple(unread)
        self.is_mock = MOCK in shapes and bool(np.all(self._array(MOCK)))

    def _file_names(self, name: str) -> np.ndarray:
        array = self._array(name)
        if array.dtype.kind == "S":
            try:
                array = np.char.decode(array, "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{name} is no UTF-8 text ({error}).") from None
        if array.dtype.kind in "iu" and array.ndim == 1:
            array = array.astype(np.str_)
        if array.dtype.kind != "U" or array.ndim != 1:
            raise InputError(
                f"{name} must be {array.shape[:1]} of str, one per row; found {array.shape} of "
                f"{array.dtype}."
            )
        return array

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = self._archive[name]
        return self._arrays[name]

    def _content(self, name: str, dtype: np.dtype) -> Content:
        if dtype.kind in "iu":
            return Content.WHOLE
        if dtype.kind == "b":
            return Content.FLAGS
        if dtype.kind == "f":
            head = np.asarray(self._array(name)[:_SAMPLE], np.float64)
            return Content.WHOLE if head.size and (head == np.floor(head)).all() else Content.REAL
        if dtype.kind in "US":
            cells = np.char.strip(self._texts(name)[:_SAMPLE]).ravel().tolist()
            return _content_of([[cell] for cell in cells if cell], self.class_names)
        return Content.NOTHING

    def _texts(self, name: str) -> np.ndarray:
        array = self._array(name)
        return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        array = self._array(field.columns[0])
        if array.dtype.kind in "US":
            texts, place = np.unique(self._texts(field.columns[0]), return_inverse=True)
            found = [class_columns.index_of(t.strip(), self.class_names) for t in texts.tolist()]
            if None in found:
                bad = found.index(None)
                row = int(np.argmax(place.reshape(array.shape[0], -1) == bad)) // field.width + 1
                raise InputError(
                    f"row {row} has the {field.title} '{texts[bad]}', expected a class index or a WordNet id."
                )
            return _rows(np.array(found, np.int64)[place].reshape(array.shape))
        return whole(_rows(array), field.title)

    def numbers(self, field: Field) -> np.ndarray:
        array = self._array(field.columns[0])
        return self.classes(field) if array.dtype.kind in "US" else _rows(array)

    def texts(self, field: Field) -> list[str]:
        return [" ".join(map(str, row)) for row in _rows(self._texts(field.columns[0])).tolist()]

    def are_words(self, field: Field) -> bool:
        return self._array(field.columns[0]).dtype.kind in "US"

    def are_wordnet_ids(self, field: Field) -> bool:
        array = self._array(field.columns[0])
        return array.dtype.kind in "US" and bool(
            class_columns.WORDNET_ID.fullmatch(
                str(self._texts(field.columns[0]).ravel()[0]).strip()
            )
        )

    def are_boxes(self, field: Field) -> bool:
        return False


class ArrayFields(Fields):
    """The one field of a `.npy`."""

    def __init__(self, array: np.ndarray):
        """Takes the array.

        Raises:
          InputError: if it can hold neither classes nor scores.
        """
        if array.dtype.kind not in "iufb" or array.ndim not in (1, 2) or not array.size:
            raise InputError(
                f"expected classes (N,), ranked classes (N, k) or logits (N, C), found shape "
                f"{array.shape} of {array.dtype}."
            )
        self._array = _rows(array)
        self.names, self.found = None, [ARRAY]
        self.fields = [Field(ARRAY, (ARRAY,), Role.UNKNOWN, Content.WHOLE, self._array.shape[1])]

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        return whole(np.asarray(self._array), "")

    def numbers(self, field: Field) -> np.ndarray:
        return self._array

    def texts(self, field: Field) -> list[str]:
        return []

    def are_words(self, field: Field) -> bool:
        return False

    def are_wordnet_ids(self, field: Field) -> bool:
        return False

    def are_boxes(self, field: Field) -> bool:
        return False


def _most_rows(shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> tuple[int, ...]:
    """(N,), the number of images: of most arrays of scores, else of predictions, classes, others."""
    for wanted in ((Role.SCORE,), (Role.PREDICTED,), (Role.CLASS,), tuple(Role)):
        lengths = [
            shape[0]
            for name, (shape, _) in shapes.items()
            if len(shape) in (1, 2) and roles.role_of(roles.key_of(name)) in wanted
        ]
        if lengths:
            return (max(lengths, key=lengths.count),)
    return (0,)


def _rows(array: np.ndarray) -> np.ndarray:
    """(N, k) of an array (N,) or (N, k)."""
    return array if array.ndim > 1 else array[:, None]


def whole(array: np.ndarray, what: str) -> Int[np.ndarray, "rows k"]:
    """(N, k) int64 of whole numbers of any type.

    Raises:
      InputError: at the first that is none.
    """
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    wide = array.astype(np.float64)
    fits = np.isfinite(wide) & (wide == np.floor(wide)) & (np.abs(wide) < 1 << 53)
    if not fits.all():
        row = int(np.argmin(fits.all(axis=1)))
        value = array[row][int(np.argmin(fits[row]))]
        raise InputError(
            f"row {row + 1} holds {value}{what and f' in {what}'}: with one number per image, a class index "
            f"is expected."
        )
    return array.astype(np.int64)


def _file_column(table: Any, has_header: bool) -> str | None:
    """The column of file names: by name, one that holds names of images first; else by what it holds."""
    keys = {roles.key_of(name): name for name in table.column_names} if has_header else {}
    named = [keys[n] for n in tables.FILE_COLUMNS if n in keys]
    for name in (*named, *table.column_names):
        if _holds_image_names(table[name]):
            return name
    return named[0] if named else None


def _holds_image_names(column: Any) -> bool:
    first = column[0].as_py()
    return isinstance(first, str) and bool(_IMAGE_NAME.fullmatch(first.strip()))


def _tokens(cell: Any) -> list[str]:
    """The numbers or words in a cell."""
    if isinstance(cell, list):
        return [str(one).strip() for one in cell]
    return str(cell).translate(_BRACKETS).split() if isinstance(cell, str) else [str(cell)]


def _is_boxes(tokens: list[str]) -> bool:
    """Whether these are WordNet ids, each with the four numbers of a box behind it."""
    return len(tokens) > _BOX and all(
        bool(class_columns.WORDNET_ID.fullmatch(token)) == (place % (_BOX + 1) == 0)
        and (place % (_BOX + 1) == 0 or bool(_NUMBER.fullmatch(token)))
        for place, token in enumerate(tokens)
    )


def _content_of(rows: list[list[str]], class_names: ClassNames | None) -> Content:
    """What rows of words and numbers hold: the first one tells numbers from text, all tell whole ones."""
    first = rows[0] if rows else []
    if not first:
        return Content.NOTHING
    if class_names is not None and class_names.index_of(" ".join(first)) is not None:
        return Content.WHOLE
    if all(token.lower() in ("true", "false") for token in first):
        return Content.FLAGS
    if any(map(class_columns.WORDNET_ID.fullmatch, first)):
        return Content.WHOLE
    if not all(map(_NUMBER.fullmatch, first)):
        return Content.TEXT
    numbers = [token for row in rows for token in row if _NUMBER.fullmatch(token)]
    return Content.WHOLE if all(map(class_columns.is_whole, numbers)) else Content.REAL


def _together(contents: list[tuple[Content, int]]) -> tuple[Content, int]:
    """(content, width) of columns side by side."""
    kinds = {content for content, _ in contents}
    if len(contents) == 1:
        return contents[0]
    for kind in (Content.TEXT, Content.REAL, Content.WHOLE, Content.FLAGS):
        if kind in kinds:
            return kind, sum(width for _, width in contents)
    return Content.NOTHING, len(contents)


def _grouped(
    columns: list[str], contents: dict[str, tuple[Content, int]], binary: set[str]
) -> dict[str, list[str]]:
    """Columns by key; numbered ones of one ranking or of all classes together and in order."""
    parsed = {name: roles.numbered(roles.key_of(name)) for name in columns}
    bases: dict[str, list[tuple[int, str]]] = {}
    for name, found in parsed.items():
        if found is not None:
            bases.setdefault(found[0], []).append((found[1], name))
    groups: dict[str, list[str]] = {}
    plain = {roles.key_of(name) for name in columns}
    for name in columns:
        found = parsed[name]
        if found is not None and (
            roles.counts_ranks(found[0]) or _are_all_classes(bases[found[0]], contents)
        ):
            together = [n for _, n in sorted(bases[found[0]])]
            # "class" may stand beside "class 0", "class 1", …
            taken = not found[0] or found[0] in plain
            groups.setdefault(together[0] if taken else found[0], together)
        else:
            key = roles.key_of(name)
            groups[key if key not in groups else name] = [name]
    templates: dict[str, list[str]] = {}
    for key, names in groups.items():
        template = roles.score_template(key)
        if len(names) == 1 and template and contents[names[0]][1] == 1:
            templates.setdefault(template, []).append(key)
    for template, keys in templates.items():  # prob_cat, prob_dog, …
        if len(keys) > 1 and template not in groups:
            groups[template] = [groups.pop(key)[0] for key in keys]
    loose = [
        key
        for key, names in groups.items()
        if len(names) == 1
        and roles.role_of(key) is Role.UNKNOWN
        and contents[names[0]][1] == 1
        and contents[names[0]][0] in (Content.REAL, Content.FLAGS, Content.WHOLE)
    ]
    kinds = {contents[groups[key][0]][0] for key in loose}
    are_flags = kinds == {Content.FLAGS} or all(groups[key][0] in binary for key in loose)
    if len(loose) > 1 and (Content.REAL in kinds or are_flags):  # named after the classes
        together = [groups.pop(key)[0] for key in loose]
        groups[f"{roles.key_of(together[0])} … {roles.key_of(together[-1])}"] = together
    return groups


def _are_all_classes(
    found: list[tuple[int, str]], contents: dict[str, tuple[Content, int]]
) -> bool:
    """Whether numbered columns are p0, p1, … or p1, p2, … of numbers with decimals."""
    numbers = [number for number, _ in sorted(found)]
    begin = numbers[0]
    return (
        len(found) > 1
        and begin in (0, 1)
        and numbers == list(range(begin, begin + len(found)))
        and any(contents[name][0] is Content.REAL for _, name in found)
        and all(contents[name][0] in (Content.REAL, Content.WHOLE) for _, name in found)
    )


def _role(key: str, names: Sequence[str]) -> Role:
    """The role of columns together; top1, top2, … are a ranking, a column "top" is an edge."""
    if len(names) == 1:
        return roles.role_of(roles.key_of(names[0]))
    return Role.PREDICTED if key in ("top", "rank") else roles.role_of(key)


def _by_content(
    columns: list[str], contents: dict[str, tuple[Content, int]]
) -> dict[str, list[str]]:
    """Columns without names: those of whole numbers together, those with decimals together."""
    groups: dict[str, list[str]] = {}
    for name in columns:
        content = contents[name][0]
        kind = {Content.WHOLE: "whole", Content.REAL: "score", Content.FLAGS: "flags"}.get(content)
        groups.setdefault(kind or name, []).append(name)
    return groups


def _flattened(column: Any, name: str) -> tuple[Any, int]:
    """(all values in one column, values per row) of a column of lists; itself and 1 of no lists.

    In front of boxes only the first class of each row is a value.
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
        lists = [t.translate(_BRACKETS).split() for t in texts]
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
    odd = lengths != lengths[0]
    if odd.any():
        row = int(np.argmax(odd))
        raise InputError(
            f"row {row + 1} has {lengths[row]} entries in {name}, row 1 has {lengths[0]}; expected "
            f"equally many in each row."
        )
    return flat, int(lengths[0])


def _check_unmixed(lists: list[list[str]], name: str) -> None:
    """Refuses a row of WordNet ids and numbers, which are boxes or scores, and no classes."""
    boxed = roles.key_of(name) == "predictionstring"
    for row, tokens in enumerate(lists, start=1):
        if boxed and len(tokens) > 1 and not class_columns.WORDNET_ID.fullmatch(tokens[0]):
            raise InputError(
                f"row {row} has several numbers in {name} ({' '.join(tokens)[:60]}): boxes or scores stand "
                f"beside the class. Write the class alone."
            )
        ids = sum(map(bool, map(class_columns.WORDNET_ID.fullmatch, tokens)))
        if 0 < ids < len(tokens) and all(
            map(_NUMBER.fullmatch, (t for t in tokens if not class_columns.WORDNET_ID.fullmatch(t)))
        ):
            raise InputError(
                f"row {row} mixes WordNet ids and numbers in {name} ({' '.join(tokens)[:60]}); expected "
                f"classes alone, the most likely first."
            )

"""The arrays of a `.npz`, and the single array of a `.npy`, as fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files import npz, tables
from real_labels.labels import ClassNames, class_columns
from real_labels.labels.classes import WORDNET_ID
from real_labels.predictions import roles
from real_labels.predictions.fields import SAMPLE, Content, Field, Fields, content_of
from real_labels.predictions.predictions import MOCK, is_mock_set
from real_labels.predictions.roles import Role

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped

ARRAY = "array"  # name of the array of a .npy, in messages and for --column
_ROW_TOLERANCE = 0.1  # relative difference in rows of an array that may be about the same images
_Shape = tuple[int, ...]


class ArchiveFields(Fields):
    """The fields of an open `.npz`: its arrays with one row per image."""

    def __init__(self, archive: npz.Archive, class_names: ClassNames | None):
        """Finds the fields by the headers of the arrays; reads arrays of floats and of text at once.

        Raises:
          InputError: if an array cannot be read although its name suggests file names, labels, classes or
            scores, or if such an array does not have one row per file name.
        """
        self._archive, self.class_names = archive, class_names
        self._arrays: dict[str, np.ndarray] = {}
        self.all_names = list(archive.files)
        self.fields, self._unread = [], []
        headers = self._headers()
        by_key = tables.by_key(headers)
        named = next((by_key[n] for n in tables.FILE_COLUMNS if n in by_key), None)
        self.names = None if named is None else npz.as_text(self._array(named), named)
        rows = _most_rows(headers) if named is None else headers[named][0][0]
        for name, (shape, dtype) in headers.items():
            if name != named:
                self._add(name, shape, dtype, rows)
        self.unread = self._unread
        self.is_mock = MOCK in headers and is_mock_set(self._array(MOCK))

    def _headers(self) -> dict[str, tuple[_Shape, np.dtype]]:
        """(shape, dtype) of each array."""
        headers = {}
        for name in self._archive.files:
            try:
                with self._archive.member(name) as member:
                    shape, _, dtype = npz.read_header(member)
            except InputError:
                if _role(name) not in (Role.UNKNOWN, Role.METADATA, Role.ABOUT_PREDICTION):
                    raise
                self._unread.append(name)  # pickled, or not an array
            else:
                headers[name] = shape, dtype
        return headers

    def _add(self, name: str, shape: _Shape, dtype: np.dtype, rows: int) -> None:
        """Adds the field of an array if the array has one row per image."""
        role = _role(name)
        if not shape or role is Role.METADATA:
            return
        is_candidate = role in (Role.PREDICTED, Role.SCORE, Role.CLASS)
        if shape[0] != rows:
            if self.names is not None and is_candidate:
                raise InputError(
                    f"{name} has {shape[0]:,} rows, but there are {rows:,} file names; expected one row per "
                    f"file name."
                )
            if abs(shape[0] - rows) < _ROW_TOLERANCE * max(rows, 1):
                self._unread.append(name)
        elif len(shape) > 2 or dtype.kind not in "iufbUS":
            if is_candidate:
                raise InputError(
                    f"{name} must be an array (N,), (N, k) or (N, C) of numbers or text; found shape {shape} "
                    f"and dtype {dtype}."
                )
            self._unread.append(name)
        else:
            width = shape[1] if len(shape) > 1 else 1
            content = self._content(name, dtype) if rows and width else Content.NOTHING
            self.fields.append(Field(tables.key_of(name), (name,), role, content, width))

    def _content(self, name: str, dtype: np.dtype) -> Content:
        if dtype.kind == "b":
            return Content.FLAGS
        if dtype.kind == "f":
            head = np.asarray(self._array(name)[:SAMPLE], np.float64)
            return Content.WHOLE if head.size and (head == np.floor(head)).all() else Content.REAL
        if dtype.kind in "US":
            cells = np.char.strip(self._texts(name)[:SAMPLE]).ravel().tolist()
            return content_of([[cell] for cell in cells if cell], self.class_names)
        return Content.WHOLE

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = self._archive[name]
        return self._arrays[name]

    def _texts(self, name: str) -> np.ndarray:
        array = self._array(name)
        return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        array = self._array(field.columns[0])
        if array.dtype.kind not in "US":
            return _whole(_rows(array), field.title)
        texts, place = np.unique(self._texts(field.columns[0]), return_inverse=True)
        indices = [class_columns.index_of(t.strip(), self.class_names) for t in texts.tolist()]
        if None in indices:
            bad = indices.index(None)
            row = int(np.argmax(place.reshape(array.shape[0], -1) == bad)) // field.width + 1
            raise InputError(
                f"row {row} has the {field.title} '{texts[bad]}', expected a class index or a WordNet id."
            )
        return _rows(np.array(indices, np.int64)[place].reshape(array.shape))

    def numbers(self, field: Field) -> Shaped[np.ndarray, "rows k"]:
        array = self._array(field.columns[0])
        return self.classes(field) if array.dtype.kind in "US" else _rows(array)

    def texts(self, field: Field) -> list[str]:
        return [" ".join(map(str, row)) for row in _rows(self._texts(field.columns[0])).tolist()]

    def are_words(self, field: Field) -> bool:
        return self._array(field.columns[0]).dtype.kind in "US"

    def are_wordnet_ids(self, field: Field) -> bool:
        if not self.are_words(field):
            return False
        return bool(WORDNET_ID.fullmatch(str(self._texts(field.columns[0]).flat[0]).strip()))


class ArrayFields(Fields):
    """The single field of a `.npy`."""

    def __init__(self, array: np.ndarray):
        """Makes one field of the array.

        Raises:
          InputError: if the array can hold neither classes nor scores.
        """
        if array.dtype.kind not in "iufb" or array.ndim not in (1, 2) or not array.size:
            raise InputError(
                f"expected classes (N,), ranked classes (N, k) or logits (N, C); found shape "
                f"{array.shape} and dtype {array.dtype}."
            )
        self._array = _rows(array)
        self.names, self.all_names = None, [ARRAY]
        self.fields = [Field(ARRAY, (ARRAY,), Role.UNKNOWN, Content.WHOLE, self._array.shape[1])]

    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        return _whole(self._array, "")

    def numbers(self, field: Field) -> Shaped[np.ndarray, "rows k"]:
        return self._array


def _role(name: str) -> Role:
    return roles.role_of(tables.key_of(name))


def _most_rows(headers: Mapping[str, tuple[_Shape, np.dtype]]) -> int:
    """Number of images: the commonest length of arrays of scores, else of predictions, classes, others."""
    for wanted in ((Role.SCORE,), (Role.PREDICTED,), (Role.CLASS,), tuple(Role)):
        lengths = [
            shape[0]
            for name, (shape, _) in headers.items()
            if len(shape) in (1, 2) and _role(name) in wanted
        ]
        if lengths:
            return max(lengths, key=lengths.count)
    return 0


def _rows(array: np.ndarray) -> Shaped[np.ndarray, "rows k"]:
    """Returns an array (N,) as (N, 1), and an array (N, k) as it is."""
    return array if array.ndim > 1 else array[:, None]


def _whole(array: Shaped[np.ndarray, "rows k"], title: str) -> Int[np.ndarray, "rows k"]:
    """Converts whole numbers of any numeric dtype to int64.

    Raises:
      InputError: naming the first row that holds another number.
    """
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    wide = array.astype(np.float64)
    fits = np.isfinite(wide) & (wide == np.floor(wide)) & (np.abs(wide) < 1 << 53)
    if not fits.all():
        row = int(np.argmin(fits.all(axis=1)))
        value = array[row][int(np.argmin(fits[row]))]
        raise InputError(
            f"row {row + 1} holds {value}{title and f' in {title}'}; expected a class index, as there is one "
            f"number per image."
        )
    return array.astype(np.int64)

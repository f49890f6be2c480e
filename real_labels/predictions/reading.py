"""Reading predictions as people have them: arrays, tables, and what timm's inference.py writes.

A file gives, for each image, one class, ranked classes, or a score for every class; under file names
or in the order of the sorted file names.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files
from real_labels.errors import InputError, naming
from real_labels.files import npz, tables
from real_labels.labels import class_columns
from real_labels.predictions import columns, ranking
from real_labels.predictions.predictions import TOP_K

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True, eq=False)
class PredictionFile:
    """What a file of predictions says, before it is held against a dataset.

    Attributes:
      file_names: (N,) str as they stand in the file; None where rows stand for sorted file names.
      classes: (N, k) int64, the most likely first; any range: mixed-up numberings are found later.
      scores: (N, k) float of each, or None.
      every_score: (N, C) where the file held a score for every class, else None.
    """

    file_names: np.ndarray | None
    classes: Int[np.ndarray, "images k"]
    scores: Float[np.ndarray, "images k"] | None = None
    every_score: Float[np.ndarray, "images classes"] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def num_columns(self) -> int | None:
        """C where the file held a score for every class, else None."""
        return None if self.every_score is None else self.every_score.shape[1]

    def with_probabilities(self) -> PredictionFile:
        """The same with logits turned into probabilities, where there is one for every class.

        Scores within [0, 1] are probabilities already; others become their softmax.
        """
        if self.every_score is None:
            return self
        scores = ranking.probabilities(self.every_score, self.scores)
        return dataclasses.replace(self, scores=scores)


def read(path: str | os.PathLike[str], column: str | None = None) -> PredictionFile:
    """Reads a file of predictions.

    `.npy`: (N,) classes, (N, k) ranked classes, or (N, C) floats, which are logits or probabilities.
    `.npz`: the same under any name, with `file_names` beside it or without; our `predictions.npz`.
    `.csv`, `.tsv`, `.txt`, `.jsonl`, `.json`, `.parquet`: a column of file names (or none), and
    classes as one column of indices or WordNet ids, one column of lists of them, or numbered columns
    (index_0, index_1, …); or a score for every class in such columns. Columns called prediction,
    pred_class or top1 go before those called class, index or label, which may be the truth; so do
    scores of more classes than such a column has. Several that may be it are an error.

    Args:
      path: the file.
      column: name of the column (or array) that holds the classes or scores, without the number of
        numbered ones; None finds it.

    Raises:
      InputError: naming the file and the place: another format, damaged, empty, pickled, NaN, or
        several columns that could be the predictions.
    """
    path = pathlib.Path(path)
    ending = path.suffix.lower()
    with naming(path):
        if path.is_dir():
            raise InputError("is a folder; name a file, such as the predictions.npz in it.")
        if ending == ".npy":
            found = _from_array(_load_npy(path), None)
        elif ending == ".npz":
            found = _from_npz(path, column)
        elif ending in tables.ENDINGS:
            with tables.understood():
                found = _from_table(path, column)
        else:
            raise InputError(
                f"unknown ending '{ending}'; expected .npy, .npz, {', '.join(tables.ENDINGS)}."
            )
        if not len(found):
            raise InputError("holds no predictions.")
    return found


def _load_npy(path: pathlib.Path) -> np.ndarray:
    with files.readable(path).open("rb") as file:
        if (magic := file.read(6)) != b"\x93NUMPY":  # NumPy would take it for a pickle
            raise InputError("is no .npy file, or cut short." if magic else "is empty.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, EOFError) as error:
        if "Python objects" in str(error):
            raise npz.pickled() from None
        raise InputError(f"is no .npy file, or cut short ({error}).") from None


def _from_npz(path: pathlib.Path, column: str | None) -> PredictionFile:
    with npz.opened(path) as archive:
        names = next((n for n in archive.files if columns.key_of(n) in columns.FILE_COLUMNS), None)
        arrays = {n: archive[n] for n in archive.files}
        others = {columns.key_of(n): [n] for n in arrays if n != names}
        classes, scores = columns.choose(others, lambda group: _width(arrays[group[0]]), column)
        if not classes and not scores and len(others) == 1:
            classes = next(iter(others.values()))
        if not classes and not scores:
            raise InputError(
                f"expected an array of classes or logits (named 'classes' or 'logits'), with "
                f"'file_names' beside it or without; found {', '.join(archive.files) or 'nothing'}."
            )
    file_names = None if names is None else arrays[names]
    array = arrays[(classes or scores)[0]]
    ranked_scores = arrays[scores[0]] if classes and scores else None
    if file_names is not None:
        if file_names.dtype.kind == "S":
            try:
                file_names = np.char.decode(file_names, "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{names} is no UTF-8 text ({error}).") from None
        if file_names.dtype.kind != "U" or file_names.shape != array.shape[:1]:
            raise InputError(
                f"{names} must be {array.shape[:1]} of str, one per row; found "
                f"{file_names.shape} of {file_names.dtype}."
            )
    found = _from_array(array, file_names)
    if ranked_scores is None or found.num_columns is not None:
        return found
    if ranked_scores.ndim == 1:
        ranked_scores = ranked_scores[:, None]
    if ranked_scores.shape != found.classes.shape:
        return found  # scores of something else
    return dataclasses.replace(found, scores=ranked_scores)


def _width(array: np.ndarray) -> int:
    return array.shape[1] if array.ndim > 1 else 1


def _from_array(array: np.ndarray, file_names: np.ndarray | None) -> PredictionFile:
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.size:
        raise InputError(
            f"expected classes (N,), ranked classes (N, k) or logits (N, C), found shape "
            f"{array.shape} of {array.dtype}."
        )
    if array.dtype.kind in "iu" and not _are_integer_scores(array):
        return PredictionFile(file_names, _columns(array).astype(np.int64))
    if array.ndim == 1 or array.shape[1] == 1:
        whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 1 << 53)
        if not whole.all():
            row = int(np.argmin(whole.ravel()))
            raise InputError(
                f"row {row} holds {array.ravel()[row]}: with one number per image, a class index is "
                f"expected."
            )
        return PredictionFile(file_names, _columns(array).astype(np.int64))
    if array.shape[1] <= columns.MOST_RANKED and _are_ranked_classes(np.asarray(array)):
        return PredictionFile(file_names, array.astype(np.int64))
    classes, scores = ranking.top_k(array, max(TOP_K))
    return PredictionFile(file_names, classes.astype(np.int64), scores, array)


def _columns(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _are_integer_scores(array: np.ndarray) -> bool:
    """Whether whole numbers are (quantized) scores: many a row, and not distinct indices."""
    if array.ndim == 1 or array.shape[1] <= columns.MOST_RANKED:
        return False
    first = np.asarray(array[0])
    return first.min() < 0 or len(np.unique(first)) < len(first)


def _are_ranked_classes(array: np.ndarray) -> bool:
    """Whether floats are class indices: whole, and beyond the number of columns."""
    finite = np.isfinite(array).all()
    whole = finite and (array == np.floor(array)).all()
    return bool(whole and array.min() >= 0 and array.max() >= array.shape[1])


def _from_table(path: pathlib.Path, column: str | None) -> PredictionFile:
    table = tables.read(path)
    if path.suffix.lower() in (".csv", ".tsv", ".txt") and columns.is_data(table.column_names):
        table = tables.read(path, header=False)
    found = columns.find_roles(table, column)
    file_names = None
    if found.file_name is not None:
        file_names = tables.strings(table[found.file_name], found.file_name)
    if found.classes:
        classes = _class_matrix(table, found.classes)
        scores = _score_matrix(table, found.scores) if found.scores else None
        if scores is not None and scores.shape != classes.shape:
            scores = None  # of something else than these classes
        return PredictionFile(file_names, classes, scores)
    scores = _score_matrix(table, found.scores)
    if scores.shape[1] < 2:
        raise InputError(
            f"has a score ({found.scores[0]}) but no class; columns: {', '.join(table.column_names)}. "
            f"From timm's inference.py, ask for --include-index."
        )
    return _from_array(scores, file_names)


def _class_matrix(table: Any, names: list[str]) -> Int[np.ndarray, "rows k"]:
    if len(names) > 1:
        return np.stack([class_columns.class_indices(table[c], c) for c in names], axis=1)
    flat, k = _flattened(table[names[0]], names[0])
    return class_columns.class_indices(flat, names[0], per_row=k).reshape(-1, k)


def _score_matrix(table: Any, names: list[str]) -> Float[np.ndarray, "rows k"]:
    import pyarrow as pa

    def floats(column: Any, name: str) -> np.ndarray:
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise InputError(
                f"column {name} holds something else than numbers ({error})."
            ) from None
        return tables.numbers(column)

    if len(names) > 1:
        return np.stack([floats(table[c], c) for c in names], axis=1)
    flat, k = _flattened(table[names[0]], names[0])
    return floats(flat, names[0]).reshape(-1, k)


def _flattened(column: Any, name: str) -> tuple[Any, int]:
    """(all elements in one column, elements per row) of a column of lists; itself and 1 of no lists."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = np.array(column.combine_chunks().value_lengths().fill_null(0))
        flat = pa.chunked_array([column.combine_chunks().flatten()])
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.fill_null("").to_pylist()
        if not any(c in texts[0] for c in " [,;("):
            return column, 1
        lists = [t.translate(columns.BRACKETS).split() for t in texts]
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

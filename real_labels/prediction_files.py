"""Reading predictions as people have them: arrays, tables, and what timm's inference.py writes.

A file gives, for each image, one class, ranked classes, or a score for every class; under file names
or in the order of the sorted file names.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files, npz, ranking, tables
from real_labels.accuracy import TOP_K
from real_labels.errors import InputError, naming

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_FILE_COLUMNS = (
    "file_name", "file_names", "filename", "filenames", "file", "files", "image", "image_name",
    "image_names", "image_id", "imageid", "img", "path", "paths", "filepath", "file_path", "name",
    "names", "fname", "id",
)  # fmt: skip
# What is called so is surely predicted; what is called a class may be predicted or be the truth.
_PREDICTED = re.compile(
    r"(pred|preds|prediction|predictions|predicted|predictionstring|top\d*|topk)(_.*)?"
    r"|.*_(pred|preds|predicted|prediction)"
)
_CLASS_COLUMNS = (
    "index", "indices", "classes", "class", "class_id", "class_index", "class_idx", "topk_indices",
    "wnid", "wordnet_id", "synset", "label", "labels",
)  # fmt: skip
_TRUTH = re.compile(
    r"(true|truth|gt|target|targets|ground|actual|original|y_true)(_.*)?|.*_(true|gt)"
)
_SCORE = re.compile(
    r"(.*_)?(scores?|logits?|probs?|probability|probabilities|conf|confidences?|outputs?)"
)
_RANKED = re.compile(
    r"(pred|prediction|predicted|top|rank)s?(_(class|label|index|idx|id|wnid|synset))?"
)
_NUMBERED_INSIDE = re.compile(r"(top|pred|prediction|rank)_?(\d+)_(.+)")  # top1_class
_NUMBERED = re.compile(r"(.*?)[_ ]?(\d+)")
_IMAGE_NAME = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|npy)$|^ILSVRC2012_val_", re.IGNORECASE)
_BRACKETS = str.maketrans("[](),;'\"\n\t", " " * 10)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf", re.IGNORECASE)
_MOST_RANKED = 20  # more columns of whole numbers than this are no ranking that was saved as floats


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
        names = next((n for n in archive.files if _key(n) in _FILE_COLUMNS), None)
        arrays = {n: archive[n] for n in archive.files}
        others = {_key(n): [n] for n in arrays if n != names}
        classes, scores = _choose(others, lambda group: _width(arrays[group[0]]), column)
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
    if array.shape[1] <= _MOST_RANKED and _are_ranked_classes(np.asarray(array)):
        return PredictionFile(file_names, array.astype(np.int64))
    classes, scores = ranking.top_k(array, max(TOP_K))
    return PredictionFile(file_names, classes.astype(np.int64), scores, array)


def _columns(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _are_integer_scores(array: np.ndarray) -> bool:
    """Whether whole numbers are (quantized) scores: many a row, and not distinct indices."""
    if array.ndim == 1 or array.shape[1] <= _MOST_RANKED:
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
    if path.suffix.lower() in (".csv", ".tsv", ".txt") and _is_data(table.column_names):
        table = tables.read(path, header=False)
    names = {_key(n): n for n in table.column_names}
    file_column = next((names[n] for n in _FILE_COLUMNS if n in names), None)
    if file_column is None:
        file_column = next((n for n in table.column_names if _holds_names(table[n])), None)
    file_names = None
    if file_column is not None:
        file_names = tables.strings(table[file_column], file_column)
    groups = _groups([n for n in table.column_names if n != file_column])
    for name in ("output", "outputs"):
        if name in groups and _kind(table[groups[name][0]]) == "integer":
            groups.setdefault("predicted", groups.pop(name))  # whole numbers are no scores
    readable = {key: g for key, g in groups.items() if not _is_prose(table[g[0]])}
    by_class, by_score = [], []
    # What merely numbers the rows is read as classes only if there is nothing else.
    unnumbered = {key: g for key, g in readable.items() if not _numbers_rows(table[g[0]])}
    for candidates in (unnumbered, readable):
        if not by_class and not by_score:
            width = functools.partial(_table_width, table)
            by_class, by_score = _choose(candidates, width, column)
    if not by_class and not by_score:
        by_class = _unnamed(table, [n for group in groups.values() for n in group])
    if by_class and not by_score and _all_scores(table, by_class):
        by_class, by_score = [], by_class  # logits in columns 0, 1, 2, …
    if by_class:
        classes = _class_matrix(table, by_class)
        scores = _score_matrix(table, by_score) if by_score else None
        if scores is not None and scores.shape != classes.shape:
            scores = None  # of something else than these classes
        return PredictionFile(file_names, classes, scores)
    scores = _score_matrix(table, by_score)
    if scores.shape[1] < 2:
        raise InputError(
            f"has a score ({by_score[0]}) but no class; columns: {', '.join(table.column_names)}. "
            f"From timm's inference.py, ask for --include-index."
        )
    return _from_array(scores, file_names)


def _key(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _groups(columns: list[str]) -> dict[str, list[str]]:
    """Columns by name; numbered ones of one ranking (index_0, index_1, …) together and in order."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in columns:
        base, number = _numbered(_key(name))
        groups.setdefault(base, []).append((number, name))
    return {base: [n for _, n in sorted(group)] for base, group in groups.items()}


def _numbered(key: str) -> tuple[str, int]:
    """(name without its number, number) where that counts ranks or classes, else (key, -1)."""
    if found := _NUMBERED.fullmatch(key):
        base, number = found[1], found[2]
    elif found := _NUMBERED_INSIDE.fullmatch(key):
        base, number = f"{found[1]}_{found[3]}", found[2]
    else:
        return key, -1
    return (base, int(number)) if not base or _ranks(base) else (key, -1)


def _ranks(base: str) -> bool:
    """Whether numbers behind such a name count ranks or classes, and not models or runs."""
    return base in _CLASS_COLUMNS or bool(_RANKED.fullmatch(base) or _SCORE.fullmatch(base))


def _choose(
    groups: dict[str, list[str]], width: Callable[[list[str]], int], column: str | None
) -> tuple[list[str], list[str]]:
    """(columns of classes, columns of scores) among the named groups; empty where there are none.

    Raises:
      InputError: if several may hold the predictions, and nothing tells which do.
    """
    if column is not None:
        literal = next((g for g in groups.values() if column in g and len(g) > 1), None)
        chosen = [column] if literal else groups.get(_key(column))
        if chosen is None:
            raise InputError(f"has no column '{column}' of classes; there are {', '.join(groups)}.")
        is_score = bool(_SCORE.fullmatch(_key(column))) or width(chosen) > _MOST_RANKED
        return ([], chosen) if is_score else (chosen, [])
    scores = next((g for key, g in groups.items() if _SCORE.fullmatch(key)), [])
    surely = [
        group
        for key, group in groups.items()
        if _PREDICTED.fullmatch(key) and not _SCORE.fullmatch(key)
    ]
    maybe = [groups[n] for n in _CLASS_COLUMNS if n in groups]
    if len(surely) == 1:
        every = width(scores) > max(_MOST_RANKED, width(surely[0])) if scores else False
        return ([], scores) if every else (surely[0], scores)
    if surely:
        raise _undecided(surely)
    if scores and width(scores) > max([1, *map(width, maybe)]):
        return [], scores  # of every class; the class beside them says less, or is the truth
    if len(maybe) > 1 and maybe[0] is not groups.get("index"):
        raise _undecided(maybe)
    return (maybe[0] if maybe else []), scores


def _undecided(groups: list[list[str]]) -> InputError:
    return InputError(
        f"several columns may be the predictions: {', '.join(g[0] for g in groups)}. Name the one that "
        f"is with --column."
    )


def _table_width(table: Any, group: list[str]) -> int:
    """Number of classes or scores a group of columns has in each row."""
    if len(group) > 1:
        return len(group)
    first = table[group[0]][0].as_py()
    if isinstance(first, str):
        return len(first.translate(_BRACKETS).split())
    return len(first) if isinstance(first, list) else 1


def _numbers_rows(column: Any) -> bool:
    if _kind(column) != "integer" or column.null_count:
        return False
    return bool((np.diff(tables.numbers(column).astype(np.int64)) == 1).all())


def _is_data(header: list[str]) -> bool:
    """Whether what was read as a header is the first row already."""
    return any(_IMAGE_NAME.search(c) for c in header) or all(_is_class(c) for c in header)


def _is_class(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+|n\d{8}", text.strip()))


def _holds_names(column: Any) -> bool:
    return isinstance(first := column[0].as_py(), str) and bool(_IMAGE_NAME.search(first))


def _is_prose(column: Any) -> bool:
    """Whether a column holds class names or descriptions, not indices or WordNet ids."""
    first = column[0].as_py()
    first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, str):
        return False
    words = first.translate(_BRACKETS).split()
    return not words or not all(_is_class(w) or _NUMBER.fullmatch(w) for w in words)


def _unnamed(table: Any, columns: list[str]) -> list[str]:
    """The columns of classes, or of scores, where their names say nothing."""
    columns = [c for c in columns if not _TRUTH.fullmatch(_key(c))]
    kinds = {_kind(table[c]) for c in columns}
    if columns and kinds <= {"integer", "floating"}:
        counted = all(re.fullmatch(r"f?\d+", c) for c in columns)
        if len(columns) == 1 or counted or "floating" in kinds:
            return columns
        raise _undecided([[c] for c in columns])
    if len(columns) == 1 and not _is_prose(table[columns[0]]):
        return columns
    raise InputError(
        f"expected a column of file names and one of class indices or WordNet ids; found the columns "
        f"{', '.join(table.column_names)}, none of which holds them. Name it 'index'; timm's "
        f"inference.py writes it with --include-index."
    )


def _all_scores(table: Any, columns: list[str]) -> bool:
    """Whether numbered columns hold a score for every class, not ranked classes."""
    return (
        len(columns) > 1
        and any(_kind(table[c]) == "floating" for c in columns)
        and not all((tables.numbers(table[c]) % 1 == 0).all() for c in columns)
    )


def _kind(column: Any) -> str:
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return "integer"
    return "floating" if pa.types.is_floating(column.type) else "other"


def _class_matrix(table: Any, columns: list[str]) -> Int[np.ndarray, "rows k"]:
    if len(columns) > 1:
        return np.stack([tables.class_indices(table[c], c) for c in columns], axis=1)
    flat, k = _flattened(table[columns[0]], columns[0])
    return tables.class_indices(flat, columns[0], per_row=k).reshape(-1, k)


def _score_matrix(table: Any, columns: list[str]) -> Float[np.ndarray, "rows k"]:
    import pyarrow as pa

    def floats(column: Any, name: str) -> np.ndarray:
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise InputError(
                f"column {name} holds something else than numbers ({error})."
            ) from None
        return tables.numbers(column)

    if len(columns) > 1:
        return np.stack([floats(table[c], c) for c in columns], axis=1)
    flat, k = _flattened(table[columns[0]], columns[0])
    return floats(flat, columns[0]).reshape(-1, k)


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
        lists = [t.translate(_BRACKETS).split() for t in texts]
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

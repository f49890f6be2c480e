"""Which columns of a table, or arrays of an archive, hold file names, classes and scores.

Their names say it: see the lists and patterns below; where the names leave a choice, the contents.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import tables

FILE_COLUMNS = (
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
BRACKETS = str.maketrans("[](),;'\"\n\t", " " * 10)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf", re.IGNORECASE)
MOST_RANKED = 20  # more columns of whole numbers than this are no ranking that was saved as floats


@dataclasses.dataclass(frozen=True)
class Roles:
    """The columns of a table by what they hold.

    Attributes:
      file_name: the column of file names; None where rows stand for sorted file names.
      classes: columns of classes, the most likely first; empty if there are none.
      scores: columns of scores: of these classes or, without any, of every class.
    """

    file_name: str | None
    classes: list[str]
    scores: list[str]


def find_roles(table: Any, column: str | None) -> Roles:
    """Finds the columns of file names, classes and scores of a pyarrow.Table.

    Args:
      table: with at least one row.
      column: the column (or group of numbered ones) that the user says holds the predictions.

    Raises:
      InputError: if no column can be the predictions, or several can and nothing tells which is.
    """
    names = {key_of(n): n for n in table.column_names}
    file_column = next((names[n] for n in FILE_COLUMNS if n in names), None)
    if file_column is None:
        file_column = next((n for n in table.column_names if _holds_names(table[n])), None)
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
            by_class, by_score = choose(candidates, width, column)
    if not by_class and not by_score:
        by_class = _unnamed(table, [n for group in groups.values() for n in group])
    if by_class and not by_score and _all_scores(table, by_class):
        by_class, by_score = [], by_class  # logits in columns 0, 1, 2, …
    return Roles(file_column, by_class, by_score)


def key_of(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _groups(columns: list[str]) -> dict[str, list[str]]:
    """Columns by name; numbered ones of one ranking (index_0, index_1, …) together and in order."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in columns:
        base, number = _numbered(key_of(name))
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


def choose(
    groups: dict[str, list[str]], width: Callable[[list[str]], int], column: str | None
) -> tuple[list[str], list[str]]:
    """(columns of classes, columns of scores) among the named groups; empty where there are none.

    Raises:
      InputError: if several may hold the predictions, and nothing tells which do.
    """
    if column is not None:
        literal = next((g for g in groups.values() if column in g and len(g) > 1), None)
        chosen = [column] if literal else groups.get(key_of(column))
        if chosen is None:
            raise InputError(f"has no column '{column}' of classes; there are {', '.join(groups)}.")
        is_score = bool(_SCORE.fullmatch(key_of(column))) or width(chosen) > MOST_RANKED
        return ([], chosen) if is_score else (chosen, [])
    scores = next((g for key, g in groups.items() if _SCORE.fullmatch(key)), [])
    surely = [
        group
        for key, group in groups.items()
        if _PREDICTED.fullmatch(key) and not _SCORE.fullmatch(key)
    ]
    maybe = [groups[n] for n in _CLASS_COLUMNS if n in groups]
    if len(surely) == 1:
        every = width(scores) > max(MOST_RANKED, width(surely[0])) if scores else False
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
        return len(first.translate(BRACKETS).split())
    return len(first) if isinstance(first, list) else 1


def _numbers_rows(column: Any) -> bool:
    if _kind(column) != "integer" or column.null_count:
        return False
    return bool((np.diff(tables.numbers(column).astype(np.int64)) == 1).all())


def is_data(header: list[str]) -> bool:
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
    words = first.translate(BRACKETS).split()
    return not words or not all(_is_class(w) or _NUMBER.fullmatch(w) for w in words)


def _unnamed(table: Any, columns: list[str]) -> list[str]:
    """The columns of classes, or of scores, where their names say nothing."""
    columns = [c for c in columns if not _TRUTH.fullmatch(key_of(c))]
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

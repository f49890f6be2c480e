"""Reading tables of answers, with one row per answer or one column per rater."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.files.text import listed, normalised
from real_labels.labels import ClassNames, check_classes, class_columns, imagenet
from real_labels.labels.file_names import is_image_name

if TYPE_CHECKING:
    from jaxtyping import Int

COLUMNS = ("file_name", "label", "rater", "answer")
# Accepted other names of each column, and words by which an error proposes a column.
_SYNONYMS = {
    "file_name": tables.FILE_COLUMNS,
    "label": ("class", "class_id", "class_index", "label_id", "label_index", "wnid", "synset"),
    "rater": ("worker", "worker_id", "rater_id", "annotator", "annotator_id", "user", "user_id"),
    "answer": ("response", "result", "judgment", "judgement", "vote"),
}
_HINTS = {
    "file_name": ("image", "file", "path"),
    "label": ("label", "class", "category"),
    "rater": ("worker", "rater", "annotator", "user", "performer"),
    "answer": ("answer", "result", "response", "output", "judg", "vote"),
}
# Names of columns that do not belong to a rater: a truth counted as a rater would falsify the result.
_NOT_A_RATER = re.compile(
    r"truth|true|gold(en)?|gt|present|majority|consensus|target|split|batch|fold|row|n|id|count|index|unnamed.*|"
    r"|.*_(truth|true|gold|gt|majority|consensus|count|id)|(n|num|is)_.*"
)
_AMBIGUOUS = (
    "id",
    "name",
    "names",
)  # columns of file names only if their cells look like file names
_EMPTY = ("nan", "none", "null", "na", "n/a")  # answers that mean an empty cell


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerRows:
    """The answers of a table.

    Attributes:
      file_names, raters: (I,), (R,) str, distinct.
      image, rater: (A,) row of each answer in file_names and in raters.
      label: (A,) int64 class of each answer.
      answer: (A,) position of each answer in the categories.
      empty: number of rows without an answer, which are left out.
      remarks: remarks about the table for the user, one sentence each.
    """

    file_names: np.ndarray
    raters: np.ndarray
    image: Int[np.ndarray, "answers"]
    rater: Int[np.ndarray, "answers"]
    label: Int[np.ndarray, "answers"]
    answer: Int[np.ndarray, "answers"]
    empty: int
    remarks: tuple[str, ...] = ()


def rows_of(
    table: Any, categories: tuple[str, ...], columns: Mapping[str, str] | None = None
) -> AnswerRows:
    """Reads the answers in a table.

    Args:
      table: a pyarrow.Table of file_name, label, rater and answer, or of file_name, label and one column per
        rater.
      categories: the possible answers.
      columns: the table's names of these columns, if they differ.

    Raises:
      InputError: naming the row; without the file's name (see errors.naming).
    """
    names = _columns_of(table, dict(columns or {}))
    with tables.understood():
        if "rater" not in names and "answer" not in names and {"file_name", "label"} <= set(names):
            positions = _raters_beside(table, names, categories)
            if positions:
                return _wide(table, names, positions)
        if missing := [role for role in COLUMNS if role not in names]:
            raise _missing_columns(table, names, missing)
        return _long(table, names, categories)


def has_raters(
    table: Any, categories: Sequence[str], columns: Mapping[str, str] | None = None
) -> bool:
    """Whether a table holds answers, not other data about images and labels."""
    names = _columns_of(table, only_known(table, columns))
    return "rater" in names or bool(_raters_beside(table, names, tuple(categories)))


def only_known(table: Any, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the given column names that the table has; gold and answers may have different headers."""
    keys = tables.by_key(table.column_names)
    return {role: name for role, name in (columns or {}).items() if tables.key_of(name) in keys}


def columns_of_pairs(table: Any, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the table's names of the columns file_name and label, as far as it has them."""
    names = _columns_of(table, only_known(table, columns))
    return {role: names[role] for role in ("file_name", "label") if role in names}


def pairs_of(
    table: Any,
    columns: Mapping[str, str] | None = None,
    class_names: ClassNames | None = None,
) -> tuple[np.ndarray, Int[np.ndarray, "rows"], Int[np.ndarray, "rows"]]:
    """Returns (file names (I,), row in these of each pair, class of each pair) of a table of pairs.

    Args:
      table: a pyarrow.Table with file_name and label.
      columns: the table's names of these columns, if they differ.
      class_names: class names that may occur as labels.

    Raises:
      InputError: naming the column or the row; without the file's name (see errors.naming).
    """
    with tables.understood():
        names = columns_of_pairs(table, columns)
        for role in ("file_name", "label"):
            if role not in names:
                raise InputError(f"lacks the column {role}; found {', '.join(table.column_names)}.")
        label = class_columns.class_indices(
            table[names["label"]], names["label"], names=class_names
        )
        image, file_names = tables.names(table[names["file_name"]])
        if image.min() < 0:
            raise InputError(f"row {int(np.argmin(image)) + 1} has no file_name.")
    return file_names, image, label


def _columns_of(table: Any, given: dict[str, str]) -> dict[str, str]:
    """Returns role -> name of the table's column."""
    by_key = tables.by_key(table.column_names)
    names = {}
    for role, name in given.items():
        if tables.key_of(name) not in by_key:
            raise InputError(
                f"has no column {name!r} (--columns {role}={name}); there are {listed(table.column_names)}."
            )
        names[role] = by_key[tables.key_of(name)]
    for role in COLUMNS:
        taken = set(names.values())
        candidates = (
            by_key[key]
            for key in (role, *_SYNONYMS[role])
            if key in by_key
            and by_key[key] not in taken
            and (key not in _AMBIGUOUS or _holds_images(table[by_key[key]]))
        )
        if role not in names and (name := next(candidates, None)) is not None:
            names[role] = name
    return names


def _holds_images(column: Any) -> bool:
    first = next((c for c in column.slice(0, 20).to_pylist() if c), None)
    return isinstance(first, str) and is_image_name(first)


def _missing_columns(table: Any, names: dict[str, str], missing: list[str]) -> InputError:
    found = table.column_names
    message = (
        f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; expected "
        f"{', '.join(COLUMNS)}, found {listed(found)}."
    )
    if {"file_name", "label"} <= set(names) and missing == ["rater", "answer"] and len(found) > 3:
        return InputError(
            f"{message} If the table has one column per rater, all other columns must hold answers: remove "
            f"the columns that do not. If it has one row per answer, name the missing columns: --columns "
            f'"rater=NAME,answer=NAME".'
        )
    by_key = tables.by_key(found)
    if {"task", "worker", "label"} <= set(by_key) and "|" in str(table[by_key["task"]][0].as_py()):
        return InputError(
            f"{message} In crowd-kit's layout a task is an image and a label: split the column, with pandas: "
            f"table = table.rename(columns={{'worker': 'rater', 'label': 'answer'}}); "
            f"table[['file_name', 'label']] = table.task.str.rsplit('|', n=1, expand=True)."
        )
    proposed, taken = {}, set(names.values())
    for role in missing:
        likely = (n for n in found if n not in taken and any(w in n.lower() for w in _HINTS[role]))
        if (name := next(likely, None)) is not None:
            proposed[role] = name
            taken.add(name)
    example = ",".join(f"{role}={proposed.get(role, 'NAME')}" for role in missing)
    return InputError(f'{message} Name the missing columns: --columns "{example}".')


def _long(table: Any, names: dict[str, str], categories: tuple[str, ...]) -> AnswerRows:
    codes, texts = tables.names(table[names["answer"]])
    _check_scale(texts.tolist(), categories)
    position = _positions(codes, texts, categories, names["answer"])
    given = np.flatnonzero(position >= 0)
    empty = table.num_rows - len(given)
    if not len(given):
        raise InputError(f"has no answer: all {empty:,} rows of {names['answer']} are empty.")
    if empty:
        table = table.take(given)
    label = _labels(table[names["label"]], names["label"], given)
    image, file_names = _names(table[names["file_name"]], names["file_name"], given)
    rater, raters = _names(table[names["rater"]], names["rater"], given)
    remarks = _remarks(table[names["label"]], file_names)
    return AnswerRows(file_names, raters, image, rater, label, position[given], empty, remarks)


def _remarks(labels: Any, file_names: np.ndarray) -> tuple[str, ...]:
    if not class_columns.are_wordnet_ids(labels) or imagenet.is_validation_set(file_names):
        return ()
    return (
        "The labels are WordNet ids, numbered as ILSVRC-2012's classes; all other files about these images "
        "must use the same numbers.",
    )


def _check_scale(used: Sequence[str], categories: tuple[str, ...]) -> None:
    """Refuses answers such as 0 and 1 if there are three categories: 1 would be read as the middle category.

    Raises:
      InputError: if all answers are numbers, one is above 0, and none is the last category.
    """
    if any(c.isdecimal() for c in categories):
        return
    numbers = {text.partition(".")[0] for text in used if text.lower() not in _EMPTY}
    last = len(categories) - 1
    if numbers and all(n.isdecimal() for n in numbers) and 0 < max(map(int, numbers)) < last:
        raise InputError(
            f"has the answers {', '.join(sorted(numbers))}, the positions of "
            f"{', '.join(categories[int(n)] for n in sorted(numbers))} in the categories "
            f"{' < '.join(categories)}. If {max(numbers)} means {categories[-1]}, use "
            f"--categories {categories[0]},{categories[-1]}."
        )


def _labels(column: Any, column_name: str, rows: np.ndarray) -> Int[np.ndarray, "answers"]:
    label = class_columns.class_indices(column, column_name, rows=rows)
    if label.min() < 0:
        at = int(np.argmin(label))
        raise InputError(f"row {rows[at] + 1} has the negative label {label[at]}.")
    return check_classes(label, column_name).astype(np.int64)


def _names(column: Any, column_name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, names = tables.names(column)
    if codes.min() < 0:
        raise InputError(f"row {rows[int(np.argmin(codes))] + 1} has no {column_name}.")
    return codes, names


def _positions(
    codes: Int[np.ndarray, "rows"], texts: np.ndarray, categories: tuple[str, ...], column_name: str
) -> Int[np.ndarray, "rows"]:
    """Returns the position of each answer in the categories, (N,); -1 for empty answers.

    Args:
      codes, texts: the answers (see tables.names).
      categories: the possible answers.
      column_name: name of the column, for errors.

    Raises:
      InputError: at the first answer that is not a category.
    """
    known = {normalised(c).lower(): i for i, c in enumerate(categories)}
    if not any(c.isdecimal() for c in categories):  # else numbers are categories, not positions
        known |= {str(i): i for i in range(len(categories))}
    position = [_position(text, known) for text in texts.tolist()]
    if None in position:
        bad = position.index(None)
        row = int(np.argmax(codes == bad))
        raise InputError(
            f"row {row + 1} has the {column_name} '{texts[bad]}'; expected one of {', '.join(categories)}, "
            f"or 0 to {len(categories) - 1} (--categories sets other categories)."
        )
    return np.array([*position, -1], np.int16)[codes]


def _position(text: str, known: dict[str, int]) -> int | None:
    text = text.lower()
    if text in known:
        return known[text]
    if text in _EMPTY:
        return -1
    whole, _, decimals = text.partition(".")
    return known.get(whole) if decimals.strip("0") == "" and whole.isdecimal() else None


def _raters_beside(
    table: Any, names: dict[str, str], categories: tuple[str, ...]
) -> dict[str, Int[np.ndarray, "rows"]]:
    """Returns the positions (see _positions) in each column beside image and label.

    Returns {} if a column holds other values, there are fewer than two columns, or all cells are empty.

    Raises:
      InputError: if the name of a column is not a rater's, or the answers are ambiguous (see _check_scale).
    """
    others = [name for name in table.column_names if name not in names.values()]
    positions, used = {}, []
    try:
        for name in others:
            codes, texts = tables.names(table[name])
            positions[name] = _positions(codes, texts, categories, name)
            used += texts.tolist()
    except InputError:
        return {}
    if len(others) < 2 or not any((column >= 0).any() for column in positions.values()):
        return {}
    if wrong := [name for name in others if _NOT_A_RATER.fullmatch(tables.key_of(name))]:
        verb = "are not raters" if len(wrong) > 1 else "is not a rater"
        raise InputError(
            f"has one column per rater, but by name {listed(wrong)} {verb}: remove columns that do not hold "
            f"a rater's answers, or rename them."
        )
    _check_scale(used, categories)
    return positions


def _wide(
    table: Any, names: dict[str, str], positions: Mapping[str, Int[np.ndarray, "rows"]]
) -> AnswerRows:
    rows = np.arange(table.num_rows)
    label = _labels(table[names["label"]], names["label"], rows)
    image, file_names = _names(table[names["file_name"]], names["file_name"], rows)
    position = np.stack(list(positions.values()), axis=1)
    row, rater = np.nonzero(position >= 0)
    # Not every rater was asked every question, so empty cells do not count as empty answers.
    return AnswerRows(
        file_names,
        np.array(list(positions), dtype=np.str_),
        image[row],
        rater,
        label[row],
        position[row, rater],
        0,
        (f"Read as a table with one column per rater: {listed(list(positions))}.",),
    )

"""Tables of answers as people have them: a row an answer, or a column a rater."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.files.text import listed, normalised
from real_labels.labels import check_classes, class_columns

if TYPE_CHECKING:
    from jaxtyping import Int

COLUMNS = ("file_name", "label", "rater", "answer")
# Other names of a column, and words in a name that make it worth proposing.
_ALSO = {
    "file_name": tables.FILE_COLUMNS,
    "label": ("class", "class_id", "class_index", "label_id", "label_index", "wnid", "synset"),
    "rater": ("worker", "worker_id", "rater_id", "annotator", "annotator_id", "user", "user_id"),
    "answer": ("response", "result", "judgment", "judgement", "vote"),
}
_WORDS = {
    "file_name": ("image", "file", "path"),
    "label": ("label", "class", "category"),
    "rater": ("worker", "rater", "annotator", "user", "performer"),
    "answer": ("answer", "result", "response", "output", "judg", "vote"),
}
_EMPTY = ("nan", "none", "null", "na", "n/a")  # beside the empty cell


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerRows:
    """The answers of a table.

    Attributes:
      file_names, raters: (I,), (R,) str, distinct.
      image, rater: (A,) row in these of each answer.
      label: (A,) int64 class of each.
      answer: (A,) position of each in the categories.
      empty: number of rows without an answer, which are left out.
    """

    file_names: np.ndarray
    raters: np.ndarray
    image: Int[np.ndarray, "answers"]
    rater: Int[np.ndarray, "answers"]
    label: Int[np.ndarray, "answers"]
    answer: Int[np.ndarray, "answers"]
    empty: int


def read(
    path: str | os.PathLike[str],
    categories: tuple[str, ...],
    columns: Mapping[str, str] | None = None,
) -> AnswerRows:
    """Reads a table of file_name, label, rater and answer, or one of file_name, label and a column a rater.

    Args:
      path: the file.
      categories: what may be answered.
      columns: the table's own names of these columns, where they are called otherwise.

    Raises:
      InputError: without the file's name (see errors.naming), naming the row.
    """
    table = tables.read(path)
    names = _columns_of(table, dict(columns or {}))
    with tables.understood():
        if "rater" not in names and "answer" not in names and {"file_name", "label"} <= set(names):
            raters = _raters_beside(table, names, categories)
            if raters:
                return _wide(table, names, raters, categories)
        if missing := [role for role in COLUMNS if role not in names]:
            raise _lacking(table.column_names, names, missing)
        return _long(table, names, categories)


def has_raters(
    table: Any, categories: Sequence[str], columns: Mapping[str, str] | None = None
) -> bool:
    """Whether a table holds answers, and not something else about images and labels."""
    names = _columns_of(table, dict(columns or {}))
    return "rater" in names or bool(_raters_beside(table, names, tuple(categories)))


def columns_of_pairs(table: Any) -> dict[str, str]:
    """The columns file_name and label of a table, as far as it has them."""
    names = _columns_of(table, {})
    return {role: names[role] for role in ("file_name", "label") if role in names}


def _columns_of(table: Any, given: dict[str, str]) -> dict[str, str]:
    """Role -> the table's column."""
    plain = {name.strip().lower(): name for name in table.column_names}
    names = {}
    for role, name in given.items():
        if name.strip().lower() not in plain:
            raise InputError(
                f"has no column {name!r} (--columns {role}={name}); there are {listed(table.column_names)}."
            )
        names[role] = plain[name.strip().lower()]
    for role in COLUMNS:
        taken = set(names.values())
        found = (plain[n] for n in (role, *_ALSO[role]) if n in plain and plain[n] not in taken)
        if role not in names and (name := next(found, None)) is not None:
            names[role] = name
    return names


def _lacking(found: list[str], names: dict[str, str], missing: list[str]) -> InputError:
    says = (
        f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; expected "
        f"{', '.join(COLUMNS)}, found {listed(found)}."
    )
    if {"task", "worker", "label"} <= {name.strip().lower() for name in found}:
        return InputError(
            f"{says} In crowd-kit's layout a task is image and label together: split it, as with pandas: "
            f"table = table.rename(columns={{'worker': 'rater', 'label': 'answer'}}); "
            f"table[['file_name', 'label']] = table.task.str.rsplit('|', n=1, expand=True)."
        )
    proposed, taken = {}, set(names.values())
    for role in missing:
        likely = (n for n in found if n not in taken and any(w in n.lower() for w in _WORDS[role]))
        if (name := next(likely, None)) is not None:
            proposed[role] = name
            taken.add(name)
    example = ",".join(f"{role}={proposed.get(role, 'NAME')}" for role in missing)
    return InputError(f'{says} Say what they are called: --columns "{example}".')


def _long(table: Any, names: dict[str, str], categories: tuple[str, ...]) -> AnswerRows:
    position = _positions(table[names["answer"]], categories, names["answer"])
    given = np.flatnonzero(position >= 0)
    empty = table.num_rows - len(given)
    if not len(given):
        raise InputError(f"has no answer: all {empty:,} rows of {names['answer']} are empty.")
    if empty:
        table = table.take(given)
    label = _labels(table[names["label"]], names["label"], given)
    image, file_names = _names(table[names["file_name"]], names["file_name"], given)
    rater, raters = _names(table[names["rater"]], names["rater"], given)
    return AnswerRows(file_names, raters, image, rater, label, position[given], empty)


def _labels(column: Any, what: str, rows: np.ndarray) -> Int[np.ndarray, "answers"]:
    label = class_columns.class_indices(column, what, rows=rows)
    if label.min() < 0:
        at = int(np.argmin(label))
        raise InputError(f"row {rows[at] + 1} has the negative label {label[at]}.")
    return check_classes(label, what).astype(np.int64)


def _names(column: Any, what: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, found = tables.names(column)
    if codes.min() < 0:
        raise InputError(f"row {rows[int(np.argmin(codes))] + 1} has no {what}.")
    return codes, found


def _positions(column: Any, categories: tuple[str, ...], what: str) -> Int[np.ndarray, "rows"]:
    """(N,) position of each answer in the categories; -1 where there is none.

    Raises:
      InputError: at the first that is no category.
    """
    codes, texts = tables.names(column)
    known = {normalised(c).lower(): i for i, c in enumerate(categories)}
    if not any(c.isdecimal() for c in categories):  # where they are numbers, a number is a name
        known |= {str(i): i for i in range(len(categories))}
    position = [_position(text, known) for text in texts.tolist()]
    if None in position:
        bad = position.index(None)
        row = int(np.argmax(codes == bad))
        raise InputError(
            f"row {row + 1} has the {what} '{texts[bad]}'; expected one of {', '.join(categories)}, or 0 to "
            f"{len(categories) - 1} (--categories names others)."
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


def _raters_beside(table: Any, names: dict[str, str], categories: tuple[str, ...]) -> list[str]:
    """The columns beside image and label, if they all hold answers; none if they do not."""
    others = [name for name in table.column_names if name not in names.values()]
    try:
        found = [(_positions(table[name], categories, name) >= 0).any() for name in others]
    except InputError:
        return []
    return others if len(others) > 1 and any(found) else []


def _wide(
    table: Any, names: dict[str, str], raters: list[str], categories: tuple[str, ...]
) -> AnswerRows:
    rows = np.arange(table.num_rows)
    label = _labels(table[names["label"]], names["label"], rows)
    image, file_names = _names(table[names["file_name"]], names["file_name"], rows)
    position = np.stack([_positions(table[name], categories, name) for name in raters], axis=1)
    row, rater = np.nonzero(position >= 0)
    # Nobody asked every rater about everything: an empty cell is no skipped answer.
    return AnswerRows(
        file_names,
        np.array([normalised(name) for name in raters]),
        image[row],
        rater,
        label[row],
        position[row, rater],
        0,
    )

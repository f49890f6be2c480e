"""Tables of answers as people have them: a row an answer, or a column a rater."""

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
# Columns beside those of the raters that are no rater's: a truth that votes would be a wrong number.
_NO_RATER = re.compile(
    r"truth|true|gold(en)?|gt|present|majority|consensus|target|split|batch|fold|row|n|id|count|index|unnamed.*|"
    r"|.*_(truth|true|gold|gt|majority|consensus|count|id)|(n|num|is)_.*"
)
_OF_ANYTHING = ("id", "name", "names")  # file names only where they look like it
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
      remarks: what a reader should know, a sentence each.
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
    """The answers in a table.

    Args:
      table: a pyarrow.Table of file_name, label, rater and answer, or of file_name, label and a column a
        rater.
      categories: what may be answered.
      columns: the table's own names of these columns, where they are called otherwise.

    Raises:
      InputError: without the file's name (see errors.naming), naming the row.
    """
    names = _columns_of(table, dict(columns or {}))
    with tables.understood():
        if "rater" not in names and "answer" not in names and {"file_name", "label"} <= set(names):
            positions = _raters_beside(table, names, categories)
            if positions:
                return _wide(table, names, positions)
        if missing := [role for role in COLUMNS if role not in names]:
            raise _lacking(table, names, missing)
        return _long(table, names, categories)


def has_raters(
    table: Any, categories: Sequence[str], columns: Mapping[str, str] | None = None
) -> bool:
    """Whether a table holds answers, and not something else about images and labels."""
    names = _columns_of(table, only_known(table, columns))
    return "rater" in names or bool(_raters_beside(table, names, tuple(categories)))


def only_known(table: Any, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Those of the named columns that a table has: gold may have other headers than the answers."""
    keys = tables.by_key(table.column_names)
    return {role: name for role, name in (columns or {}).items() if tables.key_of(name) in keys}


def columns_of_pairs(table: Any, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """The columns file_name and label of a table, as far as it has them."""
    names = _columns_of(table, only_known(table, columns))
    return {role: names[role] for role in ("file_name", "label") if role in names}


def pairs_of(
    table: Any,
    columns: Mapping[str, str] | None = None,
    class_names: ClassNames | None = None,
) -> tuple[np.ndarray, Int[np.ndarray, "rows"], Int[np.ndarray, "rows"]]:
    """(file names (I,), row in these of each pair, class of each pair) of a table of file_name and label.

    Args:
      table: a pyarrow.Table.
      columns: the table's own names of these columns, where they are called otherwise.
      class_names: names that stand for classes.

    Raises:
      InputError: without the file's name (see errors.naming), naming the column or the row.
    """
    with tables.understood():
        names = columns_of_pairs(table, columns)
        for needed in ("file_name", "label"):
            if needed not in names:
                raise InputError(
                    f"lacks the column {needed}; found {', '.join(table.column_names)}."
                )
        label = class_columns.class_indices(
            table[names["label"]], names["label"], names=class_names
        )
        image, file_names = tables.names(table[names["file_name"]])
        if image.min() < 0:
            raise InputError(f"row {int(np.argmin(image)) + 1} has no file_name.")
    return file_names, image, label


def _columns_of(table: Any, given: dict[str, str]) -> dict[str, str]:
    """Role -> the table's column."""
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
        found = (
            by_key[key]
            for key in (role, *_ALSO[role])
            if key in by_key
            and by_key[key] not in taken
            and (key not in _OF_ANYTHING or _holds_images(table[by_key[key]]))
        )
        if role not in names and (name := next(found, None)) is not None:
            names[role] = name
    return names


def _holds_images(column: Any) -> bool:
    first = next((c for c in column.slice(0, 20).to_pylist() if c), None)
    return isinstance(first, str) and is_image_name(first)


def _lacking(table: Any, names: dict[str, str], missing: list[str]) -> InputError:
    found = table.column_names
    says = (
        f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; expected "
        f"{', '.join(COLUMNS)}, found {listed(found)}."
    )
    if {"file_name", "label"} <= set(names) and missing == ["rater", "answer"] and len(found) > 3:
        return InputError(
            f"{says} In a table with a column for each rater, all other columns must hold answers: leave out "
            f"those that do not. In one with a row for each answer, say what they are called: --columns "
            f'"rater=NAME,answer=NAME".'
        )
    by_key = tables.by_key(found)
    if {"task", "worker", "label"} <= set(by_key) and "|" in str(table[by_key["task"]][0].as_py()):
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
        "The labels are WordNet ids; they are numbered as ILSVRC-2012's classes, and so must be all other "
        "files about these images.",
    )


def _check_scale(used: Sequence[str], categories: tuple[str, ...]) -> None:
    """Refuses answers such as 0 and 1 where there are three categories: 1 would be the middle one.

    Raises:
      InputError: if the answers are numbers, some above 0, and none is the last category.
    """
    if any(c.isdecimal() for c in categories):
        return
    numbers = {text.partition(".")[0] for text in used if text.lower() not in _EMPTY}
    last = len(categories) - 1
    if numbers and all(n.isdecimal() for n in numbers) and 0 < max(map(int, numbers)) < last:
        raise InputError(
            f"has the answers {', '.join(sorted(numbers))}, and of {' < '.join(categories)} these are "
            f"{', '.join(categories[int(n)] for n in sorted(numbers))}. If {max(numbers)} means "
            f"{categories[-1]}, say --categories {categories[0]},{categories[-1]}."
        )


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


def _positions(
    codes: Int[np.ndarray, "rows"], texts: np.ndarray, categories: tuple[str, ...], what: str
) -> Int[np.ndarray, "rows"]:
    """(N,) position of each answer in the categories; -1 where there is none.

    Args:
      codes, texts: the answers (see tables.names).
      categories: what may be answered.
      what: the column, for the error.

    Raises:
      InputError: at the first that is no category.
    """
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


def _raters_beside(
    table: Any, names: dict[str, str], categories: tuple[str, ...]
) -> dict[str, Int[np.ndarray, "rows"]]:
    """The columns beside image and label (see _positions), if they all hold answers; none if they do not."""
    others = [name for name in table.column_names if name not in names.values()]
    positions, used = {}, []
    try:
        for name in others:
            codes, texts = tables.names(table[name])
            positions[name] = _positions(codes, texts, categories, name)
            used += texts.tolist()
    except InputError:
        return {}
    if len(others) < 2 or not any((one >= 0).any() for one in positions.values()):
        return {}
    if odd := [name for name in others if _NO_RATER.fullmatch(tables.key_of(name))]:
        raise InputError(
            f"has a column for each rater, and {listed(odd)}, which {'are' if len(odd) > 1 else 'is'} no "
            f"rater's by name: leave out what is no answer of a rater, or rename it."
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
    # Nobody asked every rater about everything: an empty cell is no skipped answer.
    return AnswerRows(
        file_names,
        np.array(list(positions), dtype=np.str_),
        image[row],
        rater,
        label[row],
        position[row, rater],
        0,
        (f"Read as a table with a column for each rater: {listed(list(positions))}.",),
    )

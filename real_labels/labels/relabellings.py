"""Reading the raw files of the published reassessments other than ReaL.

Each reader checks that a row is one of ILSVRC-2012's 50,000 validation images, occurs once, and has
ImageNet's original label. An image that was judged and has no valid label has an empty set; an image that
was set aside, or on which people did not agree, is not judged.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import json_text, tables
from real_labels.labels import imagenet
from real_labels.labels.classes import whole_number
from real_labels.labels.label_sets import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

MULTILABEL_IMAGES = 20_000  # of Shankar et al.
FINEGRAINED_IMAGES = 10_000  # of Tsipras et al.
SUSPICIOUS_IMAGES = 5_440  # of Northcutt et al.
_AGREE = 3  # people out of five who must agree
_URL = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG$")
_WORDS = {"True": True, "False": False, "true": True, "false": False, "1": True, "0": False}


@dataclasses.dataclass(frozen=True, eq=False)
class Relabelled:
    """Labels read from a raw file.

    Attributes:
      labels: the label sets of the N images of the file.
      judged: (N,) whether each image was judged; if not, its empty set has no meaning.
    """

    labels: LabelSets
    judged: Bool[np.ndarray, "images"]


def multilabel(path: str | os.PathLike[str]) -> Relabelled:
    """Reads the labels of Shankar et al. 2020, revised by Vasudevan et al. 2022, from `multilabel.csv`.

    Correct and unclear labels are valid; an image that reviewers found problematic is not judged.

    Raises:
      InputError: naming the file, if it is not this file.
    """
    with naming(path):
        rows = _Rows.of_csv(path, ("proposed_labels", "unclear_multi_labels", "is_problematic"))
        return multilabel_sets(
            rows.file_names,
            rows.read("original_label", _class),
            rows.read("proposed_labels", _classes),
            rows.read("unclear_multi_labels", _classes),
            rows.read("is_problematic", _truth),
        )


def multilabel_sets(
    file_names: Sequence[str],
    original: Sequence[int],
    correct: Sequence[Sequence[int]],
    unclear: Sequence[Sequence[int]],
    problematic: Sequence[bool],
) -> Relabelled:
    """Returns the label sets from the reviews of 20,000 images (see `multilabel`).

    Args:
      file_names: file name of each image.
      original: original label of each image, checked against ILSVRC-2012's.
      correct, unclear: classes of each image that reviewers found correct, and unclear.
      problematic: whether reviewers set each image aside.

    Raises:
      InputError: if an image or original label is not ILSVRC-2012's, or there are too few or too many images.
    """
    reviews = zip(correct, unclear, problematic, strict=True)
    labels = [[] if is_aside else {*sure, *maybe} for sure, maybe, is_aside in reviews]
    judged = [not is_aside for is_aside in problematic]
    return _checked(file_names, original, labels, judged, MULTILABEL_IMAGES)


def finegrained(path: str | os.PathLike[str]) -> Relabelled:
    """Reads the labels of Tsipras et al. 2020, all objects that people selected, from `finegrained.csv`.

    Raises:
      InputError: naming the file, if it is not this file.
    """
    with naming(path):
        rows = _Rows.of_csv(path, ("proposed_labels",))
        if "is_problematic" in rows.columns:
            raise InputError(
                "has a column is_problematic, so it is multilabel.csv; are the two files exchanged?"
            )
        return _checked(
            rows.file_names,
            rows.read("original_label", _class),
            rows.read("proposed_labels", _classes),
            [True] * len(rows.file_names),
            FINEGRAINED_IMAGES,
        )


def label_errors(path: str | os.PathLike[str]) -> Relabelled:
    """Reads the labels of Northcutt et al. 2021 on which three of five people agree (`imagenet_mturk.json`).

    Five people saw the given label and a label guessed by a model. Each chose the given label, the guessed
    label, both or neither. An image has no label if three people chose neither; it is not judged if no choice
    was made by three people.

    Raises:
      InputError: naming the file, if it is not this file.
    """
    with naming(path):
        content = json_text.read(path)
        if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
            raise InputError("expected a list of records, as in imagenet_mturk.json.")
        names, original, labels, judged = [], [], [], []
        for number, record in enumerate(content, start=1):
            with naming(f"record {number}"):
                name, given, guessed, votes = _vote(record)
            names.append(name)
            original.append(given)
            choice = next((choice for choice, count in votes.items() if count >= _AGREE), None)
            judged.append(choice is not None)
            classes = {"given": [given], "guessed": [guessed], "both": [given, guessed]}
            labels.append(classes.get(choice or "", []))
        return _checked(names, original, labels, judged, SUSPICIOUS_IMAGES)


def _vote(record: dict[str, Any]) -> tuple[str, int, int, dict[str, int]]:
    """Returns (file name, given class, guessed class, number of people by choice) of a record."""
    try:
        file_name = _URL.search(record["url"])
        votes = {
            choice: record["mturk"][choice] for choice in ("given", "guessed", "both", "neither")
        }
        given, guessed = record["given_original_label"], record["our_guessed_label"]
        numbers = [given, guessed, *votes.values()]
        if file_name is not None and all(type(n) is int and 0 <= n < 2**31 for n in numbers):
            return file_name[0], given, guessed, votes
    except (LookupError, TypeError):
        pass
    raise InputError(
        "expected url, given_original_label, our_guessed_label and mturk (given, guessed, both, neither), "
        "as in imagenet_mturk.json."
    )


class _Rows:
    """The rows of a CSV.

    Attributes:
      columns: column name -> text of each cell.
      file_names: file name of each row.
    """

    def __init__(self, columns: dict[str, list[str | None]]):
        self.columns = columns
        self.file_names = [name or "" for name in columns["id"]]

    @classmethod
    def of_csv(cls, path: str | os.PathLike[str], needed: Iterable[str]) -> _Rows:
        table = tables.read(path)
        missing = [n for n in ("id", "original_label", *needed) if n not in table.column_names]
        if missing:
            raise InputError(
                f"has no column {missing[0]}; there are {', '.join(table.column_names)}."
            )
        return cls({name: table[name].to_pylist() for name in table.column_names})

    def read(self, column: str, parse: Callable[[str], Any]) -> list[Any]:
        """Returns the parsed cells of a column."""
        values = []
        for row, text in enumerate(self.columns[column], start=1):
            try:
                values.append(parse(text or ""))
            except ValueError:
                raise InputError(f"row {row} has the {column} {text!r}.") from None
        return values


def _class(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise ValueError(text)
    return number


def _classes(text: str) -> list[int]:
    return [_class(part.strip()) for part in text.split(",")] if text.strip() else []


def _truth(text: str) -> bool:
    if text not in _WORDS:
        raise ValueError(text)
    return _WORDS[text]


def _checked(
    file_names: Sequence[str],
    original: Sequence[int],
    labels: Iterable[Iterable[int]],
    judged: Sequence[bool],
    expected: int,
) -> Relabelled:
    """Returns the label sets after checking the images, their number and their original labels."""
    seen: dict[str, int] = {}
    for row, name in enumerate(file_names, start=1):
        if seen.setdefault(name, row) != row:
            raise InputError(
                f"rows {seen[name]} and {row} are both about {name}; an image may occur only once."
            )
        if not imagenet.is_validation_name(name):
            raise InputError(
                f"row {row} has the file name {name!r}; expected one of ILSVRC-2012's validation images."
            )
    rows = np.array([imagenet.row_of(name) for name in file_names], np.int64)
    imagenet_labels = imagenet.original_labels()
    _check_original(file_names, rows, np.array(original, np.int64), imagenet_labels)
    if len(rows) != expected:
        raise InputError(
            f"has {len(rows):,} images; expected {expected:,}. Is it cut short, or another version?"
        )
    sets = LabelSets.from_lists(imagenet_labels.file_names[rows], labels)
    beyond = sets.classes >= imagenet.NUM_CLASSES
    if beyond.any():
        raise InputError(f"has class {sets.classes[np.argmax(beyond)]}; expected 0 to 999.")
    return Relabelled(sets, np.array(judged, bool))


def _check_original(
    file_names: Sequence[str],
    rows: Int[np.ndarray, "n"],
    original: Int[np.ndarray, "n"],
    imagenet_labels: LabelSets,
) -> None:
    differ = np.flatnonzero(imagenet_labels.classes[rows] != original)
    if not len(differ):
        return
    first = int(differ[0])
    raise InputError(
        f"{len(differ):,} of its {len(rows):,} original labels are not ImageNet's (first: row {first + 1}, "
        f"{file_names[first]}, has {original[first]}, ImageNet has {imagenet_labels.classes[rows[first]]}). "
        f"Are its rows about other images, or its classes numbered differently?"
    )

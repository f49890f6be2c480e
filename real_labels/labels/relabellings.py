"""The raw files of reassessments of ILSVRC-2012's validation images that others than ReaL's authors made.

Each reader checks that a row is one of the 50,000 images, there once, with ImageNet's own original label.
An image that was judged and has no label that counts has an empty set; one that was set aside or stayed
undecided is not judged.
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
_AGREE = 3  # of five people
_URL = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG$")
_WORDS = {"True": True, "False": False, "true": True, "false": False, "1": True, "0": False}


@dataclasses.dataclass(frozen=True, eq=False)
class Relabelled:
    """What a file says.

    Attributes:
      labels: the label sets of its N images.
      judged: (N,) whether each image was judged; else it has no label, and that means nothing.
    """

    labels: LabelSets
    judged: Bool[np.ndarray, "images"]


def multilabel(path: str | os.PathLike[str]) -> Relabelled:
    """The labels of Shankar et al. 2020 as revised by Vasudevan et al. 2022, from `multilabel.csv`.

    Correct and unclear labels count; an image that reviewers found problematic is not judged.

    Raises:
      InputError: naming the file, if it is another one.
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
    """The label sets from what reviewers said of each of 20,000 images (see `multilabel`).

    Args:
      file_names: of the images.
      original: their original labels, which are checked.
      correct, unclear: classes that reviewers found right, and could not tell.
      problematic: whether they set the image aside.

    Raises:
      InputError: if these are not ILSVRC-2012's images and labels, or too few or too many.
    """
    together = zip(correct, unclear, problematic, strict=True)
    labels = [[] if is_aside else {*sure, *maybe} for sure, maybe, is_aside in together]
    judged = [not is_aside for is_aside in problematic]
    return _checked(file_names, original, labels, judged, MULTILABEL_IMAGES)


def finegrained(path: str | os.PathLike[str]) -> Relabelled:
    """The labels of Tsipras et al. 2020, every object that people selected, from `finegrained.csv`.

    Raises:
      InputError: naming the file, if it is another one.
    """
    with naming(path):
        rows = _Rows.of_csv(path, ("proposed_labels",))
        if "is_problematic" in rows.columns:
            raise InputError(
                "has a column is_problematic, so it is multilabel.csv; are the two exchanged?"
            )
        return _checked(
            rows.file_names,
            rows.read("original_label", _class),
            rows.read("proposed_labels", _classes),
            [True] * len(rows.file_names),
            FINEGRAINED_IMAGES,
        )


def label_errors(path: str | os.PathLike[str]) -> Relabelled:
    """What three of five people agree on, of Northcutt et al. 2021, from `imagenet_mturk.json`.

    Five people saw the given label and one that a model guessed, and chose the given one, the guessed one,
    both or neither. An image on which three agree on neither has no label; one on which fewer than three
    agree is not judged.

    Raises:
      InputError: naming the file, if it is another one.
    """
    with naming(path):
        content = json_text.read(path)
        if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
            raise InputError("expected a list of records, as in imagenet_mturk.json.")
        names, original, labels, judged = [], [], [], []
        for number, record in enumerate(content, start=1):
            with naming(f"record {number}"):
                name, given, guessed, votes = _vote(record)
            names.append(name)
            original.append(given)
            chosen = next((what for what, count in votes.items() if count >= _AGREE), None)
            judged.append(chosen is not None)
            classes = {"given": [given], "guessed": [guessed], "both": [given, guessed]}
            labels.append(classes.get(chosen or "", []))
        return _checked(names, original, labels, judged, SUSPICIOUS_IMAGES)


def _vote(record: dict[str, Any]) -> tuple[str, int, int, dict[str, int]]:
    """(file name, given class, guessed class, how many people chose which) of a record."""
    try:
        found = _URL.search(record["url"])
        votes = {what: record["mturk"][what] for what in ("given", "guessed", "both", "neither")}
        given, guessed = record["given_original_label"], record["our_guessed_label"]
        numbers = [given, guessed, *votes.values()]
        if found is not None and all(type(one) is int and one >= 0 for one in numbers):
            return found[0], given, guessed, votes
    except (LookupError, TypeError):
        pass
    raise InputError(
        "expected url, given_original_label, our_guessed_label and mturk (given, guessed, both, neither), "
        "as in imagenet_mturk.json."
    )


class _Rows:
    """The rows of a CSV.

    Attributes:
      columns: texts by the columns' names.
      file_names: of each row.
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
        """Each cell as what it means."""
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
    """The label sets, if they are of so many of ILSVRC-2012's images, with its original labels."""
    seen: dict[str, int] = {}
    for row, name in enumerate(file_names, start=1):
        if seen.setdefault(name, row) != row:
            raise InputError(f"row {row} is about {name}, as row {seen[name]} is.")
        if not imagenet.is_validation_name(name):
            raise InputError(
                f"row {row} is about {name or 'no image'}, which is none of ILSVRC-2012's validation images."
            )
    rows = np.array([imagenet.row_of(name) for name in file_names], np.int64)
    ours = imagenet.original_labels()
    _check_original(file_names, rows, np.array(original, np.int64), ours)
    if len(rows) != expected:
        raise InputError(
            f"has {len(rows):,} images; expected {expected:,}. Is it cut short, or another version?"
        )
    sets = LabelSets.from_lists(ours.file_names[rows], labels)
    beyond = sets.classes >= imagenet.NUM_CLASSES
    if beyond.any():
        raise InputError(f"has class {sets.classes[np.argmax(beyond)]}; there are 0 to 999.")
    return Relabelled(sets, np.array(judged, bool))


def _check_original(
    file_names: Sequence[str],
    rows: Int[np.ndarray, "n"],
    original: Int[np.ndarray, "n"],
    ours: LabelSets,
) -> None:
    differ = np.flatnonzero(ours.classes[rows] != original)
    if not len(differ):
        return
    first = int(differ[0])
    raise InputError(
        f"{len(differ):,} of its {len(rows):,} original labels are not ImageNet's (first: row {first + 1}, "
        f"{file_names[first]}, has {original[first]}, ImageNet has {ours.classes[rows[first]]}): its rows "
        f"are of other images, or it numbers the classes otherwise."
    )

"""Layouts of JSON files of labels: the published one, and others that people have."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from real_labels.errors import InputError
from real_labels.files import json_text
from real_labels.files.tables import FILE_COLUMNS, key_of
from real_labels.labels.classes import WORDNET_ID, whole_number
from real_labels.labels.file_names import imagenet_file_names, is_imagenet_name
from real_labels.labels.imagenet_classes import class_of_wordnet_id

_LABEL_COLUMNS = (
    "label", "labels", "class", "classes", "class_id", "class_index", "category", "category_id", "target",
    "wnid", "synset", "index",
)  # fmt: skip


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[list[int]]]:
    """(file names (N,), the classes of each) of a JSON file of labels.

    It holds a list in the order of ILSVRC-2012's sorted file names, an object from file name, or a list of
    records such as {"file_name": …, "label": …}. An image has a list of classes, or, in all of the file, one
    class. A class is its index, also as text or as a whole float; for ILSVRC-2012's images, by their file
    names, its WordNet id, too.

    Raises:
      InputError: without the file's name (see errors.naming), if it holds none of these.
    """
    if pathlib.PurePath(path).suffix.lower() not in (".json", ".gz"):
        raise InputError(
            "is no .json file, which labels are read from. Save an object from file name to classes, "
            'such as {"cat.jpg": [281]}.'
        )
    content = json_text.read(path)
    labels: list[Any]
    if isinstance(content, list) and content and all(isinstance(r, dict) for r in content):
        names, labels = _of_records(content)
    elif isinstance(content, list):
        names, labels = imagenet_file_names(len(content)), content
    elif isinstance(content, dict):
        names, labels = np.array(list(content), dtype=np.str_), list(content.values())
    else:
        raise InputError(
            f"expected a list of label lists or an object from file name to label list, found "
            f"{type(content).__name__}."
        )
    if labels and not any(isinstance(one, list) for one in labels):
        labels = [[one] for one in labels]
    wrong = next((i for i, one in enumerate(labels) if type(one) is not list), None)
    if wrong is not None:
        raise _no_classes(names[wrong], labels[wrong])
    if {int}.issuperset(map(type, itertools.chain.from_iterable(labels))):  # True is no int here
        return names, labels
    return names, _as_indices(names, labels)


def _of_records(records: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[list[Any]]]:
    """(file names, labels) of records; several records of an image are its labels together."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    named = _first(keys, FILE_COLUMNS)
    numbers_rows = [record.get("index") for record in records] == list(range(len(records)))
    labelled = _first([key for key in keys if key != "index" or not numbers_rows], _LABEL_COLUMNS)
    if named is None or labelled is None:
        raise InputError(
            f'expected records with a file name and a label, such as {{"file_name": "cat.jpg", '
            f'"label": 281}}; found {", ".join(keys)}.'
        )
    together: dict[str, list[Any]] = {}
    for number, record in enumerate(records, start=1):
        name = record.get(named)
        if not isinstance(name, str):
            raise InputError(f"record {number} has no {named}.")
        label = record.get(labelled)
        together.setdefault(name, []).extend(label if isinstance(label, list) else [label])
    return np.array(list(together), dtype=np.str_), list(together.values())


def _first(keys: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain = {key_of(key): key for key in keys}
    return next((plain[name] for name in wanted if name in plain), None)


def _as_indices(names: np.ndarray, labels: list[list[Any]]) -> list[list[int]]:
    by_id = _classes_of_wordnet_ids(names)
    indices = []
    for name, classes in zip(names.tolist(), labels, strict=True):
        ours = [_index(value, by_id) for value in classes]
        if None in ours:
            value = classes[ours.index(None)]
            if isinstance(value, str) and WORDNET_ID.fullmatch(value) and not by_id:
                raise InputError(
                    f"{name} has the WordNet id {value}; that tells a class of ILSVRC-2012's images alone. "
                    f"Write the class indices of your dataset."
                )
            raise _no_classes(name, classes)
        indices.append(ours)
    return indices


def _classes_of_wordnet_ids(names: np.ndarray) -> dict[str, int]:
    """The classes of ILSVRC-2012 by WordNet id, if these are its images; else none."""
    ours = all(map(is_imagenet_name, names[:3].tolist()))
    return class_of_wordnet_id() if ours else {}


def _index(value: Any, by_id: dict[str, int]) -> int | None:
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() else None
    if not isinstance(value, str):
        return None
    value = value.strip()
    number = whole_number(value)
    return by_id.get(value) if number is None else number


def _no_classes(name: str, found: Any) -> InputError:
    return InputError(
        f"the labels of {name} must be a list of class indices, such as [3]; found "
        f"{json.dumps(found)[:60]}."
    )

"""Reading JSON files of labels, in the published layout and other common layouts."""

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
    """Returns (file names (N,), list of classes of each image) from a JSON file of labels.

    The file holds a list in the order of ILSVRC-2012's sorted file names, an object from file name to labels,
    or a list of records such as {"file_name": …, "label": …}. Each image has a list of classes, or all images
    have one class. A class is a class index (a number, a whole float or text) or, if the file names are
    ILSVRC-2012's, a WordNet id.

    Raises:
      InputError: if the file has none of these layouts; without the file's name (see errors.naming).
    """
    if pathlib.PurePath(path).suffix.lower() not in (".json", ".gz"):
        raise InputError(
            "is not a .json file. Labels are read from JSON: save an object from file name to classes, "
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
    if labels and not any(isinstance(classes, list) for classes in labels):
        labels = [[class_] for class_ in labels]
    wrong = next((i for i, classes in enumerate(labels) if type(classes) is not list), None)
    if wrong is not None:
        raise _classes_error(names[wrong], labels[wrong])
    if {int}.issuperset(
        map(type, itertools.chain.from_iterable(labels))
    ):  # the type of True is bool
        return names, labels
    return names, _as_indices(names, labels)


def _of_records(records: Sequence[dict[str, Any]]) -> tuple[np.ndarray, list[list[Any]]]:
    """Returns (file names, labels) of records; the labels of several records of one image are combined."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    name_key = _first(keys, FILE_COLUMNS)
    is_row_number = [record.get("index") for record in records] == list(range(len(records)))
    label_key = _first([key for key in keys if key != "index" or not is_row_number], _LABEL_COLUMNS)
    if name_key is None or label_key is None:
        raise InputError(
            f'expected records with a file name and a label, such as {{"file_name": "cat.jpg", '
            f'"label": 281}}; found {", ".join(keys)}.'
        )
    labels: dict[str, list[Any]] = {}
    for number, record in enumerate(records, start=1):
        name = record.get(name_key)
        if not isinstance(name, str):
            raise InputError(f"record {number} has no {name_key}.")
        label = record.get(label_key)
        labels.setdefault(name, []).extend(label if isinstance(label, list) else [label])
    return np.array(list(labels), dtype=np.str_), list(labels.values())


def _first(keys: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_key = {key_of(key): key for key in keys}
    return next((by_key[name] for name in wanted if name in by_key), None)


def _as_indices(names: np.ndarray, labels: list[list[Any]]) -> list[list[int]]:
    by_id = _classes_of_wordnet_ids(names)
    indices = []
    for name, classes in zip(names.tolist(), labels, strict=True):
        class_indices = [_index(value, by_id) for value in classes]
        if None in class_indices:
            value = classes[class_indices.index(None)]
            if isinstance(value, str) and WORDNET_ID.fullmatch(value) and not by_id:
                raise InputError(
                    f"{name} has the WordNet id {value}, but only labels of ILSVRC-2012's images may be "
                    f"WordNet ids. Write the class indices of your dataset."
                )
            raise _classes_error(name, classes)
        indices.append(class_indices)
    return indices


def _classes_of_wordnet_ids(names: np.ndarray) -> dict[str, int]:
    """Returns ILSVRC-2012's classes by WordNet id if the names are of its images, else {}."""
    is_imagenet = all(map(is_imagenet_name, names[:3].tolist()))
    return class_of_wordnet_id() if is_imagenet else {}


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


def _classes_error(name: str, found: Any) -> InputError:
    return InputError(
        f"the labels of {name} must be a list of class indices, such as [3]; found "
        f"{json.dumps(found)[:60]}."
    )

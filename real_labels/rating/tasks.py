"""Tasks: an image with related labels that raters see together; reading and writing tasks.jsonl."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from real_labels.answers import Questions
from real_labels.errors import InputError, naming
from real_labels.files import json_text, replacing
from real_labels.files.text import read_text
from real_labels.rating.splitting import Rule


@dataclasses.dataclass(frozen=True)
class Task:
    """Labels of one image that are shown together.

    Attributes:
      task: id of the task, unique.
      file_name: file name of the image.
      labels: the classes that are shown, distinct; `make` sorts them in ascending order.
      ask: the labels that raters are asked about; the other labels are shown for contrast.
      names, descriptions: texts of each label, for tools without a list of classes; None: none.
    """

    task: str
    file_name: str
    labels: tuple[int, ...]
    ask: tuple[int, ...]
    names: tuple[str, ...] | None = None
    descriptions: tuple[str, ...] | None = None

    def __post_init__(self):
        for name, classes in (("labels", self.labels), ("ask", self.ask)):
            if not classes or len(set(classes)) < len(classes):
                raise InputError(
                    f"task {self.task}: {name} must be one or more distinct classes, found "
                    f"{list(classes)}."
                )
        if more := sorted(set(self.ask) - set(self.labels)):
            raise InputError(
                f"task {self.task}: asks about class {more[0]}, which is not among its labels."
            )
        for name in ("names", "descriptions"):
            texts = getattr(self, name)
            if texts is not None and len(texts) != len(self.labels):
                raise InputError(
                    f"task {self.task}: has {len(texts)} {name} for {len(self.labels)} labels."
                )

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object of a line. It has `ask` only if `ask` differs from `labels`."""
        record: dict[str, Any] = {
            "task": self.task,
            "file_name": self.file_name,
            "labels": list(self.labels),
        }
        if self.ask != self.labels:
            record["ask"] = list(self.ask)
        for name in ("names", "descriptions"):
            if getattr(self, name) is not None:
                record[name] = list(getattr(self, name))
        return record


def make(questions: Questions, rule: Rule) -> list[Task]:
    """Makes tasks of all questions, image by image. The ids are file names with numbers: "cat.jpg#1"."""
    tasks = []
    order = np.lexsort((questions.label, questions.image))
    labels = questions.label[order].tolist()
    ends = np.cumsum(np.bincount(questions.image, minlength=len(questions.file_names))).tolist()
    start = 0
    for file_name, end in zip(questions.file_names.tolist(), ends, strict=True):
        for number, group in enumerate(rule(labels[start:end]) if end > start else (), 1):
            tasks.append(Task(f"{file_name}#{number}", file_name, tuple(group), tuple(group)))
        start = end
    return tasks


def questions_of(tasks: Iterable[Task]) -> Questions:
    """Returns the questions that the tasks ask, in their order.

    Raises:
      InputError: if two tasks ask the same question.
    """
    pairs = [(task.file_name, label) for task in tasks for label in task.ask]
    names, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return Questions.from_pairs(np.array(names, dtype=np.str_), np.array(labels, dtype=np.int64))


def shown(tasks: Iterable[Task]) -> Questions:
    """Returns the pairs of image and label that the tasks show, asked about or not, each pair once."""
    pairs = dict.fromkeys((task.file_name, label) for task in tasks for label in task.labels)
    names, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return Questions.from_pairs(np.array(names, dtype=np.str_), np.array(labels, dtype=np.int64))


def described(
    tasks: Iterable[Task],
    names: Sequence[str] | None = None,
    descriptions: Sequence[str] | None = None,
) -> list[Task]:
    """Returns the tasks with names and descriptions of their labels.

    Args:
      tasks: the tasks.
      names, descriptions: texts by class index; None keeps the texts of the tasks.

    Raises:
      InputError: if there is no text for a label.
    """
    fields = {"names": names, "descriptions": descriptions}
    fields = {field: texts for field, texts in fields.items() if texts is not None}
    with_texts = []
    for task in tasks:
        for field, texts in fields.items():
            if max(task.labels) >= len(texts):
                raise InputError(
                    f"there are {field} of {len(texts):,} classes only, but task {task.task} shows "
                    f"class {max(task.labels)}."
                )
        chosen = {
            field: tuple(texts[label] for label in task.labels) for field, texts in fields.items()
        }
        with_texts.append(dataclasses.replace(task, **chosen))
    return with_texts


def save(path: str | os.PathLike[str], tasks: Iterable[Task]) -> None:
    """Writes tasks.jsonl, one line for each task, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for task in tasks:
            file.write(json.dumps(task.as_json(), ensure_ascii=False) + "\n")


def load(path: str | os.PathLike[str]) -> list[Task]:
    """Reads tasks.jsonl.

    Raises:
      InputError: if the file or a line is not valid, naming the file and the line.
    """
    tasks = []
    with naming(path):
        if pathlib.PurePath(path).suffix.lower() not in (".jsonl", ".ndjson", ".gz"):
            raise InputError(
                "is not a .jsonl file; expected tasks.jsonl, as the command `tasks` writes it."
            )
        for number, line in enumerate(read_text(path).split("\n"), 1):
            if not line.strip():
                continue
            try:
                tasks.append(_from_json(json_text.parse(line)))
            except InputError as error:
                raise InputError(f"line {number}: {error}") from None
        if not tasks:
            raise InputError("holds no tasks.")
        repeated = collections.Counter(task.task for task in tasks).most_common(1)[0]
        if repeated[1] > 1:
            raise InputError(
                f"{repeated[1]} tasks have the id {repeated[0]!r}; each task needs its own id."
            )
    return tasks


def _from_json(record: Any) -> Task:
    if not isinstance(record, dict):
        raise InputError('expected an object such as {"task": …, "file_name": …, "labels": […]}.')
    for name in ("task", "file_name"):
        if isinstance(record.get(name), bool | None) or not isinstance(record[name], str | int):
            raise InputError(f"{name} must be a text, found {record.get(name)!r}.")
    if not str(record["file_name"]):
        raise InputError("file_name is empty.")
    for name in ("labels", "ask"):
        classes = record.get(name) if name == "labels" or name in record else []
        if not isinstance(classes, list) or any(
            type(c) is not int or not 0 <= c < 1 << 31 for c in classes
        ):
            raise InputError(f"{name} must be a list of class indices, found {classes!r}.")
    for name in ("names", "descriptions"):
        texts = record.get(name)
        if texts is not None and not (
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        ):
            raise InputError(f"{name} must be a list of texts, found {texts!r}.")
    labels = tuple(record["labels"])
    return Task(
        str(record["task"]),
        str(record["file_name"]),
        labels,
        tuple(record.get("ask", labels)),
        *(None if record.get(n) is None else tuple(record[n]) for n in ("names", "descriptions")),
    )

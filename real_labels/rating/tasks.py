"""Tasks: one image and some related labels, which raters see together."""

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
    """Some labels of one image, shown together.

    Attributes:
      task: its id, distinct.
      file_name: the image.
      labels: the classes that are shown, distinct, ascending.
      ask: those of them that are asked about; the others are shown for contrast.
      names, descriptions: of each label, for tools that have no list of classes; or None.
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
                    f"task {self.task}: {name} must be distinct classes, found {list(classes)}."
                )
        if more := sorted(set(self.ask) - set(self.labels)):
            raise InputError(
                f"task {self.task}: asks about {more[0]}, which is none of its labels."
            )
        for name in ("names", "descriptions"):
            texts = getattr(self, name)
            if texts is not None and len(texts) != len(self.labels):
                raise InputError(
                    f"task {self.task}: has {len(texts)} {name} for {len(self.labels)} labels."
                )

    def as_json(self) -> dict[str, Any]:
        """The record of a line; `ask` only where it differs from `labels`."""
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
    """The tasks of all questions, image by image; a task is called after its image: "cat.jpg#1"."""
    found = []
    order = np.lexsort((questions.label, questions.image))
    labels = questions.label[order].tolist()
    ends = np.cumsum(np.bincount(questions.image, minlength=len(questions.file_names))).tolist()
    start = 0
    for file_name, end in zip(questions.file_names.tolist(), ends, strict=True):
        for number, group in enumerate(rule(labels[start:end]) if end > start else (), 1):
            found.append(Task(f"{file_name}#{number}", file_name, tuple(group), tuple(group)))
        start = end
    return found


def questions_of(tasks: Iterable[Task]) -> Questions:
    """The questions that tasks ask.

    Raises:
      InputError: if two tasks ask the same.
    """
    pairs = [(task.file_name, label) for task in tasks for label in task.ask]
    names, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return Questions.from_pairs(np.array(names, dtype=np.str_), np.array(labels, dtype=np.int64))


def shown(tasks: Iterable[Task]) -> Questions:
    """The pairs of image and label that tasks show, asked about or not, each once."""
    pairs = dict.fromkeys((task.file_name, label) for task in tasks for label in task.labels)
    names, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return Questions.from_pairs(np.array(names, dtype=np.str_), np.array(labels, dtype=np.int64))


def described(
    tasks: Iterable[Task],
    names: Sequence[str] | None = None,
    descriptions: Sequence[str] | None = None,
) -> list[Task]:
    """The tasks with the names and descriptions of their labels.

    Args:
      tasks: the tasks.
      names, descriptions: texts in the order of the class indices; None leaves what a task has.

    Raises:
      InputError: if a label has none.
    """
    given = {"names": names, "descriptions": descriptions}
    given = {field: texts for field, texts in given.items() if texts is not None}
    found = []
    for task in tasks:
        for field, texts in given.items():
            if max(task.labels) >= len(texts):
                raise InputError(
                    f"there are {field} of {len(texts):,} classes, and none of class {max(task.labels)}, "
                    f"which task {task.task} shows."
                )
        chosen = {
            field: tuple(texts[label] for label in task.labels) for field, texts in given.items()
        }
        found.append(dataclasses.replace(task, **chosen))
    return found


def save(path: str | os.PathLike[str], tasks: Iterable[Task]) -> None:
    """Writes tasks.jsonl, a line a task, atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for task in tasks:
            file.write(json.dumps(task.as_json(), ensure_ascii=False) + "\n")


def load(path: str | os.PathLike[str]) -> list[Task]:
    """Reads tasks.jsonl.

    Raises:
      InputError: naming the file and the line.
    """
    tasks = []
    with naming(path):
        if pathlib.PurePath(path).suffix.lower() not in (".jsonl", ".ndjson", ".gz"):
            raise InputError("is no .jsonl file; expected tasks.jsonl, as `tasks` writes it.")
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
                f"{repeated[1]} tasks are called {repeated[0]!r}; each needs its own id."
            )
    return tasks


def _from_json(record: Any) -> Task:
    if not isinstance(record, dict):
        raise InputError('expected an object such as {"task": …, "file_name": …, "labels": […]}.')
    for name in ("task", "file_name"):
        if isinstance(record.get(name), bool | None) or not isinstance(record[name], str | int):
            raise InputError(f"expected a text {name}, found {record.get(name)!r}.")
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

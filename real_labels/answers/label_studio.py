"""Reading answers from Label Studio's JSON export of tasks written by `tasks --format label-studio`.

Label Studio's other exports (JSON_MIN, CSV) leave out the answers to repeated questions (version 1.23.2).
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from real_labels.answers.answer_tables import AnswerRows
from real_labels.errors import InputError, naming
from real_labels.files import json_text
from real_labels.files.text import normalised

_ANSWER = re.compile(r"answer_(\d{1,6})")


def read(path: str | os.PathLike[str]) -> list[Any] | None:
    """Returns the content of an export of our tasks; None for any other file.

    Raises:
      InputError: naming the file, if its ending is .json and it is not JSON.
    """
    if pathlib.PurePath(path).suffix.lower() != ".json":
        return None
    with naming(path):
        content = json_text.read(path)
    if not isinstance(content, list):
        return None
    tasks = [entry for entry in content if isinstance(entry, dict)]
    is_ours = any("annotations" in t or "questions" in _object(t.get("data", t)) for t in tasks)
    return content if is_ours else None


def rows_of(content: Sequence[Any], categories: Sequence[str]) -> AnswerRows:
    """Reads the answers in an export.

    The id of a rater is the e-mail address if the export has it, else Label Studio's number. Skipped tasks
    (cancelled annotations) are left out.

    Args:
      content: content of the JSON file (see read).
      categories: the possible answers: the choices in the labelling interface.

    Raises:
      InputError: naming the task by its place in the list; without the file's name (see errors.naming).
    """
    position = {normalised(category).lower(): i for i, category in enumerate(categories)}
    images: dict[str, int] = {}
    raters: dict[str, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for place, entry in enumerate(content, 1):
        for data, rater, choices in _annotations(entry, place):
            file_name, questions = _data(data, place)
            for number, choice in choices:
                if number >= len(questions):
                    raise InputError(
                        f"task {place} has answer_{number}, but only {len(questions)} questions."
                    )
                answer = position.get(normalised(choice).lower())
                if answer is None:
                    raise InputError(
                        f"task {place} has the answer {choice!r}; expected one of {', '.join(categories)} "
                        f"(--categories sets other categories)."
                    )
                image = images.setdefault(normalised(file_name), len(images))
                rows.append(
                    (image, raters.setdefault(rater, len(raters)), questions[number], answer)
                )
    if not rows:
        raise InputError("holds no answer: none of the tasks was annotated.")
    image, rater, label, answer = np.array(rows, np.int64).T
    names = np.array(list(images), dtype=np.str_)
    return AnswerRows(names, np.array(list(raters), dtype=np.str_), image, rater, label, answer, 0)


def _annotations(
    entry: Any, place: int
) -> Iterator[tuple[dict[str, Any], str, list[tuple[int, str]]]]:
    """Yields (data of the task, rater, (question number, choice) of each answer) of each annotation."""
    if not isinstance(entry, dict):
        raise InputError(f"task {place} is {entry!r}; expected an object.")
    if "annotations" not in entry and "data" in entry:
        raise InputError("holds tasks without annotations; export the project as JSON.")
    if "annotations" not in entry and "annotator" in entry:
        raise InputError(
            "is Label Studio's JSON_MIN, which leaves the answers out; export the project as JSON."
        )
    annotations = entry.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise InputError(f"task {place}: annotations must be a list of objects.")
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            continue
        results = annotation.get("result", [])
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise InputError(
                f"task {place}: the result of an annotation must be a list of objects."
            )
        pairs = [(_ANSWER.fullmatch(str(r.get("from_name"))), r.get("value")) for r in results]
        choices = [(int(name[1]), _choice(value, place)) for name, value in pairs if name]
        yield entry.get("data", {}), _rater(annotation.get("completed_by"), place), choices


def _choice(value: Any, place: int) -> str:
    chosen = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(chosen, list) or len(chosen) != 1 or not isinstance(chosen[0], str):
        raise InputError(f"task {place}: expected one choice for each question, found {value!r}.")
    return chosen[0]


def _rater(annotator: Any, place: int) -> str:
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    if annotator is None or isinstance(annotator, list | dict | bool) or not str(annotator).strip():
        raise InputError(f"task {place}: an annotation has no annotator (completed_by).")
    return normalised(str(annotator))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _data(data: Any, place: int) -> tuple[str, list[int]]:
    """Returns (file name, label of each question) of a task's data."""
    fields = _object(data)
    file_name, questions = fields.get("file_name"), fields.get("questions")
    if isinstance(file_name, str) and file_name and isinstance(questions, list):
        labels = [q.get("label") if isinstance(q, dict) else None for q in questions]
        numbers = [label for label in labels if type(label) is int and 0 <= label < 1 << 31]
        if len(numbers) == len(labels):
            return file_name, numbers
    raise InputError(
        f"task {place} has no file_name and questions in its data: expected tasks that "
        f"`real_labels tasks --format label-studio` wrote."
    )

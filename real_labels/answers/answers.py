"""Answers: raters' answers to questions, read from the published files, tables or Label Studio."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files
from real_labels.answers import answer_tables, label_studio
from real_labels.answers.questions import Questions, info_array, questions_of_info
from real_labels.errors import InputError, naming
from real_labels.files import npz, tables
from real_labels.files.text import all_normalised, normalised
from real_labels.labels import LabelSets, match

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CATEGORIES = ("no", "maybe", "yes")


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """A answers of R raters to Q questions; a rater answers a question at most once.

    Attributes:
      questions: the Q questions; a question may have no answer.
      raters: (R,) str ids, distinct.
      question: (A,) int32 row in questions; non-decreasing (the constructor sorts).
      rater: (A,) int32 row in raters; increasing among the answers to one question.
      answer: (A,) int16 row in categories.
      categories: the possible answers, from "surely absent" to "surely present"; two or more.
      empty: number of empty answers in the file, which are left out.
      repeats: number of exact repeats of an answer by the same rater, which are left out (the constructor
        adds the repeats that it removes).
      notes: further remarks about the file for the user, one sentence each.

    Two raters answer two questions about one image:

    >>> from real_labels.answers import Answers, Questions
    >>> questions = Questions(["a.jpg"], image=[0, 0], label=[5, 7])
    >>> answers = Answers(
    ...     questions,
    ...     raters=["ann", "bob"],
    ...     question=[0, 0, 1, 1],
    ...     rater=[0, 1, 0, 1],
    ...     answer=[2, 2, 0, 1],  # yes yes; no maybe
    ... )
    >>> answers.asked.tolist(), answers.votes().tolist()  # number of answers, and of "yes"
    ([2, 2], [2, 0])
    """

    questions: Questions
    raters: np.ndarray
    question: Int[np.ndarray, "answers"]
    rater: Int[np.ndarray, "answers"]
    answer: Int[np.ndarray, "answers"]
    categories: tuple[str, ...] = CATEGORIES
    empty: int = 0
    repeats: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        raters = all_normalised(np.asarray(self.raters, dtype=np.str_))
        object.__setattr__(self, "categories", tuple(map(normalised, self.categories)))
        if len(set(raters.tolist())) != len(raters):
            raise InputError("Answers: two raters have the same id.")
        lowered = [c.lower() for c in self.categories]
        if len(lowered) < 2 or len(set(lowered)) < len(lowered) or not all(lowered):
            raise InputError(
                f"Answers: needs two or more distinct categories, found {', '.join(self.categories)}."
            )
        columns = {
            "question": (np.asarray(self.question), len(self.questions), np.int32),
            "rater": (np.asarray(self.rater), len(raters), np.int32),
            "answer": (np.asarray(self.answer), len(self.categories), np.int16),
        }
        n = len(columns["question"][0])
        for name, (column, size, _) in columns.items():
            if column.shape != (n,):
                raise InputError(f"Answers: {name} must have shape ({n},), found {column.shape}.")
            if n and column.dtype.kind not in "iu":
                raise InputError(f"Answers: {name} must be integers, found {column.dtype}.")
            if n and not (column.min() >= 0 and column.max() < size):
                raise InputError(
                    f"Answers: {name} must lie in 0 to {size - 1}, found {column.min()} to "
                    f"{column.max()}."
                )
        key = columns["question"][0].astype(np.int64)
        key *= max(len(raters), 1)
        key += columns["rater"][0]
        steps = np.diff(key)
        order = None
        if (steps <= 0).any():
            order = np.argsort(key, kind="stable")
            steps = np.diff(key[order])
        repeats = np.flatnonzero(steps == 0) + 1  # places in `order` that repeat the place before
        if len(repeats):
            order = np.arange(n) if order is None else order
            given = columns["answer"][0][order]
            differs = given[repeats] != given[repeats - 1]
            if differs.any():
                first = order[repeats[int(np.argmax(differs))]]
                question, rater = (
                    int(columns["question"][0][first]),
                    int(columns["rater"][0][first]),
                )
                raise InputError(
                    f"{np.count_nonzero(differs):,} answers contradict the same rater's answer to the same "
                    f"question (first: rater {raters[rater]}, "
                    f"{self.questions.file_names[self.questions.image[question]]}, label "
                    f"{self.questions.label[question]}); a rater may answer a question only once."
                )
            order = np.delete(order, repeats)
            object.__setattr__(self, "repeats", self.repeats + len(repeats))
        object.__setattr__(self, "raters", raters)
        for name, (column, _, dtype) in columns.items():
            column = column if order is None else column[order]
            object.__setattr__(self, name, column.astype(dtype, copy=False))

    def __len__(self) -> int:
        return len(self.question)

    @property
    def remarks(self) -> list[str]:
        """Remarks for the user: the notes, and the numbers of answers left out, one sentence each."""
        remarks = list(self.notes)
        if self.empty:
            remarks.append(_left_out(self.empty, "empty answer", "empty answers"))
        if self.repeats:
            remarks.append(
                _left_out(self.repeats, "exact repeat of an answer", "exact repeats of an answer")
            )
        return remarks

    @functools.cached_property
    def asked(self) -> Int[np.ndarray, "questions"]:
        """Number of answers to each question, (Q,) int64."""
        return np.bincount(self.question, minlength=len(self.questions))

    @property
    def offsets(self) -> Int[np.ndarray, "questions_plus_1"]:
        """Offsets of the answers, (Q + 1,) int64: question q has the answers offsets[q] to offsets[q + 1]."""
        return np.concatenate([[0], np.cumsum(self.asked)])

    @property
    def values(self) -> Float[np.ndarray, "categories"]:
        """Value of each category, (K,): evenly spaced from 0 (surely absent) to 1 (surely present)."""
        return np.linspace(0, 1, len(self.categories))

    def votes(self, category: int = -1) -> Int[np.ndarray, "questions"]:
        """Returns the number of answers of a category to each question, (Q,); by default the last ("yes")."""
        category = range(len(self.categories))[category]
        return np.bincount(self.question[self.answer == category], minlength=len(self.questions))

    def take_questions(self, rows: Int[np.ndarray, "n"]) -> Answers:
        """Returns the answers to the questions in `rows`, in this order; keeps all raters."""
        new = np.full(len(self.questions), -1, np.int32)
        new[rows] = np.arange(len(rows))
        kept = new[self.question] >= 0
        return dataclasses.replace(
            self,
            questions=self.questions.take(rows),
            question=new[self.question[kept]],
            rater=self.rater[kept],
            answer=self.answer[kept],
        )

    def with_rater(
        self, name: str, labels: LabelSets, classes: np.ndarray | None = None
    ) -> Answers:
        """Adds a label set (or a classifier's predictions as label sets) as one more rater.

        The rater answers the last category ("yes") if the question's label is among the image's labels, else
        the first ("no"). It does not answer questions about images that the label set does not have.

        Args:
          name: id of the rater.
          labels: the label set.
          classes: the labels that the rater answers questions about; None for all.

        Raises:
          InputError: if a rater has this id, or the label set answers no question.
        """
        if name in self.raters.tolist():
            raise InputError(f"There is a rater {name!r} already; give the label set another name.")
        image = match(labels.file_names, self.questions.file_names)[self.questions.image]
        asked = image >= 0
        if classes is not None:
            asked &= np.isin(self.questions.label, classes)
        question = np.flatnonzero(asked)
        if not len(question):
            raise InputError(
                f"The label set {name!r} answers none of the {len(self.questions)} "
                f"questions: are its file names and classes those of the questions "
                f"({self.questions.file_names[0] if len(self.questions) else 'none'}, …)?"
            )
        yes = labels.contains(image[question], self.questions.label[question, None])[:, 0]
        return dataclasses.replace(
            self,
            raters=np.append(self.raters, name),
            question=np.append(self.question, question),
            rater=np.append(self.rater, np.full(len(question), len(self.raters))),
            answer=np.append(self.answer, np.where(yes, len(self.categories) - 1, 0)),
        )

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """Joins several sets of answers; matches questions and raters by name.

        Raises:
          InputError: if a rater answers a question differently in two sets, or the categories differ.
        """
        first, *rest = parts
        for part in rest:
            if part.categories != first.categories:
                raise InputError(
                    f"Answers with the categories {', '.join(first.categories)} and "
                    f"{', '.join(part.categories)} cannot be joined."
                )
        if not rest:
            return first
        parts = _of_the_same_images(parts)
        counts = {name: sum(getattr(part, name) for part in parts) for name in ("empty", "repeats")}
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        questions = Questions.from_pairs(*_distinct_pairs([p.questions for p in parts]))
        raters = list(dict.fromkeys(r for part in parts for r in part.raters.tolist()))
        row = {r: i for i, r in enumerate(raters)}
        return cls(
            questions,
            np.array(raters),
            np.concatenate([questions.find(p.questions)[p.question] for p in parts]),
            np.concatenate([np.array([row[r] for r in p.raters.tolist()])[p.rater] for p in parts]),
            np.concatenate([p.answer for p in parts]),
            first.categories,
            **counts,
            notes=notes,
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        categories: Sequence[str] = CATEGORIES,
        columns: Mapping[str, str] | None = None,
    ) -> Answers:
        """Reads the published `.npz`, a table (CSV, Parquet, JSON lines) or Label Studio's export (JSON).

        The `.npz` has `tensor` (R, Q, K), one-hot over the categories and all zero if a rater was not asked a
        question, `info` (Q, 2) with file name and label as str, and `ids` (R,). A table has the columns
        file_name, label, rater and answer with one row per answer, or file_name, label and one column per
        rater. An answer is a category or, if no category is a number, its position. Empty answers and exact
        repeats are left out and counted.

        Args:
          path: the file.
          categories: the possible answers, from "surely absent" to "surely present".
          columns: the table's names of file_name, label, rater and answer, if they differ.

        Raises:
          InputError: naming the file and the place.
        """
        path = pathlib.Path(path)
        with naming(path):
            if path.suffix.lower() == ".npz":
                return _load_npz(path, tuple(categories))
            exported = label_studio.read(path)
            if exported is not None:
                return cls.from_label_studio(exported, categories)
            return cls.from_table(tables.read(path), categories, columns)

    @classmethod
    def from_table(
        cls,
        table: Any,
        categories: Sequence[str] = CATEGORIES,
        columns: Mapping[str, str] | None = None,
    ) -> Answers:
        """Reads the answers in a pyarrow.Table (see `load`).

        Raises:
          InputError: naming the row.
        """
        categories = tuple(categories)
        rows = answer_tables.rows_of(table, categories, columns)
        del table
        tables.release_memory()  # the memory is needed to fit millions of answers
        return cls._from_rows(rows, categories)

    @classmethod
    def from_label_studio(
        cls, content: Sequence[Any], categories: Sequence[str] = CATEGORIES
    ) -> Answers:
        """Reads the answers in Label Studio's export (see label_studio.read).

        Raises:
          InputError: naming the task.
        """
        return cls._from_rows(label_studio.rows_of(content, categories), tuple(categories))

    @classmethod
    def _from_rows(cls, rows: answer_tables.AnswerRows, categories: tuple[str, ...]) -> Answers:
        # Questions are ordered by the first appearance of their image.
        span = 1 + int(rows.label.max())
        keys, question = np.unique(
            rows.image.astype(np.int64) * span + rows.label, return_inverse=True
        )
        questions = Questions(rows.file_names, keys // span, keys % span)
        return cls(
            questions,
            rows.raters,
            question,
            rows.rater,
            rows.answer,
            categories,
            rows.empty,
            notes=rows.remarks,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file for `load`, atomically: .npz in the published layout, or a table (.csv, .parquet)."""
        if pathlib.Path(path).suffix.lower() == ".npz":
            tensor = np.zeros(
                (len(self.raters), len(self.questions), len(self.categories)), np.float64
            )
            tensor[self.rater, self.question, self.answer] = 1
            ids = self.raters
            if all(r.isdecimal() for r in ids.tolist()):
                ids = ids.astype(np.int64)
            with files.replacing(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, tensor=tensor, info=info_array(self.questions), ids=ids)
            return
        questions = self.questions
        columns = (
            questions.file_names[questions.image[self.question]],
            questions.label[self.question],
            self.raters[self.rater],
            np.array(self.categories)[self.answer],
        )
        tables.write(path, dict(zip(answer_tables.COLUMNS, columns, strict=True)))


def _left_out(count: int, singular: str, plural: str) -> str:
    return f"{f'1 {singular} is' if count == 1 else f'{count:,} {plural} are'} left out."


def _of_the_same_images(parts: Sequence[Answers]) -> list[Answers]:
    """Returns the parts with each image named as in the first part that has the image.

    Two names are one image if the folders of one are the last folders of the other. So images of batches in
    different folders stay different.
    """
    known = parts[0].questions.file_names
    renamed = [parts[0]]
    for part in parts[1:]:
        questions = part.questions.named_as(known, strict=True)
        renamed.append(dataclasses.replace(part, questions=questions))
        known = np.unique(np.concatenate([known, questions.file_names]))
    return renamed


def _distinct_pairs(parts: Sequence[Questions]) -> tuple[np.ndarray, np.ndarray]:
    pairs: dict[tuple[str, int], None] = {}
    for part in parts:
        pairs.update(
            dict.fromkeys(zip(part.file_name().tolist(), part.label.tolist(), strict=True))
        )
    names, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(names, dtype=np.str_), np.array(labels, dtype=np.int64)


def _load_npz(path: pathlib.Path, categories: tuple[str, ...]) -> Answers:
    with npz.opened(path, ("tensor", "info", "ids")) as archive:
        questions = questions_of_info(archive["info"], path)
        raters = npz.as_text(archive["ids"], "ids")
        if not len(raters):
            raise InputError("has no raters.")
        shape = (len(raters), len(questions), len(categories))
        parts = [
            _one_hot(rows, rater)
            for rows, rater in zip(_slabs(archive, shape, categories), raters, strict=True)
        ]
    question, answer = (np.concatenate(column) for column in zip(*parts, strict=True))
    rater = np.repeat(np.arange(len(parts)), [len(q) for q, _ in parts])
    return Answers(questions, raters, question, rater, answer, categories)


def _slabs(
    archive: npz.Archive, shape: tuple[int, int, int], categories: tuple[str, ...]
) -> Iterator[np.ndarray]:
    """Yields the tensor rater by rater; the whole published tensor takes 0.4 GB for a million answers."""
    with archive.member("tensor") as file:
        found_shape, column_major, dtype = npz.read_header(file)
        if dtype.kind not in "biuf":
            raise InputError(f"tensor must hold numbers, found {dtype}.")
        if found_shape != shape:
            raise InputError(
                f"tensor must have shape {shape} (raters, questions, categories "
                f"{', '.join(categories)}), found {found_shape}."
            )
        if column_major:
            yield from archive["tensor"]
            return
        slab = shape[1] * shape[2] * dtype.itemsize
        for rater in range(shape[0]):
            raw = file.read(slab)
            if len(raw) < slab:
                raise InputError(f"is cut short at rater {rater} of {shape[0]}.")
            yield np.frombuffer(raw, dtype).reshape(shape[1:])
        file.read(1)  # reading past the end makes zipfile compare the checksum


def _one_hot(rows: np.ndarray, rater: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (answered questions, answers) of one rater's (Q, K) array."""
    flat = np.flatnonzero(rows.ravel())
    question, answer = np.divmod(flat, rows.shape[1])
    if (rows.ravel()[flat] != 1).any():
        raise InputError(f"tensor of rater {rater} must hold only 0 and 1.")
    twice = np.diff(question) == 0
    if twice.any():
        raise InputError(
            f"tensor: rater {rater} gives two answers to question {question[int(np.argmax(twice))] + 1}."
        )
    return question.astype(np.int32), answer.astype(np.int16)

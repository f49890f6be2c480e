"""Answers: what each rater said to each question, from the published files and from tables."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files
from real_labels.answers.questions import Questions, info_array, questions_of_info
from real_labels.errors import InputError, naming
from real_labels.files import npz, tables
from real_labels.labels import LabelSets, check_classes, class_columns, find_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CATEGORIES = ("no", "maybe", "yes")
_COLUMNS = ("file_name", "label", "rater", "answer")


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """A answers of R raters to Q questions; a rater answers a question once at most.

    Attributes:
      questions: the Q questions; some may have no answer.
      raters: (R,) str ids, distinct.
      question: (A,) int32 row in questions; never falling (the constructor sorts).
      rater: (A,) int32 row in raters; rising among the answers to one question.
      answer: (A,) int16 row in categories.
      categories: what may be answered, from "surely absent" to "surely present"; two or more.
    """

    questions: Questions
    raters: np.ndarray
    question: Int[np.ndarray, "answers"]
    rater: Int[np.ndarray, "answers"]
    answer: Int[np.ndarray, "answers"]
    categories: tuple[str, ...] = CATEGORIES

    def __post_init__(self):
        raters = np.asarray(self.raters, dtype=np.str_)
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
            order = np.argsort(key)
            steps = np.diff(key[order])
        if (steps == 0).any():
            at = int(np.argmin(steps))
            first = at if order is None else order[at]
            question, rater = int(columns["question"][0][first]), int(columns["rater"][0][first])
            raise InputError(
                f"{np.count_nonzero(steps == 0)} answers repeat a rater's answer to a question "
                f"(first: rater {raters[rater]}, "
                f"{self.questions.file_names[self.questions.image[question]]}, label "
                f"{self.questions.label[question]}); each rater answers a question once."
            )
        object.__setattr__(self, "raters", raters)
        object.__setattr__(self, "categories", tuple(self.categories))
        for name, (column, _, dtype) in columns.items():
            column = column if order is None else column[order]
            object.__setattr__(self, name, column.astype(dtype, copy=False))

    def __len__(self) -> int:
        return len(self.question)

    @property
    def asked(self) -> Int[np.ndarray, "questions"]:
        """(Q,) int64 number of answers to each question."""
        return np.bincount(self.question, minlength=len(self.questions))

    @property
    def offsets(self) -> Int[np.ndarray, "questions_plus_1"]:
        """(Q + 1,) int64: question q has the answers offsets[q] to offsets[q + 1]."""
        return np.concatenate([[0], np.cumsum(self.asked)])

    @property
    def values(self) -> Float[np.ndarray, "categories"]:
        """(K,) how far each category leans to "present": evenly spaced from 0 to 1."""
        return np.linspace(0, 1, len(self.categories))

    def votes(self, category: int = -1) -> Int[np.ndarray, "questions"]:
        """(Q,) number of answers of this category, by default the last ("yes")."""
        category = range(len(self.categories))[category]
        return np.bincount(self.question[self.answer == category], minlength=len(self.questions))

    def take_questions(self, rows: Int[np.ndarray, "n"]) -> Answers:
        """The answers to these questions, in this order, all raters kept."""
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
        """Lets a label set (or a classifier's predictions as one) vote as one more rater.

        It answers the last category ("yes") where the question's label is among the image's labels
        and the first ("no") where not; it says nothing about images that it does not know.

        Args:
          name: its id.
          labels: what it holds for valid.
          classes: the labels it has a say on; None for all.

        Raises:
          InputError: if a rater has that id, or it has nothing to say to any question.
        """
        if name in self.raters.tolist():
            raise InputError(f"There is a rater {name!r} already; give the label set another name.")
        image = find_rows(labels.file_names, self.questions.file_names)[self.questions.image]
        asked = image >= 0
        if classes is not None:
            asked &= np.isin(self.questions.label, classes)
        question = np.flatnonzero(asked)
        if not len(question):
            raise InputError(
                f"The label set {name!r} has nothing to say to any of the {len(self.questions)} "
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
        """All answers of several sets as one; questions and raters are matched by name.

        Raises:
          InputError: if a rater answers a question twice, or the categories differ.
        """
        first, *rest = parts
        for part in rest:
            if part.categories != first.categories:
                raise InputError(
                    f"Answers of {', '.join(first.categories)} and of {', '.join(part.categories)} "
                    f"cannot be joined."
                )
        if not rest:
            return first
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
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], categories: Sequence[str] = CATEGORIES) -> Answers:
        """Reads the published `.npz` or a table (CSV, Parquet, JSON lines).

        The `.npz` has `tensor` (R, Q, K), one-hot over the answers and all zero where a rater was
        not asked, `info` (Q, 2) with file name and label as str, and `ids` (R,). A table has the
        columns file_name, label, rater and answer, one row per answer; `answer` is one of the
        categories or, where no category is a number, its position.

        Args:
          path: the file.
          categories: what may be answered, from "surely absent" to "surely present".

        Raises:
          InputError: naming the file and the place.
        """
        path = pathlib.Path(path)
        with naming(path):
            if path.suffix.lower() == ".npz":
                return _load_npz(path, tuple(categories))
            return _load_table(path, tuple(categories))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what `load` reads, atomically: .npz in the published layout, .csv or .parquet."""
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
        asked = self.questions
        columns = (
            asked.file_names[asked.image[self.question]],
            asked.label[self.question],
            self.raters[self.rater],
            np.array(self.categories)[self.answer],
        )
        tables.write(path, dict(zip(_COLUMNS, columns, strict=True)))


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
        raters = archive["ids"].astype(np.str_)
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
    archive: np.lib.npyio.NpzFile, shape: tuple[int, int, int], categories: tuple[str, ...]
) -> Iterator[np.ndarray]:
    """Yields the tensor rater by rater: whole, the published one takes 0.4 GB for a million answers."""
    with archive.zip.open("tensor.npy") as file:
        found, column_major, dtype = npz.read_header(file)
        if found != shape:
            raise InputError(
                f"tensor must have shape {shape} (raters, questions, categories "
                f"{', '.join(categories)}), found {found}."
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
        file.read(1)  # at the end of the array its checksum is compared


def _one_hot(rows: np.ndarray, rater: str) -> tuple[np.ndarray, np.ndarray]:
    """(questions answered, their answers) of one rater's (Q, K) array."""
    flat = np.flatnonzero(rows.ravel())
    question, answer = np.divmod(flat, rows.shape[1])
    if (rows.ravel()[flat] != 1).any():
        raise InputError(f"tensor of rater {rater} must hold 0 and 1 alone.")
    twice = np.diff(question) == 0
    if twice.any():
        raise InputError(
            f"tensor: rater {rater} gives two answers to question {question[int(np.argmax(twice))]}."
        )
    return question.astype(np.int32), answer.astype(np.int16)


def _load_table(path: pathlib.Path, categories: tuple[str, ...]) -> Answers:
    with tables.understood():
        return _from_table(tables.with_plain_names(tables.read(path)), categories)


def _from_table(table: Any, categories: tuple[str, ...]) -> Answers:
    missing = [c for c in _COLUMNS if c not in table.column_names]
    if missing:
        raise InputError(
            f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; expected "
            f"{', '.join(_COLUMNS)}, found {', '.join(table.column_names)}."
        )

    label = class_columns.class_indices(table["label"], "label")
    if label.min() < 0:
        row = int(np.argmin(label))
        raise InputError(f"row {row + 1} has the negative label {label[row]}.")
    label = check_classes(label, "label").astype(np.int64)
    image, file_names = tables.text(table["file_name"])
    rater, raters = tables.text(table["rater"])
    for codes, what in ((image, "file_name"), (rater, "rater")):
        if codes.min() < 0:
            raise InputError(f"row {int(np.argmin(codes)) + 1} has no {what}.")
    answer = _answer_codes(table["answer"], categories)
    # Questions come image by image, in the order in which the images first appear.
    span = 1 + int(label.max())
    keys, question = np.unique(image.astype(np.int64) * span + label, return_inverse=True)
    questions = Questions(file_names, keys // span, keys % span)
    return Answers(questions, raters, question, rater, answer, categories)


def _answer_codes(column, categories: tuple[str, ...]) -> Int[np.ndarray, "n"]:
    codes, texts = tables.text(column)
    if codes.min() < 0:
        raise InputError(f"row {int(np.argmin(codes)) + 1} has no answer.")
    known = {c.lower(): i for i, c in enumerate(categories)}
    if not any(c.isdecimal() for c in categories):  # where they are numbers, a number is a name
        known |= {str(i): i for i in range(len(categories))}
    position = np.array([known.get(t.strip().lower(), -1) for t in texts.tolist()], np.int64)
    if (position < 0).any():
        row = int(np.argmax(position[codes] < 0))
        raise InputError(
            f"row {row + 1} has the answer '{texts[codes[row]]}'; expected one of "
            f"{', '.join(categories)}, or 0 to {len(categories) - 1} (--categories names others)."
        )
    return position[codes]

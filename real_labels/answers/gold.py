"""Gold: questions whose truth is known, from experts or from a table."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.answers import answer_tables, label_studio
from real_labels.answers.answers import CATEGORIES, Answers
from real_labels.answers.questions import Questions
from real_labels.errors import InputError, naming
from real_labels.files import tables
from real_labels.labels import LabelSets, match

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

_TRUTH_COLUMNS = ("truth", "present", "gold")
_TRUTHS = dict.fromkeys(("1", "1.0", "true", "yes"), True) | dict.fromkeys(
    ("0", "0.0", "false", "no"), False
)


@dataclasses.dataclass(frozen=True, eq=False)
class Gold:
    """G questions with their truth.

    Attributes:
      questions: the questions.
      present: (G,) bool, whether the label is present in the image.
      votes: (G,) number of experts who said so, or None where the truth came as such.
      experts: (G,) number of experts who were asked, or None.
    """

    questions: Questions
    present: Bool[np.ndarray, "gold"]
    votes: Int[np.ndarray, "gold"] | None = None
    experts: Int[np.ndarray, "gold"] | None = None

    def __post_init__(self):
        present = np.asarray(self.present)
        if present.shape != (len(self.questions),) or present.dtype != bool:
            raise InputError(
                f"Gold: present must be ({len(self.questions)},) bool, found {present.shape} of "
                f"{present.dtype}."
            )
        if not len(self.questions):
            raise InputError("Gold: there is no question.")
        object.__setattr__(self, "present", present)

    def __len__(self) -> int:
        return len(self.questions)

    @classmethod
    def from_experts(cls, experts: Answers, at_least: int | None = None) -> Gold:
        """Present iff at least so many experts said yes; by default more than half of those asked.

        Args:
          experts: their answers; the last category is "yes".
          at_least: number of votes, or None. The paper's 5 experts: 3.
        """
        votes, asked = experts.votes(), experts.asked
        rows = np.flatnonzero(asked)
        gold = cls(
            experts.questions.take(rows),
            votes[rows] * 2 > asked[rows],
            votes[rows],
            asked[rows],
        )
        return gold if at_least is None else gold.with_votes(at_least)

    @classmethod
    def of_label_sets(cls, labels: LabelSets, asked: Questions) -> Gold:
        """The truth of the questions about images of which experts gave all labels.

        Args:
          labels: all labels of some images.
          asked: questions, of these images and others.

        Raises:
          InputError: if no question is about these images.
        """
        image = match(labels.file_names, asked.file_names)[asked.image]
        rows = np.flatnonzero(image >= 0)
        if not len(rows):
            raise InputError(
                f"None of the {len(asked):,} questions is about one of its {len(labels):,} images (the "
                f"questions begin with {_first(asked)})."
            )
        present = labels.contains(image[rows], asked.label[rows, None])[:, 0]
        return cls(asked.take(rows), present)

    def with_votes(self, at_least: int) -> Gold:
        """The same questions, present iff at least so many experts said yes."""
        if self.votes is None or self.experts is None:
            raise InputError(
                "This gold file holds truths, not experts' answers, so no number of votes can be "
                "asked of it."
            )
        if not 1 <= at_least <= self.experts.max():
            raise InputError(
                f"At least {at_least} votes were asked for, of {self.experts.max()} experts."
            )
        return dataclasses.replace(self, present=self.votes >= at_least)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        at_least: int | None = None,
        categories: Sequence[str] = CATEGORIES,
        columns: Mapping[str, str] | None = None,
    ) -> Gold:
        """Reads experts' answers (see Answers.load), or a table of file_name, label, truth.

        Args:
          path: the file. A truth is yes / no, true / false or 1 / 0.
          at_least: how many experts make a truth (see from_experts).
          categories: what experts may answer (see Answers.load).
          columns: what a table of answers calls its columns (see Answers.load).

        Raises:
          InputError: naming the file and the place.
        """
        path = pathlib.Path(path)
        exported = label_studio.read(path)
        if exported is not None:
            with naming(path):
                experts = Answers.from_label_studio(exported, categories)
        elif path.suffix.lower() == ".npz":
            experts = Answers.load(path, categories)
        else:
            table = tables.read(path)
            by_key = tables.by_key(table.column_names)
            named = [by_key[c] for c in _TRUTH_COLUMNS if c in by_key]
            if named:
                if at_least is not None:
                    raise InputError(
                        f"{path}: holds truths, not experts' answers, so no number of votes can be "
                        f"asked of it."
                    )
                return _from_truths(path, table, named[0], columns)
            with naming(path):
                if not answer_tables.has_raters(table, categories, columns):
                    raise InputError(
                        "expected the columns file_name, label and truth, or experts' answers (file_name, "
                        f"label, rater, answer); found {', '.join(table.column_names)}."
                    )
                columns = answer_tables.only_known(table, columns)
                experts = Answers.from_table(table, categories, columns)
        return cls.from_experts(experts, at_least)

    def among(self, questions: Questions, what: str) -> tuple[np.ndarray, np.ndarray]:
        """(rows in questions, rows here) of the gold questions that are among these.

        Raises:
          InputError: if none is, or two spellings of one image have different truths.
        """
        rows = questions.find(self.questions)
        here = np.flatnonzero(rows >= 0)
        asked = self.questions
        here = here[
            _without_repeats(
                rows[here],
                self.present[here],
                lambda row: (
                    f"{asked.file_names[asked.image[here[row]]]}, label {asked.label[here[row]]}"
                ),
            )
        ]
        if not len(here):
            raise InputError(
                f"None of the {len(self)} gold questions is among the {len(questions)} questions "
                f"of the {what} (gold begins with {_first(self.questions)}, the {what} with "
                f"{_first(questions)}): are they of the same dataset and class numbering?"
            )
        return rows[here], here


def load_truth(
    path: str | os.PathLike[str],
    at_least: int | None = None,
    categories: Sequence[str] = CATEGORIES,
    columns: Mapping[str, str] | None = None,
) -> Gold | LabelSets:
    """Reads gold questions (see Gold.load), or all labels of some images (see LabelSets.from_json).

    Raises:
      InputError: naming the file, if it is neither.
    """
    try:
        return Gold.load(path, at_least, categories, columns)
    except InputError:
        if pathlib.PurePath(path).suffix.lower() != ".json":
            raise
        try:
            labels = LabelSets.from_json(path)
        except InputError:
            labels = None
        if labels is None:
            raise
    if at_least is not None:
        raise InputError(f"{path}: holds label sets, so no number of votes can be asked of it.")
    return labels


def _first(questions: Questions) -> str:
    if not len(questions):
        return "nothing"
    return f"{questions.file_names[questions.image[0]]}, label {questions.label[0]}"


def _from_truths(
    path: pathlib.Path, table: Any, column: str, columns: Mapping[str, str] | None
) -> Gold:
    with naming(path), tables.understood():
        file_names, image, label = answer_tables.pairs_of(table, columns)
        codes, texts = tables.names(table[column])
        truths = [_TRUTHS.get(t.lower()) for t in texts.tolist()]
        bad = np.array([t is None for t in truths] + [True])[codes]  # code -1 is a null
        if bad.any():
            row = int(np.argmax(bad))
            found = f"the truth {str(texts[codes[row]])!r}" if codes[row] >= 0 else "no truth"
            raise InputError(f"row {row + 1} has {found}; expected yes or no.")
        present = np.array(truths, bool)[codes]
        keys = image.astype(np.int64) * (1 + int(label.max())) + label
        kept = _without_repeats(
            keys, present, lambda row: f"{file_names[image[row]]}, label {label[row]}"
        )
        return Gold(Questions(file_names, image[kept], label[kept]), present[kept])


def _without_repeats(
    keys: Int[np.ndarray, "n"], present: Bool[np.ndarray, "n"], describe: Callable[[int], str]
) -> Int[np.ndarray, "kept"]:
    """Rows of the first of equal gold questions.

    Raises:
      InputError: if a question has two truths.
    """
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    differs = present != present[first][inverse]
    if differs.any():
        row = int(np.argmax(differs))
        raise InputError(f"row {row + 1} gives {describe(row)} another truth than a row before.")
    return np.sort(first)

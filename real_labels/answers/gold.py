"""Gold: questions with known truth, from experts' answers or a table."""

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
    """G questions with known truth.

    Attributes:
      questions: the questions.
      present: (G,) bool, whether the label is present in the image.
      votes: (G,) number of experts who answered yes; None if the truth is not from experts' answers.
      experts: (G,) number of experts who were asked; None if `votes` is None.

    Three experts answer two questions; a label is present if more than half of the experts said yes:

    >>> from real_labels.answers import Answers, Gold, Questions
    >>> experts = Answers(
    ...     Questions(["a.jpg"], image=[0, 0], label=[5, 7]),
    ...     raters=["x", "y", "z"],
    ...     question=[0, 0, 0, 1, 1, 1],
    ...     rater=[0, 1, 2, 0, 1, 2],
    ...     answer=[2, 2, 0, 2, 0, 0],  # yes yes no; yes no no
    ... )
    >>> gold = Gold.from_experts(experts)
    >>> gold.present.tolist(), gold.votes.tolist()
    ([True, False], [2, 1])
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
            raise InputError("Gold: there are no questions; expected at least one.")
        object.__setattr__(self, "present", present)

    def __len__(self) -> int:
        return len(self.questions)

    @classmethod
    def from_experts(cls, experts: Answers, at_least: int | None = None) -> Gold:
        """Builds gold from experts' answers: a label is present iff at least `at_least` experts answered yes.

        Args:
          experts: the experts' answers; the last category is "yes".
          at_least: number of votes; None for more than half of the experts asked. The paper: 3 of 5 experts.
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
        """Builds gold from the complete labels of some images: the truth of the questions about these images.

        Args:
          labels: the complete labels of some images.
          asked: questions about these and other images.

        Raises:
          InputError: if no question is about these images.
        """
        image = match(labels.file_names, asked.file_names)[asked.image]
        rows = np.flatnonzero(image >= 0)
        if not len(rows):
            raise InputError(
                f"None of the {len(asked):,} questions is about one of its {len(labels):,} images (the "
                f"questions begin with {_first_question(asked)})."
            )
        present = labels.contains(image[rows], asked.label[rows, None])[:, 0]
        return cls(asked.take(rows), present)

    def with_votes(self, at_least: int) -> Gold:
        """Returns the same questions, with a label present iff at least `at_least` experts answered yes.

        Raises:
          InputError: if there are no experts' answers, or `at_least` is not from 1 to the number of experts.
        """
        if self.votes is None or self.experts is None:
            raise InputError(
                "This gold file holds truths, not experts' answers, so a number of votes cannot be "
                "required."
            )
        if not 1 <= at_least <= self.experts.max():
            raise InputError(
                f"At least {at_least} votes are required; expected 1 to {self.experts.max()}, the number of "
                f"experts."
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
          at_least: number of experts who must answer yes (see from_experts).
          categories: the experts' possible answers (see Answers.load).
          columns: the table's names of the columns, if they differ (see Answers.load).

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
            truth_columns = [by_key[c] for c in _TRUTH_COLUMNS if c in by_key]
            if truth_columns:
                if at_least is not None:
                    raise InputError(
                        f"{path}: holds truths, not experts' answers, so a number of votes cannot be "
                        f"required."
                    )
                return _from_truths(path, table, truth_columns[0], columns)
            with naming(path):
                if not answer_tables.has_raters(table, categories, columns):
                    raise InputError(
                        "expected the columns file_name, label and truth, or experts' answers (file_name, "
                        f"label, rater, answer); found {', '.join(table.column_names)}."
                    )
                columns = answer_tables.only_known(table, columns)
                experts = Answers.from_table(table, categories, columns)
        return cls.from_experts(experts, at_least)

    def among(self, questions: Questions, owner: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns (rows in `questions`, rows here) of the gold questions that are in `questions`.

        Args:
          questions: other questions.
          owner: the object that has the other questions, for errors.

        Raises:
          InputError: if no gold question is in `questions`, or two names of an image have different truths.
        """
        rows = questions.find(self.questions)
        here = np.flatnonzero(rows >= 0)
        own = self.questions
        here = here[
            _without_repeats(
                rows[here],
                self.present[here],
                lambda row: f"{own.file_names[own.image[here[row]]]}, label {own.label[here[row]]}",
            )
        ]
        if not len(here):
            raise InputError(
                f"None of the {len(self)} gold questions is among the {len(questions)} questions "
                f"of the {owner} (gold begins with {_first_question(self.questions)}, the {owner} with "
                f"{_first_question(questions)}): are they of the same dataset and class numbering?"
            )
        return rows[here], here


def load_truth(
    path: str | os.PathLike[str],
    at_least: int | None = None,
    categories: Sequence[str] = CATEGORIES,
    columns: Mapping[str, str] | None = None,
) -> Gold | LabelSets:
    """Reads gold questions (see Gold.load), or the complete labels of some images (see LabelSets.from_json).

    Raises:
      InputError: naming the file, if it holds neither; if `at_least` is given for label sets.
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
        raise InputError(f"{path}: holds label sets, so a number of votes cannot be required.")
    return labels


def _first_question(questions: Questions) -> str:
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
    """Returns the rows to keep: the first of each group of equal gold questions.

    Raises:
      InputError: if a question has two truths.
    """
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    differs = present != present[first][inverse]
    if differs.any():
        row = int(np.argmax(differs))
        raise InputError(f"row {row + 1} gives {describe(row)} another truth than an earlier row.")
    return np.sort(first)

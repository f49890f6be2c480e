"""Reads the answers of the database: as rows, as Answers, as a table, and aggregated."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, Row, select

from real_labels.answers import Answers, Gold, Questions
from real_labels.files import tables
from real_labels.rating import counting
from real_labels.rating.database import Settings
from real_labels.rating.schema import DONE, WORK, assignments, images, questions, raters, tasks

if TYPE_CHECKING:
    from real_labels.aggregation import Aggregate


def rows(connection: Connection, *, work: bool) -> Sequence[Row]:
    """Returns (file_name, label, pseudonym, category, question, given) of each answer that counts.

    An answer counts if it is the newest revision, its assignment is done, and its rater is not excluded.

    Args:
      connection: connection to the database.
      work: True: answers to work; False: answers to gold and warm-up tasks.
    """
    newest = counting.newest().subquery()
    is_kind = tasks.c.kind == WORK if work else tasks.c.kind != WORK
    return connection.execute(
        select(
            images.c.file_name,
            questions.c.label,
            raters.c.pseudonym,
            newest.c.category,
            newest.c.question,
            newest.c.given,
        )
        .join(assignments, assignments.c.id == newest.c.assignment)
        .join(raters, raters.c.id == assignments.c.rater)
        .join(questions, questions.c.id == newest.c.question)
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(assignments.c.state == DONE, ~raters.c.is_excluded, is_kind)
        .order_by(newest.c.id)
    ).all()


def export(
    connection: Connection, path: str | os.PathLike[str], settings: Settings, *, work: bool
) -> int:
    """Writes a table of answers for `aggregate`: file_name, label, rater, answer (.csv, .parquet).

    Raters are named by their pseudonyms. Returns the number of answers.
    """
    answer_rows = rows(connection, work=work)
    columns = {
        "file_name": np.array([r.file_name for r in answer_rows], dtype=object),
        "label": np.array([r.label for r in answer_rows], np.int64),
        "rater": np.array([r.pseudonym for r in answer_rows], dtype=object),
        "answer": np.array([settings.categories[r.category] for r in answer_rows], dtype=object),
    }
    tables.write(path, columns)
    return len(answer_rows)


def answers(connection: Connection, settings: Settings, *, work: bool) -> Answers | None:
    """Returns the answers that count (see `rows`); None if there are none."""
    return _as_answers(rows(connection, work=work), settings)


def _as_answers(answer_rows: Sequence[Row], settings: Settings) -> Answers | None:
    if not answer_rows:
        return None
    pairs = [(r.file_name, r.label) for r in answer_rows]
    question = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    rater = {name: i for i, name in enumerate(dict.fromkeys(r.pseudonym for r in answer_rows))}
    return Answers(
        Questions.from_pairs([n for n, _ in question], np.array([c for _, c in question])),
        np.array(list(rater)),
        np.array([question[pair] for pair in pairs]),
        np.array([rater[r.pseudonym] for r in answer_rows]),
        np.array([r.category for r in answer_rows]),
        settings.categories,
    )


def gold(connection: Connection) -> Gold | None:
    """Returns the gold questions of the database; None if there are none."""
    gold_rows = connection.execute(
        select(images.c.file_name, questions.c.label, questions.c.truth)
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(questions.c.truth.is_not(None))
        .distinct()
    ).all()
    if not gold_rows:
        return None
    asked = Questions.from_pairs(
        [r.file_name for r in gold_rows], np.array([r.label for r in gold_rows])
    )
    return Gold(asked, np.array([bool(r.truth) for r in gold_rows]))


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """The answers of all raters so far.

    Attributes:
      rows: the answers to work, as rows (see `rows`).
      work: the answers to work; None if there are none.
      on_gold: the answers to gold and warm-up tasks; None if there are none.
      truth: the gold questions; None if there are none.
    """

    rows: Sequence[Row]
    work: Answers | None
    on_gold: Answers | None
    truth: Gold | None

    @classmethod
    def of(cls, connection: Connection, settings: Settings) -> Collected:
        """Reads answers and gold from the database."""
        answer_rows = rows(connection, work=True)
        on_gold = answers(connection, settings, work=False)
        return cls(answer_rows, _as_answers(answer_rows, settings), on_gold, gold(connection))

    def aggregate(self) -> Aggregate | None:
        """Aggregates the answers to work: with confusions measured on gold if there is any, else by EM.

        Returns None if there are no answers to work. Gold is used if raters have answered it and at least one
        gold label is present.
        """
        from real_labels import aggregation

        if self.work is None:
            return None
        if self.truth is not None and self.on_gold is not None and self.truth.present.any():
            return aggregation.gold_calibrated(self.work, self.truth, self.on_gold)
        return aggregation.dawid_skene(self.work)

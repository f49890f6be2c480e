"""The answers in the database: as rows, as Answers, as a table, and aggregated."""

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
    """(file_name, label, rater, category, question, given) of each answer that counts.

    The newest revision counts, of tasks that are done, by raters who are not excluded.

    Args:
      connection: to the database.
      work: of work, or of gold and warm-up.
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
    """Writes the answers as `aggregate` reads them: file_name, label, rater, answer (.csv, .parquet).

    Raters go by their pseudonyms. Returns the number of answers.
    """
    found = rows(connection, work=work)
    columns = {
        "file_name": np.array([r.file_name for r in found], dtype=object),
        "label": np.array([r.label for r in found], np.int64),
        "rater": np.array([r.pseudonym for r in found], dtype=object),
        "answer": np.array([settings.categories[r.category] for r in found], dtype=object),
    }
    tables.write(path, columns)
    return len(found)


def answers(connection: Connection, settings: Settings, *, work: bool) -> Answers | None:
    """The answers that count; None if there is none."""
    return _as_answers(rows(connection, work=work), settings)


def _as_answers(found: Sequence[Row], settings: Settings) -> Answers | None:
    if not found:
        return None
    pairs = [(r.file_name, r.label) for r in found]
    place = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    rater = {name: i for i, name in enumerate(dict.fromkeys(r.pseudonym for r in found))}
    return Answers(
        Questions.from_pairs([n for n, _ in place], np.array([c for _, c in place])),
        np.array(list(rater)),
        np.array([place[pair] for pair in pairs]),
        np.array([rater[r.pseudonym] for r in found]),
        np.array([r.category for r in found]),
        settings.categories,
    )


def gold(connection: Connection) -> Gold | None:
    """The gold questions of the database; None if there is none."""
    found = connection.execute(
        select(images.c.file_name, questions.c.label, questions.c.truth)
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(questions.c.truth.is_not(None))
        .distinct()
    ).all()
    if not found:
        return None
    asked = Questions.from_pairs([r.file_name for r in found], np.array([r.label for r in found]))
    return Gold(asked, np.array([bool(r.truth) for r in found]))


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """All that raters have answered so far.

    Attributes:
      rows: of the answers to work (see `rows`).
      work, on_gold: the answers to work, and to gold and warm-up; None where there is none.
      truth: of the gold questions; None if there are none.
    """

    rows: Sequence[Row]
    work: Answers | None
    on_gold: Answers | None
    truth: Gold | None

    @classmethod
    def of(cls, connection: Connection, settings: Settings) -> Collected:
        """Reads everything once."""
        found = rows(connection, work=True)
        on_gold = answers(connection, settings, work=False)
        return cls(found, _as_answers(found, settings), on_gold, gold(connection))

    def aggregate(self) -> Aggregate | None:
        """The scores of the work, by confusions measured on gold if there is any, else by EM; or None."""
        from real_labels import aggregation

        if self.work is None:
            return None
        if self.truth is not None and self.on_gold is not None and self.truth.present.any():
            return aggregation.gold_calibrated(self.work, self.truth, self.on_gold)
        return aggregation.dawid_skene(self.work)

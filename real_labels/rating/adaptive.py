"""Adaptive asking in the database: after the first answers, only unsure questions are asked again."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, Row, bindparam, select, update

from real_labels.rating import counting, results
from real_labels.rating.asking import Policy
from real_labels.rating.database import Database, Settings
from real_labels.rating.schema import WORK, images, questions, tasks

# Name of the stored result of the last check: the id of the newest answer at that time, and the number of
# questions that are asked again.
LAST_CHECK = "looked"
_BATCH = 500  # tasks in one statement


def ask_again(database: Database, now: float | None = None) -> int:
    """Asks unsure questions once more, and closes the tasks whose questions all have enough answers.

    A task wants one more rater as long as one of its questions needs more answers.

    Args:
      database: database of the project.
      now: time, in seconds since 1970; None: the present time.

    Returns:
      The number of questions that are asked again; 0 if asking is not adaptive.
    """
    now = time.time() if now is None else now
    # The aggregation may take seconds. It is not in a writing transaction, so raters can go on answering.
    with database.reading() as connection:
        settings = database.settings(connection)
        if settings.ask_until is None:
            return 0
        last = counting.last_answer(connection)
        checked = database.fact(connection, LAST_CHECK)
        if checked is not None and checked["answer"] == last:
            return checked["asked_again"]
        collected = results.Collected.of(connection, settings)
        number = collections.Counter(row.question for row in collected.rows)  # of answers
        rows = [
            r for r in _askable(connection, settings.at_least, now) if r.is_asked or number[r.id]
        ]
    aggregate = collected.aggregate()
    if aggregate is None:
        return 0
    answered = aggregate.scores.questions
    pairs = zip(answered.file_name().tolist(), answered.label.tolist(), strict=True)
    sureness = dict(zip(pairs, aggregate.sureness.tolist(), strict=True))
    needed = (
        Policy(settings.ask_until, settings.at_least, settings.at_most)
        .needs_more(
            np.array([sureness.get((row.file_name, row.label), 0.5) for row in rows]),
            np.array([number[row.id] for row in rows]),
        )
        .tolist()
    )
    unsure = {row.task for row, need in zip(rows, needed, strict=True) if need}
    row_of_task = {row.task: row for row in rows}
    changed = {
        task for task, row in row_of_task.items() if row.wanted != row.done + (task in unsure)
    } | {
        row.task
        for row, need in zip(rows, needed, strict=True)
        if row.task in unsure and row.is_asked != need
    }
    with database.writing(changes_many=True) as connection:
        same = _unchanged(database, connection, sorted(changed), row_of_task, now)
        if same:
            connection.execute(
                update(tasks)
                .where(tasks.c.id == bindparam("task"))
                .values(wanted=bindparam("number"), is_open=bindparam("more")),
                [
                    {"task": t, "number": row_of_task[t].done + (t in unsure), "more": t in unsure}
                    for t in sorted(same)
                ],
            )
        # A closed task keeps its questions: its last raters answered them.
        if changes := [
            {"question": row.id, "need": need}
            for row, need in zip(rows, needed, strict=True)
            if row.task in unsure & same and row.is_asked != need
        ]:
            connection.execute(
                update(questions)
                .where(questions.c.id == bindparam("question"))
                .values(is_asked=bindparam("need")),
                changes,
            )
        database.store_fact(connection, LAST_CHECK, {"answer": last, "asked_again": sum(needed)})
    return sum(needed)


def may_ask_again(database: Database, connection: Connection, settings: Settings) -> bool:
    """Whether questions may yet be asked again: there are answers that came after the last check."""
    if settings.ask_until is None:
        return False
    checked = database.fact(connection, LAST_CHECK)
    return checked is None or checked["answer"] != counting.last_answer(connection)


def reset_check(database: Database, connection: Connection) -> None:
    """Makes the next call of `ask_again` check all questions, as is needed after excluding a rater."""
    database.store_fact(connection, LAST_CHECK, None)


def _unchanged(
    database: Database,
    connection: Connection,
    chosen: Sequence[int],
    row_of_task: Mapping[int, Row],
    now: float,
) -> set[int]:
    """Returns the chosen tasks that no rater took or answered since the check; the next check sees the rest.

    On PostgreSQL the tasks are locked first, so that none is lent before it is changed.
    """
    same: set[int] = set()
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        in_batch = select(tasks.c.id).where(tasks.c.id.in_(batch)).order_by(tasks.c.id)
        if not database.is_sqlite:
            connection.execute(in_batch.with_for_update())
        counts = select(
            tasks.c.id,
            counting.answered(tasks.c.id).label("done"),
            counting.taken(tasks.c.id).label("taken"),
        ).where(tasks.c.id.in_(batch))
        counted = connection.execute(counts, {"now": now})
        same |= {row.id for row in counted if row.done == row.taken == row_of_task[row.id].done}
    return same


def _askable(connection: Connection, at_least: int, now: float) -> list[Row]:
    """Returns the questions that may be asked again.

    These are the questions of work tasks that at least `at_least` raters have answered and that no rater
    holds: a task that a rater is looking at must not change. Each row is (id, task, label, is_asked,
    wanted, file_name, done, taken).
    """
    done = counting.answered(tasks.c.id).label("done")
    taken = counting.taken(tasks.c.id).label("taken")
    work = connection.execute(
        select(
            questions.c.id,
            questions.c.task,
            questions.c.label,
            questions.c.is_asked,
            tasks.c.wanted,
            images.c.file_name,
            done,
            taken,
        )
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(tasks.c.kind == WORK),
        {"now": now},
    )
    return [row for row in work if row.done >= at_least and row.taken == row.done]

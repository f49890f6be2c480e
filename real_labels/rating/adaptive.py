"""Adaptive asking in the database: after some answers, only the unsure questions are asked again."""

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

# The fact that says which answer was the last to be looked at, and how many questions are asked again.
LOOKED = "looked"
_AT_ONCE = 500  # tasks that one statement names


def ask_again(database: Database, now: float | None = None) -> int:
    """Asks the unsure questions once more, and ends the others.

    A task wants another rater as long as one of its questions needs more answers.

    Args:
      database: of the project.
      now: seconds since 1970; None: the clock's.

    Returns:
      The number of questions that are asked again; 0 if asking is not adaptive.
    """
    now = time.time() if now is None else now
    # The aggregation may take seconds, and nobody could answer while it held the database: it only reads.
    with database.reading() as connection:
        settings = database.settings(connection)
        if settings.ask_until is None:
            return 0
        last = counting.last_answer(connection)
        looked = database.fact(connection, LOOKED)
        if looked is not None and looked["answer"] == last:
            return looked["asked_again"]
        collected = results.Collected.of(connection, settings)
        number = collections.Counter(row.question for row in collected.rows)
        rows = [
            r for r in _askable(connection, settings.at_least, now) if r.is_asked or number[r.id]
        ]
    aggregate = collected.aggregate()
    if aggregate is None:
        return 0
    asked = aggregate.scores.questions
    pairs = zip(asked.file_name().tolist(), asked.label.tolist(), strict=True)
    sure_to = dict(zip(pairs, aggregate.sureness.tolist(), strict=True))
    needed = (
        Policy(settings.ask_until, settings.at_least, settings.at_most)
        .needs_more(
            np.array([sure_to.get((row.file_name, row.label), 0.5) for row in rows]),
            np.array([number[row.id] for row in rows]),
        )
        .tolist()
    )
    unsure = {row.task for row, need in zip(rows, needed, strict=True) if need}
    looked_at = {row.task: row for row in rows}
    changed = {
        task for task, row in looked_at.items() if row.wanted != row.done + (task in unsure)
    } | {
        row.task
        for row, need in zip(rows, needed, strict=True)
        if row.task in unsure and row.is_asked != need
    }
    with database.writing(changes_many=True) as connection:
        same = _unchanged(database, connection, sorted(changed), looked_at, now)
        if same:
            connection.execute(
                update(tasks)
                .where(tasks.c.id == bindparam("one"))
                .values(wanted=bindparam("number"), is_open=bindparam("more")),
                [
                    {"one": t, "number": looked_at[t].done + (t in unsure), "more": t in unsure}
                    for t in sorted(same)
                ],
            )
        # The questions of a task that is over stay as they are: its last raters answered them.
        if asked_now := [
            {"one": row.id, "need": need}
            for row, need in zip(rows, needed, strict=True)
            if row.task in unsure & same and row.is_asked != need
        ]:
            connection.execute(
                update(questions)
                .where(questions.c.id == bindparam("one"))
                .values(is_asked=bindparam("need")),
                asked_now,
            )
        database.state_fact(connection, LOOKED, {"answer": last, "asked_again": sum(needed)})
    return sum(needed)


def may_ask_again(database: Database, connection: Connection, settings: Settings) -> bool:
    """Whether questions may yet be asked again: there are answers that were not looked at."""
    if settings.ask_until is None:
        return False
    looked = database.fact(connection, LOOKED)
    return looked is None or looked["answer"] != counting.last_answer(connection)


def forget(database: Database, connection: Connection) -> None:
    """Has everything looked at again, as after a rater was excluded."""
    database.state_fact(connection, LOOKED, None)


def _unchanged(
    database: Database,
    connection: Connection,
    chosen: Sequence[int],
    looked_at: Mapping[int, Row],
    now: float,
) -> set[int]:
    """Those of the chosen tasks that nobody was lent or answered meanwhile; the next look sees the others.

    On PostgreSQL they are locked first, so that none is lent before they are changed.
    """
    same: set[int] = set()
    for start in range(0, len(chosen), _AT_ONCE):
        some = chosen[start : start + _AT_ONCE]
        here = select(tasks.c.id).where(tasks.c.id.in_(some)).order_by(tasks.c.id)
        if not database.is_sqlite:
            connection.execute(here.with_for_update())
        counts = select(
            tasks.c.id,
            counting.answered(tasks.c.id).label("done"),
            counting.taken(tasks.c.id).label("taken"),
        ).where(tasks.c.id.in_(some))
        found = connection.execute(counts, {"now": now})
        same |= {row.id for row in found if row.done == row.taken == looked_at[row.id].done}
    return same


def _askable(connection: Connection, at_least: int, now: float) -> list[Row]:
    """(id, task, label, is_asked, wanted, file_name, done) of the questions that may be asked again.

    They are those of the tasks that enough raters have answered and that are in nobody's hands: what a rater
    has before the eyes does not change.
    """
    done = counting.answered(tasks.c.id).label("done")
    taken = counting.taken(tasks.c.id).label("taken")
    found = connection.execute(
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
    return [row for row in found if row.done >= at_least and row.taken == row.done]

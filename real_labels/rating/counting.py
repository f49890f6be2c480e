"""What counts: the raters who have answered a task, the newest answers, and which tasks are open.

The parts of statements here leave `:rater` and `:now` (seconds since 1970) open, which are given when a
statement is executed. So statements are built once: building them takes longer than the database takes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from real_labels.rating.schema import DONE, LENT, WORK, answers, assignments, raters, tasks

RATER, NOW = bindparam("rater"), bindparam("now")
_COUNTS = and_(assignments.c.state == DONE, ~raters.c.is_excluded)


def number(
    connection: Connection, statement: Select[Any], given: Mapping[str, Any] | None = None
) -> int:
    """The number that a counting statement gives; 0 for a sum of no rows."""
    return int(connection.scalar(statement, given) or 0)


def _number(task: Any, condition: ColumnElement[bool]) -> ScalarSelect:
    return (
        select(func.count())
        .select_from(assignments.join(raters, raters.c.id == assignments.c.rater))
        .where(assignments.c.task == task, condition)
        .scalar_subquery()
    )


def answered(task: Any) -> ScalarSelect:
    """Number of raters whose answers to a task (an id, or a column of ids) count."""
    return _number(task, _COUNTS)


def taken(task: Any) -> ScalarSelect:
    """Number of a task's places that are taken: by answers that count, and by leases that go on."""
    is_lent = and_(assignments.c.state == LENT, assignments.c.lease_ends > NOW)
    return _number(task, or_(_COUNTS, is_lent))


def has_had() -> ColumnElement[bool]:
    """Whether the rater has or had the task of `tasks`; a lease of the rater that ended is forgotten."""
    own = assignments.alias()
    goes_on = or_(own.c.state != LENT, own.c.lease_ends > NOW)
    return exists().where(own.c.task == tasks.c.id, own.c.rater == RATER, goes_on)


@functools.cache
def newest(*, of_assignment: bool = False) -> Select:
    """The newest revision of each answer, of `:assignment` or of all: rows of `answers`."""
    revisions = select(
        answers.c.assignment, answers.c.question, func.max(answers.c.revision).label("revision")
    ).group_by(answers.c.assignment, answers.c.question)
    if of_assignment:
        revisions = revisions.where(answers.c.assignment == bindparam("assignment"))
    last = revisions.subquery()
    return select(answers).join(
        last,
        and_(
            last.c.assignment == answers.c.assignment,
            last.c.question == answers.c.question,
            last.c.revision == answers.c.revision,
        ),
    )


def last_answer(connection: Connection) -> int:
    """The id of the last answer that was given; 0 of none."""
    return connection.scalar(select(func.max(answers.c.id))) or 0


def open_and_close(connection: Connection, task: int | None = None) -> None:
    """Notes which work tasks are open, one or all: those that fewer raters have answered than are wanted."""
    connection.execute(_opening(of_task=task is not None), {} if task is None else {"one": task})


@functools.cache
def _opening(*, of_task: bool) -> Update:
    chosen = update(tasks).where(tasks.c.kind == WORK)
    if of_task:
        chosen = chosen.where(tasks.c.id == bindparam("one"))
    return chosen.values(is_open=tasks.c.wanted > answered(tasks.c.id))

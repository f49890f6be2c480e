"""Counting rules: the raters who have answered a task, taken places, newest answers, and open tasks.

The statements here have parameters, such as `:rater` and `:now` (seconds since 1970), whose values are given
on execution. So each statement is built once: building it takes longer than the database takes to run it.
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
    connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None
) -> int:
    """Returns the single whole number that a statement selects; 0 if it selects NULL or no row."""
    return int(connection.scalar(statement, values) or 0)


def _count_raters(task: Any, condition: ColumnElement[bool]) -> ScalarSelect:
    return (
        select(func.count())
        .select_from(assignments.join(raters, raters.c.id == assignments.c.rater))
        .where(assignments.c.task == task, condition)
        .scalar_subquery()
    )


def answered(task: Any) -> ScalarSelect:
    """Number of raters whose answers to a task count. `task` is an id, or a column of ids."""
    return _count_raters(task, _COUNTS)


def taken(task: Any) -> ScalarSelect:
    """Number of taken places of a task: by answers that count, and by running leases."""
    is_lent = and_(assignments.c.state == LENT, assignments.c.lease_ends > NOW)
    return _count_raters(task, or_(_COUNTS, is_lent))


def has_had() -> ColumnElement[bool]:
    """Whether `:rater` holds, answered or skipped the task of `tasks`; an ended lease does not count."""
    own = assignments.alias()
    is_valid = or_(own.c.state != LENT, own.c.lease_ends > NOW)
    return exists().where(own.c.task == tasks.c.id, own.c.rater == RATER, is_valid)


@functools.cache
def newest(*, of_assignment: bool = False) -> Select:
    """Selects the newest revision of each answer (rows of `answers`), of `:assignment` or of all."""
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
    """Returns the id of the last answer; 0 if there is none."""
    return connection.scalar(select(func.max(answers.c.id))) or 0


def open_and_close(connection: Connection, task: int | None = None) -> None:
    """Updates `is_open` of one or all work tasks: open means that fewer raters than wanted have answered."""
    connection.execute(_opening(of_task=task is not None), {} if task is None else {"task": task})


@functools.cache
def _opening(*, of_task: bool) -> Update:
    chosen = update(tasks).where(tasks.c.kind == WORK)
    if of_task:
        chosen = chosen.where(tasks.c.id == bindparam("task"))
    return chosen.values(is_open=tasks.c.wanted > answered(tasks.c.id))

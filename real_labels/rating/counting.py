"""What counts: the raters who have answered a task, the newest answers, and which tasks are open."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    update,
)

from real_labels.rating.schema import DONE, LENT, WORK, answers, assignments, raters, tasks

_COUNTS = and_(assignments.c.state == DONE, ~raters.c.is_excluded)


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


def taken(task: Any, now: float) -> ScalarSelect:
    """Number of a task's places that are taken: by answers that count, and by leases that go on."""
    is_lent = and_(assignments.c.state == LENT, assignments.c.lease_ends > now)
    return _number(task, or_(_COUNTS, is_lent))


def has_had(rater: int, now: float) -> ColumnElement[bool]:
    """Whether a rater has or had the task of `tasks`; a lease of the rater's own that ended is forgotten."""
    own = assignments.alias()
    goes_on = or_(own.c.state != LENT, own.c.lease_ends > now)
    return exists().where(own.c.task == tasks.c.id, own.c.rater == rater, goes_on)


def newest(assignment: int | None = None) -> Select:
    """The newest revision of each answer, of one assignment or of all: rows of `answers`."""
    revisions = select(
        answers.c.assignment, answers.c.question, func.max(answers.c.revision).label("revision")
    ).group_by(answers.c.assignment, answers.c.question)
    if assignment is not None:
        revisions = revisions.where(answers.c.assignment == assignment)
    last = revisions.subquery()
    return select(answers).join(
        last,
        and_(
            last.c.assignment == answers.c.assignment,
            last.c.question == answers.c.question,
            last.c.revision == answers.c.revision,
        ),
    )


def open_and_close(connection: Connection, task: int | None = None) -> None:
    """Notes which work tasks are open, one or all: those that fewer raters have answered than are wanted."""
    chosen = update(tasks).where(tasks.c.kind == WORK)
    if task is not None:
        chosen = chosen.where(tasks.c.id == task)
    connection.execute(chosen.values(is_open=tasks.c.wanted > answered(tasks.c.id)))

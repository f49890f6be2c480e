"""The queue: raters borrow, answer, skip and revise tasks, each in one transaction.

The free places of a task follow from the rows alone: the number of raters that the task wants, minus the
raters who have answered it and are not excluded, minus the leases that have not ended. So an abandoned task
becomes free when its lease ends.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from real_labels.errors import InputError
from real_labels.rating import counting
from real_labels.rating.database import Database, Settings
from real_labels.rating.schema import (
    DONE,
    GOLD,
    LATE,
    LENT,
    SKIPPED,
    WARM_UP,
    WORK,
    answers,
    assignments,
    classes,
    images,
    questions,
    raters,
    requests,
    tasks,
)

_TRIES = 20  # attempts to take a task before another rater does (PostgreSQL)


class Refused(InputError):
    """A request that the queue refuses; the message is for the rater."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A label of a lent task.

    Attributes:
      id: id of the question.
      label: index of the class.
      name, description: texts of the class.
      is_asked: whether the rater is asked about the label; False: it is shown for contrast.
      truth: whether the label is present, as feedback on an answered warm-up task; else None.
      answer: position of the rater's own answer in the categories; None if there is none yet.
    """

    id: int
    label: int
    name: str
    description: str
    is_asked: bool
    truth: bool | None = None
    answer: int | None = None


@dataclasses.dataclass(frozen=True)
class LentTask:
    """A task that a rater holds or has answered.

    Attributes:
      assignment: id of the assignment.
      image: id of the image.
      kind: WARM_UP, or WORK for work and for hidden gold.
      lease_ends: end of the lease, seconds since 1970.
      questions: the labels of the task.
    """

    assignment: int
    image: int
    kind: str
    lease_ends: float
    questions: tuple[Question, ...]


class Queue:
    """The queue of a database.

    Attributes:
      database: the database.
      settings: the project's settings.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time):
        """Opens the queue.

        Args:
          database: the database.
          clock: returns the time, in seconds since 1970.
        """
        self.database, self._now = database, clock
        with database.reading() as connection:
            self.settings: Settings = database.settings(connection)

    def lend(self, rater: int, number: int = 1) -> list[LentTask]:
        """Returns the tasks that a rater holds, with new tasks up to `number`; fewer if there are no more.

        Raises:
          Refused: if the rater is paused or excluded.
        """
        for _ in range(_TRIES):
            with self.database.writing() as connection:
                self._check_active(connection, rater)
                held = self._held(connection, rater)
                while len(held) < number and not self._is_warming_up(connection, held):
                    task = self._next_task(connection, rater)
                    if task is None or not self._has_place(connection, task):
                        break
                    held.append(self._take(connection, task, rater))
                if held or task is None:
                    return [self._lent(connection, assignment) for assignment in held]
        return []

    def answer(
        self, rater: int, assignment: int, given: Mapping[int, int], key: str, seconds: float = 0
    ) -> LentTask:
        """Saves a rater's answers to a task, or revises the rater's earlier answers to it.

        Args:
          rater: id of the rater.
          assignment: id of the assignment: a task that the rater holds, has skipped or has answered.
          given: answer to each asked question, as the position in the categories, by id of the question.
          key: key of the request; a request that is sent twice counts once.
          seconds: time that the rater spent on the task.

        Returns:
          The task with the answers, and for warm-up tasks with the truth.

        Raises:
          Refused: if the rater is paused or excluded, the task is not assigned to the rater or is an answered
            warm-up task, or the answers do not fit its questions.
        """
        with self.database.writing() as connection:
            self._check_active(connection, rater)
            row = self._own(connection, rater, assignment)
            sent = select(requests).where(
                requests.c.assignment == assignment, requests.c.key == key
            )
            if connection.execute(sent).first() is not None:
                return self._lent(connection, assignment, with_truth=True)
            if row.kind == WARM_UP and row.state not in (LENT, SKIPPED):
                raise Refused(
                    "Warm-up answers cannot be changed once the experts' answers are shown."
                )
            self._check_answers(connection, row.task, given)
            self._lock(connection, row.task)
            now = self._now()
            if row.state in (LENT, SKIPPED):
                is_over = row.state == SKIPPED or row.lease_ends <= now
                is_late = is_over and not self._has_place(connection, row.task)
                connection.execute(
                    update(assignments)
                    .where(assignments.c.id == assignment)
                    .values(
                        state=LATE if is_late else DONE,
                        done=now,
                        seconds=max(0.0, seconds),
                        reason=None,
                    )
                )
            newest = select(func.max(answers.c.revision)).where(answers.c.assignment == assignment)
            revision = counting.number(connection, newest)
            connection.execute(
                insert(answers),
                [
                    {
                        "assignment": assignment,
                        "question": question,
                        "revision": revision + 1,
                        "category": category,
                        "given": now,
                    }
                    for question, category in sorted(given.items())
                ],
            )
            connection.execute(insert(requests).values(key=key, assignment=assignment))
            counting.open_and_close(connection, row.task)
            return self._lent(connection, assignment, with_truth=True)

    def skip(self, rater: int, assignment: int, reason: str) -> None:
        """Gives a task back, with a reason, so that another rater gets it.

        Raises:
          Refused: if the rater does not hold the task, or the reason is empty.
        """
        if not reason.strip():
            raise Refused("Give a reason for skipping the task; one word is enough.")
        with self.database.writing() as connection:
            row = self._own(connection, rater, assignment)
            if row.state == SKIPPED:  # sent twice
                return
            if row.state != LENT:
                raise Refused("You have answered this task already, so you cannot skip it.")
            connection.execute(
                update(assignments)
                .where(assignments.c.id == assignment)
                .values(state=SKIPPED, reason=reason.strip()[:500], done=self._now())
            )

    def last(self, rater: int, number: int = 20) -> list[LentTask]:
        """Returns the tasks that a rater answered last, newest first, to revise; no warm-up tasks."""
        with self.database.reading() as connection:
            rows = connection.scalars(
                select(assignments.c.id)
                .join(tasks, tasks.c.id == assignments.c.task)
                .where(
                    assignments.c.rater == rater,
                    assignments.c.state.in_((DONE, LATE)),
                    tasks.c.kind != WARM_UP,
                )
                .order_by(assignments.c.done.desc(), assignments.c.id.desc())
                .limit(number)
            ).all()
            return [self._lent(connection, row, with_truth=True) for row in rows]

    def _check_active(self, connection: Connection, rater: int) -> None:
        row = connection.execute(select(raters).where(raters.c.id == rater)).one()
        if row.is_paused or row.is_excluded:
            raise Refused("You are paused and get no tasks. Ask the person who invited you.")

    def _held(self, connection: Connection, rater: int) -> list[int]:
        """Returns the rater's assignments with a running lease, and renews these leases."""
        now = self._now()
        held = connection.scalars(
            select(assignments.c.id)
            .where(
                assignments.c.rater == rater,
                assignments.c.state == LENT,
                assignments.c.lease_ends > now,
            )
            .order_by(assignments.c.lent, assignments.c.id)
        ).all()
        if held:
            connection.execute(
                update(assignments)
                .where(assignments.c.id.in_(held))
                .values(lease_ends=now + self.settings.lease)
            )
        return list(held)

    def _is_warming_up(self, connection: Connection, held: Sequence[int]) -> bool:
        """Whether one of the assignments is a warm-up task: its feedback must come before the next task."""
        kinds = select(tasks.c.kind).join(assignments, assignments.c.task == tasks.c.id)
        return WARM_UP in connection.scalars(kinds.where(assignments.c.id.in_(held))).all()

    def _next_task(self, connection: Connection, rater: int) -> int | None:
        """Returns the next warm-up, gold or work task for a rater; None if there is no more."""
        by_kind = (
            select(tasks.c.kind, func.count())
            .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
            .where(assignments.c.rater == rater, assignments.c.state != SKIPPED)
            .group_by(tasks.c.kind)
        )
        done = dict(connection.execute(by_kind).all())  # number of the rater's tasks, by kind
        if done.get(WARM_UP, 0) < self.settings.warm_up:
            task = self._unseen(connection, rater, WARM_UP)
            if task is not None:
                return task
        share, gold = self.settings.gold_share, done.get(GOLD, 0)
        if gold < share * (gold + done.get(WORK, 0) + 1) - 0.5:
            task = self._unseen(connection, rater, GOLD)
            if task is not None:
                return task
        return self._open_work(connection, rater)

    def _unseen(self, connection: Connection, rater: int, kind: str) -> int | None:
        """Returns a gold or warm-up task that the rater has not had; the order depends on the rater."""
        values = {"kind": kind, "rater": rater, "now": self._now()}
        return connection.scalar(_unseen(), values)

    def _open_work(self, connection: Connection, rater: int) -> int | None:
        """Returns the next work task with a free place. PostgreSQL locks the task, and skips locked tasks."""
        statement = _open_work(locks=not self.database.is_sqlite)
        return connection.scalar(statement, {"rater": rater, "now": self._now()})

    def _has_place(self, connection: Connection, task: int) -> bool:
        """Whether a locked task has a free place. Gold and warm-up tasks always have."""
        return bool(connection.scalar(_has_place(), {"task": task, "now": self._now()}))

    def _lock(self, connection: Connection, task: int) -> None:
        """Locks a task until the transaction ends, so that no other rater takes or answers it.

        SQLite has only one writer, so it needs no lock. On PostgreSQL the statement that locks still sees the
        rows as they were before it waited, so places must be counted in a later statement.
        """
        if not self.database.is_sqlite:
            connection.execute(select(tasks.c.id).where(tasks.c.id == task).with_for_update())

    def _take(self, connection: Connection, task: int, rater: int) -> int:
        """Lends a task and returns the assignment. A lease of the same rater that had ended begins anew."""
        now = self._now()
        lease = {"state": LENT, "lent": now, "lease_ends": now + self.settings.lease}
        own = and_(assignments.c.task == task, assignments.c.rater == rater)
        if not connection.execute(update(assignments).where(own).values(**lease)).rowcount:
            connection.execute(insert(assignments).values(task=task, rater=rater, **lease))
        return counting.number(connection, select(assignments.c.id).where(own))

    def _own(self, connection: Connection, rater: int, assignment: int) -> Row:
        """Returns a rater's assignment and the kind of its task, locked, so that a repeated request waits."""
        statement = (
            select(assignments, tasks.c.kind)
            .join(tasks, tasks.c.id == assignments.c.task)
            .where(assignments.c.id == assignment, assignments.c.rater == rater)
        )
        if not self.database.is_sqlite:
            statement = statement.with_for_update(of=assignments)
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise Refused("This task is not assigned to you. Load the page again.")
        return row

    def _check_answers(self, connection: Connection, task: int, given: Mapping[int, int]) -> None:
        of_task = select(questions.c.id, questions.c.is_asked).where(questions.c.task == task)
        known = dict(connection.execute(of_task).all())
        asked = {question for question, is_asked in known.items() if is_asked}
        if not given or not given.keys() <= known.keys():
            raise Refused(
                "The answers do not belong to this task's questions. Load the page again."
            )
        if missing := asked - given.keys():
            raise Refused(
                f"{len(missing)} of {len(asked)} labels have no answer yet. If the page does not show these "
                f"labels, the task has changed: load the page again."
            )
        if not all(0 <= category < len(self.settings.categories) for category in given.values()):
            raise Refused(f"Every answer must be one of {', '.join(self.settings.categories)}.")

    def _lent(self, connection: Connection, assignment: int, with_truth: bool = False) -> LentTask:
        row = connection.execute(_assignment(), {"assignment": assignment}).one()
        newest = counting.newest(of_assignment=True)
        given = connection.execute(newest, {"assignment": assignment}).all()
        own = {answer.question: answer.category for answer in given}
        shows_truth = with_truth and row.kind == WARM_UP
        labels = tuple(
            Question(
                question.id,
                question.label,
                question.name,
                question.description,
                question.is_asked or question.id in own,
                question.truth if shows_truth else None,
                own.get(question.id),
            )
            for question in connection.execute(_questions(), {"task": row.task})
        )
        kind = WARM_UP if row.kind == WARM_UP else WORK
        return LentTask(assignment, row.image, kind, row.lease_ends, labels)


# Statements, each built once (see counting).


@functools.cache
def _unseen() -> Select:
    return (
        select(tasks.c.id)
        .where(tasks.c.kind == bindparam("kind"), ~counting.has_had())
        .order_by(
            (cast(tasks.c.place, BigInteger) * 7919 * (2 * counting.RATER + 1)) % 1_000_003,
            tasks.c.id,
        )
        .limit(1)
    )


@functools.cache
def _open_work(*, locks: bool) -> Select:
    statement = (
        select(tasks.c.id)
        .where(
            tasks.c.kind == WORK,
            tasks.c.is_open,
            tasks.c.wanted > counting.taken(tasks.c.id),
            ~counting.has_had(),
        )
        .order_by(tasks.c.place)
        .limit(1)
    )
    return statement.with_for_update(skip_locked=True, of=tasks) if locks else statement


@functools.cache
def _has_place() -> Select:
    has_place = or_(tasks.c.kind != WORK, tasks.c.wanted > counting.taken(tasks.c.id))
    return select(has_place).where(tasks.c.id == bindparam("task"))


@functools.cache
def _assignment() -> Select:
    return (
        select(assignments, tasks.c.image, tasks.c.kind)
        .join(tasks, tasks.c.id == assignments.c.task)
        .where(assignments.c.id == bindparam("assignment"))
    )


@functools.cache
def _questions() -> Select:
    return (
        select(questions, classes.c.name, classes.c.description)
        .join(classes, classes.c.id == questions.c.label)
        .where(questions.c.task == bindparam("task"))
        .order_by(questions.c.id)
    )


def image_path(connection: Connection, image: int) -> str | None:
    """Returns the path of an image's file; None if the image is unknown or has no file."""
    return connection.scalar(select(images.c.path).where(images.c.id == image))

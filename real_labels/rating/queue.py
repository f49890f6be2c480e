"""The queue: tasks are lent to raters, answered, skipped and revised, each in one transaction.

What a task still needs follows from the rows alone: of the raters that it wants, those count who have
answered (and are not excluded) and those whose lease has not ended. So abandoned work returns by itself.
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

_TRIES = 20  # for a task that nobody else takes at the same moment (PostgreSQL)


class Refused(InputError):
    """A request that cannot be carried out; the message is for the rater."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A label of a lent task.

    Attributes:
      id: of the question.
      label: the class.
      name, description: of the class.
      is_asked: whether it is asked about; else it is shown for contrast.
      truth: of warm-up tasks that were answered, for feedback; else None.
      answer: position of the rater's own answer in the categories, or None.
    """

    id: int
    label: int
    name: str
    description: str
    is_asked: bool
    truth: bool | None = None
    answer: int | None = None


@dataclasses.dataclass(frozen=True)
class Lent:
    """A task in a rater's hands.

    Attributes:
      assignment: its id.
      image: id of the image.
      kind: WARM_UP, or WORK for work and hidden gold alike.
      lease_ends: seconds since 1970.
      questions: the labels.
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
      settings: the project's.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time):
        """Opens the queue.

        Args:
          database: the database.
          clock: seconds since 1970.
        """
        self.database, self._now = database, clock
        with database.reading() as connection:
            self.settings: Settings = database.settings(connection)

    def lend(self, rater: int, number: int = 1) -> list[Lent]:
        """The tasks in a rater's hands, filled up to `number` with new ones; fewer if there are no more.

        Raises:
          Refused: if the rater is paused.
        """
        for _ in range(_TRIES):
            with self.database.writing() as connection:
                self._check_active(connection, rater)
                mine = self._in_hands(connection, rater)
                while len(mine) < number and not self._is_warming_up(connection, mine):
                    task = self._next_task(connection, rater)
                    if task is None or not self._has_place(connection, task):
                        break
                    mine.append(self._take(connection, task, rater))
                if mine or task is None:
                    return [self._lent(connection, assignment) for assignment in mine]
        return []

    def answer(
        self, rater: int, assignment: int, given: Mapping[int, int], key: str, seconds: float = 0
    ) -> Lent:
        """Saves a rater's answers to a task in hands, or revises the rater's earlier ones.

        Args:
          rater: who answers.
          assignment: the task in hands, or answered before.
          given: position in the categories of each asked question's answer, by question.
          key: of the request: one sent twice counts once.
          seconds: that the rater looked at the task.

        Returns:
          The task with the answers, and of warm-up tasks the truth.

        Raises:
          Refused: if the task is not this rater's, or the answers are not to its questions.
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
                raise Refused("Warm-up answers cannot be changed after the right ones were shown.")
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
        """Gives a task back, with the reason; another rater gets it.

        Raises:
          Refused: if the task is not in this rater's hands, or there is no reason.
        """
        if not reason.strip():
            raise Refused("Say why you skip the task; a word will do.")
        with self.database.writing() as connection:
            row = self._own(connection, rater, assignment)
            if row.state == SKIPPED:  # sent twice
                return
            if row.state != LENT:
                raise Refused("This task is answered; it cannot be skipped any more.")
            connection.execute(
                update(assignments)
                .where(assignments.c.id == assignment)
                .values(state=SKIPPED, reason=reason.strip()[:500], done=self._now())
            )

    def last(self, rater: int, number: int = 20) -> list[Lent]:
        """The tasks that a rater answered last, the newest first; warm-up tasks cannot be changed."""
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
            raise Refused("You are paused. Ask whoever invited you.")

    def _in_hands(self, connection: Connection, rater: int) -> list[int]:
        """The assignments whose lease goes on, which is thereby renewed."""
        now = self._now()
        mine = connection.scalars(
            select(assignments.c.id)
            .where(
                assignments.c.rater == rater,
                assignments.c.state == LENT,
                assignments.c.lease_ends > now,
            )
            .order_by(assignments.c.lent, assignments.c.id)
        ).all()
        if mine:
            connection.execute(
                update(assignments)
                .where(assignments.c.id.in_(mine))
                .values(lease_ends=now + self.settings.lease)
            )
        return list(mine)

    def _is_warming_up(self, connection: Connection, mine: Sequence[int]) -> bool:
        """Whether a warm-up task is in hands: its feedback comes before the next task."""
        kinds = select(tasks.c.kind).join(assignments, assignments.c.task == tasks.c.id)
        return WARM_UP in connection.scalars(kinds.where(assignments.c.id.in_(mine))).all()

    def _next_task(self, connection: Connection, rater: int) -> int | None:
        """The next warm-up, gold or work task of a rater; None if nothing is left."""
        by_kind = (
            select(tasks.c.kind, func.count())
            .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
            .where(assignments.c.rater == rater, assignments.c.state != SKIPPED)
            .group_by(tasks.c.kind)
        )
        done = dict(connection.execute(by_kind).all())
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
        """A gold or warm-up task that the rater has not seen, in an order of each rater's own."""
        given = {"kind": kind, "rater": rater, "now": self._now()}
        return connection.scalar(_unseen(), given)

    def _open_work(self, connection: Connection, rater: int) -> int | None:
        """The next work task with a place for a rater. PostgreSQL locks it, and passes over locked ones."""
        asked = _open_work(locks=not self.database.is_sqlite)
        return connection.scalar(asked, {"rater": rater, "now": self._now()})

    def _has_place(self, connection: Connection, task: int) -> bool:
        """Whether a locked task takes another rater. Gold and warm-up tasks take everybody."""
        return bool(connection.scalar(_has_place(), {"one": task, "now": self._now()}))

    def _lock(self, connection: Connection, task: int) -> None:
        """Lets nobody else take or answer a task until the transaction ends. SQLite has one writer anyway.

        PostgreSQL counts in a snapshot from before the lock, so a count must be a query of its own behind it.
        """
        if not self.database.is_sqlite:
            connection.execute(select(tasks.c.id).where(tasks.c.id == task).with_for_update())

    def _take(self, connection: Connection, task: int, rater: int) -> int:
        """Lends a task, and returns the assignment; a lease of the rater's own that ended begins anew."""
        now = self._now()
        lease = {"state": LENT, "lent": now, "lease_ends": now + self.settings.lease}
        own = and_(assignments.c.task == task, assignments.c.rater == rater)
        if not connection.execute(update(assignments).where(own).values(**lease)).rowcount:
            connection.execute(insert(assignments).values(task=task, rater=rater, **lease))
        return counting.number(connection, select(assignments.c.id).where(own))

    def _own(self, connection: Connection, rater: int, assignment: int) -> Row:
        """A rater's assignment and the kind of its task; a request sent twice at once waits for the first."""
        asked = (
            select(assignments, tasks.c.kind)
            .join(tasks, tasks.c.id == assignments.c.task)
            .where(assignments.c.id == assignment, assignments.c.rater == rater)
        )
        if not self.database.is_sqlite:
            asked = asked.with_for_update(of=assignments)
        row = connection.execute(asked).one_or_none()
        if row is None:
            raise Refused("This task is not yours.")
        return row

    def _check_answers(self, connection: Connection, task: int, given: Mapping[int, int]) -> None:
        of_task = select(questions.c.id, questions.c.is_asked).where(questions.c.task == task)
        known = dict(connection.execute(of_task).all())
        asked = {question for question, is_asked in known.items() if is_asked}
        if not given or not given.keys() <= known.keys():
            raise Refused("The answers are not to this task's questions.")
        if missing := asked - given.keys():
            raise Refused(
                f"{len(missing)} of {len(asked)} labels have no answer yet. If the page shows none of them, "
                f"the task has changed: load the page again."
            )
        if not all(0 <= category < len(self.settings.categories) for category in given.values()):
            raise Refused(f"An answer is none of {', '.join(self.settings.categories)}.")

    def _lent(self, connection: Connection, assignment: int, with_truth: bool = False) -> Lent:
        row = connection.execute(_assignment(), {"one": assignment}).one()
        newest = counting.newest(of_assignment=True)
        given = connection.execute(newest, {"assignment": assignment}).all()
        own = {answer.question: answer.category for answer in given}
        shows_truth = with_truth and row.kind == WARM_UP
        labels = tuple(
            Question(
                one.id,
                one.label,
                one.name,
                one.description,
                one.is_asked or one.id in own,
                one.truth if shows_truth else None,
                own.get(one.id),
            )
            for one in connection.execute(_questions(), {"one": row.task})
        )
        kind = WARM_UP if row.kind == WARM_UP else WORK
        return Lent(assignment, row.image, kind, row.lease_ends, labels)


# Statements, built once (see counting).


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
    asked = (
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
    return asked.with_for_update(skip_locked=True, of=tasks) if locks else asked


@functools.cache
def _has_place() -> Select:
    has_place = or_(tasks.c.kind != WORK, tasks.c.wanted > counting.taken(tasks.c.id))
    return select(has_place).where(tasks.c.id == bindparam("one"))


@functools.cache
def _assignment() -> Select:
    return (
        select(assignments, tasks.c.image, tasks.c.kind)
        .join(tasks, tasks.c.id == assignments.c.task)
        .where(assignments.c.id == bindparam("one"))
    )


@functools.cache
def _questions() -> Select:
    return (
        select(questions, classes.c.name, classes.c.description)
        .join(classes, classes.c.id == questions.c.label)
        .where(questions.c.task == bindparam("one"))
        .order_by(questions.c.id)
    )


def image_path(connection: Connection, image: int) -> str | None:
    """Where the picture of an image is; None if there is no such image, or no picture."""
    return connection.scalar(select(images.c.path).where(images.c.id == image))

"""Progress of the work, for the administrator and for each rater."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, exists, func, select

from real_labels.answers import Answers, Gold
from real_labels.rating import adaptive, counting, current, results
from real_labels.rating.database import Database, Settings
from real_labels.rating.schema import (
    DONE,
    GOLD,
    LATE,
    LENT,
    SKIPPED,
    WORK,
    assignments,
    images,
    questions,
    raters,
    tasks,
)


@dataclasses.dataclass(frozen=True)
class RaterStatus:
    """The work of one rater so far.

    Attributes:
      pseudonym, note, is_paused, is_excluded: columns of the table `raters`.
      done, skipped, late: numbers of tasks in these states.
      seconds: median time for a task; None if no time is recorded.
      last: time of the last answer, seconds since 1970; None if there is none.
    """

    pseudonym: str
    note: str | None
    is_paused: bool
    is_excluded: bool
    done: int
    skipped: int
    late: int
    seconds: float | None
    last: float | None


@dataclasses.dataclass(frozen=True)
class Status:
    """Progress of a project.

    Attributes:
      title: title of the project.
      tasks, open_tasks: numbers of all work tasks, and of those that are not done.
      lent: number of tasks that raters hold, gold included.
      answers, wanted: numbers of answers that count, and of answers that the tasks want so far.
      per_hour: number of answers in the last hour.
      raters: the work of each rater.
    """

    title: str
    tasks: int
    open_tasks: int
    lent: int
    answers: int
    wanted: int
    per_hour: int
    raters: tuple[RaterStatus, ...]


def status(
    connection: Connection, settings: Settings, now: float, answers: Sequence[Row] | None = None
) -> Status:
    """Computes the progress of a project from the rows.

    Args:
      connection: connection to the database.
      settings: settings of the project.
      now: time, in seconds since 1970.
      answers: the answers to work (see results.rows), if they are read already; None: they are read here.
    """
    answers = results.rows(connection, work=True) if answers is None else answers
    of_work = select(func.count()).select_from(tasks).where(tasks.c.kind == WORK)
    total = counting.number(connection, of_work)
    still_open = counting.number(connection, of_work.where(tasks.c.is_open))
    lent = counting.number(
        connection,
        select(func.count())
        .select_from(assignments)
        .where(assignments.c.state == LENT, assignments.c.lease_ends > now),
    )
    wanted = len(answers) + _missing(connection)
    by_rater: dict[int, list[Any]] = {}
    for row in connection.execute(select(assignments)):
        by_rater.setdefault(row.rater, []).append(row)
    rater_statuses = []
    for rater in connection.execute(select(raters).where(~raters.c.is_admin).order_by(raters.c.id)):
        own = by_rater.get(rater.id, [])
        seconds = [r.seconds for r in own if r.state == DONE and r.seconds]
        done = [r.done for r in own if r.state in (DONE, LATE)]
        rater_statuses.append(
            RaterStatus(
                rater.pseudonym,
                rater.note,
                rater.is_paused,
                rater.is_excluded,
                sum(r.state == DONE for r in own),
                sum(r.state == SKIPPED for r in own),
                sum(r.state == LATE for r in own),
                statistics.median(seconds) if seconds else None,
                max(done, default=None),
            )
        )
    recent = sum(r.given > now - 3600 for r in answers)
    return Status(
        settings.title,
        total,
        still_open,
        lent,
        len(answers),
        wanted,
        recent,
        tuple(rater_statuses),
    )


def _missing(connection: Connection) -> int:
    """Number of answers that open tasks still want: missing raters times asked questions, over all tasks."""
    asked = (
        select(func.count())
        .where(questions.c.task == tasks.c.id, questions.c.is_asked)
        .scalar_subquery()
    )
    missing = (tasks.c.wanted - counting.answered(tasks.c.id)) * asked
    of_open = select(func.sum(missing)).where(tasks.c.kind == WORK, tasks.c.is_open)
    return counting.number(connection, of_open)


def progress(database: Database, connection: Connection, rater: int, now: float) -> dict[str, Any]:
    """Returns a rater's progress, as a JSON object.

    done: number of tasks that the rater has answered. left: number of tasks that the rater may still get.
    minutes: estimated time for them; None if unknown. wait: seconds until another rater's lease ends on a
    task that this rater could take; None if there is no such lease. may_ask_again: whether unsure questions
    may yet be asked again.
    """
    done, seconds, left, ends = _progress_statements()
    values = {"rater": rater, "now": now}
    lease_end = connection.scalar(ends, values)
    work = counting.number(connection, left, values)
    number = dict(connection.execute(done, values).all())
    settings = database.settings(connection)
    to_come = work + _gold_to_come(connection, settings.gold_share, work, number)
    recent = connection.scalars(seconds, values).all()
    per_task = statistics.median(recent) if recent else None
    return {
        "done": sum(number.values()),
        "left": to_come,
        "minutes": None if per_task is None else round(to_come * per_task / 60, 1),
        "wait": None if lease_end is None else round(lease_end - now),
        "may_ask_again": adaptive.may_ask_again(database, connection, settings),
    }


@functools.cache
def _progress_statements() -> tuple[Select, Select, Select, Select]:
    """Statements of `progress`: tasks done by kind, seconds of the last 50, tasks left, next lease end."""
    own = (assignments.c.rater == counting.RATER, assignments.c.state.in_((DONE, LATE)))
    done = (
        select(tasks.c.kind, func.count())
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
        .where(*own)
        .group_by(tasks.c.kind)
    )
    seconds = select(assignments.c.seconds).where(*own, assignments.c.seconds > 0)
    had = assignments.alias()
    has_had = exists().where(
        had.c.task == tasks.c.id, had.c.rater == counting.RATER, had.c.state != LENT
    )
    left = (
        select(func.count())
        .select_from(tasks)
        .where(tasks.c.kind == WORK, tasks.c.is_open, ~has_had)
    )
    ends = (
        select(func.min(assignments.c.lease_ends))
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
        .where(
            assignments.c.state == LENT,
            assignments.c.lease_ends > counting.NOW,
            assignments.c.rater != counting.RATER,
            tasks.c.kind == WORK,
            tasks.c.is_open,
            ~has_had,
        )
    )
    return done, seconds.order_by(assignments.c.done.desc()).limit(50), left, ends


def _gold_to_come(
    connection: Connection, share: float, work: int, number: Mapping[str, int]
) -> int:
    """Number of hidden gold tasks that a rater still gets. A count without them would reveal the gold."""
    if not work or not share:
        return 0
    of_gold = select(func.count()).select_from(tasks).where(tasks.c.kind == GOLD)
    planned = round(share / (1 - share) * (work + number.get(WORK, 0)))
    return max(0, min(planned, counting.number(connection, of_gold)) - number.get(GOLD, 0))


def needs_raters(connection: Connection) -> int:
    """Number of open tasks that no rater can take: all active raters have answered or skipped them."""
    had = assignments.alias()
    has_rater = exists().where(
        ~raters.c.is_admin,
        ~raters.c.is_paused,
        ~raters.c.is_excluded,
        ~exists().where(
            had.c.task == tasks.c.id, had.c.rater == raters.c.id, had.c.state != LENT
        ).correlate(tasks, raters),
    ).correlate(tasks)  # fmt: skip
    of_open = (
        select(func.count())
        .select_from(tasks)
        .where(tasks.c.kind == WORK, tasks.c.is_open, ~has_rater)
    )
    return counting.number(connection, of_open)


def skipped(connection: Connection) -> list[dict[str, Any]]:
    """Returns up to 30 tasks that were skipped last, with image (its id), file_name, rater and reason."""
    rows = connection.execute(
        select(images.c.id, images.c.file_name, raters.c.pseudonym, assignments.c.reason)
        .select_from(assignments)
        .join(tasks, tasks.c.id == assignments.c.task)
        .join(images, images.c.id == tasks.c.image)
        .join(raters, raters.c.id == assignments.c.rater)
        .where(assignments.c.state == SKIPPED)
        .order_by(assignments.c.done.desc())
        .limit(30)
    )
    return [
        {"image": r.id, "file_name": r.file_name, "rater": r.pseudonym, "reason": r.reason}
        for r in rows
    ]


def overview(database: Database, now: float) -> dict[str, Any]:
    """Returns the figures of the administrator's page: status, agreement, reliability and labels so far.

    The labels are those of the command `aggregate` on the exported answers, the reliability that of `raters`.
    """
    from real_labels.aggregation.reliability import Reliability

    with database.reading() as connection:
        settings = database.settings(connection)
        until = settings.ask_until or 0.95
        collected = results.Collected.of(connection, settings)
        figures = dataclasses.asdict(status(connection, settings, now, collected.rows))
        figures |= {"needs_raters": needs_raters(connection), "last_skipped": skipped(connection)}
        names = current.Names.of(connection)
    aggregate = collected.aggregate()  # takes seconds, so it runs outside the transaction
    figures |= {"labels": None, "unsure": None, "unsure_questions": [], "last_images": []}
    figures["agreement"] = None if collected.work is None else agreement(collected.work)
    by_name: dict[str, dict[str, Any]] = {}
    if aggregate is not None:
        figures["labels"] = int((aggregate.scores.probability > 0.5).sum())
        figures["unsure"] = int((aggregate.sureness < until).sum())
        figures["unsure_questions"] = current.unsure_questions(names, collected, aggregate, until)
        figures["last_images"] = current.labels_of_last_images(names, collected, aggregate)
        columns = Reliability.of(aggregate).columns()
        for place, name in enumerate(columns["rater"].tolist()):
            by_name[name] = {"informedness": float(columns["informedness"][place])}
    if collected.on_gold is not None and collected.truth is not None:
        for name, right, number in gold_record(collected.on_gold, collected.truth):
            by_name.setdefault(name, {}).update(gold_right=right, gold=number)
    for rater in figures["raters"]:
        rater |= by_name.get(rater["pseudonym"], {})
    return figures


def agreement(answers: Answers) -> float | None:
    """Share of equal pairs among the pairs of answers to the same question; None if there are no pairs."""
    counts = np.zeros((len(answers.questions), len(answers.categories)), np.int64)
    np.add.at(counts, (answers.question, answers.answer), 1)
    total = counts.sum(axis=1)
    pairs = (total * (total - 1)).sum()
    return float((counts * (counts - 1)).sum() / pairs) if pairs else None


def gold_record(on_gold: Answers, truth: Gold) -> list[tuple[str, int, int]]:
    """Returns (rater, number right, number of answers) on gold. Only yes and no count, not maybe."""
    places = on_gold.questions.find(truth.questions)
    known = np.full(len(on_gold.questions), -1)
    known[places[places >= 0]] = truth.present[places >= 0]
    last = len(on_gold.categories) - 1
    counted = (known[on_gold.question] >= 0) & np.isin(on_gold.answer, (0, last))
    right = counted & ((on_gold.answer == last) == (known[on_gold.question] == 1))
    size = len(on_gold.raters)
    numbers = np.bincount(on_gold.rater[counted], minlength=size).tolist()
    hits = np.bincount(on_gold.rater[right], minlength=size).tolist()
    return list(zip(on_gold.raters.tolist(), hits, numbers, strict=True))

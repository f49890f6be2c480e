"""How far the work is: for the administrator, and for each rater."""

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
    """A rater's work so far.

    Attributes:
      pseudonym, note, is_paused, is_excluded: the rater.
      done, skipped, late: numbers of tasks.
      seconds: median time of a task; None of none.
      last: when the rater last answered; None if never.
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
    """How far the work is.

    Attributes:
      title: of the project.
      tasks, open_tasks, lent: numbers of work tasks in all, not done, and in somebody's hands.
      answers, wanted: answers that count, and that the tasks want in all so far.
      per_hour: answers in the last hour.
      raters: each rater's part.
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
    connection: Connection, settings: Settings, now: float, found: Sequence[Row] | None = None
) -> Status:
    """How far the work is, computed from the rows.

    Args:
      connection: to the database.
      settings: the project's.
      now: seconds since 1970.
      found: the answers to work (see results.rows), where they were read already.
    """
    found = results.rows(connection, work=True) if found is None else found
    of_work = select(func.count()).select_from(tasks).where(tasks.c.kind == WORK)
    total = counting.number(connection, of_work)
    still_open = counting.number(connection, of_work.where(tasks.c.is_open))
    lent = counting.number(
        connection,
        select(func.count())
        .select_from(assignments)
        .where(assignments.c.state == LENT, assignments.c.lease_ends > now),
    )
    wanted = len(found) + _missing(connection)
    by_rater: dict[int, list[Any]] = {}
    for row in connection.execute(select(assignments)):
        by_rater.setdefault(row.rater, []).append(row)
    people_rows = []
    for rater in connection.execute(select(raters).where(~raters.c.is_admin).order_by(raters.c.id)):
        own = by_rater.get(rater.id, [])
        seconds = [r.seconds for r in own if r.state == DONE and r.seconds]
        done = [r.done for r in own if r.state in (DONE, LATE)]
        people_rows.append(
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
    recent = sum(r.given > now - 3600 for r in found)
    return Status(
        settings.title, total, still_open, lent, len(found), wanted, recent, tuple(people_rows)
    )


def _missing(connection: Connection) -> int:
    """Answers that the open tasks still want: of each, the missing raters times its asked questions."""
    asked = (
        select(func.count())
        .where(questions.c.task == tasks.c.id, questions.c.is_asked)
        .scalar_subquery()
    )
    missing = (tasks.c.wanted - counting.answered(tasks.c.id)) * asked
    of_open = select(func.sum(missing)).where(tasks.c.kind == WORK, tasks.c.is_open)
    return counting.number(connection, of_open)


def progress(database: Database, connection: Connection, rater: int, now: float) -> dict[str, Any]:
    """A rater's progress, as an object.

    done: number of own tasks. left: number of tasks that may still come. minutes: time that these take, None
    if unknown. wait: seconds until a task in other hands may come back, None if there is none. may_ask_again:
    whether questions that are unsure may be asked again.
    """
    done, seconds, left, ends = _progress()
    given = {"rater": rater, "now": now}
    ends = connection.scalar(ends, given)
    work = counting.number(connection, left, given)
    number = dict(connection.execute(done, given).all())
    settings = database.settings(connection)
    left = work + _gold_to_come(connection, settings.gold_share, work, number)
    recent = connection.scalars(seconds, given).all()
    each = statistics.median(recent) if recent else None
    return {
        "done": sum(number.values()),
        "left": left,
        "minutes": None if each is None else round(left * each / 60, 1),
        "wait": None if ends is None else round(ends - now),
        "may_ask_again": adaptive.may_ask_again(database, connection, settings),
    }


@functools.cache
def _progress() -> tuple[Select, Select, Select, Select]:
    """Statements of `progress`: tasks done by kind, seconds of the last 50, tasks left, when a lease ends."""
    own = (assignments.c.rater == counting.RATER, assignments.c.state.in_((DONE, LATE)))
    done = (
        select(tasks.c.kind, func.count())
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
        .where(*own)
        .group_by(tasks.c.kind)
    )
    seconds = select(assignments.c.seconds).where(*own, assignments.c.seconds > 0)
    had = assignments.alias()
    mine = exists().where(
        had.c.task == tasks.c.id, had.c.rater == counting.RATER, had.c.state != LENT
    )
    left = (
        select(func.count()).select_from(tasks).where(tasks.c.kind == WORK, tasks.c.is_open, ~mine)
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
            ~mine,
        )
    )
    return done, seconds.order_by(assignments.c.done.desc()).limit(50), left, ends


def _gold_to_come(
    connection: Connection, share: float, work: int, number: Mapping[str, int]
) -> int:
    """Hidden gold that a rater still gets: without it, the progress would tell gold from work."""
    if not work or not share:
        return 0
    of_gold = select(func.count()).select_from(tasks).where(tasks.c.kind == GOLD)
    in_all = round(share / (1 - share) * (work + number.get(WORK, 0)))
    return max(0, min(in_all, counting.number(connection, of_gold)) - number.get(GOLD, 0))


def needs_raters(connection: Connection) -> int:
    """Number of open tasks that no rater can take any more: all who are not paused have had them."""
    had = assignments.alias()
    can = exists().where(
        ~raters.c.is_admin,
        ~raters.c.is_paused,
        ~raters.c.is_excluded,
        ~exists().where(
            had.c.task == tasks.c.id, had.c.rater == raters.c.id, had.c.state != LENT
        ).correlate(tasks, raters),
    ).correlate(tasks)  # fmt: skip
    of_open = (
        select(func.count()).select_from(tasks).where(tasks.c.kind == WORK, tasks.c.is_open, ~can)
    )
    return counting.number(connection, of_open)


def skipped(connection: Connection) -> list[dict[str, Any]]:
    """The tasks that were skipped last, at most 30: image, file_name, rater and reason of each."""
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
    """The figures of the administrator's page: the status, agreement, reliability and the labels so far.

    The reliability and the labels are those of `aggregate` and `raters` on the exported answers.
    """
    from real_labels.aggregation.reliability import Reliability

    with database.reading() as connection:
        settings = database.settings(connection)
        until = settings.ask_until or 0.95
        collected = results.Collected.of(connection, settings)
        found = dataclasses.asdict(status(connection, settings, now, collected.rows))
        found |= {"needs_raters": needs_raters(connection), "last_skipped": skipped(connection)}
        names = current.Names.of(connection)
    aggregate = collected.aggregate()  # takes seconds, and needs no transaction
    found |= {"labels": None, "unsure": None, "unsure_questions": [], "last_images": []}
    found["agreement"] = None if collected.work is None else agreement(collected.work)
    by_name: dict[str, dict[str, Any]] = {}
    if aggregate is not None:
        found["labels"] = int((aggregate.scores.probability > 0.5).sum())
        found["unsure"] = int((aggregate.sureness < until).sum())
        found["unsure_questions"] = current.unsure_questions(names, collected, aggregate, until)
        found["last_images"] = current.labels_of_last_images(names, collected, aggregate)
        columns = Reliability.of(aggregate).columns()
        for place, name in enumerate(columns["rater"].tolist()):
            by_name[name] = {"informedness": float(columns["informedness"][place])}
    if collected.on_gold is not None and collected.truth is not None:
        for name, right, number in gold_record(collected.on_gold, collected.truth):
            by_name.setdefault(name, {}).update(gold_right=right, gold=number)
    for rater in found["raters"]:
        rater |= by_name.get(rater["pseudonym"], {})
    return found


def agreement(given: Answers) -> float | None:
    """Share of pairs of answers to the same question that are equal; None if no question has two."""
    counts = np.zeros((len(given.questions), len(given.categories)), np.int64)
    np.add.at(counts, (given.question, given.answer), 1)
    total = counts.sum(axis=1)
    pairs = (total * (total - 1)).sum()
    return float((counts * (counts - 1)).sum() / pairs) if pairs else None


def gold_record(on_gold: Answers, truth: Gold) -> list[tuple[str, int, int]]:
    """(rater, right answers, answers) to gold questions; maybe is neither yes nor no, and not counted."""
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

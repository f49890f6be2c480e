"""The answers in the database: as Answers, as a table, and how far the work is."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, func, select, update

from real_labels.answers import Answers, Gold, Questions
from real_labels.files import tables
from real_labels.rating.asking import Policy
from real_labels.rating.database import Database, Settings
from real_labels.rating.queue import DONE, LATE, SKIPPED, WORK
from real_labels.rating.schema import answers as answer_rows
from real_labels.rating.schema import assignments, images, questions, raters, tasks


def rows(connection: Connection, *, work: bool) -> Sequence[Any]:
    """(file_name, label, rater, category, question, given) of each answer that counts.

    The newest revision counts, of tasks that are done, by raters who are not excluded.

    Args:
      connection: to the database.
      work: of work, or of gold and warm-up.
    """
    newest = (
        select(
            answer_rows.c.assignment,
            answer_rows.c.question,
            func.max(answer_rows.c.revision).label("revision"),
        )
        .group_by(answer_rows.c.assignment, answer_rows.c.question)
        .subquery()
    )
    is_kind = tasks.c.kind == WORK if work else tasks.c.kind != WORK
    return connection.execute(
        select(
            images.c.file_name,
            questions.c.label,
            raters.c.pseudonym,
            answer_rows.c.category,
            answer_rows.c.question,
            answer_rows.c.given,
        )
        .join(
            newest,
            and_(
                newest.c.assignment == answer_rows.c.assignment,
                newest.c.question == answer_rows.c.question,
                newest.c.revision == answer_rows.c.revision,
            ),
        )
        .join(assignments, assignments.c.id == answer_rows.c.assignment)
        .join(raters, raters.c.id == assignments.c.rater)
        .join(questions, questions.c.id == answer_rows.c.question)
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(assignments.c.state == DONE, ~raters.c.is_excluded, is_kind)
        .order_by(answer_rows.c.id)
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
    found = rows(connection, work=work)
    if not found:
        return None
    names = [r.file_name for r in found]
    labels = np.array([r.label for r in found], np.int64)
    pairs = list(dict.fromkeys(zip(names, labels.tolist(), strict=True)))
    asked = Questions.from_pairs([n for n, _ in pairs], np.array([c for _, c in pairs]))
    place = {pair: i for i, pair in enumerate(pairs)}
    known = list(dict.fromkeys(r.pseudonym for r in found))
    rater = {name: i for i, name in enumerate(known)}
    return Answers(
        asked,
        np.array(known),
        np.array([place[pair] for pair in zip(names, labels.tolist(), strict=True)]),
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


def sureness(connection: Connection, settings: Settings):
    """The aggregate of the work's answers: by gold where raters answered enough of it, else by EM.

    None if there is no answer yet.
    """
    from real_labels import aggregation

    given = answers(connection, settings, work=True)
    if given is None:
        return None
    truth, on_gold = gold(connection), answers(connection, settings, work=False)
    if truth is not None and on_gold is not None and truth.present.any():
        return aggregation.gold_calibrated(given, truth, on_gold)
    return aggregation.dawid_skene(given)


def ask_again(database: Database) -> int:
    """Adaptive asking: asks the unsure questions once more, and ends the others.

    A task wants another rater as long as one of its questions needs more answers. Returns the number of
    questions that are asked again; 0 if asking is not adaptive.
    """
    with database.writing() as connection:
        settings = database.settings(connection)
        if settings.ask_until is None:
            return 0
        aggregate = sureness(connection, settings)
        if aggregate is None:
            return 0
        policy = Policy(settings.ask_until, settings.at_least, settings.at_most)
        number = aggregate_counts(connection)
        sure = {
            (name, label): value
            for name, label, value in zip(
                aggregate.scores.questions.file_name().tolist(),
                aggregate.scores.questions.label.tolist(),
                aggregate.sureness.tolist(),
                strict=True,
            )
        }
        asked_again = 0
        for task, members in number.items():
            done = members["done"]
            if done < settings.at_least:
                continue
            needed = [
                question
                for question, pair, count, was_asked in members["questions"]
                if was_asked
                and policy.needs_more(np.array([sure.get(pair, 0.5)]), np.array([count]))[0]
            ]
            wanted = done + 1 if needed else done
            connection.execute(
                update(tasks).where(tasks.c.id == task).values(wanted=wanted, is_open=bool(needed))
            )
            ended = [
                q for q, _, _, was_asked in members["questions"] if was_asked and q not in needed
            ]
            if ended and needed:
                connection.execute(
                    update(questions).where(questions.c.id.in_(ended)).values(is_asked=False)
                )
            asked_again += len(needed)
        return asked_again


def aggregate_counts(connection: Connection) -> dict[int, dict[str, Any]]:
    """Of each work task that is not over: number of raters who answered, and its questions with answers."""
    counts = dict(
        connection.execute(
            select(assignments.c.task, func.count())
            .join(raters, raters.c.id == assignments.c.rater)
            .where(assignments.c.state == DONE, ~raters.c.is_excluded)
            .group_by(assignments.c.task)
        ).all()
    )
    answered: dict[int, int] = {}
    for row in rows(connection, work=True):
        answered[row.question] = answered.get(row.question, 0) + 1
    found: dict[int, dict[str, Any]] = {}
    for row in connection.execute(
        select(
            questions.c.id,
            questions.c.task,
            questions.c.label,
            questions.c.is_asked,
            images.c.file_name,
        )
        .join(tasks, tasks.c.id == questions.c.task)
        .join(images, images.c.id == tasks.c.image)
        .where(tasks.c.kind == WORK)
        .order_by(questions.c.id)
    ):
        one = found.setdefault(row.task, {"done": counts.get(row.task, 0), "questions": []})
        one["questions"].append(
            (row.id, (row.file_name, row.label), answered.get(row.id, 0), row.is_asked)
        )
    return found


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

    def as_json(self) -> dict[str, Any]:
        """The status as an object."""
        return dataclasses.asdict(self)


def status(connection: Connection, settings: Settings, now: float) -> Status:
    """How far the work is, computed from the rows."""
    found = rows(connection, work=True)
    total = connection.scalar(select(func.count()).select_from(tasks).where(tasks.c.kind == WORK))
    still_open = connection.scalar(
        select(func.count()).select_from(tasks).where(tasks.c.kind == WORK, tasks.c.is_open)
    )
    lent = connection.scalar(
        select(func.count())
        .select_from(assignments)
        .where(assignments.c.state == "lent", assignments.c.lease_ends > now)
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
    done = (
        select(func.count())
        .select_from(assignments.join(raters, raters.c.id == assignments.c.rater))
        .where(assignments.c.task == tasks.c.id, assignments.c.state == DONE, ~raters.c.is_excluded)
        .scalar_subquery()
    )
    asked = (
        select(func.count())
        .where(questions.c.task == tasks.c.id, questions.c.is_asked)
        .scalar_subquery()
    )
    missing = select(func.coalesce(func.sum((tasks.c.wanted - done) * asked), 0))
    return int(connection.scalar(missing.where(tasks.c.kind == WORK, tasks.c.is_open)))


def progress(connection: Connection, rater: int, now: float) -> dict[str, Any]:
    """A rater's progress, as an object.

    done: number of own tasks. left: number of tasks that may still come. minutes: time that these take, None
    if unknown. wait: seconds until a task in other hands may come back, None if there is none.
    """
    own = connection.execute(
        select(assignments.c.seconds).where(
            assignments.c.rater == rater, assignments.c.state.in_((DONE, LATE))
        )
    ).all()
    had = assignments.alias()
    mine = (
        select(had.c.id)
        .where(had.c.task == tasks.c.id, had.c.rater == rater, had.c.state != "lent")
        .exists()
    )
    left = connection.scalar(
        select(func.count()).select_from(tasks).where(tasks.c.kind == WORK, tasks.c.is_open, ~mine)
    )
    ends = connection.scalar(
        select(func.min(assignments.c.lease_ends))
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task))
        .where(
            assignments.c.state == "lent",
            assignments.c.lease_ends > now,
            assignments.c.rater != rater,
            ~mine,
        )
    )
    seconds = [row.seconds for row in own[-50:] if row.seconds]
    each = statistics.median(seconds) if seconds else None
    return {
        "done": len(own),
        "left": left,
        "minutes": None if each is None else round(left * each / 60, 1),
        "wait": None if ends is None else round(ends - now),
    }


def overview(database: Database, now: float) -> dict[str, Any]:
    """The figures of the administrator's page: the status, agreement, reliability and the labels so far."""
    from real_labels.aggregation.reliability import Reliability

    with database.reading() as connection:
        settings = database.settings(connection)
        found = status(connection, settings, now).as_json()
        aggregate = sureness(connection, settings)
        on_gold = answers(connection, settings, work=False)
        truth = gold(connection)
        given = answers(connection, settings, work=True)
    found["agreement"] = None if given is None else agreement(given)
    found["labels"] = found["unsure"] = None
    by_name: dict[str, dict[str, Any]] = {}
    if aggregate is not None:
        present = aggregate.scores.probability > 0.5
        found["labels"] = int(present.sum())
        found["unsure"] = int((aggregate.sureness < (settings.ask_until or 0.95)).sum())
        columns = Reliability.of(aggregate).columns()
        for place, name in enumerate(columns["rater"].tolist()):
            by_name[name] = {"informedness": float(columns["informedness"][place])}
    if on_gold is not None and truth is not None:
        for name, right, number in gold_record(on_gold, truth):
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

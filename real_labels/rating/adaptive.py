"""Adaptive asking in the database: after some answers, only the unsure questions are asked again."""

from __future__ import annotations

import collections

import numpy as np
from sqlalchemy import bindparam, select, update

from real_labels.rating import counting, results
from real_labels.rating.asking import Policy
from real_labels.rating.database import Database
from real_labels.rating.schema import WORK, images, questions, tasks


def ask_again(database: Database) -> int:
    """Asks the unsure questions once more, and ends the others.

    A task wants another rater as long as one of its questions needs more answers. Returns the number of
    questions that are asked again; 0 if asking is not adaptive.
    """
    with database.writing() as connection:
        settings = database.settings(connection)
        if settings.ask_until is None:
            return 0
        collected = results.Collected.of(connection, settings)
        aggregate = collected.aggregate()
        if aggregate is None:
            return 0
        policy = Policy(settings.ask_until, settings.at_least, settings.at_most)
        number = collections.Counter(row.question for row in collected.rows)
        asked = aggregate.scores.questions
        pairs = zip(asked.file_name().tolist(), asked.label.tolist(), strict=True)
        sure_to = dict(zip(pairs, aggregate.sureness.tolist(), strict=True))
        done = counting.answered(tasks.c.id).label("done")
        rows = connection.execute(
            select(questions.c.id, questions.c.task, questions.c.label, images.c.file_name, done)
            .join(tasks, tasks.c.id == questions.c.task)
            .join(images, images.c.id == tasks.c.image)
            .where(tasks.c.kind == WORK, questions.c.is_asked)
        ).all()
        rows = [row for row in rows if row.done >= settings.at_least]
        needed = policy.needs_more(
            np.array([sure_to.get((row.file_name, row.label), 0.5) for row in rows]),
            np.array([number[row.id] for row in rows]),
        ).tolist()
        unsure = {row.task for row, need in zip(rows, needed, strict=True) if need}
        for task, answered in {row.task: row.done for row in rows}.items():
            wanted = answered + (task in unsure)
            connection.execute(update(tasks).where(tasks.c.id == task).values(wanted=wanted))
        # The questions of a task that is over stay as they are: its last raters answered them.
        ended = [
            {"question": row.id}
            for row, need in zip(rows, needed, strict=True)
            if not need and row.task in unsure
        ]
        if ended:
            of_question = questions.c.id == bindparam("question")
            connection.execute(update(questions).where(of_question).values(is_asked=False), ended)
        counting.open_and_close(connection)
        return sum(needed)

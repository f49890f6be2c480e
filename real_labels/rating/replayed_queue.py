"""Replays recorded answers through the real queue of a rating database."""

from __future__ import annotations

import numpy as np
from sqlalchemy import select

from real_labels.answers import Answers
from real_labels.errors import InputError
from real_labels.rating import adaptive, people
from real_labels.rating.database import Database
from real_labels.rating.queue import LentTask, Queue
from real_labels.rating.schema import images


def answer_again(database: Database, answers: Answers, seed: int) -> None:
    """Lets the raters answer again, in random turns, until the queue has no more tasks.

    Each rater is invited, takes one task at a time, and gives the recorded answers. When no rater has a task
    left, the unsure questions are asked again, if the project asks adaptively.

    Args:
      database: database of a project with tasks and without raters.
      answers: recorded answers of all raters to all questions of the project.
      seed: seed of the raters' turns.

    Raises:
      InputError: if a rater has no recorded answer to a question that the queue asks.
    """
    recorded = np.full((len(answers.questions), len(answers.raters)), -1)
    recorded[answers.question, answers.rater] = answers.answer
    pairs = zip(
        answers.questions.file_name().tolist(), answers.questions.label.tolist(), strict=True
    )
    row = {pair: place for place, pair in enumerate(pairs)}
    for _ in answers.raters:
        people.invite(database)
    queue = Queue(database)
    with database.reading() as connection:
        file_name = dict(connection.execute(select(images.c.id, images.c.file_name)).all())

    def work(rater: int, task: LentTask) -> None:
        chosen = {}
        for question in task.questions:
            if question.is_asked:
                place = row.get((file_name[task.image], question.label))
                answer = -1 if place is None else int(recorded[place, rater])
                if answer < 0:
                    raise InputError(
                        f"Rater {answers.raters[rater]} gave no answer to {file_name[task.image]}, label "
                        f"{question.label}."
                    )
                chosen[question.id] = answer
        queue.answer(rater + 1, task.assignment, chosen, f"again-{task.assignment}")

    rng = np.random.default_rng(seed)
    while True:
        busy = list(range(len(answers.raters)))
        while busy:
            place = int(rng.integers(len(busy)))
            if lent := queue.lend(busy[place] + 1):
                work(busy[place], lent[0])
            else:
                busy.pop(place)
        if not adaptive.ask_again(database):
            return

"""A server that is killed under load: no acknowledged answer is lost or counted twice, every task is done."""

from __future__ import annotations

import http.client
import random
import threading
import time

import pytest
import sqlalchemy

from real_labels.rating import database, people, project, results, simulation
from real_labels.rating.database import Settings
from tests.real_labels.rating.conftest import tasks_of

RATERS = 6


class Persistent(simulation.Visitor):
    """A visitor that repeats a request, with the same key, until the server answers, as the page does."""

    def ask(self, path, body=None):
        for _ in range(2_000):
            try:
                return super().ask(path, body)
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.02)
        raise TimeoutError(path)


def killed(url, kills, tasks, seed=0):
    opened = database.create(url)
    settings = Settings("kills", raters=3, warm_up=0, gold_share=0.0, lease=3.0)
    project.store(opened, settings, "Be careful.")
    project.add_tasks(opened, tasks_of(tasks), None, {}, {})
    tokens = [people.invite(opened) for _ in range(RATERS)]
    server = simulation.Server(url).start()
    visitors = [Persistent(f"{server.address}/invite/{token}") for token in tokens]
    problems = []

    def work(place):
        try:
            while visitors[place].work(lambda i, c: (i + c) % 2 == 0, simulation.Skill(0.9), place):
                pass
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(RATERS)]
    for thread in threads:
        thread.start()
    rng = random.Random(seed)
    number = 0
    while any(thread.is_alive() for thread in threads) and number < kills:
        time.sleep(rng.uniform(0.05, 0.6))
        server.kill()
        server.start()
        number += 1
    for thread in threads:
        thread.join()
    # Tasks that a killed server had lent are free again when their leases end.
    time.sleep(settings.lease + 0.5)
    for place in range(RATERS):
        work(place)
    server.kill()
    assert problems == []
    with opened.reading() as connection:
        rows = results.rows(connection, work=True)
        counts = connection.execute(
            sqlalchemy.text(
                "SELECT task, count(*) FROM assignments WHERE state = 'done' GROUP BY task"
            )
        ).all()
        kept = {
            (q, c, r)
            for q, c, r in connection.execute(
                sqlalchemy.text(
                    "SELECT a.question, a.category, s.rater FROM answers a JOIN assignments s "
                    "ON s.id = a.assignment"
                )
            ).all()
        }
        revisions = connection.scalar(sqlalchemy.text("SELECT max(revision) FROM answers"))
    acknowledged = {
        (int(question), category, place + 1)
        for place, visitor in enumerate(visitors)
        for _, given in visitor.acknowledged
        for question, category in given.items()
    }
    assert acknowledged <= kept and revisions == 1
    assert sorted(n for _, n in counts) == [3] * tasks
    assert len(rows) == 3 * 3 * tasks
    assert len({(r.file_name, r.label, r.pseudonym) for r in rows}) == len(rows)
    return number


def test_a_few_kills(tmp_path):
    assert killed(f"sqlite:///{tmp_path / 'r.db'}", 4, 40) >= 1


@pytest.mark.long
def test_a_hundred_kills(tmp_path):
    assert killed(f"sqlite:///{tmp_path / 'r.db'}", 100, 1_500) == 100

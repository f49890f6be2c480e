"""Fifty raters at once, over HTTP: every task gets exactly the wanted number of raters, without errors."""

from __future__ import annotations

import contextlib

import sqlalchemy

from real_labels.rating import database, people, project, results, simulation
from real_labels.rating.database import Settings
from tests.real_labels.rating.conftest import tasks_of

RATERS, TASKS, WANTED = 50, 60, 5


def test_fifty_raters_at_once(url):
    opened = database.create(url)
    project.store(opened, Settings("load", raters=WANTED, warm_up=0, gold_share=0.0), "Be careful.")
    project.add_tasks(opened, tasks_of(TASKS), None, {}, {})
    tokens = [people.invite(opened) for _ in range(RATERS)]
    with contextlib.ExitStack() as stack:
        # With PostgreSQL, several server processes can share the database.
        number = 1 if opened.is_sqlite else 2
        servers = [stack.enter_context(simulation.Server(url)) for _ in range(number)]
        visitors = [
            simulation.Visitor(f"{servers[i % number].address}/invite/{token}", f"10.0.0.{i}")
            for i, token in enumerate(tokens)
        ]
        skills = [simulation.Skill(0.9)] * RATERS
        done = simulation.side_by_side(visitors, skills, lambda i, c: (i + c) % 2 == 0, 0)
    assert done == WANTED * TASKS
    with opened.reading() as connection:
        rows = results.rows(connection, work=True)
        counts = connection.execute(
            sqlalchemy.text("SELECT count(*) FROM assignments WHERE state = 'done' GROUP BY task")
        ).scalars()
        assert list(counts) == [WANTED] * TASKS
    assert len({(row.question, row.pseudonym) for row in rows}) == len(rows) == 3 * done
    acknowledged = sum(len(given) for v in visitors for _, given in v.acknowledged)
    assert len(rows) == acknowledged

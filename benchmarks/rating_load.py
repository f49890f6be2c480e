"""The rating server under load: many raters at once, on SQLite and PostgreSQL.

    python benchmarks/rating_load.py --database=sqlite:////tmp/load.db
    python benchmarks/rating_load.py --database=postgresql://USER@HOST/NAME        (an empty database)

Simulated raters answer over HTTP without a pause, each task 5 of them. A time is that of one request, as a
rater waits for it, all raters and the server sharing the machine.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import platform
import sys
import threading
import time
import urllib.error

import numpy as np
import sqlalchemy

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.rating import database, people, project, simulation
from real_labels.rating.tasks import Task

TIMES: dict[str, list[float]] = collections.defaultdict(list)  # of each kind of request


class Timed(simulation.Visitor):
    """A visitor who notes how long each request takes."""

    def ask(self, path, body=None):
        while True:
            start = time.perf_counter()
            try:
                reply = super().ask(path, body)
            except urllib.error.HTTPError as error:
                if error.code != 429:  # the rate limit, which a person never meets
                    raise
                time.sleep(0.1)
                continue
            TIMES[path].append(time.perf_counter() - start)
            return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=300)
    options = parser.parse_args()
    opened = database.create(options.database)
    project.store(opened, database.Settings("load", warm_up=0, gold_share=0.0), "Be careful.")
    labels = (1, 2, 3, 4)
    tasks = [Task(f"t{i}", f"{i}.png", labels, labels) for i in range(options.tasks)]
    project.add_tasks(opened, tasks, None, {}, {})
    tokens = [people.invite(opened) for _ in range(options.raters)]
    problems = []
    with simulation.Server(options.database) as server:
        visitors = []
        for token in tokens:
            while len(visitors) <= tokens.index(token):
                try:
                    visitors.append(Timed(f"{server.address}/invite/{token}"))
                except urllib.error.HTTPError:
                    time.sleep(0.2)  # invitations are opened at a limited rate

        def work(place: int) -> None:
            try:
                visitors[place].work(lambda i, c: (i + c) % 2 == 0, simulation.Skill(0.9), place)
            except Exception as error:
                problems.append(repr(error))

        threads = [threading.Thread(target=work, args=(place,)) for place in range(options.raters)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
    with opened.reading() as connection:
        text = "SELECT task, count(*) FROM assignments WHERE state = 'done' GROUP BY task"
        counts = collections.Counter(n for _, n in connection.execute(sqlalchemy.text(text)).all())
    print(f"{platform.machine()}, Python {platform.python_version()}, {opened.engine.dialect.name}")
    print(f"raters of each task: {dict(counts)}; errors: {len(problems)} {problems[:2]}")
    print(f"{5 * options.tasks / seconds:.0f} tasks/s by {options.raters} raters at once")
    for path in ("next", "answer"):
        times = np.array(TIMES[path])
        print(
            f"{path}: median {1000 * np.median(times):.0f} ms, p99 {1000 * np.quantile(times, 0.99):.0f} ms"
        )


if __name__ == "__main__":
    main()

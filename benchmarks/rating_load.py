"""Load test of the rating server: many raters at the same time, on SQLite or PostgreSQL.

    python benchmarks/rating_load.py --database=sqlite:////tmp/load.db
    python benchmarks/rating_load.py --database=postgresql://USER@HOST/NAME        (an empty database)

Simulated raters answer over HTTP; each task gets the answers of 5 raters. Raters do not pause unless --pause
is given. A time is the time that a rater waits for one request. All raters and the server share the machine.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import pathlib
import platform
import sys
import time

import numpy as np
import sqlalchemy

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.rating import database, people, project, simulation
from real_labels.rating.tasks import Task

TIMES: dict[str, list[float]] = collections.defaultdict(list)  # seconds of each request, by path


class Timed(simulation.Visitor):
    """A visitor that records the seconds of each request."""

    pause = 0.0  # seconds that a rater takes for a task

    def ask(self, path, body=None):
        if path == "answer":
            time.sleep(self.pause)
        start = time.perf_counter()
        reply = super().ask(path, body)
        TIMES[path].append(time.perf_counter() - start)
        return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument(
        "--servers", type=int, default=1, help="number of server processes (default 1)"
    )
    parser.add_argument(
        "--pause", type=float, default=0, help="seconds that a rater takes for a task"
    )
    options = parser.parse_args()
    Timed.pause = options.pause
    opened = database.create(options.database)
    project.store(opened, database.Settings("load", warm_up=0, gold_share=0.0), "Be careful.")
    labels = (1, 2, 3, 4)
    tasks = [Task(f"t{i}", f"{i}.png", labels, labels) for i in range(options.tasks)]
    project.add_tasks(opened, tasks, None, {}, {})
    tokens = [people.invite(opened) for _ in range(options.raters)]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(simulation.Server(options.database)) for _ in range(options.servers)
        ]
        visitors = [
            Timed(
                f"{servers[i % len(servers)].address}/invite/{token}", f"10.0.{i // 250}.{i % 250}"
            )
            for i, token in enumerate(tokens)
        ]
        skills = [simulation.Skill(0.9)] * len(visitors)
        start = time.perf_counter()
        simulation.side_by_side(visitors, skills, lambda i, c: (i + c) % 2 == 0, 0)
        seconds = time.perf_counter() - start
    with opened.reading() as connection:
        text = "SELECT task, count(*) FROM assignments WHERE state = 'done' GROUP BY task"
        counts = collections.Counter(n for _, n in connection.execute(sqlalchemy.text(text)).all())
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {opened.engine.dialect.name}, "
        f"{options.servers} server process(es)"
    )
    print(f"number of tasks by number of raters: {dict(counts)}")
    print(
        f"{5 * options.tasks / seconds:.0f} tasks/s by {options.raters} raters at the same time, no errors"
    )
    for path in ("next", "answer"):
        times = np.array(TIMES[path])
        print(
            f"{path}: median {1000 * np.median(times):.0f} ms, p99 {1000 * np.quantile(times, 0.99):.0f} ms"
        )


if __name__ == "__main__":
    main()

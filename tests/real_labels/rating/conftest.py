"""Fixtures: databases of rating projects on SQLite, and on PostgreSQL if it can be started."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from real_labels.answers import Gold, Questions
from real_labels.rating.tasks import Task

_PLACES = ("/usr/lib/postgresql/*/bin",)


def _program(name: str) -> str | None:
    found = shutil.which(name)
    places = sorted(
        p for pattern in _PLACES for p in pathlib.Path("/").glob(f"{pattern[1:]}/{name}")
    )
    return str(places[-1]) if places else found


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """URL of a PostgreSQL server that the tests start; skips if PostgreSQL is not installed."""
    programs = {name: _program(name) for name in ("initdb", "postgres", "createdb")}
    if None in programs.values():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgresql")
    run_as: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses root
        if subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL refuses root, and there is no user postgres")
        run_as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for place in (folder, *folder.parents):
            if place.owner() == "root" and place != pathlib.Path("/"):
                with contextlib.suppress(PermissionError):
                    place.chmod(place.stat().st_mode | 0o111)
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    initdb = subprocess.run(
        [*run_as, programs["initdb"], "-D", data, "-U", "tester", "--auth=trust", "--no-sync"],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if initdb.returncode:
        pytest.skip(f"PostgreSQL cannot be set up here: {initdb.stderr.strip().splitlines()[-1]}")
    server = subprocess.Popen(
        [*run_as, programs["postgres"], "-D", data, "-p", str(port), "-k", str(folder), "-h", "127.0.0.1",
         "-c", "max_connections=200"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    base = f"postgresql://tester@127.0.0.1:{port}"
    try:
        import psycopg

        for _ in range(300):
            try:
                psycopg.connect(f"{base}/postgres", connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                time.sleep(0.1)
        yield base
    finally:
        server.send_signal(signal.SIGINT)  # also ends open sessions; SIGTERM would wait for them
        server.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rating.db'}"
    import psycopg

    base = request.getfixturevalue("postgresql")
    name = f"db_{abs(hash(str(tmp_path))):x}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{base}/{name}"


def tasks_of(number: int, labels=(1, 2, 3), ask=None) -> list[Task]:
    return [Task(f"t{i}", f"{i:03d}.png", labels, ask or labels) for i in range(number)]


def gold_of(tasks, first: int = 0) -> Gold:
    """Gold of all labels of the tasks: odd classes are present."""
    names = np.array([t.file_name for t in tasks])
    image = np.repeat(np.arange(len(tasks)), [len(t.labels) for t in tasks])
    label = np.concatenate([t.labels for t in tasks])
    return Gold(Questions(names, image, label), label % 2 == 1)


def pictures(folder: pathlib.Path, names) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((40, 40, 1), int)).astype(
            np.uint8
        )
        Image.fromarray(pixels).save(folder / name)
    return folder

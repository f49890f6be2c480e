"""The rating database: SQLite or PostgreSQL, opened, versioned, backed up."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, func, insert, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from real_labels.errors import InputError
from real_labels.files.paths import replacing
from real_labels.rating import schema

_PATIENCE = 30  # seconds that a writer waits for another one
_TURN = 20_200_612  # name of the lock of transactions that change many rows (PostgreSQL)
_POOL = 20  # connections to PostgreSQL of one server process


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a project, which `rate init` stores.

    Attributes:
      title: shown on the pages.
      categories: the answers, from surely absent to surely present.
      raters: people who answer each task, where asking is not adaptive.
      ask_until: sureness that ends a question; None: no adaptive asking.
      at_least, at_most: answers to a question, where asking is adaptive.
      gold_share: share of a rater's tasks that are hidden gold, in [0, 1).
      warm_up: gold tasks with feedback before a rater's first task.
      lease: seconds that a rater may keep a task.
    """

    title: str
    categories: tuple[str, ...] = ("no", "maybe", "yes")
    raters: int = 5
    ask_until: float | None = None
    at_least: int = 3
    at_most: int = 9
    gold_share: float = 0.1
    warm_up: int = 5
    lease: float = 900

    @property
    def first_wanted(self) -> int:
        """Raters that a task wants at first."""
        return self.raters if self.ask_until is None else self.at_least


class Database:
    """An open database."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        name = engine.url.database
        # The file of SQLite; None of PostgreSQL.
        self.path = pathlib.Path(name) if self.is_sqlite and name is not None else None
        # SQLite's writers wait by polling, which is slow and unfair; threads of one process queue up here.
        self._turn = threading.Lock() if self.is_sqlite else contextlib.nullcontext()

    @contextlib.contextmanager
    def writing(self, *, changes_many: bool = False) -> Iterator[Connection]:
        """A transaction that may write. On SQLite it takes the write lock at once (BEGIN IMMEDIATE).

        Args:
          changes_many: whether it changes many tasks, or numbers new rows. Two such transactions take turns:
            PostgreSQL would let each wait for rows of the other (a deadlock), or number rows twice.
        """
        with self._turn, self.engine.begin() as connection:
            if changes_many and not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_TURN)))
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect().execution_options(reads_only=True) as connection:
            yield connection

    def fact(self, connection: Connection, name: str) -> Any:
        """A fact of the project; None if there is none."""
        text = connection.scalar(select(schema.facts.c.value).where(schema.facts.c.name == name))
        return None if text is None else json.loads(text)

    def state_fact(self, connection: Connection, name: str, value: Any) -> None:
        """Stores a fact of the project."""
        text = json.dumps(value)
        found = connection.execute(
            update(schema.facts).where(schema.facts.c.name == name).values(value=text)
        )
        if not found.rowcount:
            connection.execute(insert(schema.facts).values(name=name, value=text))

    def settings(self, connection: Connection) -> Settings:
        """The settings of the project."""
        stored = self.fact(connection, "settings")
        return Settings(**stored | {"categories": tuple(stored["categories"])})

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def create(url: str) -> Database:
    """Makes the tables of a new database.

    Raises:
      InputError: if it has them already, or cannot be reached.
    """
    database = _connected(url)
    with _explained(url), database.writing() as connection:
        if sqlalchemy.inspect(connection).has_table(schema.facts.name):
            raise InputError(
                f"{_shown(url)}: is a rating database already. Add tasks with `rate add`, or name "
                f"another one with --database."
            )
        schema.metadata.create_all(connection)
        database.state_fact(connection, "schema", schema.VERSION)
    return database


def remove(database: Database) -> None:
    """Removes the tables that `create` made, and on SQLite the file."""
    with database.writing() as connection:
        schema.metadata.drop_all(connection)
    database.close()
    if database.path is not None:
        database.path.unlink(missing_ok=True)


def opened(url: str) -> Database:
    """Opens a database that `create` made.

    Raises:
      InputError: if there is none, it cannot be reached, or a newer version of this program made it.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        path = parsed.database
        if not path or not pathlib.Path(path).is_file():
            raise InputError(
                f"{_shown(url)}: there is no such database. Make one with `rate init`, or name another with "
                f"--database."
            )
    database = _connected(url)
    with _explained(url), database.reading() as connection:
        if not sqlalchemy.inspect(connection).has_table(schema.facts.name):
            raise InputError(f"{_shown(url)}: is no rating database. Make one with `rate init`.")
        version = database.fact(connection, "schema")
    if version > schema.VERSION:
        raise InputError(
            f"{_shown(url)}: was made by a newer version of this program (tables {version}, known are "
            f"{schema.VERSION}). Update the program."
        )
    return database


def _parsed(url: str) -> URL:
    """The URL as an object.

    Raises:
      InputError: if it is none of sqlite:///FILE and postgresql://….
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        parsed, backend = None, ""
    if parsed is None or backend not in ("sqlite", "postgresql") or not parsed.database:
        raise InputError(
            f"--database {_shown(url)}: expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def _connected(url: str) -> Database:
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            pathlib.Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(parsed, connect_args={"timeout": _PATIENCE})
        _prepare_sqlite(engine)
        return Database(engine)
    try:
        engine = sqlalchemy.create_engine(parsed, pool_size=_POOL, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise InputError("PostgreSQL needs psycopg: pip install 'real-labels[rating]'.") from None
    return Database(engine)


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, full durability, and transactions that we begin ourselves.

    Python's sqlite3 begins a deferred transaction, which reads first and then fails to become a writer while
    another one writes ("database is locked"). BEGIN IMMEDIATE waits for its turn.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Says in one line that a database cannot be reached."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise InputError(f"{_shown(url)}: cannot be opened ({reason}).") from None


def _shown(url: str) -> str:
    """A URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def backup(database: Database, path: str | os.PathLike[str]) -> None:
    """Copies a SQLite database, while others write, to a file.

    Raises:
      InputError: of PostgreSQL, with the command that does it; or if the file is the database itself.
    """
    if database.path is None:
        raise InputError("Back up PostgreSQL with pg_dump --format=custom --file=FILE NAME.")
    own = database.path.resolve()
    if pathlib.Path(path).resolve() in (
        own,
        *(own.with_name(own.name + e) for e in ("-wal", "-shm")),
    ):
        raise InputError(f"--out {path}: is the database itself, which the copy would destroy.")
    with replacing(path) as temporary:
        source = sqlite3.connect(database.path)
        target = sqlite3.connect(temporary)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)

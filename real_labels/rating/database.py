"""The rating database, on SQLite or PostgreSQL: creating, opening, transactions, backup."""

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

_BUSY_TIMEOUT = 30  # seconds that a writer waits for another writer
_LOCK_ID = 20_200_612  # id of the advisory lock of transactions that change many rows (PostgreSQL)
_POOL_SIZE = 20  # connections of one server process to PostgreSQL


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a project, as `rate init` stores them.

    Attributes:
      title: title of the pages.
      categories: the answers, from surely absent to surely present.
      raters: number of raters for each task; unused in adaptive asking.
      ask_until: sureness from which a question is not asked again; None: asking is not adaptive.
      at_least, at_most: fewest and most answers to a question, in adaptive asking.
      gold_share: share of hidden gold among a rater's tasks, in [0, 1).
      warm_up: number of gold tasks with feedback before a rater's first work task.
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
        """Number of raters that a new task wants."""
        return self.raters if self.ask_until is None else self.at_least


class Database:
    """An open database."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        name = engine.url.database
        # The database file of SQLite; None for PostgreSQL.
        self.path = pathlib.Path(name) if self.is_sqlite and name is not None else None
        # SQLite's writers wait by polling, which is slow and unfair. So threads take this lock first.
        self._write_lock = threading.Lock() if self.is_sqlite else contextlib.nullcontext()

    @contextlib.contextmanager
    def writing(self, *, changes_many: bool = False) -> Iterator[Connection]:
        """Opens a transaction that may write. On SQLite it takes the write lock at once (BEGIN IMMEDIATE).

        Args:
          changes_many: whether the transaction changes many tasks, or numbers new rows. Such transactions
            take turns. Otherwise, on PostgreSQL, two of them could wait for each other's rows (a deadlock),
            or give the same number to two rows.
        """
        with self._write_lock, self.engine.begin() as connection:
            if changes_many and not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK_ID)))
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Opens a transaction that only reads."""
        with self.engine.connect().execution_options(reads_only=True) as connection:
            yield connection

    def fact(self, connection: Connection, name: str) -> Any:
        """Returns a stored value of the project; None if there is none."""
        text = connection.scalar(select(schema.facts.c.value).where(schema.facts.c.name == name))
        return None if text is None else json.loads(text)

    def store_fact(self, connection: Connection, name: str, value: Any) -> None:
        """Stores a value of the project."""
        text = json.dumps(value)
        updated = connection.execute(
            update(schema.facts).where(schema.facts.c.name == name).values(value=text)
        )
        if not updated.rowcount:
            connection.execute(insert(schema.facts).values(name=name, value=text))

    def settings(self, connection: Connection) -> Settings:
        """Returns the settings of the project."""
        stored = self.fact(connection, "settings")
        return Settings(**stored | {"categories": tuple(stored["categories"])})

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def create(url: str) -> Database:
    """Creates the tables in a new database.

    Raises:
      InputError: if the database has the tables already, or cannot be reached.
    """
    with _connected(url) as database, database.writing() as connection:
        if sqlalchemy.inspect(connection).has_table(schema.facts.name):
            raise InputError(
                f"{_without_password(url)}: already holds a rating database. Add tasks with `rate add`, or "
                f"name another database with --database."
            )
        schema.metadata.create_all(connection)
        database.store_fact(connection, "schema", schema.VERSION)
    return database


def remove(database: Database) -> None:
    """Removes the tables that `create` made; on SQLite also the file."""
    with database.writing() as connection:
        schema.metadata.drop_all(connection)
    database.close()
    if database.path is not None:
        database.path.unlink(missing_ok=True)


def opened(url: str) -> Database:
    """Opens a database that `create` made.

    Raises:
      InputError: if there is no such database, it cannot be reached, it is not a rating database, or a newer
        version of this program made it.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        path = parsed.database
        if not path or not pathlib.Path(path).is_file():
            raise InputError(
                f"{_without_password(url)}: this database does not exist. Create it with `rate init`, or "
                f"name another database with --database."
            )
    with _connected(url) as database, database.reading() as connection:
        if not sqlalchemy.inspect(connection).has_table(schema.facts.name):
            raise InputError(
                f"{_without_password(url)}: is not a rating database. Create one with `rate init`."
            )
        try:
            version = database.fact(connection, "schema")
        except (TypeError, ValueError):  # no JSON
            version = None
        if not isinstance(version, int):
            raise InputError(
                f"{_without_password(url)}: is damaged: it does not say the version of its tables. Take "
                f"the copy that `rate backup` made."
            )
        if version > schema.VERSION:
            raise InputError(
                f"{_without_password(url)}: was made by a newer version of this program (tables of version "
                f"{version}; this program reads version {schema.VERSION}). Update the program."
            )
    return database


def _parsed(url: str) -> URL:
    """Parses a database URL.

    Raises:
      InputError: if it is neither sqlite:///FILE nor postgresql://….
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        parsed, backend = None, ""
    if parsed is None or backend not in ("sqlite", "postgresql") or not parsed.database:
        raise InputError(
            f"--database {_without_password(url)}: expected sqlite:///FILE or "
            f"postgresql://USER:PASSWORD@HOST/NAME."
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def _connect(url: str) -> Database:
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            pathlib.Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(parsed, connect_args={"timeout": _BUSY_TIMEOUT})
        _prepare_sqlite(engine)
        return Database(engine)
    try:
        engine = sqlalchemy.create_engine(parsed, pool_size=_POOL_SIZE, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise InputError("PostgreSQL needs psycopg: pip install 'real-labels[rating]'.") from None
    return Database(engine)


def _prepare_sqlite(engine: Engine) -> None:
    """Sets WAL, full durability, foreign keys, and explicit BEGIN statements.

    By default, Python's sqlite3 begins a deferred transaction: it starts as a reader, and its first write
    fails while another transaction writes ("database is locked"). BEGIN IMMEDIATE waits instead.
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
def _connected(url: str) -> Iterator[Database]:
    """Connects to a database; an error closes it, and an error of its driver is an InputError of one line."""
    database = _connect(url)
    try:
        yield database
    # A damaged file may hold text that is no UTF-8.
    except (DBAPIError, UnicodeDecodeError) as error:
        database.close()
        reason = " ".join(str(getattr(error, "orig", error)).split())
        raise InputError(f"{_without_password(url)}: cannot be opened ({reason}).") from None
    except BaseException:
        database.close()
        raise


def _without_password(url: str) -> str:
    """Returns a URL with its password hidden."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def backup(database: Database, path: str | os.PathLike[str]) -> None:
    """Copies a SQLite database to a file, also while other connections write.

    Raises:
      InputError: for PostgreSQL, naming the command to use; or if the file is the database itself.
    """
    if database.path is None:
        raise InputError(
            "This command copies SQLite databases only. Back up PostgreSQL with "
            "pg_dump --format=custom --file=FILE NAME."
        )
    own = database.path.resolve()
    if pathlib.Path(path).resolve() in (
        own,
        *(own.with_name(own.name + ending) for ending in ("-wal", "-shm")),
    ):
        raise InputError(
            f"--out {path}: is the database itself; the copy would destroy it. Name another file."
        )
    with replacing(path) as temporary:
        source = sqlite3.connect(database.path)
        target = sqlite3.connect(temporary)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)

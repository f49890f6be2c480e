"""Raters and administrators: invitations, sessions, pausing and excluding."""

from __future__ import annotations

import hashlib
import secrets
import time

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from real_labels.errors import InputError
from real_labels.rating import adaptive, counting
from real_labels.rating.database import Database
from real_labels.rating.schema import raters, sessions

SESSION = 30 * 24 * 3600.0  # seconds that a session lasts
_TOKEN_BYTES = 24  # length of a random token


def hashed(token: str) -> str:
    """Returns the hash of a token, for storage. A plain hash is safe: tokens are long and random."""
    return hashlib.sha256(token.encode()).hexdigest()


def invite(database: Database, note: str | None = None, *, is_admin: bool = False) -> str:
    """Adds a rater or an administrator, and returns the invitation's token. Only its hash is stored."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with database.writing(changes_many=True) as connection:
        kind = "admin" if is_admin else "rater"
        number = counting.number(
            connection,
            select(func.count()).select_from(raters).where(raters.c.is_admin == is_admin),
        )
        connection.execute(
            insert(raters).values(
                pseudonym=f"{kind}-{number + 1:03d}",
                note=note,
                token_hash=hashed(token),
                is_admin=is_admin,
                invited=time.time(),
                is_paused=False,
                is_excluded=False,
            )
        )
    return token


def begin_session(database: Database, token: str, now: float) -> str | None:
    """Begins a session and returns its token; None if no invitation has the given token."""
    session = secrets.token_urlsafe(_TOKEN_BYTES)
    with database.writing() as connection:
        rater = connection.scalar(select(raters.c.id).where(raters.c.token_hash == hashed(token)))
        if rater is None:
            return None
        connection.execute(delete(sessions).where(sessions.c.expires <= now))
        connection.execute(
            insert(sessions).values(token_hash=hashed(session), rater=rater, expires=now + SESSION)
        )
    return session


def of_session(connection: Connection, session: str, now: float) -> Row | None:
    """Returns the rater of a session, as a row; None if the session is unknown or has expired."""
    return connection.execute(
        select(raters)
        .join(sessions, sessions.c.rater == raters.c.id)
        .where(sessions.c.token_hash == hashed(session), sessions.c.expires > now)
    ).one_or_none()


def store_reading_of_guidelines(database: Database, rater: int, now: float) -> None:
    """Stores when a rater read the guidelines."""
    with database.writing() as connection:
        connection.execute(update(raters).where(raters.c.id == rater).values(read_guidelines=now))


def change(
    database: Database,
    pseudonym: str,
    *,
    is_paused: bool | None = None,
    is_excluded: bool | None = None,
) -> None:
    """Pauses or excludes a rater, or undoes this. None leaves a state as it is.

    A paused rater gets no tasks. The answers of an excluded rater are kept but do not count; the tasks that
    lose answers are open again.

    Raises:
      InputError: if there is no such rater.
    """
    values = {"is_paused": is_paused, "is_excluded": is_excluded}
    values = {name: value for name, value in values.items() if value is not None}
    with database.writing(changes_many=True) as connection:
        rater = connection.scalar(select(raters.c.id).where(raters.c.pseudonym == pseudonym))
        if rater is None:
            raise InputError(
                f"There is no rater {pseudonym!r}. Name a rater by the pseudonym, such as rater-001."
            )
        connection.execute(update(raters).where(raters.c.id == rater).values(**values))
        if is_excluded is not None:
            counting.open_and_close(connection)
            adaptive.reset_check(database, connection)

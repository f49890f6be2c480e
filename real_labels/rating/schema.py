"""The tables of the rating database (SQLAlchemy Core). Times are seconds since 1970."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 1  # of the tables; a database with a newer version is refused
WORK, GOLD, WARM_UP = "work", "gold", "warm-up"  # kinds of tasks
# States of assignments. LATE: answered after the lease had ended and the task was full; kept, not counted.
LENT, DONE, SKIPPED, LATE = "lent", "done", "skipped", "late"

metadata = MetaData()

# Values of the whole project, as JSON: the schema's version, the settings, the guidelines, the secret of the
# pages' tokens, and the last check of adaptive asking.
facts = Table(
    "facts", metadata, Column("name", String(40), primary_key=True), Column("value", Text)
)

images = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("file_name", Text, nullable=False, unique=True),
    Column("path", Text),  # of the image file; null if there is none
)

classes = Table(
    "classes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # the class index
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("image", ForeignKey("images.id"), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("place", Integer, nullable=False),  # in the random order in which tasks are lent
    Column("wanted", Integer, nullable=False),  # number of raters who should answer; 0 for gold
    Column("is_open", Boolean, nullable=False),  # whether fewer raters than wanted have answered
)
Index("tasks_to_lend", tasks.c.kind, tasks.c.is_open, tasks.c.place)

questions = Table(
    "questions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task", ForeignKey("tasks.id"), nullable=False),
    Column("label", ForeignKey("classes.id"), nullable=False),
    Column("is_asked", Boolean, nullable=False),  # False: shown for contrast only
    Column("truth", Boolean),  # whether the label is present; gold only
    UniqueConstraint("task", "label"),
)

raters = Table(
    "raters",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pseudonym", String(20), nullable=False, unique=True),
    Column("note", Text),  # for the administrator, such as a name; not exported
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("is_admin", Boolean, nullable=False),
    Column("invited", Float, nullable=False),
    Column("read_guidelines", Float),  # time of reading them
    Column("is_paused", Boolean, nullable=False),  # gets no tasks
    Column("is_excluded", Boolean, nullable=False),  # the answers do not count
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("rater", ForeignKey("raters.id"), nullable=False),
    Column("expires", Float, nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task", ForeignKey("tasks.id"), nullable=False),
    Column("rater", ForeignKey("raters.id"), nullable=False),
    Column("state", String(10), nullable=False),
    Column("lent", Float, nullable=False),
    Column("lease_ends", Float, nullable=False),
    Column("done", Float),
    Column("seconds", Float),  # time that the rater spent on the task
    Column("reason", Text),  # for skipping
    UniqueConstraint("task", "rater"),
)
Index("assignments_of_rater", assignments.c.rater, assignments.c.state)

answers = Table(
    "answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("assignment", ForeignKey("assignments.id"), nullable=False),
    Column("question", ForeignKey("questions.id"), nullable=False),
    Column("revision", Integer, nullable=False),  # the highest counts; the others are history
    Column("category", Integer, nullable=False),  # position in the settings' categories
    Column("given", Float, nullable=False),
    UniqueConstraint("assignment", "question", "revision"),
)

# Keys of the requests that were carried out: a request that is sent twice counts once.
requests = Table(
    "requests",
    metadata,
    Column("assignment", ForeignKey("assignments.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
)

"""A rating project: its database is filled from tasks, gold, class names and a folder of images."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, func, insert, select

from real_labels.answers import Gold
from real_labels.errors import InputError
from real_labels.labels import match
from real_labels.rating import schema
from real_labels.rating.database import Database, Settings
from real_labels.rating.queue import GOLD, WARM_UP, WORK
from real_labels.rating.splitting import MAX_LABELS
from real_labels.rating.tasks import Task

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def store(database: Database, settings: Settings, guidelines: str) -> None:
    """Stores the settings and the guidelines of a new project."""
    with database.writing() as connection:
        database.state_fact(connection, "settings", dataclasses.asdict(settings))
        database.state_fact(connection, "guidelines", guidelines)
        database.state_fact(connection, "secret", secrets.token_hex(32))  # of the pages' tokens


def add_tasks(
    database: Database,
    tasks: Sequence[Task],
    gold: Gold | None,
    folder: str | os.PathLike[str] | None,
    names: Mapping[int, tuple[str, str]],
    seed: int = 0,
) -> tuple[int, int]:
    """Adds a batch of tasks, and gold.

    Args:
      database: the database.
      tasks: the tasks; those that are there already, by their id, are left out.
      gold: questions of known truth. A task whose questions are all gold is hidden gold; gold questions that
        are in no such task make tasks of their own. Nobody's work is a task whose truth is known.
      folder: of the images; None: the database has no pictures (answers come another way).
      names: name and description of classes that the tasks do not name.
      seed: of the order in which tasks are lent.

    Returns:
      Numbers of work and of gold tasks that were added.

    Raises:
      InputError: if an image of a task is not in the folder.
    """
    settings_tasks = list(tasks)
    truths = _truths(gold, settings_tasks)
    gold_tasks = [t for t in settings_tasks if all((t.file_name, c) in truths for c in t.labels)]
    are_gold = {task.task for task in gold_tasks}
    gold_tasks += _tasks_of_gold(gold, gold_tasks) if gold is not None else []
    work = [task for task in settings_tasks if task.task not in are_gold]
    paths = _pictures(folder, [task.file_name for task in (*work, *gold_tasks)])
    with database.writing() as connection:
        known = set(connection.scalars(select(schema.tasks.c.name)))
        fresh = [(t, WORK) for t in work if t.task not in known]
        fresh_gold = [t for t in gold_tasks if t.task not in known]
        settings = database.settings(connection)
        has_warm_up = connection.scalar(
            select(func.count()).select_from(schema.tasks).where(schema.tasks.c.kind == WARM_UP)
        )
        rng = np.random.default_rng(seed)
        number = max(0, min(settings.warm_up - has_warm_up, len(fresh_gold)))
        warm_up = set(rng.permutation(len(fresh_gold))[:number].tolist())
        fresh += [(t, WARM_UP if i in warm_up else GOLD) for i, t in enumerate(fresh_gold)]
        if not fresh:
            return 0, 0
        _add_classes(connection, [task for task, _ in fresh], names)
        _add(connection, fresh, truths | _own_truths(gold), paths, settings, rng)
    return sum(kind == WORK for _, kind in fresh), len(fresh_gold)


def _truths(gold: Gold | None, tasks: Sequence[Task]) -> dict[tuple[str, int], bool]:
    """Truth of each question of the tasks that is gold, by the tasks' file names."""
    if gold is None or not tasks:
        return {}
    ours = np.array(sorted({task.file_name for task in tasks}))
    rows = match(ours, gold.questions.file_names)
    found = {}
    for image, label, present in zip(
        gold.questions.image.tolist(), gold.questions.label.tolist(), gold.present, strict=True
    ):
        if rows[image] >= 0:
            found[str(ours[rows[image]]), label] = bool(present)
    return found


def _own_truths(gold: Gold | None) -> dict[tuple[str, int], bool]:
    """Truth of each gold question, by the gold's own file names."""
    if gold is None:
        return {}
    names = gold.questions.file_name().tolist()
    pairs = zip(names, gold.questions.label.tolist(), strict=True)
    return dict(zip(pairs, map(bool, gold.present), strict=True))


def _tasks_of_gold(gold: Gold, gold_tasks: Sequence[Task]) -> list[Task]:
    """Tasks of the gold questions that none of the gold tasks asks, up to 8 labels each."""
    asked = {(task.file_name, label) for task in gold_tasks for label in task.labels}
    names = np.array(sorted({task.file_name for task in gold_tasks}) or [""])
    rows = match(names, gold.questions.file_names)
    by_image: dict[int, list[int]] = {}
    for image, label in zip(
        gold.questions.image.tolist(), gold.questions.label.tolist(), strict=True
    ):
        if rows[image] < 0 or (str(names[rows[image]]), label) not in asked:
            by_image.setdefault(image, []).append(label)
    found = []
    for image, labels in by_image.items():
        name = str(gold.questions.file_names[image])
        parts = np.array_split(sorted(labels), -(-len(labels) // MAX_LABELS))
        for number, part in enumerate(parts, 1):
            chosen = tuple(int(label) for label in part)
            found.append(Task(f"gold:{name}#{number}", name, chosen, chosen))
    return found


def check_pictures(
    folder: str | os.PathLike[str], tasks: Sequence[Task], gold: Gold | None
) -> None:
    """Makes sure that the images of tasks and gold are in the folder, before a database is made.

    Raises:
      InputError: naming the first that is not.
    """
    names = [task.file_name for task in tasks]
    _pictures(folder, names + ([] if gold is None else gold.questions.file_names.tolist()))


def _pictures(
    folder: str | os.PathLike[str] | None, file_names: Iterable[str]
) -> dict[str, str | None]:
    """Path of each image's picture in the folder, however its folders are written."""
    wanted = list(dict.fromkeys(file_names))
    if folder is None:
        return dict.fromkeys(wanted)
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder of images.")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
    names = np.array([p.relative_to(root).as_posix() for p in paths], dtype=np.str_)
    rows = match(names, np.array(wanted, dtype=np.str_)) if paths else np.full(len(wanted), -1)
    if (rows < 0).any():
        missing = [name for name, row in zip(wanted, rows.tolist(), strict=True) if row < 0]
        raise InputError(
            f"{root}: has no picture of {len(missing):,} of the {len(wanted):,} images of the tasks (first: "
            f"{missing[0]})."
        )
    return {n: str(paths[r].resolve()) for n, r in zip(wanted, rows.tolist(), strict=True)}


def _add_classes(
    connection: Connection, tasks: Sequence[Task], names: Mapping[int, tuple[str, str]]
) -> None:
    found: dict[int, tuple[str, str]] = {}
    for task in tasks:
        for place, label in enumerate(task.labels):
            name, description = names.get(label, (f"class {label}", ""))
            found[label] = (
                task.names[place] if task.names else name,
                task.descriptions[place] if task.descriptions else description,
            )
    known = set(connection.scalars(select(schema.classes.c.id)))
    rows = [
        {"id": label, "name": name, "description": description}
        for label, (name, description) in sorted(found.items())
        if label not in known
    ]
    if rows:
        connection.execute(insert(schema.classes), rows)


def _add(
    connection: Connection,
    fresh: Sequence[tuple[Task, str]],
    truths: Mapping[tuple[str, int], bool],
    paths: Mapping[str, str | None],
    settings: Settings,
    rng: np.random.Generator,
) -> None:
    images = dict(connection.execute(select(schema.images.c.file_name, schema.images.c.id)).all())
    next_image = 1 + max(images.values(), default=0)
    rows = []
    for name in dict.fromkeys(task.file_name for task, _ in fresh):
        if name not in images:
            images[name] = next_image
            rows.append({"id": next_image, "file_name": name, "path": paths[name]})
            next_image += 1
    if rows:
        connection.execute(insert(schema.images), rows)
    first = 1 + (connection.scalar(select(func.max(schema.tasks.c.id))) or 0)
    start = 1 + (connection.scalar(select(func.max(schema.tasks.c.place))) or 0)
    places = (start + rng.permutation(len(fresh))).tolist()
    connection.execute(
        insert(schema.tasks),
        [
            {
                "id": first + i,
                "name": task.task,
                "image": images[task.file_name],
                "kind": kind,
                "place": places[i],
                "wanted": settings.first_wanted if kind == WORK else 0,
                "is_open": kind == WORK,
            }
            for i, (task, kind) in enumerate(fresh)
        ],
    )
    connection.execute(
        insert(schema.questions),
        [
            {
                "task": first + i,
                "label": label,
                "is_asked": kind != WORK or label in task.ask,
                "truth": truths.get((task.file_name, label)) if kind != WORK else None,
            }
            for i, (task, kind) in enumerate(fresh)
            for label in task.labels
        ],
    )

"""Fills the database of a rating project with tasks, gold, class names and paths of images."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, func, insert, select

from real_labels.answers import Gold
from real_labels.errors import InputError, naming
from real_labels.labels import rows_of
from real_labels.rating import counting, schema
from real_labels.rating.database import Database, Settings
from real_labels.rating.schema import GOLD, WARM_UP, WORK
from real_labels.rating.splitting import MAX_LABELS
from real_labels.rating.tasks import Task

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def store(database: Database, settings: Settings, guidelines: str) -> None:
    """Stores the settings and the guidelines of a new project."""
    with database.writing() as connection:
        database.store_fact(connection, "settings", dataclasses.asdict(settings))
        database.store_fact(connection, "guidelines", guidelines)
        database.store_fact(connection, "secret", secrets.token_hex(32))  # signs the pages' tokens


def add_tasks(
    database: Database,
    tasks: Sequence[Task],
    gold: Gold | None,
    pictures: Mapping[str, str],
    names: Mapping[int, tuple[str, str]],
    seed: int = 0,
) -> tuple[int, int]:
    """Adds a batch of tasks and gold to the database.

    Args:
      database: the database.
      tasks: the tasks. A task whose id is in the database already is left out. A label that another work task
        asks about already is shown for contrast.
      gold: questions of known truth. A task whose labels are all gold becomes a gold task, not work. The gold
        questions in none of these tasks make tasks of their own.
      pictures: path of each image's file, by file name; images without a path are shown without a picture.
      names: name and description of each class, for tasks without names.
      seed: seed of the order in which tasks are lent, and of the choice of warm-up tasks.

    Returns:
      The numbers of work tasks and of gold tasks that were added.

    Raises:
      InputError: if the database has a task with the same id and other labels.
    """
    truths = {} if gold is None else _truths(gold, tasks)
    by_kind: dict[bool, list[Task]] = {True: [], False: []}
    for task in tasks:
        by_kind[all((task.file_name, label) in truths for label in task.labels)].append(task)
    gold_tasks = by_kind[True] + _remaining_gold(truths, by_kind[True])
    with database.writing(changes_many=True) as connection:
        settings = database.settings(connection)
        known_ids = set(connection.scalars(select(schema.tasks.c.name)))
        is_warm_up = schema.tasks.c.kind == WARM_UP
        warm_up_tasks = select(func.count()).select_from(schema.tasks).where(is_warm_up)
        missing = settings.warm_up - counting.number(connection, warm_up_tasks)
        rng = np.random.default_rng(seed)
        work = _new_work(connection, by_kind[False])
        fresh_gold = [task for task in gold_tasks if task.task not in known_ids]
        warm_up = set(rng.permutation(len(fresh_gold))[: max(0, missing)].tolist())
        fresh = [(task, WORK) for task in work]
        fresh += [(t, WARM_UP if i in warm_up else GOLD) for i, t in enumerate(fresh_gold)]
        if fresh:
            _add_classes(connection, [task for task, _ in fresh], names)
            _add(connection, fresh, truths, pictures, settings, rng)
    return len(work), len(fresh_gold)


def _new_work(connection: Connection, tasks: Sequence[Task]) -> list[Task]:
    """Returns the tasks that are not in the database yet, without the questions that another task asks."""
    labels_of: dict[str, set[int]] = {}
    asked: set[tuple[str, int]] = set()
    for name, kind, file_name, label in connection.execute(
        select(
            schema.tasks.c.name,
            schema.tasks.c.kind,
            schema.images.c.file_name,
            schema.questions.c.label,
        )
        .join(schema.tasks, schema.tasks.c.id == schema.questions.c.task)
        .join(schema.images, schema.images.c.id == schema.tasks.c.image)
    ):
        labels_of.setdefault(name, set()).add(label)
        if kind == WORK:
            asked.add((file_name, label))
    new_tasks = []
    for task in tasks:
        if task.task in labels_of:
            if labels_of[task.task] != set(task.labels):
                raise InputError(
                    f"Task {task.task} already exists with other labels "
                    f"({sorted(labels_of[task.task])} in the database, {sorted(task.labels)} in the new "
                    f"batch). Give the new tasks ids of their own."
                )
            continue
        ask = tuple(label for label in task.ask if (task.file_name, label) not in asked)
        if ask:
            asked |= {(task.file_name, label) for label in ask}
            new_tasks.append(dataclasses.replace(task, ask=ask))
    return new_tasks


def _truths(gold: Gold, tasks: Sequence[Task]) -> dict[tuple[str, int], bool]:
    """Returns the truth of each gold question, by (file name as the tasks write it, label)."""
    names = list(dict.fromkeys(task.file_name for task in tasks))
    asked = gold.questions.named_as(np.array(names, dtype=np.str_)) if names else gold.questions
    pairs = zip(asked.file_name().tolist(), asked.label.tolist(), strict=True)
    return dict(zip(pairs, gold.present.tolist(), strict=True))


def _remaining_gold(
    truths: Mapping[tuple[str, int], bool], gold_tasks: Sequence[Task]
) -> list[Task]:
    """Makes tasks of the gold questions that are in no gold task, with up to 8 labels each."""
    asked = {(task.file_name, label) for task in gold_tasks for label in task.labels}
    by_image: dict[str, list[int]] = {}
    for name, label in truths:
        if (name, label) not in asked:
            by_image.setdefault(name, []).append(label)
    new_tasks = []
    for name, labels in by_image.items():
        parts = np.array_split(sorted(labels), -(-len(labels) // MAX_LABELS))
        for number, part in enumerate(parts, 1):
            chosen = tuple(part.tolist())
            new_tasks.append(Task(f"gold:{name}#{number}", name, chosen, chosen))
    return new_tasks


def pictures_of(
    folder: str | os.PathLike[str], tasks: Sequence[Task], gold: Gold | None = None
) -> dict[str, str]:
    """Finds the file of each image of tasks and gold in a folder; names are matched whatever their folders.

    Returns:
      The absolute path of each image, by the file name in the tasks or the gold.

    Raises:
      InputError: if there is no such folder, or images are missing in it, naming the first of them.
    """
    wanted = dict.fromkeys(task.file_name for task in tasks)
    wanted |= dict.fromkeys([] if gold is None else gold.questions.file_names.tolist())
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(
            f"{root}: is not a folder; expected the folder that holds the tasks' images."
        )
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
    names = np.array([p.relative_to(root).as_posix() for p in paths], dtype=np.str_)
    with naming(root):
        rows = rows_of(
            names,
            np.array(list(wanted), dtype=np.str_),
            "lacks {missing} of the {total} images of tasks and gold (first: {first}).",
        )
    return {
        name: str(paths[row].resolve()) for name, row in zip(wanted, rows.tolist(), strict=True)
    }


def _add_classes(
    connection: Connection, tasks: Sequence[Task], names: Mapping[int, tuple[str, str]]
) -> None:
    texts: dict[int, tuple[str, str]] = {}  # name and description of each class
    for task in tasks:
        for place, label in enumerate(task.labels):
            name, description = names.get(label, (f"class {label}", ""))
            texts[label] = (
                task.names[place] if task.names else name,
                task.descriptions[place] if task.descriptions else description,
            )
    known = set(connection.scalars(select(schema.classes.c.id)))
    rows = [
        {"id": label, "name": name, "description": description}
        for label, (name, description) in sorted(texts.items())
        if label not in known
    ]
    if rows:
        connection.execute(insert(schema.classes), rows)


def _add(
    connection: Connection,
    fresh: Sequence[tuple[Task, str]],
    truths: Mapping[tuple[str, int], bool],
    pictures: Mapping[str, str],
    settings: Settings,
    rng: np.random.Generator,
) -> None:
    images = dict(connection.execute(select(schema.images.c.file_name, schema.images.c.id)).all())
    next_image = 1 + max(images.values(), default=0)
    rows = []
    for name in dict.fromkeys(task.file_name for task, _ in fresh):
        if name not in images:
            images[name] = next_image
            rows.append({"id": next_image, "file_name": name, "path": pictures.get(name)})
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

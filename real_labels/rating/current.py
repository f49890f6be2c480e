"""The labels so far, for the administrator's page: the least sure questions, and the last answered images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, select

from real_labels.rating.schema import classes, images

if TYPE_CHECKING:
    from real_labels.aggregation import Aggregate
    from real_labels.rating.results import Collected

_MAX_LISTED = 30  # listed questions, and listed images


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of the classes and ids of the images.

    Attributes:
      classes: name of each class, by class index.
      images: id of each image, by file name.
    """

    classes: Mapping[int, str]
    images: Mapping[str, int]

    @classmethod
    def of(cls, connection: Connection) -> Names:
        """Reads the names and ids from the database."""
        return cls(
            dict(connection.execute(select(classes.c.id, classes.c.name)).all()),
            dict(connection.execute(select(images.c.file_name, images.c.id)).all()),
        )


def unsure_questions(
    names: Names, collected: Collected, aggregate: Aggregate, until: float
) -> list[dict[str, Any]]:
    """Returns up to 30 questions that are less sure than `until`, the least sure first.

    Each item has image (its id), file_name, label, name (of the class), score (P(present | answers)) and
    votes (the number of answers in each category).
    """
    answers, scores = collected.work, aggregate.scores
    assert answers is not None  # `aggregate` was made from them
    rows = np.argsort(aggregate.sureness, kind="stable")[:_MAX_LISTED]
    rows = rows[aggregate.sureness[rows] < until]
    votes = np.stack([answers.votes(c) for c in range(len(answers.categories))], axis=1)
    asked = scores.questions.take(rows)
    listed = []
    for row, file_name, label in zip(
        rows.tolist(), asked.file_name().tolist(), asked.label.tolist(), strict=True
    ):
        listed.append(
            {
                "image": names.images[file_name],
                "file_name": file_name,
                "label": label,
                "name": names.classes[label],
                "score": float(scores.probability[row]),
                "votes": dict(zip(answers.categories, votes[row].tolist(), strict=True)),
            }
        )
    return listed


def labels_of_last_images(
    names: Names, collected: Collected, aggregate: Aggregate
) -> list[dict[str, Any]]:
    """Returns the up to 30 images that were answered last, newest first, with their labels so far.

    Each item has image (its id), file_name and labels: label, name and score of each class that scores more
    than 0.5, which are the labels that the command `aggregate` keeps.
    """
    newest = sorted(collected.rows, key=lambda row: -row.given)
    chosen = list(dict.fromkeys(row.file_name for row in newest))[:_MAX_LISTED]
    labels: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    questions, probability = aggregate.scores.questions, aggregate.scores.probability
    pairs = zip(questions.file_name().tolist(), questions.label.tolist(), strict=True)
    for (file_name, label), score in zip(pairs, probability.tolist(), strict=True):
        if file_name in labels and score > 0.5:
            labels[file_name].append({"label": label, "name": names.classes[label], "score": score})
    return [
        {"image": names.images[name], "file_name": name, "labels": labels[name]} for name in chosen
    ]

"""Errors of the original labels themselves, without any model: those that raters rejected."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy, top_k_accuracy
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Drawn, Section, Table
from real_labels.analysis.study import Study
from real_labels.answers import Answers
from real_labels.labels import ClassNames, LabelSets
from real_labels.predictions import Predictions

KEY = "label_errors"
_DRAWN = 20
_SHOWN = 200
_INSTEAD = 3  # ReaL labels named for each class


def measure(original: LabelSets, real: LabelSets) -> dict[str, Any]:
    """Counts original labels that are not among the ReaL labels of their image.

    Args:
      original: one class an image.
      real: of the same images; those without a label have none that is right.

    Returns:
      {"num_images", "num_labels": ReaL labels, "with_several", "rejected": share of all images (value,
      low, high, n) with "count" = "with_other_labels" + "without_labels", "original_accuracy": the
      original labels' ReaL accuracy, "classes": [{"class", "num_images", "rejected", "with_other_labels",
      "without_labels", "instead": [[class, images] …], what the images of "with_other_labels" show}],
      the worst first (by the lower end of the share's interval). The classes' counts add up to the totals.
    """
    rows = real.rows(original.file_names)
    number = real.counts[rows]
    label = original.classes
    accepted = real.contains(rows, label[:, None])[:, 0]
    other = ~accepted & (number > 0)
    none = number == 0
    rejected = Accuracy.of(np.count_nonzero(~accepted), len(original)).as_json()
    size = 1 + int(label.max(initial=0))
    columns = [np.bincount(label[mask], minlength=size) for mask in (other, none)]
    images = np.bincount(label, minlength=size)
    instead = _instead(real, rows[other], label[other])
    classes = []
    for class_ in np.flatnonzero(images).tolist():
        with_other, without = (int(column[class_]) for column in columns)
        share = Accuracy.of(with_other + without, images[class_]).as_json()
        classes.append(
            {
                "class": class_,
                "num_images": int(images[class_]),
                "rejected": {**share, "count": with_other + without},
                "with_other_labels": with_other,
                "without_labels": without,
                "instead": [[c, n] for c, n in instead[class_].most_common(_INSTEAD)],
            }
        )
    return {
        "num_images": len(original),
        "num_labels": int(number.sum()),
        "with_several": int(np.count_nonzero(number > 1)),
        "rejected": {**rejected, "count": int(np.count_nonzero(~accepted))},
        "with_other_labels": int(np.count_nonzero(other)),
        "without_labels": int(np.count_nonzero(none)),
        "original_accuracy": top_k_accuracy(Predictions.from_labels(original), real).as_json(),
        "classes": sorted(classes, key=lambda one: -one["rejected"]["low"]),
    }


def _instead(
    real: LabelSets, rows: np.ndarray, label: np.ndarray
) -> dict[int, collections.Counter[int]]:
    """For each original class, how often each other class is valid in its place."""
    counts: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    sets = real.take(rows)
    owner = np.repeat(label, sets.counts)
    for class_, found in zip(owner.tolist(), sets.classes.tolist(), strict=True):
        counts[class_][found] += 1
    return counts


@figures.styled
def draw(record: Mapping[str, Any], names: ClassNames) -> Figure:
    """The classes with the most rejected labels: shown something else, or nothing that has a label."""
    worst = record["classes"][:_DRAWN]
    figure, (axis,) = figures.rows_axes([names[one["class"]] for one in worst])
    links = [f"class-{one['class']}" for one in worst]
    parts = (
        ("with_other_labels", figures.ORIGINAL, "another label is right"),
        ("without_labels", figures.GREY, "none is"),
    )
    figures.stack(
        axis,
        [
            figures.Part(
                title, colour, [100 * one[key] / one["num_images"] for one in worst], links
            )
            for key, colour, title in parts
        ],
    )
    axis.axvline(
        100 * record["rejected"]["value"], color=figures.INK, linestyle=(0, (4, 3)), linewidth=1,
        label="all classes",
    )  # fmt: skip
    axis.set_xlabel("original labels that were rejected, %")
    figures.legend(figure, [axis])
    return figure


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="Label errors",
        question="Which original labels were rejected, whatever any model says?",
    )
    missing = study.missing("original", "real")
    if missing:
        return Section(**head, missing=missing)
    record = measure(study.original, study.real)
    names = study.class_names
    title = "The classes with the most rejected original labels"
    return Section(
        **head,
        lead=_lead(record, names),
        missing=[f"{one} The list has no votes." for one in study.missing("answers")],
        tiles=[]
        if study.models
        else section.tiles(
            (record["original_accuracy"], "the original labels' own ReaL accuracy", "real"),
            (record["rejected"], "of the original labels are no ReaL label", "original"),
        ),
        numbers=record,
        figures=[Drawn(KEY, title, draw(record, names))] if record["rejected"]["count"] else [],
        tables=[_table(record, study)],
        lists={
            "label_errors": _list(study),
            "label_errors_by_class": _classes_list(record, study),
        },
        notes=[
            "Rejected is an original label that is not among the image's ReaL labels. Classes are ranked by "
            "the lower end of the Wilson interval of the share, so that few images do not come first.",
        ],
    )


def _lead(record: Mapping[str, Any], names: ClassNames) -> str:
    worst = record["classes"][0]
    own = record["original_accuracy"]
    return (
        f"{record['rejected']['count']:,} of {record['num_images']:,} original labels "
        f"({section.percent(record['rejected'])}) are not among the ReaL labels: on "
        f"{record['with_other_labels']:,} images another label is, {record['without_labels']:,} have none. "
        f"On the {own['n']:,} with a ReaL label, the original labels' own ReaL accuracy is "
        f"{section.percent(own, 2)}."
    ) + (
        f" The worst class is {names[worst['class']]}: {worst['rejected']['count']} of "
        f"{worst['num_images']}."
        if worst["rejected"]["count"]
        else ""
    )


def _table(record: Mapping[str, Any], study: Study) -> Table:
    names = study.class_names
    columns = [
        Column("class", is_text=True),
        Column("rejected", "Share of the class's images"),
        Column("images"),
        Column("another is right"),
        Column("none is"),
        Column(
            "what is there instead", "ReaL labels of those images, the most frequent ones", True
        ),
    ]
    rows = []
    for one in record["classes"][:_SHOWN]:
        if not one["rejected"]["count"]:
            break
        rows.append(
            (
                f"class-{one['class']}",
                [
                    section.text(names[one["class"]]),
                    section.share(one["rejected"], bar=True),
                    section.count(one["num_images"]),
                    section.count(one["with_other_labels"]),
                    section.count(one["without_labels"]),
                    section.text(_said(one, names, ", ")),
                ],
            )
        )
    title = f"The {len(rows)} classes with the most rejected labels"
    return Table(f"{KEY}-classes", title, columns, rows, "label_errors_by_class")


def _list(study: Study) -> dict[str, np.ndarray]:
    """Every image whose original label was rejected, with what raters said of it."""
    original, real, names = study.original, study.real, study.class_names
    rows = real.rows(original.file_names)
    wrong = np.flatnonzero(~real.contains(rows, original.classes[:, None])[:, 0])
    file_names, label = original.file_names[wrong], original.classes[wrong]
    columns = {
        "file_name": file_names,
        "original": label,
        "original_name": names.of(label),
        **study.real_columns(file_names),
    }
    if study.answers is not None:
        columns |= _votes(study.answers, file_names, label)
    return columns


def _votes(answers: Answers, file_names: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """How many raters gave each answer; 0 where nobody was asked."""
    at = answers.questions.find_pairs(file_names, label)
    return {
        f"answers_{name}": np.where(at >= 0, answers.votes(i)[np.maximum(at, 0)], 0)
        for i, name in enumerate(answers.categories)
    }


def _classes_list(record: Mapping[str, Any], study: Study) -> dict[str, np.ndarray]:
    classes, names = record["classes"], study.class_names
    index = np.array([one["class"] for one in classes])
    return {
        "class": index,
        "name": names.of(index),
        "images": np.array([one["num_images"] for one in classes]),
        "rejected": np.array([one["rejected"]["count"] for one in classes]),
        **section.columns("rejected", [one["rejected"] for one in classes]),
        "with_other_labels": np.array([one["with_other_labels"] for one in classes]),
        "without_labels": np.array([one["without_labels"] for one in classes]),
        "instead": np.array([_said(one, names, "; ") for one in classes], np.str_),
    }


def _said(one: Mapping[str, Any], names: ClassNames, between: str) -> str:
    """What is there instead of a class, with the number of images."""
    return between.join(f"{names[class_]} {n}" for class_, n in one["instead"])

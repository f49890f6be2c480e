"""Errors of the original labels: labels that are not valid. No model is needed."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy, top_k_accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Content, SectionFigure, Table
from real_labels.analysis.study import Study
from real_labels.answers import Answers
from real_labels.intervals import percent
from real_labels.labels import ClassNames, LabelSets
from real_labels.predictions import Predictions

KEY = "label_errors"
_DRAWN = 20
_SHOWN = 200
_INSTEAD = 3  # valid labels named for each class


@dataclasses.dataclass(frozen=True)
class Rejected(Accuracy):
    """Original labels that are not valid, as a share of the images.

    Attributes:
      count: number of these labels.
    """

    count: int

    @classmethod
    def among(cls, count: int, n: int) -> Rejected:
        """`count` rejected labels among `n`, with the interval of the share."""
        return cls.of(count, n, count=int(count))


@dataclasses.dataclass(frozen=True)
class ClassErrors:
    """The errors of one original label.

    Attributes:
      class_: the original label.
      num_images: number of images with this label.
      rejected: the images on which it is not valid: with_other_labels + without_labels.
      with_other_labels, without_labels: number of these on which another class is valid, or no class.
      instead: (class, number of images) of the classes that are valid instead, the most frequent first.
    """

    class_: int
    num_images: int
    rejected: Rejected
    with_other_labels: int
    without_labels: int
    instead: Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class LabelErrors:
    """Original labels that are not among the valid labels of their image.

    Attributes:
      num_images: number of images with an original label.
      num_labels: number of all valid labels.
      with_several: number of images with several valid labels.
      rejected: the images whose original label is not valid: with_other_labels + without_labels.
      with_other_labels, without_labels: number of these on which another class is valid, or no class.
      original_accuracy: the original labels' own accuracy on the valid labels.
      classes: the errors by original label, sorted by the lower end of the share's interval, highest first.
        Their counts add up to the totals.
    """

    num_images: int
    num_labels: int
    with_several: int
    rejected: Rejected
    with_other_labels: int
    without_labels: int
    original_accuracy: Accuracy
    classes: Sequence[ClassErrors]


def measure(original: LabelSets, valid: LabelSets) -> LabelErrors:
    """Counts original labels that are not among the valid labels of their image.

    Args:
      original: one class for each image.
      valid: valid labels of the same images; on an image without valid labels, the original label is wrong.
    """
    rows = valid.rows(original.file_names)
    number = valid.counts[rows]
    label = original.classes
    accepted = valid.contains(rows, label[:, None])[:, 0]
    other = ~accepted & (number > 0)
    none = number == 0
    size = 1 + int(label.max(initial=0))
    columns = [np.bincount(label[mask], minlength=size) for mask in (other, none)]
    images = np.bincount(label, minlength=size)
    instead = _instead(valid, rows[other], label[other])
    classes = []
    for class_ in np.flatnonzero(images).tolist():
        with_other, without = (int(column[class_]) for column in columns)
        classes.append(
            ClassErrors(
                class_,
                int(images[class_]),
                Rejected.among(with_other + without, images[class_]),
                with_other,
                without,
                instead[class_].most_common(_INSTEAD),
            )
        )
    return LabelErrors(
        num_images=len(original),
        num_labels=int(number.sum()),
        with_several=int(np.count_nonzero(number > 1)),
        rejected=Rejected.among(int(np.count_nonzero(~accepted)), len(original)),
        with_other_labels=int(np.count_nonzero(other)),
        without_labels=int(np.count_nonzero(none)),
        original_accuracy=top_k_accuracy(Predictions.from_labels(original), valid),
        classes=sorted(classes, key=lambda errors: -errors.rejected.low),
    )


def _instead(
    valid: LabelSets, rows: np.ndarray, label: np.ndarray
) -> dict[int, collections.Counter[int]]:
    """For each original class, how often each other class is valid in its place."""
    counts: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    sets = valid.take(rows)
    owner = np.repeat(label, sets.counts)
    for class_, valid_class in zip(owner.tolist(), sets.classes.tolist(), strict=True):
        counts[class_][valid_class] += 1
    return counts


@figures.styled
def draw(errors: LabelErrors, names: ClassNames) -> Figure:
    """Draws the classes with the most rejected labels, split by whether another label is right or none."""
    worst = errors.classes[:_DRAWN]
    figure, (axis,) = figures.rows_axes([names[class_errors.class_] for class_errors in worst])
    links = [f"class-{class_errors.class_}" for class_errors in worst]
    parts = (
        (
            [class_errors.with_other_labels for class_errors in worst],
            figures.ORIGINAL,
            "another label is right",
        ),
        (
            [class_errors.without_labels for class_errors in worst],
            figures.GREY,
            "no label is right",
        ),
    )
    figures.stack(
        axis,
        [
            figures.Part(
                title,
                colour,
                [
                    100 * n / class_errors.num_images
                    for n, class_errors in zip(counts, worst, strict=True)
                ],
                links,
            )
            for counts, colour, title in parts
        ],
    )
    axis.axvline(
        100 * errors.rejected.value, color=figures.INK, linestyle=(0, (4, 3)), linewidth=1,
        label="all classes",
    )  # fmt: skip
    axis.set_xlabel("original labels that were rejected, %")
    figures.legend(figure, [axis])
    return figure


def make(study: Study) -> Content:
    """Counts the original labels of a study that the judge rejects."""
    judge, names = study.judge, study.class_names
    assert study.original is not None  # `Analysis.sections` checks it
    errors = measure(study.original, judge.labels)
    title = "The classes with the most rejected original labels"
    tiles = section.tiles(
        (errors.original_accuracy, f"the original labels' own {judge.title} accuracy", "real"),
        (errors.rejected, f"of the original labels are not {judge.title} labels", "original"),
    )
    return Content(
        lead=_lead(errors, names, judge.title),
        missing=[
            f"{sentence} The list therefore has no votes." for sentence in study.missing("answers")
        ],
        tiles=[] if study.models else tiles,
        numbers=errors,
        figures=[SectionFigure(KEY, title, draw(errors, names))] if errors.rejected.count else [],
        tables=[_table(errors, names, judge.title)],
        lists={
            "label_errors": _list(study),
            "label_errors_by_class": _classes_list(errors, names),
        },
        notes=[
            f"An original label is rejected if it is not among the image's {judge.title} labels. Classes are "
            f"sorted by the lower end of the share's Wilson interval, so that classes with few images do not "
            f"come first.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Label errors",
    "Which original labels are not among the reassessed labels? (No model is involved.)",
    needs=("original", "reassessments"),
    make=make,
    by_one=True,
)


def _lead(errors: LabelErrors, names: ClassNames, by: str) -> str:
    own = errors.original_accuracy
    lead = (
        f"{errors.rejected.count:,} of {errors.num_images:,} original labels "
        f"({percent(errors.rejected, 1)}) are not among the {by} labels: on "
        f"{errors.with_other_labels:,} images another label is, {errors.without_labels:,} have none. "
        f"On the {own.n:,} with a {by} label, the original labels' own {by} accuracy is "
        f"{percent(own)}."
    )
    worst = errors.classes[0]
    if not worst.rejected.count:
        return lead
    count = f"{worst.rejected.count} of {worst.num_images}"
    return f"{lead} The worst class is {names[worst.class_]}: {count}."


def _table(errors: LabelErrors, names: ClassNames, by: str) -> Table:
    columns = [
        Column("class", lambda class_errors: names[class_errors.class_], is_text=True),
        Column(
            "rejected",
            lambda class_errors: section.share(class_errors.rejected, bar=True),
            "Share of the class's images",
        ),
        Column("images", lambda class_errors: class_errors.num_images),
        Column("another label is right", lambda class_errors: class_errors.with_other_labels),
        Column("no label is right", lambda class_errors: class_errors.without_labels),
        Column(
            "valid instead",
            lambda class_errors: _replacements(class_errors, names, ", "),
            f"The most frequent {by} labels of the images with a rejected label",
            is_text=True,
        ),
    ]
    worst = [
        class_errors for class_errors in errors.classes[:_SHOWN] if class_errors.rejected.count
    ]
    return Table.of(
        f"{KEY}-classes",
        f"The {len(worst)} classes with the most rejected labels",
        columns,
        worst,
        lambda class_errors: f"class-{class_errors.class_}",
        "label_errors_by_class",
    )


def _list(study: Study) -> dict[str, np.ndarray]:
    """Every image whose original label was rejected, with the raters' votes on the label."""
    original, valid, names = study.original, study.judge.labels, study.class_names
    assert original is not None  # `Analysis.sections` checks it
    rows = valid.rows(original.file_names)
    wrong = np.flatnonzero(~valid.contains(rows, original.classes[:, None])[:, 0])
    file_names, label = original.file_names[wrong], original.classes[wrong]
    columns = {
        "file_name": file_names,
        "original": label,
        "original_name": names.of(label),
        **study.label_columns(file_names),
    }
    if study.answers is not None:
        columns |= _votes(study.answers, file_names, label)
    return columns


def _votes(answers: Answers, file_names: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Columns with the number of raters who gave each answer; 0 if no rater was asked."""
    at = answers.questions.find_pairs(file_names, label)
    return {
        f"answers_{name}": np.where(at >= 0, answers.votes(i)[np.maximum(at, 0)], 0)
        for i, name in enumerate(answers.categories)
    }


def _classes_list(errors: LabelErrors, names: ClassNames) -> dict[str, np.ndarray]:
    classes = errors.classes
    index = np.array([class_errors.class_ for class_errors in classes])
    return {
        "class": index,
        "name": names.of(index),
        "images": np.array([class_errors.num_images for class_errors in classes]),
        "rejected": np.array([class_errors.rejected.count for class_errors in classes]),
        **section.columns("rejected", [class_errors.rejected for class_errors in classes]),
        "with_other_labels": np.array([class_errors.with_other_labels for class_errors in classes]),
        "without_labels": np.array([class_errors.without_labels for class_errors in classes]),
        "instead": np.array(
            [_replacements(class_errors, names, "; ") for class_errors in classes], np.str_
        ),
    }


def _replacements(class_errors: ClassErrors, names: ClassNames, between: str) -> str:
    """The classes that are valid instead of a class, with their numbers of images, as text."""
    return between.join(f"{names[class_]} {n}" for class_, n in class_errors.instead)

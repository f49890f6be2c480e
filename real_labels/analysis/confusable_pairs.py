"""Pairs of classes that cannot be told apart, such as sunglass and sunglasses (section 4 of the paper)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Content, SectionFigure, Table
from real_labels.analysis.study import Study
from real_labels.files.records import as_json
from real_labels.intervals import Estimate, percent, wilson_interval
from real_labels.labels import ORIGINAL, LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

KEY = "confusable_pairs"
AT_LEAST = 5  # images that two classes must share
MOST_MEASURED = 100  # pairs on which the models are measured
_DRAWN = 15  # pairs in the figure
_ONE_LINE = 20  # characters that fit into a line beside an axis
_CHANCE = 0.5


@dataclasses.dataclass(frozen=True)
class ToldApart(Estimate):
    """Balanced accuracy between the two classes of a pair, with Newcombe's interval.

    Attributes:
      n: number of images.
      num_predictions: number of predictions.
    """

    num_predictions: int


@dataclasses.dataclass(frozen=True)
class ToldApartBy:
    """Balanced accuracies by one label set: of each model, and of all models' predictions together."""

    models: Mapping[str, ToldApart]
    all: ToldApart


@dataclasses.dataclass(frozen=True)
class ClassPair:
    """Two classes that share images.

    Attributes:
      classes: (a, b) with a < b.
      both: number of images on which both classes are valid.
      swapped: number of images whose original label is one class and not valid, while the other is valid.
      overlap: share of the images of either class that belong to both.
      models: how well models tell the two apart, by label set; None if no model was measured.
    """

    classes: tuple[int, int]
    both: int
    swapped: int
    overlap: Accuracy
    models: Mapping[str, ToldApartBy] | None = None

    @property
    def link(self) -> str:
        """The link of the pair's marks and rows."""
        return "pair-{}-{}".format(*self.classes)

    def as_json(self) -> dict[str, Any]:
        """The fields; "models" only if models were measured."""
        record = {f.name: as_json(getattr(self, f.name)) for f in dataclasses.fields(self)}
        if self.models is None:
            del record["models"]
        return record


@dataclasses.dataclass(frozen=True)
class ConfusablePairs:
    """Pairs of classes, in the order of `find`."""

    pairs: Sequence[ClassPair]


def find(original: LabelSets, valid: LabelSets, at_least: int = AT_LEAST) -> list[ClassPair]:
    """Finds the pairs of classes that share images, sorted by overlap, largest first.

    An image with a valid label belongs to its valid classes and to its original class. Two classes share an
    image if both are valid, or if they were swapped: the original label is one class and not valid, and the
    other class is valid. The overlap is the share of the images of either class that belong to both. Pairs
    are sorted by the lower end of its Wilson interval, so that pairs with few images do not come first.

    Args:
      original, valid: label sets of the same images.
      at_least: number of images that a pair must share.
    """
    rows = valid.rows(original.file_names)
    valid = valid.take(rows)
    span = 1 + max(int(valid.classes.max(initial=0)), int(original.classes.max(initial=0)))
    labelled = np.flatnonzero(valid.counts > 0)
    image = np.concatenate([np.repeat(np.arange(len(valid)), valid.counts), labelled])
    classes = np.concatenate([valid.classes, original.classes[labelled]])
    union = LabelSets.from_pairs(valid.file_names, image, classes)
    keys, shared = np.unique(_pairs(union, span), return_counts=True)
    both = np.zeros(len(keys), np.int64)
    valid_keys, number = np.unique(_pairs(valid, span), return_counts=True)
    both[np.searchsorted(keys, valid_keys)] = number
    of_class = np.bincount(union.classes, minlength=span)
    pairs = []
    for key, n, b in zip(keys.tolist(), shared.tolist(), both.tolist(), strict=True):
        if n < at_least:
            continue
        first, second = divmod(key, span)
        either = int(of_class[first] + of_class[second] - n)
        pairs.append(ClassPair((first, second), b, n - b, Accuracy.of(n, either)))
    return sorted(pairs, key=lambda pair: -pair.overlap.low)


def _pairs(labels: LabelSets, span: int) -> Int[np.ndarray, "pairs"]:
    """a * span + b for every two classes a < b of an image."""
    keys = [np.zeros(0, np.int64)]
    for size in np.unique(labels.counts[labels.counts > 1]).tolist():
        begin = labels.offsets[:-1][labels.counts == size]
        classes = labels.classes[begin[:, None] + np.arange(size)].astype(np.int64)
        a, b = np.triu_indices(size, 1)
        keys.append((classes[:, a] * span + classes[:, b]).ravel())
    return np.concatenate(keys)


def measure(
    models: Mapping[str, Predictions],
    original: LabelSets,
    judge: tuple[str, LabelSets],
    pairs: Sequence[ClassPair],
) -> list[ClassPair]:
    """Measures how well models tell the classes of a pair apart, by the original labels and a reassessment.

    By the original labels, images whose original label is one of the two classes count; by the reassessment,
    images on which exactly one of the two classes is valid. Only predictions of one of the two classes count.
    Balanced accuracy is the mean of the shares of correct predictions on the images of each class; chance is
    ½, whichever class a model prefers.

    Args:
      models: predictions by name, at least one.
      original: original labels of the judge's images; must know all predicted images.
      judge: name and label sets of the reassessment.
      pairs: the result of `find`.

    Returns:
      The pairs with their `models`. The interval is Newcombe's (1998) for two independent shares; an image
      counts once in it, however many models predict it.
    """
    name, valid = judge
    valid = valid.take(valid.rows(original.file_names))
    predicted = np.full((len(original), len(models)), -1, np.int64)
    for column, predictions in enumerate(models.values()):
        predicted[original.rows(predictions.file_names), column] = predictions.classes[:, 0]
    by_original = _images_of(original)
    by_judge = _images_of(valid)
    measured = []
    for pair in pairs:
        a, b = pair.classes
        # Images of class a and of b, by either label set.
        strata = {
            ORIGINAL: (by_original(a), by_original(b)),
            name: (
                np.setdiff1d(by_judge(a), by_judge(b), assume_unique=True),
                np.setdiff1d(by_judge(b), by_judge(a), assume_unique=True),
            ),
        }
        by_label_set = {}
        for key, (images_a, images_b) in strata.items():
            right_a, right_b = predicted[images_a] == a, predicted[images_b] == b
            wrong_a, wrong_b = predicted[images_a] == b, predicted[images_b] == a
            by_label_set[key] = _balanced(list(models), (right_a, right_b), (wrong_a, wrong_b))
        measured.append(dataclasses.replace(pair, models=by_label_set))
    return measured


def _images_of(labels: LabelSets) -> Callable[[int], Int[np.ndarray, "images"]]:
    """Returns a function from a class to the rows of its images."""
    image = np.repeat(np.arange(len(labels)), labels.counts)
    order = np.argsort(labels.classes, kind="stable")
    sorted_classes = labels.classes[order]

    def of_class(class_: int) -> Int[np.ndarray, "images"]:
        begin, end = np.searchsorted(sorted_classes, [class_, class_ + 1])
        return image[order[begin:end]]

    return of_class


def _balanced(
    names: Sequence[str],
    right: tuple[Bool[np.ndarray, "images_a models"], Bool[np.ndarray, "images_b models"]],
    wrong: tuple[Bool[np.ndarray, "images_a models"], Bool[np.ndarray, "images_b models"]],
) -> ToldApartBy:
    """Balanced accuracy of each model and of all together, with intervals."""
    sides = []
    for hits, misses in zip(right, wrong, strict=True):
        decided = hits | misses
        # The last column is for all models together; an image counts once, however many models predict it.
        number = np.append(decided.sum(axis=0), decided.any(axis=1).sum()).tolist()
        predictions = np.append(decided.sum(axis=0), decided.sum()).tolist()
        shares = np.append(hits.sum(axis=0), hits.sum()) / np.maximum(predictions, 1)
        sides.append(
            [_Side(*numbers) for numbers in zip(shares.tolist(), number, predictions, strict=True)]
        )
    estimates = [_mean_of_two(a, b) for a, b in zip(*sides, strict=True)]
    return ToldApartBy(dict(zip(names, estimates, strict=False)), estimates[-1])


class _Side(NamedTuple):
    """One class of a pair: the share of correct predictions, number of images, number of predictions."""

    share: float
    images: int
    predictions: int


def _mean_of_two(a: _Side, b: _Side) -> ToldApart:
    """Mean of two shares; Newcombe's interval sums the squared widths of the two Wilson intervals.

    Unlike a bootstrap interval, it has a width even if every prediction is correct.
    """
    n, num_predictions = a.images + b.images, a.predictions + b.predictions
    if not (a.images and b.images):
        return ToldApart(math.nan, math.nan, math.nan, n, num_predictions)
    value = (a.share + b.share) / 2
    below = above = 0.0
    for side in (a, b):
        low, high = wilson_interval(side.share * side.images, side.images)
        below += (side.share - low) ** 2
        above += (high - side.share) ** 2
    low, high = value - math.sqrt(below) / 2, value + math.sqrt(above) / 2
    return ToldApart(value, max(low, 0.0), min(high, 1.0), n, num_predictions)


@figures.styled
def draw(pairs: Sequence[ClassPair], names: Sequence[str], titles: Mapping[str, str]) -> Figure:
    """Draws the overlap of each pair and, if models were measured, how well they tell the classes apart.

    Args:
      pairs: from top to bottom.
      names: the name of each pair.
      titles: the title of each label set.
    """
    measured = [pair.models for pair in pairs if pair.models]
    has_models = len(measured) == len(pairs) > 0
    figure, axes = figures.rows_axes(names, columns=2 if has_models else 1, extra=1.1)
    links = [pair.link for pair in pairs]
    figures.stack(
        axes[0],
        [
            figures.Part(
                label,
                colour,
                [100 * n / pair.overlap.n for n, pair in zip(counts, pairs, strict=True)],
                links,
            )
            for counts, colour, label in (
                ([pair.both for pair in pairs], figures.REAL, "both are valid"),
                ([pair.swapped for pair in pairs], figures.ORIGINAL, "swapped"),
            )
        ],
    )
    axes[0].set_xlabel("shared, %")
    if has_models:
        right = axes[1]
        for key in measured[0]:
            shares = [by_label_set[key].all for by_label_set in measured]
            colour = figures.colour_of(key, measured[0])
            figures.dots(right, shares, links, colour, f"by the {titles[key]} labels")
        right.axvline(
            100 * _CHANCE, color=figures.INK, linestyle=(0, (4, 3)), linewidth=1, label="chance"
        )
        right.set_xlabel("told apart, %")
    figures.legend(figure, axes)
    return figure


def make(study: Study) -> Content:
    """Finds the pairs of a study, and measures its models on the first pairs."""
    missing = study.missing("models")
    name, judge = next(iter(study.reassessments.items()))
    original = study.original
    assert original is not None  # `Analysis.sections` checks it
    pairs = find(original, judge.labels)
    if not pairs:
        lead = f"No two classes share {AT_LEAST} images or more."
        return Content(lead=lead, missing=missing, numbers=ConfusablePairs([]))
    if study.models:
        named_labels = (name, judge.labels)
        measured_pairs = measure(study.models, original, named_labels, pairs[:MOST_MEASURED])
        pairs = [*measured_pairs, *pairs[MOST_MEASURED:]]
    names = [" / ".join(study.class_names[class_] for class_ in pair.classes) for pair in pairs]
    title = (
        "Left: images that both classes of a pair share. Right: how well models tell the two apart"
    )
    figure = draw(pairs[:_DRAWN], _in_lines(names[:_DRAWN]), study.titles)
    return Content(
        lead=_lead(pairs, names[0], len(study.models), study.titles),
        missing=missing,
        numbers=ConfusablePairs(pairs),
        figures=[SectionFigure(KEY, title, figure)],
        tables=[_table(pairs[:MOST_MEASURED], names, study.titles)],
        lists={"confusable_pairs": _list(study, pairs)},
        notes=[
            f"Two classes share an image if both are valid, or if the original label is one class and only "
            f"the other class is valid (swapped). Overlap is the share of shared images, of the images that "
            f"have either class as their original label or as a {judge.title} label. Pairs share {AT_LEAST} "
            f"images or more and are sorted by the lower end of the overlap's interval, so that pairs with "
            f"few images do not come first. Models are measured on the first {MOST_MEASURED} pairs, by the "
            f"balanced accuracy of the predictions that name one of the two classes; chance is 50%, "
            f"whichever class a model prefers. By the {judge.title} labels, only images on which exactly one "
            f"of the two classes is valid count; if they are few, intervals are wide. Overlap has Wilson "
            f"intervals, balanced accuracy has Newcombe intervals.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Confusable classes",
    "Which pairs of classes share many images, and can models tell the two classes apart?",
    needs=("original", "reassessments"),
    make=make,
    by_one=True,
)


def _in_lines(names: Sequence[str]) -> list[str]:
    """The names, each in two lines if any of them is too long for one line."""
    if max(map(len, names)) <= _ONE_LINE:
        return list(names)
    return [name.replace(" / ", " /\n", 1) for name in names]


def _lead(pairs: Sequence[ClassPair], name: str, num_models: int, titles: Mapping[str, str]) -> str:
    first = pairs[0]
    lead = (
        f"{len(pairs):,} pair{'s' * (len(pairs) > 1)} of classes share{'s' * (len(pairs) == 1)} {AT_LEAST} "
        f"images or more; the closest, {name}, share {percent(first.overlap, 1)} of theirs "
        f"(both valid on {first.both}, swapped on {first.swapped})."
    )
    measured = [pair.models for pair in pairs if pair.models is not None]
    if not measured:
        return lead
    counts = []
    for key in measured[0]:
        known = [models[key].all for models in measured if models[key].all.is_known]
        above = sum(estimate.low > _CHANCE for estimate in known)
        counts.append(f"{above} of {len(known)} by the {titles[key]}")
    closest = f"the {len(measured)} closest pairs" if len(measured) < len(pairs) else "these pairs"
    subject = "the model does" if num_models == 1 else "the models together do"
    return (
        f"{lead} Naming one class of {closest}, {subject} better than chance (95% interval above 50%) on "
        f"{section.join(counts)} labels."
    )


def _table(pairs: Sequence[ClassPair], names: Sequence[str], titles: Mapping[str, str]) -> Table:
    columns = [
        Column("classes", lambda row: row[1], is_text=True),
        Column(
            "overlap",
            lambda row: section.share(row[0].overlap, bar=True),
            "Share of the images of either class that belong to both",
        ),
        Column("both valid", lambda row: row[0].both, "Images"),
        Column(
            "swapped",
            lambda row: row[0].swapped,
            "Images whose original label is one class, while only the other class is valid",
        ),
    ]
    for key in pairs[0].models or ():
        columns.append(
            Column(
                f"told apart by the {titles[key]} labels",
                lambda row, key=key: _told_apart(row[0].models[key].all),
                "Balanced accuracy of all models' predictions between the two classes; chance is 50%",
            )
        )
    rows = list(zip(pairs, names, strict=False))
    title = "Pairs of classes"
    return Table.of(f"{KEY}-pairs", title, columns, rows, lambda row: row[0].link, KEY)


def _told_apart(estimate: ToldApart) -> Cell:
    cell = section.share(estimate)
    images = f"{estimate.n} image{'s' * (estimate.n != 1)}"
    return dataclasses.replace(cell, note=f"{cell.note} on {images}".strip())


def _list(study: Study, pairs: Sequence[ClassPair]) -> dict[str, np.ndarray]:
    classes = np.array([pair.classes for pair in pairs])
    columns: dict[str, np.ndarray] = {}
    for side, letter in enumerate("ab"):
        columns[f"class_{letter}"] = classes[:, side]
        columns[f"name_{letter}"] = study.class_names.of(classes[:, side])
    columns["both_valid"] = np.array([pair.both for pair in pairs])
    columns["swapped"] = np.array([pair.swapped for pair in pairs])
    columns |= section.columns("overlap", [p.overlap for p in pairs], (*section.FIELDS, "n"))
    for key in pairs[0].models or ():
        measured = [pair.models[key] if pair.models else None for pair in pairs]
        shares = [accuracy and accuracy.all for accuracy in measured]
        columns |= section.columns(f"told_apart_{key}", shares, (*section.FIELDS, "n"))
        for model in study.models if len(study.models) > 1 else ():
            shares = [accuracy and accuracy.models[model] for accuracy in measured]
            columns |= section.columns(f"told_apart_{key}: {model}", shares, ("value",))
    return columns

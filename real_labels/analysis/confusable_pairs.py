"""Pairs of classes that cannot be told apart, such as sunglass and sunglasses (section 4 of the paper)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import LABEL_NAMES, Accuracy
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Drawn, Section, Table
from real_labels.analysis.study import Study
from real_labels.intervals import wilson_interval
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

KEY = "confusable_pairs"
AT_LEAST = 5  # images that two classes must share
MOST_MEASURED = 100  # pairs between which the models are measured
_DRAWN = 15  # pairs in the figure
_ONE_LINE = 20  # letters beside an axis
_CHANCE = 0.5


def find(original: LabelSets, real: LabelSets, at_least: int = AT_LEAST) -> list[dict[str, Any]]:
    """Pairs of classes that share images, those that share the most of theirs first.

    An image with a ReaL label belongs to its ReaL classes and to its original one. Two classes share it
    if both are ReaL labels, or if they were swapped: the original label is the one and not valid, the other
    is. The overlap is the share of the images of either class that both have; pairs are ranked by
    the lower end of its Wilson interval, so that few images do not come first.

    Args:
      original, real: of the same images.
      at_least: images that a pair must share.

    Returns:
      [{"classes": [a, b] with a < b, "both", "swapped": numbers of images, "overlap": {"value", "low",
      "high", "n": images of either}}].
    """
    rows = real.rows(original.file_names)
    real = real.take(rows)
    span = 1 + max(int(real.classes.max(initial=0)), int(original.classes.max(initial=0)))
    labelled = np.flatnonzero(real.counts > 0)
    image = np.concatenate([np.repeat(np.arange(len(real)), real.counts), labelled])
    classes = np.concatenate([real.classes, original.classes[labelled]])
    union = LabelSets.from_pairs(real.file_names, image, classes)
    keys, shared = np.unique(_pairs(union, span), return_counts=True)
    both = np.zeros(len(keys), np.int64)
    valid, number = np.unique(_pairs(real, span), return_counts=True)
    both[np.searchsorted(keys, valid)] = number
    of_class = np.bincount(union.classes, minlength=span)
    found = []
    for key, n, b in zip(keys.tolist(), shared.tolist(), both.tolist(), strict=True):
        if n < at_least:
            continue
        first, second = divmod(key, span)
        either = int(of_class[first] + of_class[second] - n)
        found.append(
            {
                "classes": [first, second],
                "both": b,
                "swapped": n - b,
                "overlap": Accuracy.of(n, either).as_json(),
            }
        )
    return sorted(found, key=lambda pair: -pair["overlap"]["low"])


def _pairs(labels: LabelSets, span: int) -> Int[np.ndarray, "pairs"]:
    """a * span + b for every two classes a < b of an image."""
    found = [np.zeros(0, np.int64)]
    for size in np.unique(labels.counts[labels.counts > 1]).tolist():
        begin = labels.offsets[:-1][labels.counts == size]
        classes = labels.classes[begin[:, None] + np.arange(size)].astype(np.int64)
        a, b = np.triu_indices(size, 1)
        found.append((classes[:, a] * span + classes[:, b]).ravel())
    return np.concatenate(found)


def measure(
    models: Mapping[str, Predictions],
    original: LabelSets,
    real: LabelSets,
    pairs: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """How far models tell the two classes of each pair apart, by the original and by the ReaL labels.

    By the original labels: images whose original label is one of the two. By the ReaL labels: images
    of which exactly one of the two is valid. Of these, those count on which the model says one of the two.
    Balanced accuracy is the mean of the shares right for either class; chance is ½ whatever a model prefers.

    Args:
      models: predictions by name, at least one.
      original, real: of the same images; must know all predicted ones.
      pairs: of `find`.

    Returns:
      For each pair {"original": {"models": {name: {"value", "low", "high", "n"}}, "all": likewise, all
      predictions of all models together}, "real": likewise}; n is the number of images, "num_predictions"
      beside it that of predictions. The interval is Newcombe's (1998) for two independent shares; several
      models on one image count as one.
    """
    real = real.take(real.rows(original.file_names))
    predicted = np.full((len(original), len(models)), -1, np.int64)
    for column, one in enumerate(models.values()):
        predicted[original.rows(one.file_names), column] = one.classes[:, 0]
    by_original = _images_of(original)
    by_real = _images_of(real)
    measured = []
    for pair in pairs:
        a, b = pair["classes"]
        # Images of class a and of b, by either label set.
        strata = {
            "original": (by_original(a), by_original(b)),
            "real": (
                np.setdiff1d(by_real(a), by_real(b), assume_unique=True),
                np.setdiff1d(by_real(b), by_real(a), assume_unique=True),
            ),
        }
        record = {}
        for key, (images_a, images_b) in strata.items():
            right_a, right_b = predicted[images_a] == a, predicted[images_b] == b
            wrong_a, wrong_b = predicted[images_a] == b, predicted[images_b] == a
            record[key] = _balanced(list(models), (right_a, right_b), (wrong_a, wrong_b))
        measured.append(record)
    return measured


def _images_of(labels: LabelSets) -> Callable[[int], Int[np.ndarray, "images"]]:
    """Looks up the images that have a class."""
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
) -> dict[str, Any]:
    """Balanced accuracy of each model and of all together, with intervals."""
    sides = []
    for hits, misses in zip(right, wrong, strict=True):
        decided = hits | misses
        # A last column holds all models together; its images count once however many models decide.
        number = np.append(decided.sum(axis=0), decided.any(axis=1).sum()).tolist()
        predictions = np.append(decided.sum(axis=0), decided.sum()).tolist()
        shares = np.append(hits.sum(axis=0), hits.sum()) / np.maximum(predictions, 1)
        sides.append(
            [_Side(*one) for one in zip(shares.tolist(), number, predictions, strict=True)]
        )
    estimates = [_mean_of_two(a, b) for a, b in zip(*sides, strict=True)]
    return {"models": dict(zip(names, estimates, strict=False)), "all": estimates[-1]}


class _Side(NamedTuple):
    """One class of a pair: the share right, on so many images, by so many predictions."""

    share: float
    images: int
    predictions: int


def _mean_of_two(a: _Side, b: _Side) -> dict[str, Any]:
    """Mean of two shares; Newcombe's interval, which squares and adds what Wilson's two are wide.

    Unlike a bootstrap's it has a width even where every prediction is right.
    """
    n = {"n": a.images + b.images, "num_predictions": a.predictions + b.predictions}
    if not (a.images and b.images):
        return {"value": None, "low": None, "high": None, **n}
    value = (a.share + b.share) / 2
    below = above = 0.0
    for side in (a, b):
        low, high = wilson_interval(side.share * side.images, side.images)
        below += (side.share - low) ** 2
        above += (high - side.share) ** 2
    low, high = value - math.sqrt(below) / 2, value + math.sqrt(above) / 2
    return {"value": value, "low": max(low, 0.0), "high": min(high, 1.0), **n}


@figures.styled
def draw(pairs: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> Figure:
    """Overlap of each pair and, where models were measured, how well they tell the two apart."""
    has_models = bool(pairs and "models" in pairs[0])
    figure, axes = figures.rows_axes(titles, columns=2 if has_models else 1, extra=1.1)
    links = [_link(pair) for pair in pairs]
    figures.stack(
        axes[0],
        [
            figures.Part(
                label, colour, [100 * pair[key] / pair["overlap"]["n"] for pair in pairs], links
            )
            for key, colour, label in (
                ("both", figures.REAL, "both are valid"),
                ("swapped", figures.ORIGINAL, "swapped"),
            )
        ],
    )
    axes[0].set_xlabel("shared, %")
    if has_models:
        right = axes[1]
        for key, colour in (("original", figures.ORIGINAL), ("real", figures.REAL)):
            shares = [pair["models"][key]["all"] for pair in pairs]
            figures.dots(right, shares, links, colour, f"by the {LABEL_NAMES[key]} labels")
        right.axvline(
            100 * _CHANCE, color=figures.INK, linestyle=(0, (4, 3)), linewidth=1, label="chance"
        )
        right.set_xlabel("told apart, %")
    figures.legend(figure, axes)
    return figure


def _link(pair: Mapping[str, Any]) -> str:
    return "pair-{}-{}".format(*pair["classes"])


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="Confusable classes",
        question="Which pairs of classes can the labels not tell apart, and do models still?",
    )
    missing = study.missing("original", "real")
    if missing:
        return Section(**head, missing=missing)
    missing = study.missing("models")
    pairs = find(study.original, study.real)
    if not pairs:
        lead = f"No two classes share {AT_LEAST} images or more."
        return Section(**head, lead=lead, missing=missing, numbers={"pairs": []})
    if study.models:
        told = measure(study.models, study.original, study.real, pairs[:MOST_MEASURED])
        pairs = [
            pair | ({"models": told[i]} if i < len(told) else {}) for i, pair in enumerate(pairs)
        ]
    titles = [_title(study, pair) for pair in pairs]
    title = (
        "Left: images that both classes of a pair share. Right: how well models tell the two apart"
    )
    return Section(
        **head,
        lead=_lead(pairs, titles, len(study.models)),
        missing=missing,
        numbers={"pairs": pairs},
        figures=[Drawn(KEY, title, draw(pairs[:_DRAWN], _in_lines(titles[:_DRAWN])))],
        tables=[_table(pairs, titles)],
        lists={"confusable_pairs": _list(study, pairs)},
        notes=[
            f"Overlap: of the images that have either class as their original or a ReaL label, the share on "
            f"which both are valid, or the original label is the one and only the other is valid (swapped). "
            f"Pairs that share {AT_LEAST} images or more. Models are measured on the first {MOST_MEASURED}: "
            f"balanced accuracy of the predictions that name one of the two; chance is 50% whatever a model "
            f"prefers. By the ReaL labels, images on which exactly one of the two is valid count; if they "
            f"are few, intervals are wide. Pairs are ranked by the lower end of the overlap's interval, so "
            f"that few images do not come first. Wilson's and Newcombe's intervals.",
        ],
    )


def _title(study: Study, pair: Mapping[str, Any]) -> str:
    return " / ".join(study.class_names[class_] for class_ in pair["classes"])


def _in_lines(titles: Sequence[str]) -> list[str]:
    """The titles in two lines each, where one line is too short for one of them."""
    if max(map(len, titles)) <= _ONE_LINE:
        return list(titles)
    return [title.replace(" / ", " /\n", 1) for title in titles]


def _lead(pairs: Sequence[Mapping[str, Any]], titles: Sequence[str], num_models: int) -> str:
    first = pairs[0]
    lead = (
        f"{len(pairs):,} pair{'s' * (len(pairs) > 1)} of classes share{'s' * (len(pairs) == 1)} {AT_LEAST} "
        f"images or more; the closest, {titles[0]}, share {section.percent(first['overlap'])} of theirs "
        f"(both valid on {first['both']}, swapped on {first['swapped']})."
    )
    measured = [pair["models"] for pair in pairs if "models" in pair]
    if not measured:
        return lead
    said = []
    for key, title in LABEL_NAMES.items():
        shares = [models[key]["all"] for models in measured]
        known = [share for share in shares if share["value"] is not None]
        above = sum(share["low"] > _CHANCE for share in known)
        said.append(f"{above} of {len(known)} by the {title}")
    closest = f"the {len(measured)} closest pairs" if len(measured) < len(pairs) else "these pairs"
    whose = "the model does" if num_models == 1 else "the models together do"
    return (
        f"{lead} Naming one class of {closest}, {whose} better than chance (95% interval above 50%) on "
        f"{section.join(said)} labels."
    )


def _table(pairs: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> Table:
    pairs, titles = pairs[:MOST_MEASURED], titles[:MOST_MEASURED]
    columns = [
        Column("classes", is_text=True),
        Column("overlap", "Share of the images of either class that both have"),
        Column("both valid", "Images"),
        Column("swapped", "Images whose original label is the one, while only the other is valid"),
    ]
    if "models" in pairs[0]:
        columns += [
            Column(
                f"told apart by the {LABEL_NAMES[key]} labels",
                "Balanced accuracy between the two of all models' predictions; chance is 50%",
            )
            for key in LABEL_NAMES
        ]
    rows = []
    for pair, title in zip(pairs, titles, strict=True):
        cells = [
            section.text(title),
            section.share(pair["overlap"], bar=True),
            section.count(pair["both"]),
            section.count(pair["swapped"]),
        ]
        if "models" in pair:
            cells += [_told_apart(pair["models"][key]["all"]) for key in LABEL_NAMES]
        rows.append((_link(pair), cells))
    return Table(f"{KEY}-pairs", "Pairs of classes", columns, rows, "confusable_pairs")


def _told_apart(share: Mapping[str, Any]) -> Cell:
    cell = section.share(share)
    images = f"{share['n']} image{'s' * (share['n'] != 1)}"
    return dataclasses.replace(cell, note=f"{cell.note} on {images}".strip())


def _list(study: Study, pairs: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    classes = np.array([pair["classes"] for pair in pairs])
    columns: dict[str, np.ndarray] = {}
    for side, letter in enumerate("ab"):
        columns[f"class_{letter}"] = classes[:, side]
        columns[f"name_{letter}"] = study.class_names.of(classes[:, side])
    columns["both_valid"] = np.array([pair["both"] for pair in pairs])
    columns["swapped"] = np.array([pair["swapped"] for pair in pairs])
    columns |= section.columns("overlap", [p["overlap"] for p in pairs], (*section.FIELDS, "n"))
    nothing = {key: {"all": {}, "models": {}} for key in LABEL_NAMES}
    measured = [pair.get("models", nothing) for pair in pairs]
    for key in LABEL_NAMES if study.models else ():
        shares = [one[key]["all"] for one in measured]
        columns |= section.columns(f"told_apart_{key}", shares, (*section.FIELDS, "n"))
        for model in study.models if len(study.models) > 1 else ():
            shares = [one[key]["models"].get(model, {}) for one in measured]
            columns |= section.columns(f"told_apart_{key}: {model}", shares, ("value",))
    return columns

"""The label that raters prefer if a model contradicts the original label (figure 1 of the paper)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Content, SectionFigure, Table
from real_labels.analysis.study import Study
from real_labels.answers import Answers
from real_labels.intervals import Estimate, bootstrap_estimate, bootstrap_means, percent
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from real_labels.answers.questions import QuestionLookup

KEY = "rater_preference"
SIDES = ("model", "neither", "original")
_COLOURS = dict(zip(SIDES, (figures.MODEL, figures.GREY, figures.ORIGINAL), strict=True))


@dataclasses.dataclass(frozen=True)
class Preference:
    """The raters' preference on a model's mistakes.

    Attributes:
      num_mistakes: number of predictions that are not the original label.
      num_images: number of these on which raters were asked about both labels.
      num_same_raters: number of these images on which at least one rater answered about both labels.
      model, neither, original: mean shares of raters who prefer the model's, neither, the original label.
      difference: model minus original.
    """

    num_mistakes: int
    num_images: int
    num_same_raters: int
    model: Estimate
    neither: Estimate
    original: Estimate
    difference: Estimate


def measure(
    predictions: Predictions,
    original: LabelSets,
    answers: Answers,
    *,
    seed: int = 0,
    lookup: QuestionLookup | None = None,
) -> Preference:
    """Shares of raters who prefer the model's label, the original label, or neither.

    An image counts if its first prediction is not the original label and raters were asked about both labels.
    A rater prefers the label that got the higher answer (no < maybe < yes). If any raters answered both
    questions, only these raters count. If none did (the two labels were in different tasks), every pair of
    a rater of one label and a rater of the other counts. Every image has the same weight.

    Args:
      predictions: predictions of the model.
      original: original labels of all predicted images.
      answers: raters' answers.
      seed: seed of the bootstrap over images.
      lookup: finds the questions of the answers by rows of `original`; None to make a lookup here.
    """
    lookup = lookup or answers.questions.lookup(original.file_names)
    predicted = predictions.classes[:, 0]
    row = original.rows(predictions.file_names)
    label = original.only(row)
    wrong = np.flatnonzero(predicted != label)
    asked = answers.asked
    first, second = (
        _asked(lookup.rows(row[wrong], classes[wrong]), asked) for classes in (predicted, label)
    )
    both = (first >= 0) & (second >= 0)
    shares, same = preferences(answers, first[both], second[both])
    n = len(shares)
    columns = np.column_stack([shares, shares[:, 0] - shares[:, 2]])
    values = columns.mean(axis=0) if n else np.full(4, np.nan)
    draws = bootstrap_means(columns, seed) if n else np.zeros((1, 4))
    estimates = [bootstrap_estimate(values[i], draws[:, i], n) for i in range(4)]
    return Preference(len(wrong), n, int(np.count_nonzero(same)), *estimates)


def _asked(rows: Int[np.ndarray, "n"], asked: Int[np.ndarray, "questions"]) -> Int[np.ndarray, "n"]:
    """Rows of questions, with -1 for questions without answers."""
    return np.where((rows >= 0) & (asked[np.maximum(rows, 0)] > 0), rows, -1)


def preferences(
    answers: Answers, first: Int[np.ndarray, "n"], second: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, "n"]]:
    """For each pair of questions: shares of raters who prefer the first label, neither, the second label.

    Args:
      answers: with at least one answer to each question.
      first, second: (n,) rows of questions.

    Returns:
      shares (n, 3), each row adding up to 1; (n,) whether any rater answered both questions.
    """
    pair_a, rater_a, answer_a = _answers_to(answers, first)
    pair_b, rater_b, answer_b = _answers_to(answers, second)
    # The keys of (pair, rater) are sorted, because raters are sorted within each question.
    span = max(len(answers.raters), 1)
    key_a, key_b = pair_a * span + rater_a, pair_b * span + rater_b
    at = np.minimum(np.searchsorted(key_b, key_a), max(len(key_b) - 1, 0))
    shared = key_b[at] == key_a if len(key_b) else np.zeros(len(key_a), bool)
    sign = np.sign(answer_a[shared] - answer_b[at[shared]])
    counts = np.stack(
        [np.bincount(pair_a[shared][sign == side], minlength=len(first)) for side in (1, 0, -1)],
        axis=1,
    ).astype(np.float64)
    same = counts.sum(axis=1) > 0
    # Without a common rater, every answer to one question is compared with every answer to the other.
    k = len(answers.categories)
    a, b = (
        np.bincount(pair * k + answer, minlength=len(first) * k).reshape(-1, k)
        for pair, answer in ((pair_a, answer_a), (pair_b, answer_b))
    )
    below_a, below_b = (np.cumsum(histogram, axis=1) - histogram for histogram in (a, b))
    crossed = np.stack(
        [(a * below_b).sum(axis=1), (a * b).sum(axis=1), (b * below_a).sum(axis=1)], axis=1
    )
    counts[~same] = crossed[~same]
    return counts / counts.sum(axis=1, keepdims=True), same


def _answers_to(
    answers: Answers, questions: Int[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"], Int[np.ndarray, "m"]]:
    """(place in `questions`, rater, answer) of every answer to these questions, in their order."""
    begin = answers.offsets[questions]
    counts = answers.asked[questions]
    place = np.repeat(np.arange(len(questions)), counts)
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.repeat(begin, counts) + within
    return place, answers.rater[rows].astype(np.int64), answers.answer[rows].astype(np.int64)


@figures.styled
def draw(
    measured: Mapping[str, Preference], links: Mapping[str, str], accuracies: Mapping[str, float]
) -> Figure:
    """Draws a bar for each model: shares of raters who prefer its label, neither, the original label.

    With many models, draws the paper's figure 1: the difference over the models' accuracy.

    Args:
      measured: the preference on each model.
      links: the link of each model.
      accuracies: top-1 on the original labels, shares.
    """
    names = _ranked(measured)
    if len(names) > figures.MANY:
        differences = [measured[name].difference for name in names]
        figure = figures.over_accuracy(
            [accuracies[name] for name in names],
            [figures.Series("a model", figures.MODEL, differences)],
            [links[name] for name in names],
            "raters for the model's label\nminus for the original one, points",
        )
        figures.name_marks(
            figure.axes[0],
            names,
            [100 * accuracies[name] for name in names],
            [100 * difference.value for difference in differences],
        )
        figure.axes[0].axhline(
            0, color=figures.ORIGINAL, linestyle=(0, (4, 3)), linewidth=1, label="neither preferred"
        )
        return figure
    figure, (axis,) = figures.rows_axes(names)
    titles = {"model": "the model's label", "original": "the original label"}
    widths = {side: [100 * getattr(measured[name], side).value for name in names] for side in SIDES}
    figures.stack(
        axis,
        [
            figures.Part(
                titles.get(side, side), _COLOURS[side], widths[side], [links[n] for n in names]
            )
            for side in SIDES
        ],
        lambda part, row: f"{widths[SIDES[part]][row]:.0f}%",
    )
    for side, sign in (("model", 1), ("original", -1)):
        shares = [getattr(measured[name], side) for name in names]
        value, low, high = (
            np.array([100 * getattr(share, end) for share in shares])
            for end in ("value", "low", "high")
        )
        at = value if sign > 0 else 100 - value
        error = [value - low, high - value][::sign]
        axis.errorbar(
            at, range(len(names)), xerr=error, fmt="none", ecolor=figures.INK, elinewidth=1.2
        )
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of raters, %")
    figures.legend(figure, [axis])
    return figure


def _ranked(measured: Mapping[str, Preference]) -> list[str]:
    return sorted(measured, key=lambda name: -measured[name].difference.value)


def make(study: Study) -> Content:
    """Measures each model of a study."""
    original, answers = study.original, study.answers
    assert original is not None and answers is not None  # `Analysis.sections` checks it
    measured = {
        name: measure(predictions, original, answers, seed=study.seed, lookup=study.answer_lookup)
        for name, predictions in study.models.items()
    }
    rated = {name: preference for name, preference in measured.items() if preference.num_images}
    missing = [
        f"{name}: raters were not asked about both labels on any of its {preference.num_mistakes:,} mistakes."
        for name, preference in measured.items()
        if name not in rated
    ]
    if not rated:
        return Content(missing=missing, numbers=measured)
    title = "Raters who prefer the model's label, neither, or the original label"
    if len(rated) > figures.MANY:
        title = (
            "Raters' preference over the models' accuracy: above 0, raters prefer the model's label"
        )
    return Content(
        lead=_lead(rated, study.subject(rated)),
        missing=missing,
        numbers=measured,
        figures=[SectionFigure(KEY, title, draw(rated, study.links, study.original_top1))],
        tables=[_table(rated, study.links)],
        notes=[
            "Only mistakes on which raters were asked about both labels count. A rater prefers the label "
            "with the higher answer, and neither label if the answers are equal. If no rater answered both "
            "questions, every pair of a rater of one label and a rater of the other counts. All images have "
            "the same weight; intervals are bootstrap over images. Raters were asked only about proposed "
            "labels, so these images are a selection.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Whom do raters prefer?",
    "If a model contradicts the original label, which of the two labels do raters prefer?",
    needs=("models", "original", "answers"),
    make=make,
)


def _lead(measured: Mapping[str, Preference], name: str) -> str:
    shown = measured[name]
    lead = (
        f"Raters were asked about both labels on {shown.num_images:,} of the {shown.num_mistakes:,} "
        f"images on which {name} contradicts the original one. Of an image's raters, on average "
        f"{percent(shown.model, 1)} prefer the model's label, "
        f"{percent(shown.original, 1)} the original one and {percent(shown.neither, 1)} "
        f"neither."
    )
    if len(measured) > 1:
        model = sum(preference.difference.low > 0 for preference in measured.values())
        original = sum(preference.difference.high < 0 for preference in measured.values())
        lead += (
            f" Of {len(measured)} models, {model} are preferred to the original labels, and {original} the "
            f"other way round (95% intervals without 0, not corrected for the number of models)."
        )
    return lead


def _table(measured: Mapping[str, Preference], links: Mapping[str, str]) -> Table:
    columns = [
        Column("model", lambda name: name, is_text=True),
        Column("prefer the model", lambda name: section.share(measured[name].model)),
        Column("neither", lambda name: section.share(measured[name].neither)),
        Column("prefer the original", lambda name: section.share(measured[name].original)),
        Column(
            "model − original", lambda name: section.points(measured[name].difference), "In points"
        ),
        Column(
            "images",
            lambda name: measured[name].num_images,
            "Mistakes on which raters were asked about both labels",
        ),
        Column(
            "answered both",
            lambda name: measured[name].num_same_raters,
            "Images on which at least one rater answered both questions",
        ),
        Column("mistakes", lambda name: measured[name].num_mistakes),
    ]
    names = _ranked(measured)
    return Table.of(f"{KEY}-models", "The models", columns, names, links.__getitem__)

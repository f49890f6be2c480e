"""Whom raters prefer where a model and the original label differ (figure 1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Drawn, Section, Table
from real_labels.analysis.study import Study
from real_labels.answers import Answers
from real_labels.intervals import bootstrap_estimate, bootstrap_means
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

KEY = "rater_preference"
SIDES = ("model", "neither", "original")
_COLOURS = dict(zip(SIDES, (figures.MODEL, figures.GREY, figures.ORIGINAL), strict=True))


def measure(
    predictions: Predictions, original: LabelSets, answers: Answers, *, seed: int = 0
) -> dict[str, Any]:
    """Shares of raters who prefer the model's label, the original label, or neither.

    Counted are images whose first prediction is not the original label and where raters were asked about
    both. A rater prefers the label that got the higher answer (no < maybe < yes). Where raters answered
    both questions, these raters count; where none did (the two labels were in different tasks), every
    pair of a rater of one and a rater of the other. Every image counts the same.

    Args:
      predictions: of the model.
      original: original labels of all its images.
      answers: raters' answers.
      seed: of the bootstrap over images.

    Returns:
      {"num_mistakes", "num_images": those where both were asked about, "num_same_raters": those of them
      where the same raters were, "model", "neither", "original": shares (value, low, high, n), "difference":
      model minus original, likewise}.
    """
    names = predictions.file_names
    predicted = predictions.classes[:, 0]
    label = original.take(original.rows(names)).classes
    wrong = np.flatnonzero(predicted != label)
    first = _ask(answers, names[wrong], predicted[wrong])
    second = _ask(answers, names[wrong], label[wrong])
    both = (first >= 0) & (second >= 0)
    shares, same = preferences(answers, first[both], second[both])
    n = len(shares)
    record = {
        "num_mistakes": len(wrong),
        "num_images": n,
        "num_same_raters": int(np.count_nonzero(same)),
    }
    columns = np.column_stack([shares, shares[:, 0] - shares[:, 2]])
    values = columns.mean(axis=0) if n else np.full(4, np.nan)
    drawn = bootstrap_means(columns, seed) if n else np.zeros((1, 4))
    for i, key in enumerate((*SIDES, "difference")):
        record[key] = bootstrap_estimate(values[i], drawn[:, i], n)
    return record


def _ask(
    answers: Answers, names: np.ndarray, classes: Int[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """Row of the question about each image and class, -1 where nobody was asked."""
    found = answers.questions.find_pairs(names, classes)
    asked = answers.asked
    return np.where((found >= 0) & (asked[np.maximum(found, 0)] > 0), found, -1)


def preferences(
    answers: Answers, first: Int[np.ndarray, "n"], second: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, "n"]]:
    """For each pair of questions: shares of raters who lean to the first, to neither, to the second.

    Args:
      answers: with at least one answer to each question.
      first, second: (n,) rows of questions.

    Returns:
      shares (n, 3), each row adding up to 1; whether the same raters answered both.
    """
    pair_a, rater_a, answer_a = _answers_to(answers, first)
    pair_b, rater_b, answer_b = _answers_to(answers, second)
    # Sorted keys of (pair, rater): raters rise within each question.
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
    # Without a common rater, any answer to the one is held against any to the other.
    k = len(answers.categories)
    a, b = (
        np.bincount(pair * k + answer, minlength=len(first) * k).reshape(-1, k)
        for pair, answer in ((pair_a, answer_a), (pair_b, answer_b))
    )
    below_a, below_b = (np.cumsum(one, axis=1) - one for one in (a, b))
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
def draw(records: Mapping[str, Mapping[str, Any]], links: Mapping[str, str]) -> Figure:
    """A bar for each model: the raters who prefer its label, neither, the original label."""
    names = _ranked(records)
    figure, (axis,) = figures.rows_axes(names)
    titles = {"model": "the model's label", "original": "the original label"}
    widths = {side: [100 * records[name][side]["value"] for name in names] for side in SIDES}
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
        low, high = (np.array([100 * records[n][side][k] for n in names]) for k in ("low", "high"))
        value = np.array([100 * records[n][side]["value"] for n in names])
        at = value if sign > 0 else 100 - value
        error = [value - low, high - value][::sign]
        axis.errorbar(
            at, range(len(names)), xerr=error, fmt="none", ecolor=figures.INK, elinewidth=1.2
        )
    axis.set_xlim(0, 100)
    axis.set_xlabel("raters who prefer it, %")
    figures.legend(figure, [axis])
    return figure


def _ranked(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted(records, key=lambda name: -records[name]["difference"]["value"])


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="Whom do raters prefer?",
        question="Where a model contradicts the original label, whom do people side with?",
    )
    missing = study.missing("models", "original", "answers")
    if missing:
        return Section(**head, missing=missing)
    records = {
        name: measure(one, study.original, study.answers, seed=study.seed)
        for name, one in study.models.items()
    }
    told = {name: record for name, record in records.items() if record["num_images"]}
    missing = [
        f"{name}: raters were not asked about both labels on any of its {records[name]['num_mistakes']:,} "
        f"mistakes."
        for name in records
        if name not in told
    ]
    if not told:
        return Section(**head, missing=missing, numbers=records)
    title = "Raters who prefer the model's label, neither, or the original label"
    return Section(
        **head,
        lead=_lead(told, study.subject(told)),
        missing=missing,
        numbers=records,
        figures=[Drawn(KEY, title, draw(told, study.links))],
        tables=[_table(told, study.links)],
        notes=[
            "Counted are mistakes on which raters were asked about both labels. A rater prefers the label "
            "with the higher answer; neither, with equal ones. Where nobody answered both questions, every "
            "pair of a rater of one and of the other counts. Images weigh the same; bootstrap over images. "
            "Raters were asked only about labels that had been proposed, so these images are a selection.",
        ],
    )


def _lead(records: Mapping[str, Mapping[str, Any]], name: str) -> str:
    shown = records[name]
    lead = (
        f"Raters were asked about both labels on {shown['num_images']:,} of the {shown['num_mistakes']:,} "
        f"images on which {name} contradicts the original one. Of an image's raters, on average "
        f"{section.percent(shown['model'])} prefer the model's label, "
        f"{section.percent(shown['original'])} the original one and {section.percent(shown['neither'])} "
        f"neither."
    )
    if len(records) > 1:
        model = sum(one["difference"]["low"] > 0 for one in records.values())
        original = sum(one["difference"]["high"] < 0 for one in records.values())
        lead += (
            f" Of {len(records)} models, {model} are preferred to the original labels, and {original} the "
            f"other way round (95% intervals without 0, not corrected for the number of models)."
        )
    return lead


def _table(records: Mapping[str, Mapping[str, Any]], links: Mapping[str, str]) -> Table:
    columns = [
        Column("model", is_text=True),
        Column("prefer the model"),
        Column("neither"),
        Column("prefer the original"),
        Column("model − original", "In points"),
        Column("images", "Mistakes on which raters were asked about both labels"),
        Column("answered both", "Images on which the same raters answered both questions"),
        Column("mistakes"),
    ]
    rows = [
        (
            links[name],
            [
                section.text(name),
                *(section.share(records[name][side]) for side in SIDES),
                section.points(records[name]["difference"]),
                *(
                    section.count(records[name][key])
                    for key in ("num_images", "num_same_raters", "num_mistakes")
                ),
            ],
        )
        for name in _ranked(records)
    ]
    return Table(f"{KEY}-models", "The models", columns, rows)

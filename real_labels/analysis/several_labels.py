"""Images with several valid labels: whether models pick the original one more than chance would.

Section 4 of the paper: an unbiased oracle, which picks any of the valid labels, knows nothing of how the
original labels were collected; a model that names the original one more often has learned that too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy
from real_labels.analysis.outcomes import Outcomes
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Drawn, Section, Table
from real_labels.analysis.study import Study
from real_labels.intervals import holm
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KEY = "several_labels"
RANKS = (1, 2, 3)
_ORDINALS = ("first prediction", "second", "third")


def count(original: LabelSets, real: LabelSets) -> dict[str, Any]:
    """How many labels images have, without any model.

    Returns:
      {"num_images", "with_several", "original_among_them": images with several labels whose original
      label is one, "by_number": [{"labels", "images"}]}.
    """
    rows = real.rows(original.file_names)
    number = real.counts[rows]
    among = real.contains(rows, original.classes[:, None])[:, 0]
    return {
        "num_images": len(original),
        "with_several": int(np.count_nonzero(number > 1)),
        "original_among_them": int(np.count_nonzero((number > 1) & among)),
        "by_number": [
            {"labels": int(k), "images": int(n)} for k, n in enumerate(np.bincount(number)) if n
        ],
    }


def measure(outcomes: Outcomes, predictions: Predictions, real: LabelSets) -> dict[str, Any]:
    """How often the model picks the original label among several valid ones.

    Counted are images with several ReaL labels, the original one among them, whose first prediction is
    valid. On these an unbiased oracle picks one of an image's k labels, each with probability 1/k; its
    number of original labels is a sum of binomials, one for each k, taken exactly.

    Returns:
      {"num_several": predicted images with several labels, "num_original_valid": those whose original
      label is among them, "picks_original": {"value", "low", "high", "n"}, "oracle": likewise with the
      interval in which 95% of oracles lie, "p_value": two-sided, of the oracle doing this,
      "by_number_of_labels": [{"labels", "picks_original", "oracle": 1/k}], "ranks": [{"rank",
      "valid": share whose prediction of this rank is valid, of images with so many labels or more,
      "valid_of_all": of all with a label}]}.
    """
    several = outcomes.num_labels > 1
    counted = several & outcomes.original_valid & outcomes.predicted_valid
    picks = counted & ~outcomes.mistake
    number = outcomes.num_labels[counted]
    n, hits = int(np.count_nonzero(counted)), int(np.count_nonzero(picks))
    distribution = oracle(number)
    by_number = []
    for k in np.unique(number).tolist():
        here = counted & (outcomes.num_labels == k)
        found = Accuracy.of(np.count_nonzero(picks & here), np.count_nonzero(here))
        by_number.append({"labels": k, "picks_original": found.as_json(), "oracle": 1 / k})
    return {
        "num_several": int(np.count_nonzero(several)),
        "num_original_valid": int(np.count_nonzero(several & outcomes.original_valid)),
        "picks_original": Accuracy.of(hits, n).as_json(),
        "oracle": _oracle_share(number, distribution),
        "p_value": _two_sided(distribution, hits),
        "by_number_of_labels": by_number,
        "ranks": _ranks(predictions, real, outcomes.num_labels),
    }


def oracle(number: Int[np.ndarray, "images"]) -> Float[np.ndarray, "images_plus_1"]:
    """Probability that an unbiased oracle picks the original label 0, 1, …, N times.

    Args:
      number: (N,) how many valid labels each image has.
    """
    distribution = np.ones(1)
    for k, n in zip(*np.unique(number, return_counts=True), strict=True):
        distribution = np.convolve(distribution, _binomial(int(n), 1 / k))
    return distribution


def _binomial(n: int, p: float) -> Float[np.ndarray, "n_plus_1"]:
    from scipy import special

    x = np.arange(n + 1)
    logs = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
    return np.exp(logs + special.xlogy(x, p) + special.xlog1py(n - x, -p))


def _oracle_share(number: np.ndarray, distribution: np.ndarray) -> dict[str, Any]:
    n = len(number)
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    below = np.cumsum(distribution)
    low, high = np.searchsorted(below, [0.025, 0.975])
    return {"value": float(np.mean(1 / number)), "low": low / n, "high": high / n, "n": n}


def _two_sided(distribution: np.ndarray, hits: int) -> float:
    tails = distribution[: hits + 1].sum(), distribution[hits:].sum()
    return float(min(1.0, 2 * min(tails)))


def _ranks(
    predictions: Predictions, real: LabelSets, number: Int[np.ndarray, "images"]
) -> list[dict[str, Any]]:
    valid = real.contains(real.rows(predictions.file_names), predictions.classes)
    ranks = []
    for rank in RANKS[: predictions.classes.shape[1]]:
        hits = valid[:, rank - 1]
        enough = number >= rank
        ranks.append(
            {
                "rank": rank,
                "valid": Accuracy.of(np.count_nonzero(hits & enough), enough.sum()).as_json(),
                "valid_of_all": Accuracy.of(np.count_nonzero(hits), (number > 0).sum()).as_json(),
            }
        )
    return ranks


@figures.styled
def draw(records: Mapping[str, Mapping[str, Any]], links: Mapping[str, str]) -> Figure:
    """Left, how often each model picks the original label, beside the oracle; right, its next predictions."""
    names = _ranked(records)
    figure, (left, right) = figures.rows_axes(names, columns=2, extra=1.1)
    targets = [links[name] for name in names]
    low, high = ([100 * records[name]["oracle"][k] for name in names] for k in ("low", "high"))
    left.hlines(
        range(len(names)), low, high, color=figures.GREY, linewidth=9, label="95% of oracles"
    )
    figures.dots(
        left, [records[n]["picks_original"] for n in names], targets, figures.MODEL, "the model"
    )
    left.set_xlabel("picks the original, %")
    for rank, colour in zip(RANKS, (figures.REAL, figures.AMBER, figures.VIOLET), strict=True):
        shares = [
            next((one["valid"] for one in records[name]["ranks"] if one["rank"] == rank), None)
            for name in names
        ]
        figures.dots(right, shares, targets, colour, _ORDINALS[rank - 1])
    right.set_xlabel("prediction is valid, %")
    figures.legend(figure, [left, right])
    return figure


def _ranked(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted(records, key=lambda name: -records[name]["picks_original"]["value"])


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="Several valid labels",
        question="Where several labels are right, do models still guess which one was written down?",
    )
    missing = study.missing("original", "real")
    if missing:
        return Section(**head, missing=missing)
    missing = study.missing("models")
    counts = count(study.original, study.real)
    records = {
        name: measure(study.outcomes[name], one, study.real) for name, one in study.models.items()
    }
    numbers = {"labels": counts, "models": records}
    told = {n: r for n, r in records.items() if r["picks_original"]["n"]}
    missing += [
        f"{name}: none of its valid predictions is on an image with several labels, the original one "
        f"among them."
        for name in records
        if name not in told
    ]
    share = counts["with_several"] / max(counts["num_images"], 1)
    lead = (
        f"{counts['with_several']:,} of {counts['num_images']:,} images ({100 * share:.1f}%) have several "
        f"ReaL labels."
    )
    if not told:
        return Section(
            **head, lead=lead, missing=missing, numbers=numbers, tables=[_counts_table(counts)]
        )
    title = (
        "Left: how often each model picks the original label. Right: how often its first, second and third "
        "prediction are valid, of the images with at least one, two, three labels"
    )
    return Section(
        **head,
        lead=f"{lead} {_lead(told, study.subject(told))}",
        missing=missing,
        numbers=numbers,
        figures=[Drawn(KEY, title, draw(told, study.links))],
        tables=[_table(told, study.links), _counts_table(counts)],
        notes=[
            "Counted are images with several ReaL labels, the original one among them, on which the model's "
            "first prediction is valid. The oracle picks any of an image's valid labels; the bar is where "
            "95% of such oracles lie, exactly. p: that an oracle does as the model does, or is further off.",
        ],
    )


def _lead(records: Mapping[str, Mapping[str, Any]], name: str) -> str:
    shown = records[name]
    picks, unbiased = shown["picks_original"], shown["oracle"]
    lead = (
        f"On the {picks['n']:,} where both the original label and the prediction of {name} are valid, the "
        f"prediction is the original label {section.percent(picks)} of the time; of an unbiased oracle, "
        f"which picks any valid label, it would be {section.percent(unbiased)}: "
    )
    if shown["p_value"] >= section.LEVEL:
        lead += f"the two cannot be told apart ({section.p_words(shown['p_value'])})."
    elif picks["value"] > unbiased["value"]:
        lead += f"more often than chance ({section.p_words(shown['p_value'])})."
    else:
        lead += f"less often than chance ({section.p_words(shown['p_value'])})."
    if len(records) > 1:
        corrected = holm([one["p_value"] for one in records.values()])
        biased = sum(
            p < section.LEVEL and one["picks_original"]["value"] > one["oracle"]["value"]
            for p, one in zip(corrected, records.values(), strict=True)
        )
        lead += (
            f" {biased} of {len(records)} models name the original one significantly more often "
            f"(after Holm's correction)."
        )
    second = shown["ranks"][1]["valid"] if len(shown["ranks"]) > 1 else None
    if second is not None and second["value"] is not None:
        lead += (
            f" The second prediction of {name} is valid on {section.percent(second)} of the images with two "
            f"labels or more."
        )
    return lead


def _table(records: Mapping[str, Mapping[str, Any]], links: Mapping[str, str]) -> Table:
    columns = [
        Column("model", is_text=True),
        Column("picks the original"),
        Column("oracle", "Share of an unbiased oracle, and where 95% of oracles lie"),
        Column("p"),
        Column("images"),
    ]
    columns += [
        Column(
            f"prediction {rank} valid",
            f"Of the images with {rank} or more ReaL labels; below, of all with any",
        )
        for rank in RANKS
    ]
    rows = []
    for name in _ranked(records):
        one = records[name]
        ranks = [_rank_cell(rank) for rank in one["ranks"]] + [Cell("–")] * len(RANKS)
        cells = [
            section.text(name),
            section.share(one["picks_original"]),
            section.share(one["oracle"]),
            section.p_value(one["p_value"]),
            section.count(one["picks_original"]["n"]),
            *ranks[: len(RANKS)],
        ]
        rows.append((links[name], cells))
    return Table(f"{KEY}-models", "The models", columns, rows)


def _rank_cell(rank: Mapping[str, Any]) -> Cell:
    cell, of_all = section.share(rank["valid"]), section.share(rank["valid_of_all"])
    return dataclasses.replace(cell, note=f"{cell.note} of all {of_all.text}".strip())


def _counts_table(counts: Mapping[str, Any]) -> Table:
    total = max(counts["num_images"], 1)
    rows = [
        (
            "",
            [
                section.count(one["labels"]),
                section.count(one["images"]),
                Cell(
                    f"{100 * one['images'] / total:.2f}%", one["images"], bar=one["images"] / total
                ),
            ],
        )
        for one in counts["by_number"]
    ]
    columns = [Column("ReaL labels"), Column("images"), Column("share")]
    return Table(f"{KEY}-counts", "How many labels images have", columns, rows)

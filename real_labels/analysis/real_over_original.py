"""ReaL over original accuracy: how far progress on the old labels carries over (figure 4 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from real_labels import accuracy
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Column, Drawn, Section, Table
from real_labels.analysis.study import Study
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Float

KEY = "real_over_original"
LEAST_MODELS = 6  # three to a half: two points always lie on a line
_PAPER = (0.86, 0.51)  # slopes, lower and upper half


def measure(
    original: Float[np.ndarray, "models"], real: Float[np.ndarray, "models"]
) -> dict[str, Any] | None:
    """Regresses ReaL on original accuracy (least squares), apart for the lower and the upper half.

    A half is the models up to the median original accuracy, and those above. The test that the slopes
    differ is Welch's t, (b_lower - b_upper) / √(s_lower² + s_upper²) with s the slopes' standard errors
    and Satterthwaite's degrees of freedom, since the halves do not scatter equally.

    Args:
      original, real: (M,) top-1 accuracies, shares in [0, 1].

    Returns:
      {"num_models", "median", "lower", "upper": {"slope": {"value", "low", "high", "n"}, "intercept",
      "standard_error"}, "difference": {"value", "low", "high", "t", "degrees_of_freedom", "p_value"}};
      None with fewer than three models of different accuracy in a half.
    """
    original, real = np.asarray(original, np.float64), np.asarray(real, np.float64)
    if len(original) < LEAST_MODELS:
        return None
    median = float(np.median(original))
    lower = original <= median
    halves = [_regress(original[half], real[half]) for half in (lower, ~lower)]
    if any(half is None for half in halves):
        return None
    return {
        "num_models": len(original),
        "median": median,
        "lower": halves[0],
        "upper": halves[1],
        "difference": _welch(*halves),
    }


def _regress(x: np.ndarray, y: np.ndarray) -> dict[str, Any] | None:
    """Slope with its 95% t interval."""
    n = len(x)
    if len(np.unique(x)) < 3:
        return None
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    intercept = float(y.mean() - slope * x.mean())
    residual = y - intercept - slope * x
    error = math.sqrt(float(residual @ residual) / (n - 2) / spread)
    half = _t_quantile(n - 2) * error
    return {
        "slope": {"value": slope, "low": slope - half, "high": slope + half, "n": n},
        "intercept": intercept,
        "standard_error": error,
    }


def _welch(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    from scipy import special

    value = lower["slope"]["value"] - upper["slope"]["value"]
    parts = [half["standard_error"] ** 2 for half in (lower, upper)]
    error = math.sqrt(sum(parts))
    if error < 1e-12:  # all models lie on two lines, or on one, but for rounding
        nothing = {"t": None, "degrees_of_freedom": None, "p_value": float(abs(value) < 1e-9)}
        return {"value": value, "low": value, "high": value, **nothing}
    freedom = sum(parts) ** 2 / sum(
        part**2 / (half["slope"]["n"] - 2) for part, half in zip(parts, (lower, upper), strict=True)
    )
    t = value / error
    width = _t_quantile(freedom) * error
    return {
        "value": value,
        "low": value - width,
        "high": value + width,
        "t": t,
        "degrees_of_freedom": freedom,
        "p_value": float(2 * special.stdtr(freedom, -abs(t))),
    }


def _t_quantile(freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, 0.975))


@figures.styled
def draw(
    original: Float[np.ndarray, "models"],
    real: Float[np.ndarray, "models"],
    record: Mapping[str, Any] | None = None,
    own: float | None = None,
    links: Sequence[str] = (),
    strong: Sequence[bool] = (),
) -> Figure:
    """Scatter of the models, the lines of both halves, and the original labels' own ReaL accuracy.

    Args:
      original, real: (M,) shares in [0, 1].
      record: of `measure`, for the lines.
      own: the original labels' ReaL accuracy, for a level line.
      links: of each model.
      strong: whether each is one of the models in question, among others.
    """
    x, y = 100 * np.asarray(original), 100 * np.asarray(real)
    strong = np.array(strong, bool) if any(strong) else np.ones(len(x), bool)
    figure, axis = figures.new(4.4)
    many = len(x) > 100
    for group, colour, size, order, title in (
        (~strong, figures.GREY, 14 if many else 36, 2, "models of the tables"),
        (strong, figures.MODEL, 14 if many and strong.all() else 48, 3, "models with predictions"),
    ):
        if not group.any():
            continue
        thin = many and size < 20
        marks = axis.scatter(
            x[group],
            y[group],
            s=size,
            color=colour,
            alpha=0.55 if thin else 1,
            linewidths=0,
            zorder=order,
        )
        if links:
            figures.link(marks, *np.array(links)[group].tolist())
        if not strong.all():
            marks.set_label(title)
    low, high = x.min(), x.max()
    margin = 0.04 * (high - low) + 0.5
    axis.set_xlim(low - margin, high + margin)
    if record is not None:
        ends = ((low, 100 * record["median"]), (100 * record["median"], high))
        for name, (begin, end), colour in zip(
            ("lower", "upper"), ends, (figures.AMBER, figures.VIOLET), strict=True
        ):
            half = record[name]
            across = np.array([begin, end])
            slope = half["slope"]
            axis.plot(
                across,
                100 * half["intercept"] + slope["value"] * across,
                color=colour,
                linewidth=2.2,
                zorder=5,
                label=f"{name} half: slope {slope['value']:.3f}",
            )
        axis.axvline(
            100 * record["median"],
            color=figures.MUTED,
            linewidth=0.8,
            linestyle=":",
            label="median",
        )
    if own is not None:
        axis.axhline(
            100 * own,
            color=figures.ORIGINAL,
            linestyle=(0, (4, 3)),
            label="the original labels' own",
        )
    axis.set_xlabel("top-1 accuracy on the original labels, %")
    axis.set_ylabel("top-1 accuracy on the ReaL labels, %")
    if record is not None or own is not None:
        figures.legend(figure, [axis])
    return figure


def make(study: Study) -> Section:
    """The section of the report."""
    head = dict(
        key=KEY,
        title="ReaL over original",
        question="Does progress on the original labels carry over to better ones?",
    )
    missing = []
    if study.accuracies is None:
        missing += study.missing("models")
    if study.accuracies is None or study.models:
        missing += study.missing("original", "real")
    names, original, real, links, strong = _gather(study)
    if not names:
        return Section(**head, missing=missing)
    record = measure(original, real)
    own = None
    if study.original is not None and study.real is not None:
        own = accuracy.top_k_accuracy(Predictions.from_labels(study.original), study.real).as_json()
    else:
        missing = missing or [
            "Without labels, the original labels' own ReaL accuracy is not known."
        ]
    numbers = {
        "models": [
            {"name": name, "original": x, "real": y}
            for name, x, y in zip(names, original.tolist(), real.tolist(), strict=True)
        ],
        "original_labels": own,
        "regression": record,
    }
    if record is None:
        missing.append(
            f"Slopes need {LEAST_MODELS} models or more of different accuracy, found {len(names)}; "
            f"--accuracy-table adds models of which only the accuracies are known, such as timm's."
        )
    remarks = []
    partial = [name for name, m in study.models.items() if len(m) < len(study.original or ())]
    if partial and own is not None:
        remarks.append(
            f"Not all images are covered by {section.join(partial)}: the accuracy is of a part, while the "
            f"original labels' own is of all."
        )
    figure = draw(original, real, record, own and own["value"], links, strong)
    return Section(
        **head,
        lead=_lead(names, original, real, record, own),
        missing=missing,
        remarks=remarks,
        numbers=numbers,
        figures=[Drawn(KEY, "ReaL over original top-1 accuracy, a point for each model", figure)],
        tables=[_table(names, original, real, links)],
        lists={
            "models_real_over_original": dict(model=np.array(names), original=original, real=real)
        },
        notes=[
            "Least squares on each half of the models, split at the median original accuracy; t intervals; "
            "Welch's test that the slopes differ. Models count as independent, which families of models "
            "are not.",
            f"The paper found slopes of {_PAPER[0]} and {_PAPER[1]} (p < 0.001).",
        ],
    )


def _gather(study: Study) -> tuple[list[str], np.ndarray, np.ndarray, list[str], list[bool]]:
    """Names, both accuracies and links of all models, and which are those with predictions."""
    names, original, real, links, strong = [], [], [], [], []
    if study.original is not None and study.real is not None:
        for name, one in study.models.items():
            shares = [
                accuracy.top_k_accuracy(one, labels) for labels in (study.original, study.real)
            ]
            if all(share.n for share in shares):
                names.append(name)
                original.append(shares[0].value)
                real.append(shares[1].value)
                links.append(study.links[name])
                strong.append(True)
    if study.accuracies is not None:
        names += study.accuracies.names.tolist()
        original += study.accuracies.original.tolist()
        real += study.accuracies.real.tolist()
        links += [f"other-{number}" for number in range(len(study.accuracies))]
        strong += [False] * len(study.accuracies)
    return names, np.array(original), np.array(real), links, strong


def _lead(names, original, real, record, own) -> str:
    beyond = ""
    if own is not None and own["value"] is not None:
        above = int(np.count_nonzero(real > own["value"]))
        limit = f"the original labels' own ReaL accuracy of {100 * own['value']:.2f}%"
        if len(names) == 1:
            beyond = (
                f"With {100 * real[0]:.2f}% by the ReaL and {100 * original[0]:.2f}% by the original labels, "
                f"{names[0]} is {'above' if above else 'not above'} {limit}."
            )
        else:
            beyond = (
                f"By their point estimates, {above:,} of {len(names):,} models "
                f"{'is' if above == 1 else 'are'} above {limit}."
            )
    if record is None:
        return beyond or f"{len(names):,} models, on both label sets."
    lower, upper = (record[half]["slope"] for half in ("lower", "upper"))
    difference = record["difference"]
    p = section.p_words(difference["p_value"])
    said = (
        f"Of {len(names):,} models, a point of accuracy on the original labels is worth "
        f"{lower['value']:.3f} points [{lower['low']:.3f}, {lower['high']:.3f}] on the ReaL labels in the "
        f"lower half (up to {100 * record['median']:.3f}%) and {upper['value']:.3f} "
        f"[{upper['low']:.3f}, {upper['high']:.3f}] in the upper half: "
    )
    if difference["p_value"] < section.LEVEL:
        less = "less" if difference["value"] > 0 else "more"
        said += f"{less} by {abs(difference['value']):.3f}, significantly ({p})."
    else:
        said += f"the slopes cannot be told apart ({p})."
    return f"{said} {beyond}".rstrip()


def _table(names, original, real, links) -> Table:
    order = np.argsort(-np.asarray(real), kind="stable").tolist()
    rows = [
        (
            links[i],
            [
                section.text(names[i]),
                section.Cell(f"{100 * original[i]:.3f}%", float(original[i])),
                section.Cell(f"{100 * real[i]:.3f}%", float(real[i])),
                section.Cell(f"{100 * (real[i] - original[i]):+.3f}", float(real[i] - original[i])),
            ],
        )
        for i in order
    ]
    columns = [
        Column("model", is_text=True),
        Column("original top-1"),
        Column("ReaL top-1"),
        Column("difference", "In points"),
    ]
    return Table(f"{KEY}-models", "All models", columns, rows, "models_real_over_original")

"""ReaL over original accuracy: how far progress on the original labels carries over (paper, figure 4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from real_labels import accuracy
from real_labels.accuracy import Accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Content, SectionFigure, Table
from real_labels.analysis.study import Study
from real_labels.files.records import as_json
from real_labels.intervals import Estimate, percent
from real_labels.labels import ORIGINAL
from real_labels.labels.reassessment import REAL, title_of
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Float

KEY = "real_over_original"
LEAST_MODELS = 6  # three in each half, since a line fits any two points
_PAPER = (0.86, 0.51)  # slopes, lower and upper half


@dataclasses.dataclass(frozen=True)
class Half:
    """The regression of one half of the models.

    Attributes:
      slope: with its t interval; n is the number of models.
      intercept: reassessed accuracy at an original accuracy of 0.
      standard_error: standard error of the slope.
    """

    slope: Estimate
    intercept: float
    standard_error: float


@dataclasses.dataclass(frozen=True)
class SlopeDifference:
    """The slope of the lower half minus the slope of the upper half.

    Attributes:
      value: the difference.
      low, high: Welch's 95% interval.
      t, degrees_of_freedom: of Welch's test; NaN if all models lie exactly on the lines.
      p_value: two-sided, of the hypothesis that the slopes are equal.
    """

    value: float
    low: float
    high: float
    t: float
    degrees_of_freedom: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Regression:
    """Regressions of reassessed on original accuracy, for the lower and the upper half of the models.

    Attributes:
      num_models: number of models in both halves.
      median: original accuracy that separates the halves.
      lower, upper: regressions of the halves.
      difference: difference of their slopes.
    """

    num_models: int
    median: float
    lower: Half
    upper: Half
    difference: SlopeDifference


@dataclasses.dataclass(frozen=True)
class ModelPoint:
    """A model's top-1 accuracies, shares in [0, 1].

    Attributes:
      name: name of the model.
      original, reassessed: accuracy on the original and on the reassessed labels.
      link: link of the model's mark and row.
      has_predictions: whether the model's predictions are known, not only its accuracies.
    """

    name: str
    original: float
    reassessed: float
    link: str = ""
    has_predictions: bool = True


@dataclasses.dataclass(frozen=True)
class ReassessedOverOriginal:
    """All models and their regression.

    Attributes:
      column: name of the reassessed accuracy in JSON and lists.
      models: the models in any order.
      original_labels: the original labels' own accuracy on the reassessment; None without labels.
      regression: the regression; None if there are too few models.
    """

    column: str
    models: Sequence[ModelPoint]
    original_labels: Accuracy | None
    regression: Regression | None

    def as_json(self) -> dict[str, Any]:
        """{"models": [{"name", "original", "real" or "reassessed"}], "original_labels", "regression"}."""
        return {
            "models": [
                {"name": model.name, ORIGINAL: model.original, self.column: model.reassessed}
                for model in self.models
            ],
            "original_labels": as_json(self.original_labels),
            "regression": as_json(self.regression),
        }


def measure(
    original: Float[np.ndarray, "models"], reassessed: Float[np.ndarray, "models"]
) -> Regression | None:
    """Regresses reassessed on original accuracy (least squares), separately for each half of the models.

    The lower half holds the models up to the median original accuracy, the upper half the models above it.
    The slopes are compared by Welch's t test, t = (b_lower - b_upper) / √(s_lower² + s_upper²) with s the
    slopes' standard errors and Satterthwaite's degrees of freedom, since the residual variances may differ.

    Args:
      original, reassessed: (M,) top-1 accuracies, shares in [0, 1].

    Returns:
      The regression; None with fewer than three models of different accuracy in a half.
    """
    original, reassessed = (
        np.asarray(original, np.float64),
        np.asarray(reassessed, np.float64),
    )
    if len(original) < LEAST_MODELS:
        return None
    median = float(np.median(original))
    below = original <= median
    lower, upper = (_regress(original[half], reassessed[half]) for half in (below, ~below))
    if lower is None or upper is None:
        return None
    return Regression(len(original), median, lower, upper, _welch(lower, upper))


def _regress(x: np.ndarray, y: np.ndarray) -> Half | None:
    """The regression of one half, with a 95% t interval; None with fewer than three distinct x."""
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
    return Half(Estimate(slope, slope - half, slope + half, n), intercept, error)


def _welch(lower: Half, upper: Half) -> SlopeDifference:
    from scipy import special

    value = lower.slope.value - upper.slope.value
    parts = [half.standard_error**2 for half in (lower, upper)]
    error = math.sqrt(sum(parts))
    if error < 1e-12:  # up to rounding, all models lie on one line or two
        p_value = float(abs(value) < 1e-9)
        return SlopeDifference(value, value, value, math.nan, math.nan, p_value)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (half.slope.n - 2) for part, half in zip(parts, (lower, upper), strict=True)
    )
    t = value / error
    width = _t_quantile(freedom) * error
    p_value = float(2 * special.stdtr(freedom, -abs(t)))
    return SlopeDifference(value, value - width, value + width, t, freedom, p_value)


def _t_quantile(freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, 0.975))


@figures.styled
def draw(
    models: Sequence[ModelPoint],
    regression: Regression | None = None,
    own: float | None = None,
    by: str = "ReaL",
) -> Figure:
    """Draws the models as points, the lines of both halves, and the original labels' own accuracy.

    Args:
      models: the points; models with predictions stand out from models with accuracies only.
      regression: the result of `measure`, for the lines; None for no lines.
      own: the original labels' own accuracy, for a horizontal line; None for no line.
      by: title of the reassessment.
    """
    x = 100 * np.array([model.original for model in models])
    y = 100 * np.array([model.reassessed for model in models])
    strong = np.array([model.has_predictions for model in models], bool)
    strong = strong if strong.any() else ~strong
    links = np.array([model.link for model in models])
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
        if links.any():
            figures.link(marks, *links[group].tolist())
        if not strong.all():
            marks.set_label(title)
    low, high = x.min(), x.max()
    margin = 0.04 * (high - low) + 0.5
    axis.set_xlim(low - margin, high + margin)
    if regression is not None:
        median = 100 * regression.median
        for name, half, (begin, end), colour in (
            ("lower", regression.lower, (low, median), figures.AMBER),
            ("upper", regression.upper, (median, high), figures.VIOLET),
        ):
            across = np.array([begin, end])
            axis.plot(
                across,
                100 * half.intercept + half.slope.value * across,
                color=colour,
                linewidth=2.2,
                zorder=5,
                label=f"{name} half: slope {half.slope.value:.3f}",
            )
        axis.axvline(median, color=figures.MUTED, linewidth=0.8, linestyle=":", label="median")
    if own is not None:
        axis.axhline(
            100 * own,
            color=figures.ORIGINAL,
            linestyle=(0, (4, 3)),
            label="the original labels' own",
        )
    axis.set_xlabel("top-1 accuracy on the original labels, %")
    axis.set_ylabel(f"top-1 accuracy on the {by} labels, %")
    if regression is not None or own is not None:
        figures.legend(figure, [axis])
    return figure


def make(study: Study) -> Content:
    """Gathers and regresses the models of a study and of its tables of accuracies."""
    missing = []
    if study.accuracies is None:
        missing += study.missing("models")
    if study.accuracies is None or study.models:
        missing += study.missing("original", "reassessments")
    if study.accuracies is not None and _judge(study) not in study.accuracies.by:
        titles = section.join([title_of(name) for name in study.accuracies.by])
        missing.append(
            f"The accuracy tables hold {titles} accuracies only, so this section leaves their models out."
        )
    models = _gather(study)
    if not models:
        return Content(missing=missing)
    regression = regress(models)
    own, by = None, title_of(_judge(study))
    if study.original is not None and study.reassessments:
        itself = Predictions.from_labels(study.original)
        own, by = accuracy.top_k_accuracy(itself, study.judge.labels), study.judge.title
    else:
        missing = missing or [
            f"Without labels, the original labels' own {by} accuracy is not known."
        ]
    if regression is None:
        missing.append(
            f"Slopes need {LEAST_MODELS} models or more of different accuracy, found {len(models)}; "
            f"--accuracy-table adds models whose accuracies are published, such as timm's."
        )
    remarks = []
    partial = [name for name, m in study.models.items() if len(m) < len(study.original or ())]
    if partial and own is not None:
        remarks.append(
            f"Not all images are predicted by {section.join(partial)}. Accuracy is on the predicted images, "
            f"the original labels' own accuracy is on all images."
        )
    column = study.judge_column
    title = f"{by} over original top-1 accuracy, a point for each model"
    figure = draw(models, regression, own.value if own and own.is_known else None, by)
    return Content(
        lead=_lead(models, regression, own, by),
        missing=missing,
        remarks=remarks,
        numbers=ReassessedOverOriginal(column, models, own, regression),
        figures=[SectionFigure(KEY, title, figure)],
        tables=[_table(models, by)],
        lists={
            "models_real_over_original": {
                "model": np.array([model.name for model in models]),
                ORIGINAL: np.array([model.original for model in models]),
                column: np.array([model.reassessed for model in models]),
            }
        },
        notes=[
            "The models are split at the median original accuracy, and each half has a least-squares line "
            "with t intervals. Welch's test compares the slopes. The models are treated as independent, but "
            "models of one family are not.",
            f"The paper found slopes of {_PAPER[0]} and {_PAPER[1]} (p < 0.001).",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "{by} over original",
    "Does progress on the original labels carry over to the reassessed labels?",
    needs=(),
    make=make,
    by_one=True,
)


def _judge(study: Study) -> str:
    """The name of the judge; without labels, of the first reassessment in the accuracy tables."""
    of_tables = (REAL,) if study.accuracies is None else tuple(study.accuracies.by)
    return next(iter(study.reassessments or of_tables))


def points(study: Study) -> list[ModelPoint]:
    """Points of the models with predictions; empty without original labels or without a judge.

    Models without an image that the judge labels are left out.
    """
    if study.original is None or not study.reassessments:
        return []
    models = []
    for name, outcomes in study.outcomes.items():
        labelled = np.count_nonzero(outcomes.num_labels)
        if labelled:
            reassessed = np.count_nonzero(outcomes.predicted_valid) / labelled
            original = np.count_nonzero(~outcomes.mistake) / len(outcomes)
            models.append(ModelPoint(name, original, reassessed, study.links[name]))
    return models


def regress(models: Sequence[ModelPoint]) -> Regression | None:
    """The result of `measure` for the points of the models."""
    return measure(
        np.array([model.original for model in models]),
        np.array([model.reassessed for model in models]),
    )


def _gather(study: Study) -> list[ModelPoint]:
    """Points of the models with predictions, then of table models with an accuracy on the judge's labels."""
    models = points(study)
    others = study.accuracies
    if others is not None and _judge(study) in others.by:
        reassessed = others.by[_judge(study)].tolist()
        columns = (others.names.tolist(), others.original.tolist(), reassessed)
        models += [
            ModelPoint(name, x, y, f"other-{number}", has_predictions=False)
            for number, (name, x, y) in enumerate(zip(*columns, strict=True))
            if not math.isnan(y)
        ]
    return models


def _lead(
    models: Sequence[ModelPoint], regression: Regression | None, own: Accuracy | None, by: str
) -> str:
    beyond = ""
    if own is not None and own.is_known:
        above = sum(model.reassessed > own.value for model in models)
        limit = f"the original labels' own {by} accuracy of {100 * own.value:.2f}%"
        if len(models) == 1:
            (model,) = models
            beyond = (
                f"With {100 * model.reassessed:.2f}% on the {by} and {100 * model.original:.2f}% on the "
                f"original labels, {model.name} is {'above' if above else 'not above'} {limit}."
            )
        else:
            beyond = (
                f"By their point estimates, {above:,} of {len(models):,} models "
                f"{'is' if above == 1 else 'are'} above {limit}."
            )
    if regression is None:
        return beyond or f"{len(models):,} models, on both label sets."
    lower, upper = regression.lower.slope, regression.upper.slope
    difference = regression.difference
    p = section.p_words(difference.p_value)
    lead = (
        f"Of {len(models):,} models, a point of accuracy on the original labels is worth "
        f"{percent(lower, 3, scale=1, unit=' points')} on the {by} labels in the "
        f"lower half (up to {100 * regression.median:.3f}%) and "
        f"{percent(upper, 3, scale=1, unit='')} in the upper half: "
    )
    if difference.p_value < section.LEVEL:
        less = "less" if difference.value > 0 else "more"
        lead += f"{less} by {abs(difference.value):.3f}, significantly ({p})."
    else:
        lead += f"the slopes cannot be told apart ({p})."
    return f"{lead} {beyond}".rstrip()


def _table(models: Sequence[ModelPoint], by: str) -> Table:
    columns = [
        Column("model", lambda model: model.name, is_text=True),
        Column(
            "original top-1", lambda model: Cell(f"{100 * model.original:.3f}%", model.original)
        ),
        Column(
            f"{by} top-1", lambda model: Cell(f"{100 * model.reassessed:.3f}%", model.reassessed)
        ),
        Column(
            "difference",
            lambda model: Cell(
                f"{100 * (model.reassessed - model.original):+.3f}",
                model.reassessed - model.original,
            ),
            "In points",
        ),
    ]
    rows = sorted(models, key=lambda model: -model.reassessed)
    return Table.of(
        f"{KEY}-models",
        "All models",
        columns,
        rows,
        lambda model: model.link,
        "models_real_over_original",
    )

"""Precision and recall of scores against gold, and the choice of a threshold."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from real_labels import files
from real_labels.answers import Gold, Scores
from real_labels.errors import InputError
from real_labels.files import tables
from real_labels.intervals import Estimate, percent, wilson_interval

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """Precision and recall of one threshold on the gold questions.

    Attributes:
      threshold: the lowest score of the labels that are kept.
      kept, present, hits: number of gold questions whose label is kept, present (at least 1), and both.
    """

    threshold: float
    kept: int
    present: int
    hits: int

    @property
    def precision(self) -> float:
        """Share of the kept labels that are present; NaN if no label is kept."""
        return self.hits / self.kept if self.kept else float("nan")

    @property
    def recall(self) -> float:
        """Share of the present labels that are kept."""
        return self.hits / self.present

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if no label is kept."""
        return 2 * self.hits / (self.kept + self.present)

    def as_json(self) -> dict:
        """A dict for JSON with 95% Wilson intervals; precision is null if no label is kept."""
        return dataclasses.asdict(self) | {
            "precision": self.precision if self.kept else None,
            "precision_interval": wilson_interval(self.hits, self.kept),
            "recall": self.recall,
            "recall_interval": wilson_interval(self.hits, self.present),
            "f1": self.f1,
        }

    def __str__(self) -> str:
        def share(hits: int, n: int) -> str:
            if not n:
                return "undefined (no label is kept)"
            return percent(Estimate.of_share(hits, n), 1)

        return (
            f"threshold {self.threshold:.6g}: precision {share(self.hits, self.kept)}, "
            f"recall {share(self.hits, self.present)}, F1 {self.f1:.3f}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall at every distinct threshold.

    Attributes:
      thresholds: (T,) the distinct scores of the gold questions, in falling order.
      kept: (T,) number of gold questions that score at least the threshold.
      hits: (T,) number of these gold questions whose label is present.
      present: number of gold questions whose label is present; at least 1.
    """

    thresholds: Float[np.ndarray, "thresholds"]
    kept: Int[np.ndarray, "thresholds"]
    hits: Int[np.ndarray, "thresholds"]
    present: int

    @classmethod
    def of(cls, scores: Scores, gold: Gold) -> PrecisionRecall:
        """Measures scores on the gold questions that have a score.

        Raises:
          InputError: if no gold question has a score, or no label of these gold questions is present.
        """
        rows, gold_rows = gold.among(scores.questions, "scores")
        score, present = scores.probability[rows], gold.present[gold_rows]
        if not present.any():
            raise InputError(
                f"None of the {len(rows)} gold questions among the scores has its label present, so "
                f"recall cannot be measured."
            )
        order = np.argsort(-score, kind="stable")
        last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
        hits = np.cumsum(present[order])[last]
        return cls(score[order][last], last + 1, hits, int(present.sum()))

    @property
    def precision(self) -> Float[np.ndarray, "thresholds"]:
        """(T,) in [0, 1]."""
        return self.hits / self.kept

    @property
    def recall(self) -> Float[np.ndarray, "thresholds"]:
        """(T,) in [0, 1], never falling."""
        return self.hits / self.present

    def at_threshold(self, threshold: float) -> OperatingPoint:
        """Returns the operating point of a threshold in [0, 1]."""
        if not 0 <= threshold <= 1:
            raise InputError(f"The threshold must lie in [0, 1], found {threshold}.")
        index = np.count_nonzero(self.thresholds >= threshold) - 1
        kept, hits = (int(self.kept[index]), int(self.hits[index])) if index >= 0 else (0, 0)
        return OperatingPoint(float(threshold), kept, self.present, hits)

    def at_precision(self, precision: float) -> OperatingPoint:
        """Returns the operating point of the highest recall whose precision is at least `precision`.

        Raises:
          InputError: naming the highest precision, if no threshold reaches `precision`.
        """
        enough = np.flatnonzero(self.precision >= precision)
        if not len(enough):
            best = int(np.argmax(self.precision))
            raise InputError(
                f"No threshold has a precision of {precision}; the highest precision is "
                f"{self.precision[best]:.4f}, at the threshold {self.thresholds[best]:.6g}."
            )
        return self.at_threshold(float(self.thresholds[enough[-1]]))

    def at_best_f1(self) -> OperatingPoint:
        """Returns the operating point of the highest F1; of ties, the highest threshold."""
        return self.at_threshold(
            self.thresholds[int(np.argmax(2 * self.hits / (self.kept + self.present)))]
        )

    def save(self, path: str | os.PathLike[str], marked: OperatingPoint | None = None) -> None:
        """Writes the curve, atomically: .csv or .parquet, .json, or a figure (.png, .svg, .pdf).

        Args:
          path: the file.
          marked: an operating point to mark in the figure and to include in the JSON.
        """
        ending = pathlib.Path(path).suffix.lower()
        columns = {
            "threshold": self.thresholds,
            "precision": self.precision,
            "recall": self.recall,
            "kept": self.kept,
            "hits": self.hits,
        }
        if ending in (".csv", ".parquet"):
            tables.write(path, columns)
        elif ending == ".json":
            record = {
                "present": self.present,
                "operating_point": None if marked is None else marked.as_json(),
                "curve": {name: column.tolist() for name, column in columns.items()},
            }
            files.write_json(path, record)
        elif ending in (".png", ".svg", ".pdf"):
            self._draw(path, marked)
        else:
            raise InputError(
                f"{path}: a curve is written as .png, .svg, .pdf, .csv, .parquet or .json; found "
                f"{ending or 'no ending'}."
            )

    def _draw(self, path: str | os.PathLike[str], marked: OperatingPoint | None) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(100 * self.recall, 100 * self.precision, color="#2471a3", lw=1.8)
        if marked is not None and marked.kept:
            point = (100 * marked.recall, 100 * marked.precision)
            axes.plot(*point, "o", color="#c0392b", ms=7)
            right = point[0] > 60
            axes.annotate(
                f"score ≥ {marked.threshold:.4g}\nprecision {point[1]:.1f}%, recall {point[0]:.1f}%",
                point,
                xytext=(-10 if right else 10, 10 if point[1] < 85 else -34),
                textcoords="offset points",
                ha="right" if right else "left",
                fontsize=9,
            )
        axes.set(
            xlabel="Recall on gold questions (%)",
            ylabel="Precision (%)",
            xlim=(0, 101),
            ylim=(max(0, 100 * self.precision.min() - 5), 101),
        )
        axes.grid(color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        ending = pathlib.Path(path).suffix[1:].lower()
        with files.replacing(path) as temporary:
            figure.savefig(temporary, format=ending, dpi=160)

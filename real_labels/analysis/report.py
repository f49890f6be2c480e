"""The report: every analysis, as a page, figures, lists, and one file with all numbers."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tqdm

from real_labels import files, tables
from real_labels.analysis import (
    accuracy_table,
    calibration,
    confusable_pairs,
    figures,
    label_errors,
    page,
    rater_preference,
    real_over_original,
    several_labels,
    triage,
)
from real_labels.analysis.section import Section
from real_labels.analysis.study import Study
from real_labels.analysis.thumbnails import Thumbnails

ANALYSES = (
    accuracy_table,
    real_over_original,
    triage,
    rater_preference,
    several_labels,
    confusable_pairs,
    label_errors,
    calibration,
)


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the report says of where its inputs come from.

    Attributes:
      dataset: what to call it.
      model_files: the file of each model, by name.
      remarks: what the reader should know of the inputs: mix-ups, files left out.
    """

    dataset: str
    model_files: dict[str, str] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()


def write(
    study: Study, folder: str | os.PathLike[str], origin: Origin, images: Thumbnails | None = None
) -> list[Section]:
    """Makes every analysis and writes the report, `index.html` last.

    `folder` receives index.html, report.json, figures/NAME.png and .svg, lists/NAME.csv; what else is there
    stays. Each file is written under a temporary name first.

    Returns:
      The sections, in the report's order.
    """
    folder = pathlib.Path(folder)
    sections, drawings = [], {}
    with tqdm.tqdm(ANALYSES, desc="analysing", unit=" sections", leave=False, disable=None) as bar:
        for analysis in bar:
            bar.set_postfix_str(analysis.KEY)
            made = analysis.make(study)
            sections.append(made)
            for drawn in made.figures:
                svg = figures.svg(drawn.figure, drawn.key, drawn.title)
                drawings[drawn.key] = figures.inline(svg)
                _write(folder / "figures" / f"{drawn.key}.svg", svg.encode())
                _write(folder / "figures" / f"{drawn.key}.png", figures.png(drawn.figure))
            for name, columns in made.lists.items():
                tables.write(folder / "lists" / f"{name}.csv", columns)
    files.write_json(folder / "report.json", _record(study, origin, sections))
    html = page.render(study, origin, sections, drawings, images)
    _write(folder / "index.html", html.encode())
    return sections


def _write(path: pathlib.Path, content: bytes) -> None:
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def _record(study: Study, origin: Origin, sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "dataset": origin.dataset,
        "num_images": None if study.original is None else len(study.original),
        "num_classes": study.num_classes,
        "models": origin.model_files,
        "shown": study.shown,
        "seed": study.seed,
        "remarks": list(origin.remarks),
        "sections": {
            one.key: {
                "title": one.title,
                "lead": one.lead,
                "missing": list(one.missing),
                "numbers": one.numbers,
            }
            for one in sections
        },
    }

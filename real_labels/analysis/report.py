"""The report: all analyses as a page, figures, lists, and one file with all numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import tqdm

from real_labels import files
from real_labels.analysis import (
    accuracy_table,
    agreement,
    calibration,
    confusable_pairs,
    label_errors,
    rater_preference,
    real_over_original,
    reviewed,
    several_labels,
    triage,
)
from real_labels.analysis.page import figures, html
from real_labels.analysis.page.section import Section, join
from real_labels.analysis.page.thumbnails import Thumbnails
from real_labels.analysis.study import Origin, Study
from real_labels.files import tables
from real_labels.files.records import as_json
from real_labels.labels.reassessment import REAL

ANALYSES = (
    accuracy_table.ANALYSIS,
    agreement.ANALYSIS,
    real_over_original.ANALYSIS,
    triage.ANALYSIS,
    reviewed.ANALYSIS,
    rater_preference.ANALYSIS,
    several_labels.ANALYSIS,
    confusable_pairs.ANALYSIS,
    label_errors.ANALYSIS,
    calibration.ANALYSIS,
)


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """The sections and remarks of a report.

    Attributes:
      sections: in the order of the page.
      remarks: remarks on the inputs, on letters missing from figures, and on images that were not found.
    """

    sections: Sequence[Section]
    remarks: Sequence[str]


def write(
    study: Study, folder: str | os.PathLike[str], origin: Origin, images: Thumbnails | None = None
) -> WrittenReport:
    """Runs all analyses and writes the report, `index.html` last.

    `folder` receives index.html, report.json, figures/NAME.png and .svg, lists/NAME.csv, each written under
    a temporary name first. Figures and lists of an earlier report that this report does not write are
    removed; other files stay.
    """
    folder = pathlib.Path(folder)
    earlier = _files_of(folder)
    sections, drawings, written = [], {}, []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with tqdm.tqdm(
            ANALYSES, desc="analysing", unit=" sections", leave=False, disable=None
        ) as bar:
            for analysis in bar:
                bar.set_postfix_str(analysis.key)
                for section in analysis.sections(study):
                    sections.append(section)
                    for figure in section.figures:
                        svg = figures.svg(figure.figure, figure.key, figure.title)
                        drawings[figure.key] = figures.inline(svg)
                        contents = {"svg": svg.encode(), "png": figures.png(figure.figure)}
                        for ending, content in contents.items():
                            written.append(f"figures/{figure.key}.{ending}")
                            _write(folder / written[-1], content)
                    for name, columns in section.lists.items():
                        written.append(f"lists/{name}.csv")
                        tables.write(folder / written[-1], columns)
    thumbnails = {} if images is None else _thumbnails(sections, images)
    remarks = [*origin.remarks, *_glyphs(warned), *_lost(thumbnails, images)]
    page = html.render(_about(study, origin), sections, drawings, thumbnails, remarks)
    record = _record(study, origin, sections, remarks)
    files.write_json(folder / "report.json", {**record, "files": written})
    _write(folder / "index.html", page.encode())
    for name in earlier - set(written):
        (folder / name).unlink(missing_ok=True)
    return WrittenReport(sections, remarks)


def _about(study: Study, origin: Origin) -> html.About:
    return html.About(
        dataset=origin.dataset,
        shown=study.shown,
        num_images=None if study.original is None else len(study.original),
        num_classes=study.num_classes,
        num_models=len(study.models),
        model_files=origin.model_files,
        seed=study.seed,
        kicker=_kicker(study),
        sources=[
            f"{judge.title}: {'. '.join(filter(None, (judge.source, judge.licence, judge.caveat)))}"
            for name, judge in study.reassessments.items()
            if name != REAL and judge.source
        ],
    )


def _kicker(study: Study) -> str:
    if study.is_real_alone:
        return "Original labels and Reassessed Labels (ReaL)"
    titles = [reassessment.title for reassessment in study.reassessments.values()]
    return f"Original labels and reassessments: {join(titles)}"


def _files_of(folder: pathlib.Path) -> set[str]:
    """The figures and lists of an earlier report in this folder, as its report.json lists them."""
    try:
        names = json.loads((folder / "report.json").read_text(encoding="utf-8"))["files"]
        return {
            name
            for name in names
            if re.fullmatch(r"figures/[^/]+\.(svg|png)|lists/[^/]+\.csv", name)
        }
    except (OSError, ValueError, LookupError, TypeError):
        return set()


def _thumbnails(sections: Sequence[Section], images: Thumbnails) -> dict[str, str | None]:
    """The data: address of each shown image by file name; None if it is missing or unreadable."""
    names = [
        c.file_name for section in sections for gallery in section.galleries for c in gallery.cards
    ]
    return {name: images.data_uri(name) for name in names}


def _lost(thumbnails: dict[str, str | None], images: Thumbnails | None) -> list[str]:
    lost = [name for name, address in thumbnails.items() if address is None]
    if not lost or images is None:
        return []
    return [
        f"{len(lost)} of the {len(thumbnails)} images to show are missing below {images.folder} or "
        f"unreadable (first: {lost[0]})."
    ]


def _glyphs(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """A remark if the figures' font lacks letters; other warnings are issued again."""
    missing = [warning for warning in caught if "Glyph" in str(warning.message)]
    for warning in caught:
        if warning not in missing:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if not missing:
        return []
    return ["The PNG figures lack some letters of the names; the page and the SVGs have them."]


def _write(path: pathlib.Path, content: bytes) -> None:
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def _record(
    study: Study, origin: Origin, sections: Sequence[Section], remarks: Sequence[str]
) -> dict[str, Any]:
    return {
        "dataset": origin.dataset,
        "num_images": None if study.original is None else len(study.original),
        "num_classes": study.num_classes,
        "models": origin.model_files,
        "shown": study.shown,
        "seed": study.seed,
        "remarks": list(remarks),
        "label_sets": {
            name: {
                "title": reassessment.title,
                "num_images": len(reassessment.labels),
                "num_covered": reassessment.num_covered,
                "counting": reassessment.counting,
                "source": reassessment.source,
                "licence": reassessment.licence,
                "caveat": reassessment.caveat,
            }
            for name, reassessment in study.reassessments.items()
        },
        "sections": {
            section.key: {
                "title": section.title,
                "lead": section.lead,
                "missing": list(section.missing),
                "remarks": list(section.remarks),
                "numbers": as_json(section.numbers),
            }
            for section in sections
        },
    }

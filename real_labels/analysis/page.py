"""The report as one page of HTML that needs nothing else: style, script, figures and images are in it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from real_labels.analysis.section import Section
    from real_labels.analysis.study import Origin, Study

_TEMPLATE = pathlib.Path(__file__).parent / "template"


def render(
    study: Study,
    origin: Origin,
    sections: Sequence[Section],
    drawings: Mapping[str, str],
    thumbnails: Mapping[str, str | None],
    remarks: Sequence[str],
) -> str:
    """Lays out the page.

    Args:
      study: what was analysed.
      origin: where it comes from.
      sections: what was found.
      drawings: each figure as SVG for a page (figures.inline), by its key.
      thumbnails: images by file name, as data: addresses.
      remarks: what the reader should know first.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        study=study,
        origin=origin,
        sections=sections,
        tiles=[tile for one in sections for tile in one.tiles],
        drawings=drawings,
        thumbnails=thumbnails,
        remarks=remarks,
        style=(_TEMPLATE / "report.css").read_text(encoding="utf-8"),
        script=(_TEMPLATE / "report.js").read_text(encoding="utf-8"),
    )

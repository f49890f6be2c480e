"""The report as one self-contained page of HTML: it includes style, script, figures and images."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from real_labels.analysis.page.section import Section

_TEMPLATE = pathlib.Path(__file__).parent / "template"


@dataclasses.dataclass(frozen=True)
class About:
    """The texts of the head and the foot of the page.

    Attributes:
      dataset: name of the dataset.
      shown: the model that the report is about; empty if there are no models.
      num_images: number of images with an original label; None without original labels.
      num_classes: number of classes; 0 if not known.
      num_models: number of models.
      model_files: the file of each model, by the model's name.
      seed: seed of every bootstrap.
      kicker: the line above the heading, which names the label sets.
      sources: the sources of further label sets, one line each.
    """

    dataset: str
    shown: str
    num_images: int | None
    num_classes: int
    num_models: int
    model_files: Mapping[str, str]
    seed: int
    kicker: str = "Original labels and Reassessed Labels (ReaL)"
    sources: Sequence[str] = ()


def render(
    about: About,
    sections: Sequence[Section],
    drawings: Mapping[str, str],
    thumbnails: Mapping[str, str | None],
    remarks: Sequence[str],
) -> str:
    """Renders the page.

    Args:
      about: the dataset and the models.
      sections: the sections of the report.
      drawings: each figure as SVG for a page (figures.inline), by its key.
      thumbnails: images by file name, as data: addresses; None for an image that was not found.
      remarks: sentences to read first.
    """
    return rendered(
        "report.html",
        about=about,
        sections=sections,
        tiles=[tile for section in sections for tile in section.tiles],
        drawings=drawings,
        thumbnails=thumbnails,
        remarks=remarks,
        script=(_TEMPLATE / "report.js").read_text(encoding="utf-8"),
    )


def rendered(template: str, **content: Any) -> str:
    """Renders one of the templates with the report's style sheet."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (_TEMPLATE / "report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **content)

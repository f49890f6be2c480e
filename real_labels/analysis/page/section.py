"""The parts of a section of the report: its lead, figures, linked tables, images and lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.intervals import Estimate, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GALLERY = "kind-"  # prefix of a gallery's key and of the links to it
LEVEL = 0.05  # of significance
FIELDS = ("value", "low", "high")  # of a share or difference with its interval


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: its text.
      value: number that the column is sorted by, with None last; columns of text are sorted by the text.
      note: small print behind the text.
      bar: share in [0, 1] that is drawn as a bar, or None.
    """

    text: str
    value: float | None = None
    note: str = ""
    bar: float | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      title: its heading.
      cell: makes the cell of a row; a str stands for a cell of text, an int for a cell with a count.
      help: an explanation of the column.
      is_text: whether it is aligned and sorted as text.
    """

    title: str
    cell: Callable[[Any], Cell | str | int]
    help: str = ""
    is_text: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. Pointing at a row highlights the marks in the figures that have the row's link.

    Attributes:
      key: its id on the page.
      title: its heading.
      columns: its columns.
      rows: (link or "", cells) of each row.
      list_name: name of the CSV with the whole table, or "".
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    list_name: str = ""

    @classmethod
    def of(
        cls,
        key: str,
        title: str,
        columns: Sequence[Column],
        items: Iterable[Any],
        link: Callable[[Any], str] = lambda _: "",
        list_name: str = "",
    ) -> Table:
        """Makes a table with a row for each item; `link` gives the link of an item's marks in the figures."""
        rows = [(link(item), [_cell(column.cell(item)) for column in columns]) for item in items]
        return cls(key, title, columns, rows, list_name)


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(value) if isinstance(value, str) else Cell(f"{value:,}", value)


@dataclasses.dataclass(frozen=True)
class SectionFigure:
    """A figure of a section.

    Attributes:
      key: name of its files, without ending.
      title: caption, also for screen readers.
      figure: the Matplotlib figure.
    """

    key: str
    title: str
    figure: Figure


@dataclasses.dataclass(frozen=True)
class Card:
    """One image with its labels and the prediction.

    Attributes:
      file_name: name of the image file.
      original, predicted: names of the original label and of the predicted class.
      by: title of the label set that judges both.
      valid: names of the image's labels in that label set.
      original_valid, predicted_valid: whether the original label and the predicted class are among them.
      notes: small print.
    """

    file_name: str
    original: str
    predicted: str
    by: str
    valid: Sequence[str]
    original_valid: bool
    predicted_valid: bool
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Images of one kind.

    Attributes:
      key: of the kind.
      title: of the kind.
      text: description of the kind.
      cards: some of the images.
      total: number of all images of the kind.
    """

    key: str
    title: str
    text: str
    cards: Sequence[Card]
    total: int


@dataclasses.dataclass(frozen=True)
class Tile:
    """One number at the head of the page.

    Attributes:
      value: the number.
      title: the meaning of the number.
      note: its interval, or a remark.
      role: "original", "real", "model" or "", for its colour.
    """

    value: str
    title: str
    note: str = ""
    role: str = ""


@dataclasses.dataclass(frozen=True)
class Content:
    """The content of a section: the results of an analysis.

    Attributes:
      lead: summary of the results, with numbers; "" if there are no results.
      missing: sentences, each of which names a missing result and the input that it requires.
      remarks: sentences to read before the results.
      numbers: the results, for report.json, or None.
      figures, tables, galleries: the results to look at.
      lists: the CSVs by name; of each, the columns by name.
      notes: how the results were computed.
      tiles: numbers for the head of the page.
    """

    lead: str = ""
    missing: Sequence[str] = ()
    remarks: Sequence[str] = ()
    numbers: Any = None
    figures: Sequence[SectionFigure] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    lists: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    tiles: Sequence[Tile] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section(Content):
    """A section of the report: the content of one analysis under a heading.

    Attributes:
      key: its id on the page and in report.json.
      title: the heading.
      question: the question that the section answers.
    """

    key: str
    title: str
    question: str


def share(estimate: Estimate | None, *, bar: bool = False) -> Cell:
    """A cell with a share in [0, 1] and its interval, in percent; "–" if the share is not known."""
    if estimate is None or not estimate.is_known:
        return Cell("–")
    value, interval = _parts(percent(estimate))
    return Cell(value, estimate.value, interval, estimate.value if bar else None)


def points(estimate: Estimate | None) -> Cell:
    """A cell with a difference of shares and its interval, in points; "–" if it is not known."""
    if estimate is None or not estimate.is_known:
        return Cell("–")
    value, interval = _parts(percent(estimate, sign="+", unit="").replace("-", "−"))
    return Cell(value, estimate.value, interval)


def _parts(text: str) -> tuple[str, str]:
    """(value, interval) of a formatted estimate; the interval has no-break spaces."""
    value, _, interval = text.partition(" ")
    return value, interval.replace(" ", "\N{NO-BREAK SPACE}")


def p_value(p: float) -> Cell:
    """A cell with a p-value."""
    return Cell(p_words(p).removeprefix("p ").removeprefix("= "), p)


def p_words(p: float) -> str:
    """ "p = 0.013", or "p < 0.001", for a sentence."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def tiles(*shares: tuple[Estimate, str, str]) -> list[Tile]:
    """Tiles of shares, each given as (share, title, role); shares that are not known are left out."""
    cells = [
        (share(estimate), title, role) for estimate, title, role in shares if estimate.is_known
    ]
    return [Tile(cell.text, title, cell.note, role) for cell, title, role in cells]


def columns(
    prefix: str, estimates: Sequence[Any], fields: Sequence[str] = FIELDS
) -> dict[str, np.ndarray]:
    """Columns of a list, PREFIX_FIELD, from fields of estimates; NaN if an estimate lacks the field."""
    return {
        f"{prefix}_{field}": np.array(
            [getattr(estimate, field, np.nan) for estimate in estimates], np.float64
        )
        for field in fields
    }


def join(words: Sequence[str]) -> str:
    """The words as "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

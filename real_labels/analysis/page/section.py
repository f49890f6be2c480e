"""What a section of the report is made of: a sentence, figures, tables that link to them, lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.intervals import Estimate, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GALLERY = "kind-"  # begins the key of a gallery, and the links of marks to it
LEVEL = 0.05  # what is called significant
FIELDS = ("value", "low", "high")  # of a share or difference with its interval


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what it says.
      value: the number its column is sorted by, None at the end; columns of text are sorted by that.
      note: small print behind the text.
      bar: share in [0, 1] that is drawn as a bar, or None.
    """

    text: str
    value: float | None = None
    note: str = ""
    bar: float | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its head, and its cell for each row.

    Attributes:
      title: its name.
      cell: what it says of a row; a text alone is a cell of text, a whole number one of a count.
      help: what it holds, in a sentence.
      is_text: whether it is aligned and sorted as text.
    """

    title: str
    cell: Callable[[Any], Cell | str | int]
    help: str = ""
    is_text: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose rows light up the marks of the figures that have their link.

    Attributes:
      key: its id on the page.
      title: of what.
      columns: the heads.
      rows: (link or "", cells) of each.
      list_name: the CSV that holds all of it, or "".
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
        """A row for each item, with the link of its marks in the figures."""
        rows = [(link(item), [_cell(column.cell(item)) for column in columns]) for item in items]
        return cls(key, title, columns, rows, list_name)


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(value) if isinstance(value, str) else Cell(f"{value:,}", value)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure of a section.

    Attributes:
      key: its file's name.
      title: what it shows, also for those who cannot see it.
      figure: as drawn.
    """

    key: str
    title: str
    figure: Figure


@dataclasses.dataclass(frozen=True)
class Card:
    """One image with what it is said to show.

    Attributes:
      file_name: of the image.
      original, predicted: names of the classes.
      by: title of the label set that judges them.
      valid: names of its labels.
      original_valid, predicted_valid: whether they are among those.
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
      text: what they have in common.
      cards: the images.
      total: how many there are in all.
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
      title: what it is.
      note: its interval, or a word more.
      role: "original", "real", "model" or "", for its colour.
    """

    value: str
    title: str
    note: str = ""
    role: str = ""


@dataclasses.dataclass(frozen=True)
class Content:
    """What an analysis found.

    Attributes:
      lead: what was found, with its numbers; "" where nothing could be.
      missing: what could not be told and what it would take, a sentence each.
      remarks: what else the reader should know first.
      numbers: the results, for report.json, or None.
      figures, tables, galleries: to look at.
      lists: CSVs by name, columns by name.
      notes: how it was computed.
      tiles: numbers for the head of the page.
    """

    lead: str = ""
    missing: Sequence[str] = ()
    remarks: Sequence[str] = ()
    numbers: Any = None
    figures: Sequence[Drawn] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    lists: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    tiles: Sequence[Tile] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section(Content):
    """What the report says of one analysis: its content under a head.

    Attributes:
      key: its id, in report.json, too.
      title: a few words.
      question: what it answers.
    """

    key: str
    title: str
    question: str


def share(estimate: Estimate | None, *, bar: bool = False) -> Cell:
    """A share in [0, 1] with its interval, in percent; "–" where there is none."""
    if estimate is None or not estimate.is_known:
        return Cell("–")
    value, interval = _parts(percent(estimate))
    return Cell(value, estimate.value, interval, estimate.value if bar else None)


def points(estimate: Estimate | None) -> Cell:
    """A difference of shares with its interval, in points."""
    if estimate is None or not estimate.is_known:
        return Cell("–")
    value, interval = _parts(percent(estimate, sign="+", unit="").replace("-", "−"))
    return Cell(value, estimate.value, interval)


def _parts(said: str) -> tuple[str, str]:
    """(value, interval), the latter without a break."""
    value, _, interval = said.partition(" ")
    return value, interval.replace(" ", "\N{NO-BREAK SPACE}")


def p_value(p: float) -> Cell:
    """A p-value."""
    return Cell(p_words(p).removeprefix("p ").removeprefix("= "), p)


def p_words(p: float) -> str:
    """ "p = 0.013", or "p < 0.001", for a sentence."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def tiles(*shares: tuple[Estimate, str, str]) -> list[Tile]:
    """Shares for the head of the page: (share, title, role) of each; those of nothing are left out."""
    cells = [(share(one), title, role) for one, title, role in shares if one.is_known]
    return [Tile(cell.text, title, cell.note, role) for cell, title, role in cells]


def columns(
    prefix: str, estimates: Sequence[Any], fields: Sequence[str] = FIELDS
) -> dict[str, np.ndarray]:
    """Columns of a list, PREFIX_FIELD, from the fields of estimates; NaN where there is nothing."""
    return {
        f"{prefix}_{field}": np.array(
            [getattr(one, field, np.nan) for one in estimates], np.float64
        )
        for field in fields
    }


def join(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

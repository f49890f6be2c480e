"""What a section of the report is made of: a sentence, figures, tables that link to them, lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """Head of a column.

    Attributes:
      title: its name.
      help: what it holds, in a sentence.
      is_text: whether it is aligned and sorted as text.
    """

    title: str
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
      real: names of the ReaL labels.
      original_valid, predicted_valid: whether they are among the ReaL labels.
      notes: small print.
    """

    file_name: str
    original: str
    predicted: str
    real: Sequence[str]
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
class Section:
    """What the report says of one analysis.

    Attributes:
      key: its id, in report.json, too.
      title: a few words.
      question: what it answers.
      lead: what was found, with its numbers; "" where nothing could be.
      missing: what could not be told and what it would take, a sentence each.
      remarks: what else the reader should know first.
      numbers: the record for report.json, or None.
      figures, tables, galleries: to look at.
      lists: CSVs by name, columns by name.
      notes: how it was computed.
      tiles: numbers for the head of the page.
    """

    key: str
    title: str
    question: str
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


def text(value: str) -> Cell:
    """Words."""
    return Cell(value)


def count(n: int) -> Cell:
    """A whole number."""
    return Cell(f"{n:,}", n)


def share(record: Mapping[str, Any] | None, *, bar: bool = False) -> Cell:
    """A share in [0, 1] with its interval, in percent; "–" where there is none."""
    if record is None or record["value"] is None:
        return Cell("–")
    value = record["value"]
    return Cell(f"{100 * value:.2f}%", value, _interval(record, 100), value if bar else None)


def points(record: Mapping[str, Any] | None) -> Cell:
    """A difference of shares with its interval, in points."""
    if record is None or record["value"] is None:
        return Cell("–")
    value, low, high = (signed(100 * record[key]) for key in ("value", "low", "high"))
    return Cell(value, record["value"], f"[{low},\N{NO-BREAK SPACE}{high}]")


def signed(value: float, digits: int = 2) -> str:
    """With its sign; a minus that is one."""
    return f"{value:+.{digits}f}".replace("-", "−")


def p_value(p: float) -> Cell:
    """A p-value."""
    return Cell(p_words(p).removeprefix("p ").removeprefix("= "), p)


def p_words(p: float) -> str:
    """ "p = 0.013", or "p < 0.001", for a sentence."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def percent(record: Mapping[str, Any], digits: int = 1) -> str:
    """ "12.3% [11.9, 12.8]", for a sentence."""
    if record["value"] is None:
        return "–"
    value, low, high = (100 * record[key] for key in ("value", "low", "high"))
    return f"{value:.{digits}f}% [{low:.{digits}f}, {high:.{digits}f}]"


def tiles(*records: tuple[Mapping[str, Any], str, str]) -> list[Tile]:
    """Shares for the head of the page: (record, title, role) of each; those of nothing are left out."""
    return [
        Tile(f"{100 * record['value']:.2f}%", title, _interval(record, 100), role)
        for record, title, role in records
        if record["value"] is not None
    ]


def _interval(record: Mapping[str, Any], factor: float) -> str:
    if record.get("low") is None:
        return ""
    low, high = factor * record["low"], factor * record["high"]
    return f"[{low:.2f},\N{NO-BREAK SPACE}{high:.2f}]"


def columns(
    prefix: str, records: Sequence[Mapping[str, Any]], fields: Sequence[str] = FIELDS
) -> dict[str, np.ndarray]:
    """Columns of a list, PREFIX_FIELD, from the fields of records; NaN where there is nothing."""
    return {
        f"{prefix}_{field}": np.array([record.get(field) for record in records], np.float64)
        for field in fields
    }


def join(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

"""Style and building blocks of the figures, and their export as PNG, as SVG and into the page."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from real_labels.intervals import Estimate
from real_labels.labels import ORIGINAL as ORIGINAL_LABELS

# On the page, CSS variables replace these colours, so that figures follow the light or dark scheme.
INK, MUTED, GRID, PAPER = "#20242b", "#697180", "#e3e6eb", "#fefefe"
ORIGINAL, REAL, MODEL = "#c2402f", "#1c8353", "#2d6cb8"  # red, green and blue, as on the page
AMBER, VIOLET, GREY = "#b7791f", "#7a52b3", "#9aa3b0"
TEAL, PINK = "#12808a", "#b0417f"
PALETTE = {
    "ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER, "original": ORIGINAL, "real": REAL,
    "model": MODEL, "amber": AMBER, "violet": VIOLET, "grey": GREY, "teal": TEAL, "pink": PINK,
}  # fmt: skip
_REASSESSED = (REAL, AMBER, VIOLET, TEAL, PINK)  # colours of the reassessments, in turn
WIDTH = 4.8  # inches; narrow enough for text to be legible on a phone
_LEGEND = 52  # characters that fit into a line of a legend, marks included
MANY = 15  # with more models, a figure with a row for each would be too long
_ROOM = 0.07  # width of a few characters, as a share of the longest bar
_DPI = 160
_LINKS = "links:"
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,  # names may contain dollar signs
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.fonttype": "none",  # text stays text, so it can be searched and has the page's font
}


def colour_of(name: str, names: Iterable[str]) -> str:
    """The colour of a label set: fixed for the original labels, else by its position among the others."""
    if name == ORIGINAL_LABELS:
        return ORIGINAL
    others = [other for other in names if other != ORIGINAL_LABELS]
    return _REASSESSED[others.index(name) % len(_REASSESSED)]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Wraps a function so that it draws in the report's style."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Figure:
        with _styled():
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # computes the layout once for all formats
            figure.set_layout_engine("none")
            return figure

    return wrapped


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    with matplotlib.rc_context(_STYLE):
        yield


def new(height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of the report's width and `height` inches, and its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def link(artist: Artist, *links: str) -> None:
    """Stores the link of a mark, or the links of the marks of a scatter, in the id of the artist.

    The page highlights the marks and table rows with the same link together. A link may be several links,
    separated by spaces.
    """
    artist.set_gid(_LINKS + "|".join(links))


def relink(figure: Figure, rename: Callable[[str], str]) -> None:
    """Applies `rename` to every link of a figure."""
    for artist in figure.findobj(lambda artist: (artist.get_gid() or "").startswith(_LINKS)):
        marks = (artist.get_gid() or "").removeprefix(_LINKS).split("|")
        artist.set_gid(
            _LINKS
            + "|".join(" ".join(rename(target) for target in mark.split(" ")) for mark in marks)
        )


def shorten(name: str, length: int) -> str:
    """Cuts out the middle of a name that is longer than `length` characters."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def rows_axes(names: Sequence[str], *, columns: int = 1, extra: float = 0.9) -> tuple[Figure, Any]:
    """Returns a figure and its axes, with a row for each name, the first at the top.

    Args:
      names: of the rows; a name may have two lines.
      columns: number of axes side by side.
      extra: inches for axis labels and legend.
    """
    row = 0.42 if any("\n" in name for name in names) else 0.3
    figure, axes = new(extra + row * max(len(names), 2), columns, squeeze=False)
    for axis in axes[0]:
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_yticks(range(len(names)), [""] * len(names))
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_major_locator(MaxNLocator(5 if columns == 1 else 3))
        axis.grid(visible=False, axis="y")
    length = 26 if columns == 1 else 20
    lines = ["\n".join(shorten(part, length) for part in name.split("\n")) for name in names]
    axes[0][0].set_yticklabels(lines, linespacing=0.95)
    return figure, axes[0]


def dots(
    axis: Any,
    shares: Sequence[Estimate | None],
    links: Sequence[str],
    colour: str,
    label: str,
) -> None:
    """Draws a dot with its interval in each row, in percent; rows without a known share stay empty.

    Args:
      axis: from `rows_axes`.
      shares: the share of each row.
      links: the link of each row.
      colour, label: of all dots.
    """
    rows = [i for i, share in enumerate(shares) if share is not None and share.is_known]
    if not rows:
        return
    value, low, high = (
        100 * np.array([getattr(shares[i], end) for i in rows]) for end in ("value", "low", "high")
    )
    axis.errorbar(value, rows, xerr=[value - low, high - value], fmt="none", ecolor=colour)
    marks = axis.scatter(value, rows, s=38, color=colour, label=label, zorder=3)
    link(marks, *(links[i] for i in rows))


@dataclasses.dataclass(frozen=True)
class Part:
    """One part, of one colour, of stacked bars.

    Attributes:
      label: its text in the legend.
      colour: its colour.
      widths: its width in each row.
      links: its link in each row.
    """

    label: str
    colour: str
    widths: Sequence[float]
    links: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Series:
    """Shares of one colour, one for each model.

    Attributes:
      label: text in the legend.
      colour: colour of the marks.
      shares: the share of each model, with its interval; None if there is none.
    """

    label: str
    colour: str
    shares: Sequence[Estimate | None]


def over_accuracy(
    accuracies: Sequence[float],
    series: Sequence[Series],
    links: Sequence[str],
    y_label: str,
) -> Figure:
    """Draws shares of many models over their accuracy, in percent, with a mark for each model and series.

    Args:
      accuracies: (M,) top-1 on the original labels, shares in [0, 1].
      series: each of M shares.
      links: (M,) link of each model.
      y_label: label of the vertical axis.
    """
    figure, axis = new(4.6)
    marks_over(axis, accuracies, series, links)
    axis.set_xlabel("top-1 accuracy on the original labels, %")
    axis.set_ylabel(y_label)
    legend(figure, [axis])
    return figure


def name_marks(axis: Any, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
    """Writes the names of a few models beside their marks.

    These are the highest mark, the first and the last along x, and the two marks that differ most from
    their neighbours.

    Args:
      axis: the axis with the marks.
      names: (M,) names of all models.
      x, y: (M,) positions of their marks.
    """
    across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    order = np.argsort(across)
    # Vertical distance of a mark from the median of its neighbours.
    near = [order[max(0, i - 4) : i + 5] for i in range(len(order))]
    off = np.empty(len(order))
    for i, here in enumerate(order.tolist()):
        off[here] = abs(up[here] - np.median(up[near[i]]))
    chosen = {int(np.argmax(up)), int(order[0]), int(order[-1]), *np.argsort(-off)[:2].tolist()}
    for i in sorted(chosen):
        right = across[i] > (across.min() + across.max()) / 2
        axis.annotate(
            shorten(str(names[i]), 20), (across[i], up[i]), xytext=(-6 if right else 6, 0),
            textcoords="offset points", ha="right" if right else "left", va="center", fontsize=10,
        )  # fmt: skip


def marks_over(
    axis: Any, accuracies: Sequence[float], series: Sequence[Series], links: Sequence[str]
) -> None:
    """Draws the marks of `over_accuracy` and their intervals on any axis."""
    for group in series:
        known = [i for i, share in enumerate(group.shares) if share is not None and share.is_known]
        if not known:
            continue
        x = 100 * np.array([accuracies[i] for i in known])
        value, low, high = (
            100 * np.array([getattr(group.shares[i], end) for i in known])
            for end in ("value", "low", "high")
        )
        error = np.maximum([value - low, high - value], 0)
        axis.errorbar(
            x, value, yerr=error, fmt="none", ecolor=group.colour, elinewidth=0.8, alpha=0.5
        )
        marks = axis.scatter(x, value, s=20, color=group.colour, label=group.label, zorder=3)
        link(marks, *(links[i] for i in known))


def stack(
    axis: Any, parts: Sequence[Part], bar_text: Callable[[int, int], str] | None = None
) -> None:
    """Draws a bar of several parts in each row.

    Args:
      axis: from `rows_axes`.
      parts: from left to right.
      bar_text: (part, row) -> text to write into the part if there is room; None for no text.
    """
    left = np.zeros(len(parts[0].widths))
    room = _ROOM * max(sum(widths) for widths in zip(*(part.widths for part in parts), strict=True))
    for number, part in enumerate(parts):
        rows = range(len(left))
        bars = axis.barh(
            rows, part.widths, left=left, height=0.62, color=part.colour, label=part.label
        )
        for bar, target in zip(bars, part.links, strict=True):
            link(bar, target)
        for row, (width, begin) in enumerate(zip(part.widths, left, strict=True)):
            if bar_text is not None and width > room:
                axis.text(
                    begin + width / 2, row, bar_text(number, row), ha="center", va="center",
                    color=PAPER, fontsize=10,
                )  # fmt: skip
        left = left + part.widths


def legend(figure: Figure, axes: Sequence[Any]) -> None:
    """Draws one legend above all axes, with each label once."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    wide = sum(len(label) + 6 for label in handles) > _LEGEND
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper left", ncols=2 if wide else 3
    )


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    with _styled(), io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()


def svg(figure: Figure, key: str, title: str) -> str:
    """The figure as SVG, in which marks carry their links as `data-link`.

    Args:
      figure: the Matplotlib figure.
      key: prefix that makes the figure's ids distinct on a page.
      title: text for screen readers.
    """
    with _styled(), matplotlib.rc_context({"svg.hashsalt": key}), io.BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
        root = ET.fromstring(file.getvalue())
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    _link_marks(root)
    _rename_ids(root, key)
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode")


def _link_marks(root: ET.Element) -> None:
    for element in root.iter():
        gid = element.get("id", "")
        if not gid.startswith(_LINKS):
            continue
        del element.attrib["id"]
        links = gid.removeprefix(_LINKS).split("|")
        marks = [element]
        if len(links) > 1:
            defined = {
                id(shape) for defs in element.iter(f"{{{_SVG}}}defs") for shape in defs.iter()
            }
            shapes = (f"{{{_SVG}}}use", f"{{{_SVG}}}path")
            marks = [
                shape
                for shape in element.iter()
                if shape.tag in shapes and id(shape) not in defined
            ]
            if len(marks) != len(links):
                raise ValueError(f"{len(links)} links for {len(marks)} marks")
        for mark, target in zip(marks, links, strict=True):
            mark.set("data-link", target)


def _rename_ids(root: ET.Element, key: str) -> None:
    """Puts `key` in front of the ids that something refers to, and removes all other ids."""
    text = ET.tostring(root, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                if value in used:
                    element.set(name, f"{key}-{value}")
                else:
                    del element.attrib[name]
            elif value.startswith("#") and name.endswith("href"):
                element.set(name, f"#{key}-{value[1:]}")
            elif value.startswith("url(#"):
                element.set(name, f"url(#{key}-{value[5:]}")
            elif "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{key}-"))


def inline(text: str) -> str:
    """Prepares the SVG for the page, which sets its size, font and colours."""
    text = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", text)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]+", r"\1 var(--font)", text)
    for name, colour in PALETTE.items():
        text = text.replace(colour, f"var(--{name})")
    return text

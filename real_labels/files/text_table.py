"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "") -> str:
    """Returns rows of text laid out in columns; the first row is the header.

    Args:
      rows: rows of equal length.
      align: one letter per column, "<" for left or ">" for right; further columns are
        left-aligned.
    """
    align = align.ljust(len(rows[0]), "<")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(f"{t:{a}{w}}" for t, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])

"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "") -> str:
    """Lays out rows of text in columns, the first row being the header.

    Args:
      rows: equally long rows.
      align: a letter for each column, "<" left or ">" right; left where it is shorter.
    """
    align = align.ljust(len(rows[0]), "<")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(f"{t:{a}{w}}" for t, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])

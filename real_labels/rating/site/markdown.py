"""Converts guidelines from Markdown to HTML. Raw HTML is escaped, so that a text cannot add a script."""

from __future__ import annotations

from markdown_it import MarkdownIt


def html(text: str) -> str:
    """Returns the HTML of a Markdown text. Tags are shown as text, and so are links with unsafe schemes.

    Unsafe are javascript, vbscript, file, and data except some image types.
    """
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)

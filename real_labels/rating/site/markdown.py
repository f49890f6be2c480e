"""Guidelines: Markdown to HTML, without raw HTML, so that a text can bring no script."""

from __future__ import annotations

from markdown_it import MarkdownIt


def html(text: str) -> str:
    """The HTML of a Markdown text; tags in it are shown, not obeyed, and links lead to http(s) alone."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)

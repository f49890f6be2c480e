"""ILSVRC-2012's 1,000 classes: WordNet ids and names, from the table in `data`."""

from __future__ import annotations

import functools
import pathlib

# One line per class: WordNet id, names, numbers of its 50 validation images.
_TABLE = pathlib.Path(__file__).parent / "data" / "ilsvrc2012.tsv"


@functools.cache
def table() -> tuple[tuple[str, str, str], ...]:
    """Returns (WordNet id, names, numbers of its validation images) of each class."""
    text = _TABLE.read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return tuple((wordnet_id, names, numbers) for wordnet_id, names, numbers in rows)


@functools.cache
def wordnet_ids() -> tuple[str, ...]:
    """Returns the 1,000 WordNet ids in the order of the class indices."""
    return tuple(wordnet_id for wordnet_id, _, _ in table())


@functools.cache
def class_names() -> tuple[str, ...]:
    """Returns the names of the 1,000 classes, each with its synonyms: "tench, Tinca tinca"."""
    return tuple(names for _, names, _ in table())


@functools.cache
def class_of_wordnet_id() -> dict[str, int]:
    """Returns the class index of each of the 1,000 WordNet ids."""
    return {wordnet_id: index for index, wordnet_id in enumerate(wordnet_ids())}

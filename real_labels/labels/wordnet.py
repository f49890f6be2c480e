"""WordNet 3.0's nodes above ILSVRC-2012's classes, and glosses from a folder of WordNet 3.0.

A WordNet id such as n01440764 is "n" and the byte position of the node's line in WordNet 3.0's data.noun.

`python -m real_labels.labels.wordnet DIR` builds the table in `data` from a folder of WordNet 3.0; Debian's
package wordnet-base installs it in /usr/share/wordnet.
"""

from __future__ import annotations

import functools
import os
import pathlib
import sys
from collections.abc import Iterable

from real_labels.errors import InputError, naming
from real_labels.files.paths import replacing
from real_labels.labels import imagenet_classes
from real_labels.labels.hierarchy import Hierarchy

# One line per node: WordNet id, ids of its parents, lemmas ("tench, Tinca tinca").
TABLE = pathlib.Path(__file__).parent / "data" / "wordnet.tsv"
_NOUNS = "data.noun"
_HYPERNYMS = ("@", "@i")
# Hierarchy.category would give joystick the category electronic equipment, which is as near as device and has
# a longer chain. In the published tasks it is a device.
_JOYSTICK, _DEVICE = "n03602883", "n03183080"


@functools.cache
def hierarchy() -> Hierarchy:
    """Returns the hierarchy of ILSVRC-2012's 1,000 classes, with the categories of the published tasks."""
    nodes = _table()
    class_of = imagenet_classes.class_of_wordnet_id()
    return Hierarchy(
        {node: parents for node, (parents, _) in nodes.items()},
        {class_: node for node, class_ in class_of.items()},
        {node: lemmas[0] for node, (_, lemmas) in nodes.items()},
        {class_of[_JOYSTICK]: _DEVICE},
    )


@functools.cache
def _table() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Returns node -> (parents in WordNet's order, lemmas)."""
    rows = (line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {
        node: (tuple(parents.split()), tuple(lemmas.split(", "))) for node, parents, lemmas in rows
    }


def lemmas(node: str) -> tuple[str, ...]:
    """Returns the words of a node: a class or a node above the classes."""
    return _table()[node][1]


def glosses(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Returns WordNet's definition of each of the 1,000 classes: "freshwater dace-like game fish of …".

    Args:
      folder: folder with WordNet 3.0's data.noun.

    Raises:
      InputError: if data.noun is missing, or is of another version, whose ids differ.
    """
    nouns = _Nouns(folder)
    return tuple(nouns.node(wordnet_id)[2] for wordnet_id in imagenet_classes.wordnet_ids())


class _Nouns:
    """The nouns in WordNet's data.noun, at the byte positions given by their ids."""

    def __init__(self, folder: str | os.PathLike[str]):
        self._path = pathlib.Path(folder) / _NOUNS
        if not self._path.is_file():
            raise InputError(
                f"{folder}: has no {_NOUNS}. Name the folder of WordNet 3.0; on Debian, "
                f"`apt-get install wordnet-base` puts it into /usr/share/wordnet."
            )
        with naming(self._path):
            self._content = self._path.read_bytes()

    def node(self, wordnet_id: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """Returns (parents, lemmas, gloss) of a node.

        The line is: position, file, type, number of words (hexadecimal), each word and its number, number of
        pointers, each pointer as symbol, position, type and words; then "|" and the gloss with examples.
        """
        start = int(wordnet_id[1:])
        end = self._content.find(b"\n", start)
        line = self._content[start : end if end >= 0 else None].decode("utf-8", "replace")
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        known = _table().get(wordnet_id) if TABLE.exists() else None
        try:
            number = int(fields[3], 16)
            words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * number : 2])
            pointers = fields[5 + 2 * number :]
            parents = tuple(
                f"n{pointers[i + 1]}"
                for i in range(0, len(pointers), 4)
                if pointers[i] in _HYPERNYMS
            )
        except (IndexError, ValueError):
            fields = []
        if fields[:1] != [wordnet_id[1:]] or (known is not None and words != known[1]):
            raise InputError(
                f"{self._path}: is not WordNet 3.0, in which node {wordnet_id} begins at byte "
                f"{start:,}. ImageNet's ids are valid only in version 3.0."
            )
        return parents, words, gloss.strip()


def build_table(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Writes the 1,000 classes and all nodes above them, sorted, from WordNet 3.0's data.noun."""
    nouns = _Nouns(folder)
    waiting = list(imagenet_classes.wordnet_ids())
    nodes: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            parents, words, _ = nouns.node(node)
            nodes[node] = parents, words
            waiting += parents
    with replacing(path) as temporary:
        temporary.write_text(_lines(sorted(nodes.items())), encoding="utf-8")


def _lines(nodes: Iterable[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]]) -> str:
    return "".join(
        f"{node}\t{' '.join(parents)}\t{', '.join(words)}\n" for node, (parents, words) in nodes
    )


if __name__ == "__main__":
    build_table(sys.argv[1], TABLE)

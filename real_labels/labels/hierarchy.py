"""Hierarchy: the categories of classes, from WordNet or any other tree or acyclic graph."""

from __future__ import annotations

import collections
import dataclasses
import functools
import graphlib
import os
from collections.abc import Collection, Mapping, Sequence

from real_labels.errors import InputError, naming
from real_labels.files import tables
from real_labels.labels.class_columns import index_of
from real_labels.labels.class_names import ClassNames

_COLUMNS = ("child", "parent")


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """A directed acyclic graph whose edges go from each node to its parents; some nodes are classes.

    Attributes:
      parents: the parents of each node; a node that occurs only as a parent has no parents.
      node_of: the node of each class.
      names: display names of nodes; a node without one is its own name. Of several parents, `tree_parent`
        takes the parent whose name sorts first.
      exceptions: category of particular classes, in place of the rule in `category`; must be above the class.
    """

    parents: Mapping[str, Sequence[str]]
    node_of: Mapping[int, str]
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    exceptions: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        try:
            graphlib.TopologicalSorter(self.parents).prepare()
        except graphlib.CycleError as error:
            cycle = " -> ".join(reversed(error.args[1]))
            hint = ""
            if all(node.isdecimal() for node in error.args[1]):
                hint = " If parents have numbers that are not class indices, rename them, as in: group 3."
            raise InputError(
                f"is not a hierarchy: its links form a cycle, {cycle}.{hint}"
            ) from None

    def tree_parent(self, node: str) -> str | None:
        """Returns the parent whose lower-case name sorts first; None for a root."""
        parents = self.parents.get(node, ())
        return min(parents, key=lambda p: (self.names.get(p, p).lower(), p), default=None)

    def chain(self, node: str) -> tuple[str, ...]:
        """Returns the node, its tree parent, the parent's tree parent, and so on up to a root."""
        nodes = [node]
        while (parent := self.tree_parent(nodes[-1])) is not None:
            nodes.append(parent)
        return tuple(nodes)

    def path(self, class_: int) -> tuple[str, ...]:
        """Returns the nodes from a root through the category down to the class.

        A class outside the hierarchy has the single node "class N".
        """
        return self._paths.get(class_) or (f"class {class_}",)

    def category(self, class_: int) -> str:
        """Returns the category of a class; a class outside the hierarchy is its own category.

        1. The tree parent of each class is a candidate. On the chain of tree parents of each class, the
           candidate nearest the root is kept.
        2. The category of a class is the kept candidate reached over the fewest links, along all parents. Of
           several, it is the candidate farthest from the root along tree parents.

        `exceptions` replace both steps. A class without a kept candidate above it is its own category.
        """
        return self._categories.get(class_) or f"class {class_}"

    @functools.cached_property
    def _kept(self) -> frozenset[str]:
        """The kept candidates (see `category`, step 1)."""
        chains = [self.chain(node)[1:] for node in self.node_of.values()]
        candidates = {chain[0] for chain in chains if chain}
        nearest_root = (
            next((n for n in reversed(chain) if n in candidates), None) for chain in chains
        )
        return frozenset(node for node in nearest_root if node is not None)

    @functools.cached_property
    def _links(self) -> dict[int, tuple[str, ...]]:
        """The nodes from each class's node up to its category."""
        links = {}
        for class_, node in self.node_of.items():
            categories = {self.exceptions[class_]} if class_ in self.exceptions else self._kept
            links[class_] = self._climb(node, categories)
        return links

    def _climb(self, node: str, categories: frozenset[str] | set[str]) -> tuple[str, ...]:
        """Returns the shortest path from a node up to one of the categories; the node if none is above it."""
        reached = {node: (node,)}
        level = [node]
        while level:
            above = {}
            for child in level:
                for parent in self.parents.get(child, ()):
                    if parent not in reached:
                        above.setdefault(parent, (*reached[child], parent))
            nearest = [parent for parent in above if parent in categories]
            if nearest:
                return above[min(nearest, key=lambda p: (-len(self.chain(p)), p))]
            reached |= above
            level = list(above)
        return (node,)

    @functools.cached_property
    def _categories(self) -> dict[int, str]:
        return {class_: links[-1] for class_, links in self._links.items()}

    @functools.cached_property
    def _paths(self) -> dict[int, tuple[str, ...]]:
        return {
            class_: (*reversed(self.chain(links[-1])), *reversed(links[:-1]))
            for class_, links in self._links.items()
        }

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        class_names: ClassNames | None = None,
        labels: Collection[int] = (),
    ) -> Hierarchy:
        """Reads a table (.csv, .tsv, .jsonl, .parquet …) with the columns child and parent.

        A node is a class if it is a class index, a name of `class_names` or a WordNet id of ILSVRC-2012; any
        other text is a node above the classes. A node with children is a class only if it is in `labels`,
        because groups may have numbers, too. A node may have several parents, one per row.

        Args:
          path: the file.
          class_names: names of the classes.
          labels: the classes in use.

        Raises:
          InputError: naming the file, if a child is empty (with its row), the links form a cycle, a class has
            several names, or no node is a class.
        """
        with naming(path):
            columns = _columns(tables.read(path))
            parents: dict[str, list[str]] = collections.defaultdict(list)
            for row, (child, parent) in enumerate(zip(*columns, strict=True), 1):
                if not child:
                    raise InputError(
                        f"row {row} has no child; expected a class or a node above the classes."
                    )
                if parent and parent not in parents[child]:
                    parents[child].append(parent)
            nodes = dict.fromkeys(node for column in columns for node in column if node)
            cls(parents, {})  # refuses cycles
            inner = set(columns[1])
            node_of: dict[int, str] = {}
            for node in nodes:
                class_ = index_of(node, class_names)
                if class_ is None or class_ < 0 or (node in inner and class_ not in labels):
                    continue
                if class_ in node_of:
                    raise InputError(
                        f"names class {class_} twice, as {node_of[class_]} and as {node}; give it one name."
                    )
                node_of[class_] = node
            if not node_of:
                raise InputError(
                    f"none of its nodes ({', '.join(list(nodes)[:3])}, …) is a class: expected class "
                    f"indices, or names with --class-names FILE."
                )
            return cls(dict(parents), node_of)


def _columns(table) -> list[list[str]]:
    """Returns the texts of the columns child and parent; "" for an empty cell."""
    by_key = tables.by_key(table.column_names)
    if not all(name in by_key for name in _COLUMNS):
        raise InputError(
            f"expected the columns child and parent; found {', '.join(table.column_names)}."
        )
    columns = []
    for name in _COLUMNS:
        codes, texts = tables.names(table[by_key[name]])
        texts = [*texts.tolist(), ""]  # code -1: an empty cell
        columns.append([texts[code] for code in codes.tolist()])
    return columns

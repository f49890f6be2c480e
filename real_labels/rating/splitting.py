"""Splits an image's labels into tasks, so that raters see related labels side by side.

There are three rules. `published_tasks` is the rule of the published tasks, reconstructed from the raw
answers of "Are we done with ImageNet?" (the paper only says "along the WordNet hierarchy").
`along_hierarchy` is the same rule with an upper limit of labels in a task. `Confusions` is for datasets
without a hierarchy.
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from real_labels.answers import Questions
    from real_labels.labels.hierarchy import Hierarchy

MAX_LABELS = 8  # of a task, as in the paper
_ONE_TASK = 6  # images with at most this many labels are one task in the published tasks
_FEWEST = 3  # labels that a task should have at least, for contrast

Groups = list[list[int]]
# The labels of one image -> the labels of each of its tasks.
Rule = Callable[[Sequence[int]], Groups]


def published_tasks(labels: Sequence[int], hierarchy: Hierarchy) -> Groups:
    """Splits labels by the published rule, which keeps categories whole and has no upper limit.

    Up to 6 labels are one task. More labels are grouped by category, and the groups are sorted by (size,
    lowest class). While there are two or more groups and the first has fewer than 3 labels, the first two
    groups are removed, and their union is inserted before the first remaining group that is at least as
    large.

    Args:
      labels: the distinct classes of one image.
      hierarchy: gives the category of each class.

    Returns:
      The classes of each task, ascending.
    """
    if len(labels) <= _ONE_TASK:
        return [sorted(labels)]
    by_category: dict[str, list[int]] = collections.defaultdict(list)
    for label in sorted(labels):
        by_category[hierarchy.category(label)].append(label)
    groups = sorted(by_category.values(), key=lambda group: (len(group), group[0]))
    while len(groups) > 1 and len(groups[0]) < _FEWEST:
        union = sorted(groups[0] + groups[1])
        del groups[:2]
        place = next((i for i, g in enumerate(groups) if len(g) >= len(union)), len(groups))
        groups.insert(place, union)
    return groups


def along_hierarchy(
    labels: Sequence[int], hierarchy: Hierarchy, max_labels: int = MAX_LABELS
) -> Groups:
    """Splits labels by the published rule, and cuts tasks of more than `max_labels` further down the tree.

    A cut between two labels costs the number of nodes that their paths from the root have in common, so a
    task is cut where its labels are least related. Tasks have at least 3 labels if possible.
    """
    if len(labels) <= min(_ONE_TASK, max_labels):
        return [sorted(labels)]
    tasks: Groups = []
    for group in published_tasks(labels, hierarchy):
        if len(group) <= max_labels:
            tasks.append(group)
            continue
        paths = {label: hierarchy.path(label) for label in group}
        ordered = _in_tree_order(paths)
        costs = [_shared(paths[a], paths[b]) for a, b in itertools.pairwise(ordered)]
        tasks += cut(ordered, costs, max_labels)
    return tasks


def _in_tree_order(paths: Mapping[int, tuple[str, ...]]) -> list[int]:
    """Orders the classes by a walk through the tree; the branch with the lowest class comes first."""
    lowest: dict[tuple[str, ...], int] = {}
    for class_ in sorted(paths):
        for depth in range(1, len(paths[class_]) + 1):
            lowest.setdefault(paths[class_][:depth], class_)
    return sorted(
        paths,
        key=lambda c: (*(lowest[paths[c][: d + 1]] for d in range(len(paths[c]))), c),
    )


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """Number of nodes, counted from the root, that two paths have in common."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def cut(ordered: Sequence[int], costs: Sequence[float], max_labels: int) -> Groups:
    """Cuts a sequence of labels into tasks of at most `max_labels`, by dynamic programming.

    The cuts minimise, in this order: the number of labels that are missing in tasks of fewer than 3 labels;
    the total cost of the cuts; the sum of the squared sizes of the tasks.

    Args:
      ordered: (L,) labels; related labels are neighbours.
      costs: (L - 1,) cost of a cut after each label except the last, at least 0.
      max_labels: most labels of a task, at least 1.

    Returns:
      The labels of each task, ascending.
    """
    n, fewest = len(ordered), min(_FEWEST, max_labels)
    # best[i], for the first i labels: (missing labels, costs, squares of sizes), and start of the last task.
    best: list[tuple[tuple[float, ...], int]] = [((0, 0, 0), 0)]
    for end in range(1, n + 1):
        ways = []
        for start in range(max(0, end - max_labels), end):
            size = end - start
            (missing, cost, squares), _ = best[start]
            step = (
                missing + max(0, fewest - size),
                cost + (costs[start - 1] if start else 0),
                squares + size**2,
            )
            ways.append((step, start))
        best.append(min(ways))
    tasks: Groups = []
    end = n
    while end:
        start = best[end][1]
        tasks.insert(0, sorted(ordered[start:end]))
        end = start
    return tasks


class Confusions:
    """Similarities of classes that are proposed for the same images, for datasets without a hierarchy.

    The similarity of two classes is the cosine of the sets of images that they are proposed for: the number
    of images of both classes, divided by the geometric mean of the numbers of images of each.
    """

    def __init__(self, questions: Questions):
        import scipy.sparse

        self._classes, column = np.unique(questions.label, return_inverse=True)
        shape = len(questions.file_names), len(self._classes)
        ones = np.ones(len(questions), np.float64)
        proposed = scipy.sparse.csr_array((ones, (questions.image, column)), shape)
        self._together = (proposed.T @ proposed).tocsr()
        self._number = self._together.diagonal()

    def similarity(self, labels: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n n"]:
        """Returns the (n, n) similarities, in [0, 1], of classes of the questions; 1 on the diagonal."""
        labels = np.searchsorted(self._classes, labels)
        together = self._together[labels][:, labels].toarray()
        return together / np.sqrt(np.outer(self._number[labels], self._number[labels]))

    def tasks(self, labels: Sequence[int], max_labels: int = MAX_LABELS) -> Groups:
        """Splits the labels of an image: up to `max_labels` are one task, more are cut where least similar.

        Average linkage joins the labels, the most similar groups first. A cut between neighbours costs the
        similarity at which they were joined.
        """
        import scipy.cluster.hierarchy
        import scipy.spatial.distance

        if len(labels) <= max_labels:
            return [sorted(labels)]
        known = np.sort(np.asarray(labels))
        distance = 1 - self.similarity(known)
        np.fill_diagonal(distance, 0)
        condensed = scipy.spatial.distance.squareform(distance.clip(0), checks=False)
        linkage = scipy.cluster.hierarchy.linkage(condensed, "average")
        order = scipy.cluster.hierarchy.leaves_list(linkage)
        joined = scipy.spatial.distance.squareform(scipy.cluster.hierarchy.cophenet(linkage))
        costs = 1 - joined[order[:-1], order[1:]]
        return cut(known[order].tolist(), costs.round(12).tolist(), max_labels)


def rule_along(hierarchy: Hierarchy, max_labels: int | None) -> Rule:
    """Returns `along_hierarchy` with a limit, or `published_tasks` if there is none, as a rule."""
    if max_labels is None:
        return functools.partial(published_tasks, hierarchy=hierarchy)
    return functools.partial(along_hierarchy, hierarchy=hierarchy, max_labels=max_labels)

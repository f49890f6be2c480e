"""Reassessment: one set of better labels of a dataset's images, with its name and its origin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.labels.file_names import check_distinct, match
from real_labels.labels.label_sets import LabelSets

if TYPE_CHECKING:
    from jaxtyping import Bool

ORIGINAL = "original"  # the name of the original labels, which are no reassessment
REAL = "real"
FEATURE = "feature:"  # before the name of a dataset's feature
COUNTINGS = ("images", "classes")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, eq=False)
class Reassessment:
    """One set of better labels.

    Attributes:
      labels: the valid classes of each image; an image without any does not count.
      title: its name for a reader, such as "ReaL".
      covered: (N,) whether each image of `labels` was looked at at all; None: all were.
      counting: how its authors count: "images", the share of the images with a label, or "classes", the
        mean over the original classes of that share.
      source: who published it, and where.
      licence: of the labels.
      caveat: what a reader must know, in one sentence.
    """

    labels: LabelSets
    title: str
    covered: Bool[np.ndarray, "images"] | None = None
    counting: str = "images"
    source: str = ""
    licence: str = ""
    caveat: str = ""

    def __post_init__(self):
        if self.counting not in COUNTINGS:
            raise InputError(
                f"{self.title}: counting must be one of {', '.join(COUNTINGS)}, found {self.counting!r}."
            )
        if self.covered is not None and self.covered.shape != (len(self.labels),):
            raise InputError(
                f"{self.title}: covered must have shape ({len(self.labels)},), found "
                f"{self.covered.shape}."
            )

    @property
    def num_covered(self) -> int:
        """Number of images that were looked at."""
        return len(self.labels) if self.covered is None else int(np.count_nonzero(self.covered))

    def on(self, file_names: np.ndarray) -> Reassessment:
        """The same for these images, in this order; those that it does not know are not covered.

        Args:
          file_names: (M,) str.

        Raises:
          InputError: if two images here are the same one there.
        """
        rows = match(file_names, self.labels.file_names)
        check_distinct(rows, self.labels.file_names)
        image = np.repeat(rows, self.labels.counts)
        kept = image >= 0
        labels = LabelSets.from_pairs(file_names, image[kept], self.labels.classes[kept])
        covered = np.zeros(len(file_names), bool)
        known = rows >= 0 if self.covered is None else (rows >= 0) & self.covered
        covered[rows[known]] = True
        return dataclasses.replace(self, labels=labels, covered=None if covered.all() else covered)

    def covers(self, file_names: np.ndarray) -> Bool[np.ndarray, "images"]:
        """(M,) whether each of these images was looked at; one that is not known was not."""
        rows = match(self.labels.file_names, file_names)
        known = rows >= 0
        return known if self.covered is None else known & self.covered[rows]


def parse(text: str) -> dict[str, str]:
    """The label sets that a config names: "real,mine=labels.json,tags=feature:tags".

    Returns:
      name -> "" for a published set, "feature:KEY" for a feature of the dataset, else the path of a file.

    Raises:
      InputError: if a name is none, or given twice.
    """
    named: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, is_named, where = entry.partition("=")
        if check_name(name) in named:
            raise InputError(f"label set {name!r} is named twice.")
        if is_named and not where.removeprefix(FEATURE):
            raise InputError(f"label set {entry!r}: expected NAME=FILE or NAME={FEATURE}KEY.")
        named[name] = where
    return named


def entries(
    label_sets: str | None, real_key: str | None = None, real_labels: str | None = None
) -> dict[str, str]:
    """The label sets of a config, with the old spellings of the entry "real".

    Args:
      label_sets: see `parse`; None names none.
      real_key: the dataset's feature of the ReaL labels; None for none.
      real_labels: their file instead.

    Returns:
      See `parse`; "real", where it is spelled in the old way, comes first.
    """
    named = parse(label_sets or "")
    if REAL in named or real_key is None:
        return named
    return {REAL: real_labels or f"{FEATURE}{real_key}"} | named


def title_of(name: str) -> str:
    """The title of a label set that has none of its own."""
    return "ReaL" if name == REAL else name


def check_name(name: str) -> str:
    """Returns the name of a reassessment.

    Raises:
      InputError: if it is no name, or that of the original labels.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"label set {name!r}: a name begins with a letter and has letters, digits, _ and - only."
        )
    if name.lower() == ORIGINAL:
        raise InputError(f"label set {name!r}: that name is the original labels'; take another.")
    return name


def mine(name: str, labels: LabelSets, source: str = "") -> Reassessment:
    """A user's own label set; an image that it does not list was not looked at."""
    return Reassessment(labels, title_of(check_name(name)), source=source)


def label_sets_of(
    original: LabelSets | None, reassessments: Mapping[str, Reassessment]
) -> dict[str, LabelSets]:
    """Every label set by name, the original labels first if there are any."""
    first = {} if original is None else {ORIGINAL: original}
    return first | {name: one.labels for name, one in reassessments.items()}


def titles_of(reassessments: Mapping[str, Reassessment]) -> dict[str, str]:
    """The title of each label set, the original labels first."""
    return {ORIGINAL: "original"} | {name: one.title for name, one in reassessments.items()}

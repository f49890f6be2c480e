"""Reassessment: reassessed labels of a dataset's images, with title, source and coverage."""

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

ORIGINAL = "original"  # name of the original labels; a reassessment cannot have it
REAL = "real"
FEATURE = "feature:"  # prefix of the name of a dataset's feature
COUNTINGS = ("images", "classes")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, eq=False)
class Reassessment:
    """Reassessed labels of the images of a dataset.

    Attributes:
      labels: the valid classes of each image; images without a valid class do not count.
      title: name for display, such as "ReaL".
      covered: (N,) whether each image of `labels` was reassessed; None if all were.
      counting: accuracy that the authors report: "images", the accuracy on the images with a label, or
        "classes", the mean of this accuracy over the original classes.
      source: authors and place of publication.
      licence: licence of the labels.
      caveat: limitation that a reader must know, in one sentence.
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
        """Number of images that were reassessed."""
        return len(self.labels) if self.covered is None else int(np.count_nonzero(self.covered))

    def on(self, file_names: np.ndarray) -> Reassessment:
        """Returns the reassessment of these images, in this order; unknown images are not covered.

        Args:
          file_names: (M,) str.

        Raises:
          InputError: if two images of the reassessment match one of `file_names`.
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
        """Returns whether each image was reassessed, (M,) bool; False for unknown images."""
        rows = match(self.labels.file_names, file_names)
        known = rows >= 0
        return known if self.covered is None else known & self.covered[rows]


def parse(text: str) -> dict[str, str]:
    """Parses the label sets of a config, such as "real,mine=labels.json,tags=feature:tags".

    Returns:
      name -> "" for a published set, "feature:KEY" for a feature of the dataset, else the path of a file.

    Raises:
      InputError: if a name is invalid or occurs twice, or a file or feature is missing after "=".
    """
    sources: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, equals, source = entry.partition("=")
        if check_name(name) in sources:
            raise InputError(f"label set {name!r} is named twice.")
        if equals and not source.removeprefix(FEATURE):
            raise InputError(f"label set {entry!r}: expected NAME=FILE or NAME={FEATURE}KEY.")
        sources[name] = source
    return sources


def entries(
    label_sets: str | None, real_key: str | None = None, real_labels: str | None = None
) -> dict[str, str]:
    """Parses the label sets of a config, and adds "real" from the fields of earlier versions.

    Args:
      label_sets: see `parse`; None for no label sets.
      real_key: the dataset's feature with the ReaL labels; None for no feature.
      real_labels: file of the ReaL labels, used instead of the feature.

    Returns:
      See `parse`; a "real" from `real_key` comes first.
    """
    sources = parse(label_sets or "")
    if REAL in sources or real_key is None:
        return sources
    return {REAL: real_labels or f"{FEATURE}{real_key}"} | sources


def title_of(name: str) -> str:
    """Returns the default title of a label set."""
    return "ReaL" if name == REAL else name


def check_name(name: str) -> str:
    """Returns the name of a reassessment if it is valid.

    Raises:
      InputError: if the name has other characters, or is reserved for the original labels.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"label set {name!r}: a name begins with a letter and has letters, digits, _ and - only."
        )
    if name.lower() == ORIGINAL:
        raise InputError(
            f"label set {name!r}: that name is reserved for the original labels; choose another."
        )
    return name


def mine(name: str, labels: LabelSets, source: str = "") -> Reassessment:
    """Returns a user's own label set; images that it does not list are not covered."""
    return Reassessment(labels, title_of(check_name(name)), source=source)


def label_sets_of(
    original: LabelSets | None, reassessments: Mapping[str, Reassessment]
) -> dict[str, LabelSets]:
    """Returns all label sets by name; the original labels, if any, come first."""
    first = {} if original is None else {ORIGINAL: original}
    return first | {name: reassessment.labels for name, reassessment in reassessments.items()}


def titles_of(reassessments: Mapping[str, Reassessment]) -> dict[str, str]:
    """Returns the title of each label set; that of the original labels comes first."""
    return {ORIGINAL: "original"} | {
        name: reassessment.title for name, reassessment in reassessments.items()
    }

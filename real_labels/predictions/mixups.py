"""Finding out how predictions were mixed up: their order, or the numbering of their classes.

The mix-ups that people report: rows in the order of class folders instead of file names, indices
that are one off, and classes numbered in another way (the ILSVRC devkit's, alphabetical names,
indices sorted as text). Each is a hypothesis that is held against the original labels; one is
reported only if under it agreement, corrected for chance, is more than twice what it is as given, by
more than six standard errors, and in most classes. A numbering that is fitted to the predictions may
concern a few classes alone: it is judged on the other half of the images, on those that it moves, and
must be right there four times as often as what it moves them from. That takes some ten images a class.
So a weak model raises no alarm: nothing explains it better than itself.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.intervals import Estimate, mcnemar_z, percent, wilson_interval
from real_labels.predictions.numbering import Numbering

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

FOLDER_ORDER = "class-folder-order"
TEXT_FOLDER_ORDER = "text-sorted-folder-order"
NUMBER_ORDER = "number-order"
ONE_BASED = "one-based"
ONE_LOW = "one-too-low"
TEXT_SORTED = "text-sorted-indices"
RENUMBERED = "renumbered-classes"
ASCENDING = "ascending-ranks"

REPAIRS = {
    FOLDER_ORDER: "rows follow the class folders, not the sorted file names",
    TEXT_FOLDER_ORDER: "rows follow class folders sorted as text (0, 1, 10, 100, …)",
    NUMBER_ORDER: "rows follow the numbers in the file names (1, 2, 10), not their text (1, 10, 2)",
    ONE_BASED: "class indices are one too high (1-based, or there is a background class 0)",
    ONE_LOW: "class indices are one too low",
    TEXT_SORTED: "class indices count the classes sorted as text (0, 1, 10, 100, …)",
    RENUMBERED: "classes are numbered in another way, consistently",
    ASCENDING: "ranked classes stand in ascending order, the most likely last",
}
NEED_LABELS = (FOLDER_ORDER, TEXT_FOLDER_ORDER, RENUMBERED)  # the labels of all images, to undo
_CERTAIN = 6.0  # standard errors
_MOST = 0.7  # share of the classes that must gain
_NOTHING = 0.02  # agreement beyond chance below which predictions have nothing to do with labels
_FORESEEABLE = 0.95  # share right by chance above which nothing can be told
_FEWEST = 100  # images below which nothing is said of shuffled predictions

# How known numberings of ILSVRC-2012 begin: index there -> class here.
_KNOWN_NUMBERINGS = {
    "the ILSVRC devkit's ILSVRC2012_ID": {1: 278, 2: 212, 3: 250, 4: 193, 5: 217},
    "the ILSVRC devkit's ILSVRC2012_ID, less one": {0: 278, 1: 212, 2: 250, 3: 193, 4: 217},
    "the class names in alphabetical order": {0: 398, 1: 399, 2: 400, 3: 401, 4: 988},
}


@dataclasses.dataclass(frozen=True)
class Mixup:
    """How predictions seem to be mixed up.

    Attributes:
      repair: names for `repair`, joined by commas; None if it is beyond repair.
      evidence: a sentence or two with the figures.
    """

    repair: str | None
    evidence: str


def diagnose(
    top1: Int[np.ndarray, "n"],
    original: Int[np.ndarray, "n"],
    file_names: np.ndarray,
    num_classes: int,
    describe: Callable[[int], str] = str,
    last: Int[np.ndarray, "n"] | None = None,
) -> Mixup | None:
    """Says how predictions are mixed up, or None if they look as they should.

    Args:
      top1: (n,) predicted class of each image, images sorted by file name.
      original: (n,) original label of each.
      file_names: (n,) str, sorted.
      num_classes: number of classes there are.
      describe: what to call a class in the evidence.
      last: (n,) the last of several ranked classes; None where there is one.
    """
    if not len(top1):
        return None
    as_given = _Agreement.of(top1, original)
    if as_given.chance > _FORESEEABLE:
        return None  # nearly all images have one label and one prediction: nothing can be told
    if len(top1) >= _FEWEST and (top1 == top1[0]).all():
        return Mixup(None, f"Every image is predicted as class {describe(int(top1[0]))}.")
    if last is not None:
        reversed_ = _Agreement.of(last, original)
        if reversed_.surely_above(as_given) and reversed_.share > 2 * as_given.share:
            return Mixup(ASCENDING, _sentence(REPAIRS[ASCENDING], reversed_, as_given, "so"))
    # Nothing could more than double what is half of all already; single classes may still be moved.
    good = as_given.beyond_chance(as_given.share) >= 0.5
    placed = {"": top1}
    for order in () if good else ORDERS:
        moved = _put(top1, _ORDERS[order](original, file_names))
        if not any((moved == other).all() for other in placed.values()):
            placed[order] = moved
    best, found = as_given, None
    for order, moved in placed.items():
        for numbering, change in _NUMBERINGS.items():
            names = [name for name in (order, numbering) if name]
            agreement = _Agreement.of(change(moved, num_classes), original) if names else as_given
            # The simpler ones come first, and stay unless another is clearly better.
            if agreement.explains_better_than(as_given) and agreement.surely_above(best):
                ways = "; ".join(REPAIRS[name] for name in names)
                best = agreement
                found = Mixup(",".join(names), _sentence(ways, agreement, as_given, "so"))
    for order, moved in placed.items():
        fitted = _find_numbering(moved, original, as_given, describe)
        if fitted is not None and fitted[0].surely_above(best):
            best = fitted[0]
            found = Mixup(",".join(name for name in (order, RENUMBERED) if name), fitted[1])
    if found is None and len(top1) >= _FEWEST and as_given.highest < _NOTHING:
        found = Mixup(None, _beyond_repair(top1, original, as_given))
    return found


def check_names(names: Sequence[str]) -> None:
    """Raises InputError if these are not names of REPAIRS, each once."""
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise InputError(
            f"Unknown repair {unknown[0]!r}; there are {', '.join(REPAIRS)}, and several of them "
            f"joined by commas."
        )
    if len(set(names)) < len(names):
        raise InputError(f"{','.join(names)}: each repair can be done once.")


def repair(
    classes: Int[np.ndarray, "n k"],
    names: Sequence[str],
    original: Int[np.ndarray, "n"],
    file_names: np.ndarray,
    num_classes: int,
) -> Int[np.ndarray, "n k"]:
    """Undoes the named mix-ups.

    Args:
      classes: (n, k) ranked classes, rows in the order that stands for sorted file names.
      names: of REPAIRS, each once.
      original: (n,) original labels, by sorted file name.
      file_names: (n,) str, sorted.
      num_classes: number of classes; what a repair leaves without a class (a background class) gets
        this index, which is nobody's label.

    Returns:
      (n, k), row i for image i by sorted file name.
    """
    check_names(names)
    for name in names:
        if name in _ORDERS:
            classes = _put(classes, _ORDERS[name](original, file_names))
        elif name == ASCENDING:
            classes = classes[:, ::-1]
        elif name == RENUMBERED:
            classes = Numbering.fit(classes[:, 0], original).classes_of(classes)
        else:
            classes = _NUMBERINGS[name](classes, num_classes)
    return classes


@dataclasses.dataclass(frozen=True)
class _Agreement:
    """How many predictions are the label, and how many would be by chance.

    Attributes:
      hits: (n,) which are.
      original: (n,) original labels.
      chance: share that would be, were predictions and labels drawn independently.
    """

    hits: Bool[np.ndarray, "n"]
    original: Int[np.ndarray, "n"]
    chance: float

    @classmethod
    def of(cls, top1: np.ndarray, original: np.ndarray) -> _Agreement:
        size = 1 + int(original.max(initial=0))
        inside = top1[(top1 >= 0) & (top1 < size)]  # others are nobody's label
        marginals = np.bincount(inside, minlength=size) @ np.bincount(original, minlength=size)
        return cls(top1 == original, original, float(marginals) / max(len(top1), 1) ** 2)

    @property
    def share(self) -> float:
        return float(self.hits.mean()) if len(self.hits) else 0.0

    def beyond_chance(self, share: float) -> float:
        """Cohen's kappa of a share of hits."""
        return (share - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    @property
    def highest(self) -> float:
        """Upper end of the 99.9% interval of the agreement beyond chance."""
        high = wilson_interval(int(self.hits.sum()), len(self.hits), 0.999)[1]
        return self.beyond_chance(high)

    def explains_better_than(self, other: _Agreement) -> bool:
        """Whether this is so much better that it cannot be luck or a model's habit."""
        ours, theirs = self.beyond_chance(self.share), max(other.beyond_chance(other.share), 0)
        by_chance = self.chance * len(self.hits)
        spread = math.sqrt(by_chance * (1 - self.chance))
        if self.hits.sum() - by_chance <= _CERTAIN * spread:
            return False  # itself no better than chance
        if ours <= 2 * theirs + _NOTHING or not self.surely_above(other):
            return False
        # A mix-up helps class by class; a model that takes some classes for others does not.
        gain = np.bincount(self.original, self.hits.astype(float) - other.hits)
        return bool(np.count_nonzero(gain > 0) > _MOST * np.count_nonzero(gain))

    def surely_above(self, other: _Agreement) -> bool:
        """Whether more predictions are the label, by more than six standard errors."""
        return mcnemar_z(self.hits, other.hits) > _CERTAIN

    def __str__(self) -> str:
        return f"{100 * self.share:.2f}% agree, {100 * self.chance:.2f}% by chance"


def _sentence(ways: str, found: _Agreement, as_given: _Agreement, so: str) -> str:
    agreeing = percent(Estimate.of_share(int(found.hits.sum()), len(found.hits)))
    return (
        f"{ways[0].upper()}{ways[1:]}: {so}, {agreeing} of the top-1 predictions are the image's label; "
        f"as given, "
        f"{100 * as_given.share:.2f}% ({100 * as_given.chance:.2f}% by chance)."
    )


def _put(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Row j goes to place places[j]."""
    placed = np.empty_like(rows)
    placed[places] = rows
    return placed


def _by_folder(original: np.ndarray, file_names: np.ndarray) -> np.ndarray:
    return np.argsort(original, kind="stable")


def _by_text_folder(original: np.ndarray, file_names: np.ndarray) -> np.ndarray:
    rank = np.argsort(_text_sorted(int(original.max()) + 1))
    return np.argsort(rank[original], kind="stable")


def _by_number(original: np.ndarray, file_names: np.ndarray) -> np.ndarray:
    names = file_names.tolist()
    if len(set(map(len, names))) == 1:
        return np.arange(len(names))  # numbers of equal length sort as text, too
    keys = [[int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", name)] for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__))


# The orders rows may come in: (original labels, file names) -> image that each row is about.
_ORDERS = {FOLDER_ORDER: _by_folder, TEXT_FOLDER_ORDER: _by_text_folder, NUMBER_ORDER: _by_number}
ORDERS = tuple(_ORDERS)


def _text_sorted(num_classes: int) -> Int[np.ndarray, "classes"]:
    """Class at each position when classes are sorted as text: 0, 1, 10, 100, 101, …."""
    return np.array(sorted(range(num_classes), key=str))


def _less_one(classes: np.ndarray, num_classes: int) -> np.ndarray:
    return np.where(classes == 0, num_classes, classes - 1)


def _plus_one(classes: np.ndarray, num_classes: int) -> np.ndarray:
    return classes + 1


def _from_text_sorted(classes: np.ndarray, num_classes: int) -> np.ndarray:
    inside = (classes >= 0) & (classes < num_classes)
    return np.where(inside, _text_sorted(num_classes)[np.where(inside, classes, 0)], classes)


_NUMBERINGS = {
    "": lambda classes, num_classes: classes,
    ONE_BASED: _less_one,
    ONE_LOW: _plus_one,
    TEXT_SORTED: _from_text_sorted,
}


def _find_numbering(
    top1: np.ndarray,
    original: np.ndarray,
    as_given: _Agreement,
    describe: Callable[[int], str],
) -> tuple[_Agreement, str] | None:
    """Another numbering that explains the predictions, with the evidence, or None."""
    if len(top1) < 2:
        return None
    # Two halves with half of each class's images: each judges what the other half suggests.
    fold = np.empty(len(top1), np.int64)
    fold[np.argsort(original, kind="stable")] = np.arange(len(top1)) % 2
    surely, wholly = top1.copy(), top1.copy()
    for half in (0, 1):
        fitted = Numbering.fit(top1[fold != half], original[fold != half])
        surely[fold == half] = fitted.sure_classes_of(top1[fold == half])
        wholly[fold == half] = fitted.classes_of(top1[fold == half])
    moved = surely != top1
    if len(set(top1[moved].tolist())) < 2:
        return None  # a class that is taken for another is not yet a numbering
    now, before = surely[moved] == original[moved], top1[moved] == original[moved]
    if not (mcnemar_z(now, before) > _CERTAIN and now.mean() > 4 * before.mean()):
        return None
    found = _Agreement.of(wholly, original)
    fitted = Numbering.fit(top1, original)
    pairs = dict(
        zip(
            fitted.indices[fitted.supported].tolist(),
            fitted.classes[fitted.supported].tolist(),
            strict=True,
        )
    )
    known = next(
        (
            f", as in {name}"
            for name, begins in _KNOWN_NUMBERINGS.items()
            if sum(pairs.get(i) == c for i, c in begins.items()) >= 3
        ),
        "",
    )
    shown = ", ".join(f"{i} is {describe(c)}" for i, c in list(pairs.items())[:4])
    way = (
        f"{REPAIRS[RENUMBERED]}{known} ({len(pairs)} indices of {len(fitted.indices)} stand for "
        f"another class: {shown}, …)"
    )
    judged = "numbered so, and judged on the half of the images not used to find it"
    return found, _sentence(way, found, as_given, judged)


def _beyond_repair(top1: np.ndarray, original: np.ndarray, as_given: _Agreement) -> str:
    if _depend(top1, original):
        return (
            f"The predicted classes go with the original labels, but are not they ({as_given}): "
            f"classes are numbered in another way, and there are too few images, or the model is too "
            f"weak, to tell how."
        )
    return (
        f"The predictions have nothing to do with the original labels ({as_given}), in no order and "
        f"numbering that was tried: shuffled, of other images, or of a model that learned nothing. "
        f"Save them again together with their file names."
    )


def _depend(top1: np.ndarray, original: np.ndarray) -> bool:
    """Whether predictions and labels go together in any way, against shuffled labels."""

    def pairs(labels: np.ndarray) -> float:
        cells = top1.astype(np.int64) * (1 + int(original.max())) + labels
        counts = np.unique(cells, return_counts=True)[1]
        return float((counts * (counts - 1.0)).sum())

    rng = np.random.default_rng(0)
    shuffled = np.array([pairs(rng.permutation(original)) for _ in range(12)])
    spread = max(shuffled.std(ddof=1), 1e-3 * shuffled.mean(), 1.0)
    return pairs(original) > shuffled.mean() + 2 * _CERTAIN * spread

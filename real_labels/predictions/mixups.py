"""Finds and undoes mix-ups of predictions: the order of the rows, or the numbering of the classes.

People report these mix-ups: rows in the order of class folders instead of file names, indices that are off by
one, and classes numbered in another way (as in the ILSVRC devkit, by alphabetical names, or by indices sorted
as text). Each mix-up is a hypothesis, which is tested against the original labels. A mix-up is reported only
if undoing it more than doubles the agreement with the labels, corrected for chance, by more than six standard
errors, and in most classes.

A numbering that is fitted to the predictions may concern a few classes only. It is tested on the half of the
images that it was not fitted to, and there on the images whose class it changes: on these it must be right
more than four times as often as the given classes. That takes about ten images per class.

A weak model therefore raises no alarm: no mix-up explains its predictions better.
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
    TEXT_SORTED: "class indices follow the classes sorted as text (0, 1, 10, 100, …)",
    RENUMBERED: "classes are numbered in another way, consistently",
    ASCENDING: "ranked classes are in ascending order, the most likely last",
}
NEED_LABELS = (FOLDER_ORDER, TEXT_FOLDER_ORDER, RENUMBERED)  # repairs that need all labels
_CERTAIN_Z = 6.0  # standard errors
_GAINING = 0.7  # share of the classes that must gain
_NO_AGREEMENT = 0.02  # agreement beyond chance below which predictions are unrelated to the labels
_MOST_BY_CHANCE = 0.95  # share right by chance above which no mix-up can be recognised
_FEWEST_IMAGES = 100  # with fewer images, neither constant nor unrelated predictions are reported

# First classes of known numberings of ILSVRC-2012: index in the other numbering -> our class.
_KNOWN_NUMBERINGS = {
    "the ILSVRC devkit's ILSVRC2012_ID": {1: 278, 2: 212, 3: 250, 4: 193, 5: 217},
    "the ILSVRC devkit's ILSVRC2012_ID, less one": {0: 278, 1: 212, 2: 250, 3: 193, 4: 217},
    "the class names in alphabetical order": {0: 398, 1: 399, 2: 400, 3: 401, 4: 988},
}


@dataclasses.dataclass(frozen=True)
class Mixup:
    """A suspected mix-up of predictions.

    Attributes:
      repair: names for `repair`, joined by commas; None if no repair is known.
      evidence: one or two sentences with the figures.
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
    """Returns how predictions are mixed up, or None if they show no mix-up.

    Args:
      top1: (n,) predicted class of each image, images sorted by file name.
      original: (n,) original label of each image.
      file_names: (n,) str, sorted.
      num_classes: number of classes.
      describe: returns the name of a class for the evidence.
      last: (n,) the last of several ranked classes; None if there is one class per image.
    """
    if not len(top1):
        return None
    as_given = _Agreement.of(top1, original)
    if as_given.chance > _MOST_BY_CHANCE:
        return None  # nearly all labels and predictions are one class: no mix-up would show
    if len(top1) >= _FEWEST_IMAGES and (top1 == top1[0]).all():
        return Mixup(None, f"Every image is predicted as class {describe(int(top1[0]))}.")
    if last is not None:
        reversed_ = _Agreement.of(last, original)
        if reversed_.surely_above(as_given) and reversed_.share > 2 * as_given.share:
            return Mixup(ASCENDING, _evidence(REPAIRS[ASCENDING], reversed_, as_given))
    # No repair can double an agreement of one half or more; single classes may still be renumbered.
    agrees_well = as_given.beyond_chance(as_given.share) >= 0.5
    placed = {"": top1}
    for order in () if agrees_well else ORDERS:
        moved = _moved_rows(top1, _ORDERS[order](original, file_names))
        if not any((moved == other).all() for other in placed.values()):
            placed[order] = moved
    best, mixup = as_given, None
    for order, moved in placed.items():
        for numbering, change in _NUMBERINGS.items():
            names = [name for name in (order, numbering) if name]
            agreement = _Agreement.of(change(moved, num_classes), original) if names else as_given
            # Simpler repairs come first; a later one replaces them only if it is clearly better.
            if agreement.explains_better_than(as_given) and agreement.surely_above(best):
                description = "; ".join(REPAIRS[name] for name in names)
                best = agreement
                mixup = Mixup(",".join(names), _evidence(description, agreement, as_given))
    for order, moved in placed.items():
        fitted = _find_numbering(moved, original, as_given, describe)
        if fitted is not None and fitted[0].surely_above(best):
            best = fitted[0]
            mixup = Mixup(",".join(name for name in (order, RENUMBERED) if name), fitted[1])
    if mixup is None and len(top1) >= _FEWEST_IMAGES and as_given.upper_bound < _NO_AGREEMENT:
        mixup = Mixup(None, _beyond_repair(top1, original, as_given))
    return mixup


def check_names(names: Sequence[str]) -> None:
    """Raises InputError if a name is not in REPAIRS, or occurs twice."""
    unknown = [name for name in names if name not in REPAIRS]
    if unknown:
        raise InputError(
            f"Unknown repair {unknown[0]!r}; expected one or several of {', '.join(REPAIRS)}, joined by "
            f"commas."
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
      classes: (n, k) ranked classes; the rows are meant to follow the sorted file names.
      names: names from REPAIRS, each once.
      original: (n,) original labels, in the order of the sorted file names.
      file_names: (n,) str, sorted.
      num_classes: number of classes; a background class, which has no class after the repair, gets this
        index, which is not the label of any image.

    Returns:
      (n, k), row i for image i in the order of the sorted file names.
    """
    check_names(names)
    for name in names:
        if name in _ORDERS:
            classes = _moved_rows(classes, _ORDERS[name](original, file_names))
        elif name == ASCENDING:
            classes = classes[:, ::-1]
        elif name == RENUMBERED:
            classes = Numbering.fit(classes[:, 0], original).classes_of(classes)
        else:
            classes = _NUMBERINGS[name](classes, num_classes)
    return classes


@dataclasses.dataclass(frozen=True)
class _Agreement:
    """How many predictions equal the label, and how many would equal it by chance.

    Attributes:
      hits: (n,) whether the prediction equals the label.
      original: (n,) original labels.
      chance: expected share of hits if predictions and labels were drawn independently.
    """

    hits: Bool[np.ndarray, "n"]
    original: Int[np.ndarray, "n"]
    chance: float

    @classmethod
    def of(cls, top1: np.ndarray, original: np.ndarray) -> _Agreement:
        size = 1 + int(original.max(initial=0))
        inside = top1[(top1 >= 0) & (top1 < size)]  # other indices are never a label
        marginals = np.bincount(inside, minlength=size) @ np.bincount(original, minlength=size)
        return cls(top1 == original, original, float(marginals) / max(len(top1), 1) ** 2)

    @property
    def share(self) -> float:
        return float(self.hits.mean()) if len(self.hits) else 0.0

    def beyond_chance(self, share: float) -> float:
        """Cohen's kappa of a share of hits."""
        return (share - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    @property
    def upper_bound(self) -> float:
        """Upper end of the 99.9% interval of the agreement beyond chance."""
        high = wilson_interval(int(self.hits.sum()), len(self.hits), 0.999)[1]
        return self.beyond_chance(high)

    def explains_better_than(self, other: _Agreement) -> bool:
        """Whether this agreement is so much better that it cannot be luck or a habit of the model."""
        kappa = self.beyond_chance(self.share)
        other_kappa = max(other.beyond_chance(other.share), 0)
        by_chance = self.chance * len(self.hits)
        spread = math.sqrt(by_chance * (1 - self.chance))
        if self.hits.sum() - by_chance <= _CERTAIN_Z * spread:
            return False  # this agreement is no better than chance
        if kappa <= 2 * other_kappa + _NO_AGREEMENT or not self.surely_above(other):
            return False
        # Undoing a mix-up helps nearly every class; swapping classes that a model confuses helps only some.
        gain = np.bincount(self.original, self.hits.astype(float) - other.hits)
        return bool(np.count_nonzero(gain > 0) > _GAINING * np.count_nonzero(gain))

    def surely_above(self, other: _Agreement) -> bool:
        """Whether more predictions equal the label, by more than six standard errors."""
        return mcnemar_z(self.hits, other.hits) > _CERTAIN_Z

    def __str__(self) -> str:
        return f"{100 * self.share:.2f}% agree, {100 * self.chance:.2f}% by chance"


def _evidence(
    description: str,
    repaired: _Agreement,
    as_given: _Agreement,
    condition: str = "with this undone",
) -> str:
    """Sentence that describes a mix-up and gives the agreement with the labels before and after repair."""
    share = percent(Estimate.of_share(int(repaired.hits.sum()), len(repaired.hits)))
    return (
        f"{description[0].upper()}{description[1:]}: {condition}, {share} of the top-1 predictions are the "
        f"image's label; as given, {100 * as_given.share:.2f}% ({100 * as_given.chance:.2f}% by chance)."
    )


def _moved_rows(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Moves row j to place places[j]."""
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
        return np.arange(len(names))  # in names of equal length, numbers sort the same as text
    keys = [[int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", name)] for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__))


# Possible orders of the rows: (original labels, file names) -> index of the image of each row.
_ORDERS = {FOLDER_ORDER: _by_folder, TEXT_FOLDER_ORDER: _by_text_folder, NUMBER_ORDER: _by_number}
ORDERS = tuple(_ORDERS)


def _text_sorted(num_classes: int) -> Int[np.ndarray, "classes"]:
    """(C,) class at each position if the classes are sorted as text: 0, 1, 10, 100, 101, …."""
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
    """Agreement under another numbering that explains the predictions, with the evidence; or None."""
    if len(top1) < 2:
        return None
    # Two halves, each with half of the images of a class: each half tests the numbering fitted to the other.
    fold = np.empty(len(top1), np.int64)
    fold[np.argsort(original, kind="stable")] = np.arange(len(top1)) % 2
    supported, complete = top1.copy(), top1.copy()
    for half in (0, 1):
        fitted = Numbering.fit(top1[fold != half], original[fold != half])
        supported[fold == half] = fitted.supported_classes_of(top1[fold == half])
        complete[fold == half] = fitted.classes_of(top1[fold == half])
    moved = supported != top1
    if len(set(top1[moved].tolist())) < 2:
        return None  # one class mistaken for another is not a renumbering
    now, before = supported[moved] == original[moved], top1[moved] == original[moved]
    if not (mcnemar_z(now, before) > _CERTAIN_Z and now.mean() > 4 * before.mean()):
        return None
    agreement = _Agreement.of(complete, original)
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
    description = (
        f"{REPAIRS[RENUMBERED]}{known} ({len(pairs)} indices of {len(fitted.indices)} stand for "
        f"another class: {shown}, …)"
    )
    condition = "with this undone (each half of the images by a fit to the other half)"
    return agreement, _evidence(description, agreement, as_given, condition)


def _beyond_repair(top1: np.ndarray, original: np.ndarray, as_given: _Agreement) -> str:
    if _depend(top1, original):
        return (
            f"The predicted classes depend on the original labels, but do not equal them ({as_given}): "
            f"classes are numbered in another way, and there are too few images, or the model is too "
            f"weak, to find the numbering."
        )
    return (
        f"The predictions are unrelated to the original labels ({as_given}) in every order and numbering "
        f"that was tried: they may be shuffled, of other images, or from a model that learned nothing. "
        f"Save the predictions again together with their file names."
    )


def _depend(top1: np.ndarray, original: np.ndarray) -> bool:
    """Whether predictions depend on the labels in any way, compared with shuffled labels."""

    def pairs(labels: np.ndarray) -> float:
        cells = top1.astype(np.int64) * (1 + int(original.max())) + labels
        counts = np.unique(cells, return_counts=True)[1]
        return float((counts * (counts - 1.0)).sum())

    rng = np.random.default_rng(0)
    shuffled = np.array([pairs(rng.permutation(original)) for _ in range(12)])
    spread = max(shuffled.std(ddof=1), 1e-3 * shuffled.mean(), 1.0)
    return pairs(original) > shuffled.mean() + 2 * _CERTAIN_Z * spread

"""The labels of a dataset that predictions are scored against."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.labels import imagenet, published
from real_labels.labels.class_names import ClassNames
from real_labels.labels.file_names import rows_of
from real_labels.labels.label_sets import LabelSets
from real_labels.labels.reassessment import REAL, Reassessment, label_sets_of, mine, titles_of

_MOST_CLASSES = 10_000_000  # beyond, a class index is a slip, and tables over classes need memory
_PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The labels that predictions are scored against.

    Attributes:
      original: the original labels, one class an image; None if there are none.
      reassessments: the others by name, of the same images in the same order. Without original labels
        there is one at least.
      num_classes: number of classes there are; None if that is not known.
      is_imagenet: whether the images are ILSVRC-2012's validation images, by the first one's name.
    """

    original: LabelSets | None
    reassessments: Mapping[str, Reassessment]
    num_classes: int | None
    is_imagenet: bool

    @classmethod
    def load(
        cls,
        labels: _PathLike | Mapping[str, _PathLike] | None = None,
        original: _PathLike | None = None,
        *,
        label_sets: Sequence[str] | None = None,
        data_dir: _PathLike | None = None,
        num_classes: int | None = None,
    ) -> Reference:
        """Reads the labels of a dataset; without arguments those of ILSVRC-2012's validation set.

        Args:
          labels: reassessed labels by name, each in `real.json`'s layout; a path alone is "real".
          original: original labels in that layout, one class an image; None for those of
            ILSVRC-2012 where the images are of its validation set.
          label_sets: names of published reassessments to read as well; None for the ReaL labels where
            neither `labels` nor `original` is given.
          data_dir: folder of the published files.
          num_classes: number of classes, if it is not ILSVRC-2012.

        Raises:
          InputError: if a file is missing or damaged, or they are about different images.
        """
        paths = {} if labels is None else labels if isinstance(labels, Mapping) else {REAL: labels}
        if label_sets is None:
            label_sets = () if paths or original is not None else (REAL,)
        if twice := set(label_sets) & set(paths):
            raise InputError(
                f"label set {min(twice)!r} is named twice, as a published one and as {paths[min(twice)]}."
            )
        found = {name: published.reassessment(name, data_dir) for name in label_sets}
        for name, path in paths.items():
            found[name] = mine(name, LabelSets.from_json(path), str(path))
        given = LabelSets.from_json(original) if original is not None else None
        if given is None and not found:  # none of the published ones is there
            given = imagenet.original_labels()
        return cls.of(given, found, num_classes, {**paths, "": original or "the original labels"})

    @classmethod
    def of(
        cls,
        original: LabelSets | None,
        reassessments: Mapping[str, Reassessment],
        num_classes: int | None = None,
        paths: Mapping[str, _PathLike] | None = None,
    ) -> Reference:
        """Brings label sets together: all become sets of the same images, in the same order.

        Args:
          original, reassessments, num_classes: see the attributes; the label sets may be of different
            images. ILSVRC-2012's own original labels and number of classes are added.
          paths: the files they are from, for errors; "" is that of the original labels.

        Raises:
          InputError: if a reassessment has images without an original label, or a class is out of range.
        """
        paths = paths or {}
        titles = [title.lower() for title in titles_of(reassessments).values()]
        if twice := next((t for t in titles if titles.count(t) > 1), None):
            raise InputError(
                f"Two label sets are called {twice}; a reader could not tell them apart."
            )
        sets = list(label_sets_of(original, reassessments).values())
        if not sets or not len(sets[0]):
            first = paths.get("") if original is not None else next(iter(paths.values()), None)
            raise InputError(f"{first or 'the labels'}: holds no labels.")
        if num_classes is not None and num_classes < 2:
            raise InputError(f"The number of classes must be at least 2, found {num_classes}.")
        is_imagenet = imagenet.is_validation_set(sets[0].file_names)
        if is_imagenet:
            num_classes = imagenet.NUM_CLASSES if num_classes is None else num_classes
            original = imagenet.original_labels() if original is None else original
        if original is not None:
            _check_original(original, reassessments, paths)
            names = original.file_names
            for name, one in reassessments.items():
                _check_images(one, original, paths.get(name, f"the published {one.title} labels"))
        else:
            everywhere = dict.fromkeys(n for s in sets for n in s.file_names.tolist())
            names = sets[0].file_names if len(sets) == 1 else np.array(list(everywhere))
        together = {}
        for name, one in reassessments.items():
            with naming(paths.get(name, f"the published {one.title} labels")):
                together[name] = one if one.labels.file_names is names else one.on(names)
        most = _MOST_CLASSES if num_classes is None else num_classes
        for name, one in label_sets_of(original, together).items():
            highest = int(one.classes.max(initial=0))
            if highest >= most:
                where = paths.get("" if one is original else name, name)
                raise InputError(
                    f"{where}: class {highest} is out of range; there are "
                    f"{'at most ' if num_classes is None else ''}{most:,} classes, 0 to {most - 1:,}."
                )
        return cls(original, together, num_classes, is_imagenet)

    @functools.cached_property
    def label_sets(self) -> dict[str, LabelSets]:
        """Every label set by name, the original labels first if there are any."""
        return label_sets_of(self.original, self.reassessments)

    @property
    def titles(self) -> dict[str, str]:
        """The title of each label set, the original labels first."""
        return titles_of(self.reassessments)

    @property
    def file_names(self) -> np.ndarray:
        """(N,) str, the images that have labels."""
        return next(iter(self.label_sets.values())).file_names

    @property
    def num_known_classes(self) -> int:
        """Number of classes, at least as many as occur."""
        if self.num_classes is not None:
            return self.num_classes
        return 1 + max(int(s.classes.max(initial=0)) for s in self.label_sets.values())

    @property
    def truth(self) -> LabelSets:
        """The labels that mix-ups are looked for by: the original ones, or the first reassessment."""
        return next(iter(self.label_sets.values()))

    def class_names(self, path: _PathLike) -> ClassNames:
        """Reads the names of these classes.

        Raises:
          InputError: naming the file, if it is none, or has too few or too many names.
        """
        names = ClassNames.load(path)
        known, named = self.num_known_classes, len(names.names)
        if named < known or (self.num_classes is not None and named > known):
            raise InputError(f"{path}: names {named:,} classes; expected {known:,}.")
        return names

    def describe_class(self, class_: int) -> str:
        """A class index, with its WordNet id where it is ILSVRC-2012's."""
        return imagenet.describe(class_) if self.is_imagenet else str(class_)


def _check_original(
    original: LabelSets, reassessments: Mapping[str, Reassessment], paths: Mapping[str, _PathLike]
) -> None:
    if (original.counts == 1).all():
        return
    where = int(np.argmax(original.counts != 1))
    exchanged = ""
    if any((one.labels.counts == 1).all() for one in reassessments.values()):
        exchanged = " Are --labels and --original exchanged?"
    raise InputError(
        f"{paths.get('', 'the original labels')}: original labels are one class an image; "
        f"{original.file_names[where]} has {original.counts[where]}.{exchanged}"
    )


def _check_images(one: Reassessment, original: LabelSets, path: _PathLike) -> None:
    """Refuses a reassessment of images that have no original label."""
    with naming(path):
        rows_of(
            original.file_names,
            one.labels.file_names,
            "{missing} of its {total} images have no original label (first: {first}; the original "
            "labels begin with {begin}).",
        )

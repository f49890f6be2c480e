"""Reference: the original labels and the reassessments that predictions are scored against."""

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

_MOST_CLASSES = (
    10_000_000  # a larger class index is an error; tables over classes would need much memory
)
_PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The labels that predictions are scored against.

    Attributes:
      original: the original labels, one class per image; None if there are none.
      reassessments: reassessments by name, of the same images in the same order; at least one if `original`
        is None.
      num_classes: number of classes; None if unknown.
      is_imagenet: whether the images are ILSVRC-2012's validation images, judged by the first file name.
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
        """Reads the labels of a dataset, by default of ILSVRC-2012's validation set.

        Args:
          labels: files of reassessed labels by name, each in the layout of `real.json`; a single path is the
            file of "real".
          original: file of original labels in that layout, one class per image; None for ILSVRC-2012's
            original labels if the images are of its validation set.
          label_sets: names of published reassessments to read as well; None for the ReaL labels if neither
            `labels` nor `original` is given.
          data_dir: folder of the published files.
          num_classes: number of classes of a dataset other than ILSVRC-2012.

        Raises:
          InputError: if a file is missing or damaged, or a reassessment has other images.
        """
        paths = {} if labels is None else labels if isinstance(labels, Mapping) else {REAL: labels}
        if label_sets is None:
            label_sets = () if paths or original is not None else (REAL,)
        if repeated := set(label_sets) & set(paths):
            name = min(repeated)
            raise InputError(
                f"label set {name!r} is named twice, as a published label set and as {paths[name]}."
            )
        reassessments = {name: published.reassessment(name, data_dir) for name in label_sets}
        for name, path in paths.items():
            reassessments[name] = mine(name, LabelSets.from_json(path), str(path))
        original_labels = LabelSets.from_json(original) if original is not None else None
        if original_labels is None and not reassessments:  # `label_sets` is empty
            original_labels = imagenet.original_labels()
        return cls.of(
            original_labels,
            reassessments,
            num_classes,
            {**paths, "": original or "the original labels"},
        )

    @classmethod
    def of(
        cls,
        original: LabelSets | None,
        reassessments: Mapping[str, Reassessment],
        num_classes: int | None = None,
        paths: Mapping[str, _PathLike] | None = None,
    ) -> Reference:
        """Builds a Reference from label sets of different images; aligns them to the same images and order.

        Args:
          original, reassessments, num_classes: see the attributes; the label sets may have different images.
            For ILSVRC-2012, missing original labels and a missing number of classes are filled in.
          paths: the file of each label set, for errors; the key of the original labels is "".

        Raises:
          InputError: if two label sets have the same title, there are no labels, an image has no or several
            original labels, or a class is out of range.
        """
        paths = paths or {}
        titles = [title.lower() for title in titles_of(reassessments).values()]
        if repeated := next((t for t in titles if titles.count(t) > 1), None):
            raise InputError(f"Two label sets are called {repeated}; rename one of them.")
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
            for name, reassessment in reassessments.items():
                path = paths.get(name, f"the published {reassessment.title} labels")
                _check_images(reassessment, original, path)
        else:
            all_names = dict.fromkeys(n for s in sets for n in s.file_names.tolist())
            names = sets[0].file_names if len(sets) == 1 else np.array(list(all_names))
        aligned = {}
        for name, reassessment in reassessments.items():
            with naming(paths.get(name, f"the published {reassessment.title} labels")):
                is_aligned = reassessment.labels.file_names is names
                aligned[name] = reassessment if is_aligned else reassessment.on(names)
        most = _MOST_CLASSES if num_classes is None else num_classes
        for name, labels in label_sets_of(original, aligned).items():
            highest = int(labels.classes.max(initial=0))
            if highest >= most:
                where = paths.get("" if labels is original else name, name)
                raise InputError(
                    f"{where}: class {highest} is out of range; there are "
                    f"{'at most ' if num_classes is None else ''}{most:,} classes, 0 to {most - 1:,}."
                )
        return cls(original, aligned, num_classes, is_imagenet)

    @functools.cached_property
    def label_sets(self) -> dict[str, LabelSets]:
        """All label sets by name; the original labels, if any, come first."""
        return label_sets_of(self.original, self.reassessments)

    @property
    def titles(self) -> dict[str, str]:
        """The title of each label set; that of the original labels comes first."""
        return titles_of(self.reassessments)

    @property
    def file_names(self) -> np.ndarray:
        """File names of the images that have labels, (N,) str."""
        return next(iter(self.label_sets.values())).file_names

    @property
    def num_known_classes(self) -> int:
        """The number of classes if known, else 1 + the highest class index."""
        if self.num_classes is not None:
            return self.num_classes
        return 1 + max(int(s.classes.max(initial=0)) for s in self.label_sets.values())

    @property
    def truth(self) -> LabelSets:
        """The labels used to detect mix-ups: the original labels, or else the first reassessment."""
        return next(iter(self.label_sets.values()))

    def class_names(self, path: _PathLike) -> ClassNames:
        """Reads the class names of this dataset.

        Raises:
          InputError: naming the file, if it has no class names, or too few or too many.
        """
        names = ClassNames.load(path)
        expected, found = self.num_known_classes, len(names.names)
        if found < expected or (self.num_classes is not None and found > expected):
            raise InputError(f"{path}: names {found:,} classes; expected {expected:,}.")
        return names

    def describe_class(self, class_: int) -> str:
        """Returns a class index as text; for ILSVRC-2012 with its WordNet id."""
        return imagenet.describe(class_) if self.is_imagenet else str(class_)


def _check_original(
    original: LabelSets, reassessments: Mapping[str, Reassessment], paths: Mapping[str, _PathLike]
) -> None:
    if (original.counts == 1).all():
        return
    row = int(np.argmax(original.counts != 1))
    hint = ""
    if any((r.labels.counts == 1).all() for r in reassessments.values()):
        hint = " Are --labels and --original exchanged?"
    raise InputError(
        f"{paths.get('', 'the original labels')}: original labels are one class an image; "
        f"{original.file_names[row]} has {original.counts[row]}.{hint}"
    )


def _check_images(reassessment: Reassessment, original: LabelSets, path: _PathLike) -> None:
    """Raises an InputError if an image of a reassessment has no original label."""
    with naming(path):
        rows_of(
            original.file_names,
            reassessment.labels.file_names,
            "{missing} of its {total} images have no original label (first: {first}; the original "
            "labels begin with {begin}).",
        )

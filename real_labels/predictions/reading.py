"""Reads files of predictions: arrays, tables, and the output of timm's inference.py.

A file holds, for each image, one class, ranked classes, or a score for every class. Its rows have file names,
or are in the order of the sorted file names.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import npz, tables
from real_labels.labels import ClassNames
from real_labels.predictions import choice, ranking
from real_labels.predictions.array_fields import ARRAY, ArchiveFields, ArrayFields
from real_labels.predictions.fields import Fields
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.predictions import MOCK_REMARK, TOP_K
from real_labels.predictions.table_fields import TableFields, is_header

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_SOME_TIED = 0.002  # share of images above which ties are reported
_MANY_TIED = 0.05  # share of images above which accuracies that depend on ties are left out


@dataclasses.dataclass(frozen=True, eq=False)
class PredictionFile:
    """The content of a file of predictions, before it is compared with a dataset.

    Attributes:
      file_names: (N,) str as in the file; None if the rows are in the order of the sorted file names.
      classes: (N, k) int64, the most likely first; any range, as mixed-up numberings are found later.
      scores: (N, k) float, score of each class, or None.
      every_score: (N, C) scores if the file holds a score for every class, else None.
      are_wordnet_ids: whether the classes are WordNet ids of ILSVRC-2012.
      remarks: remarks about the file for the user, one or two sentences each.
      column: title of the column, or group of columns, that holds the predictions; "" of an array alone.
      rivals: other columns that may be the predictions (see choice.ChosenField).
    """

    file_names: np.ndarray | None
    classes: Int[np.ndarray, "images k"]
    scores: Float[np.ndarray, "images k"] | None = None
    every_score: Float[np.ndarray, "images classes"] | None = None
    are_wordnet_ids: bool = False
    remarks: tuple[str, ...] = ()
    column: str = ""
    rivals: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def num_columns(self) -> int | None:
        """C if the file holds a score for every class, else None."""
        return None if self.every_score is None else self.every_score.shape[1]

    def with_probabilities(self) -> PredictionFile:
        """Returns the predictions with logits turned into probabilities, if there is a score for every class.

        Scores within [0, 1] are probabilities already; other scores are turned into their softmax.
        """
        if self.every_score is None or self.scores is None:
            return self
        scores = ranking.probabilities(self.every_score, self.scores)
        return dataclasses.replace(self, scores=scores)


def read(
    path: str | os.PathLike[str],
    column: str | None = None,
    labels: KnownLabels | None = None,
    class_names: ClassNames | None = None,
) -> PredictionFile:
    """Reads a file of predictions.

    `.npy`: (N,) classes, (N, k) ranked classes, or (N, C) scores of every class.
    `.npz`: such an array under any name, with or without an array `file_names`; our `predictions.npz`.
    `.csv`, `.tsv`, `.txt`, `.jsonl`, `.json`, `.parquet`, text also as `.csv.gz`: a column of file names (or
    none), and classes as one column of indices or WordNet ids, one column of lists of them, or numbered
    columns (index_0, index_1, …); or a score for every class in such columns.
    If there are several columns or arrays, `choice` finds the predictions.

    Args:
      path: the file.
      column: the column, group of columns or array that holds the classes or scores; None: it is found.
      labels: the known labels of the dataset, to tell predictions from true labels in the same file; None: no
        labels are known.
      class_names: names of the classes, if the file may hold names; or None.

    Raises:
      InputError: naming the file and the place: another format, damaged, empty, pickled, NaN, or
        several columns that could be the predictions.
    """
    path = pathlib.Path(path)
    labels = labels or KnownLabels()
    ending = tables.ending_of(path)
    with naming(path):
        if path.is_dir():
            raise InputError("is a folder; name a file, such as the predictions.npz in it.")
        if ending == ".npy":
            predictions = _from_fields(ArrayFields(npz.read_array(path)), column and ARRAY, labels)
        elif ending == ".npz":
            with npz.opened(path) as archive:
                predictions = _from_fields(ArchiveFields(archive, class_names), column, labels)
        elif ending in tables.ENDINGS:
            fields = TableFields(tables.read(path, is_header=is_header), class_names)
            predictions = _from_fields(fields, column, labels)
        else:
            raise InputError(
                f"unknown ending '{ending}'; expected .npy, .npz, {', '.join(tables.ENDINGS)}. Pickled "
                f"files (.pkl, .pt) are never loaded: save arrays with np.savez."
            )
        if not len(predictions):
            raise InputError("holds no predictions.")
    return predictions


def _from_fields(fields: Fields, column: str | None, labels: KnownLabels) -> PredictionFile:
    chosen = choice.choose(fields, column, labels)
    remarks = (MOCK_REMARK,) if fields.is_mock else ()
    if chosen.classes is None:
        assert chosen.scores is not None  # a choice has classes or scores
        ranked = _ranked(chosen.scores, fields.names)
        return dataclasses.replace(
            ranked,
            remarks=remarks + ranked.remarks,
            column=chosen.field.title,
            rivals=chosen.rivals,
        )
    return PredictionFile(
        fields.names,
        chosen.classes,
        chosen.scores,
        are_wordnet_ids=fields.are_wordnet_ids(chosen.field),
        remarks=remarks,
        column=chosen.field.title,
        rivals=chosen.rivals,
    )


def _ranked(scores: np.ndarray, file_names: np.ndarray | None) -> PredictionFile:
    """Ranks the best classes by their scores; leaves out the ranks that ties make uncertain."""
    k = max(TOP_K)
    classes, best = ranking.top_k(scores, k + 1)
    # Number of images whose i-th and next class have the same score.
    equal = (best[:, 1:] == best[:, :-1]).sum(axis=0)
    remarks = []
    tied = int(equal[k - 1]) if len(equal) >= k else 0
    if tied > _SOME_TIED * len(best):
        where = f"The {k}th and the next best class have the same score on {tied:,} of {len(best):,} images"
        if tied > _MANY_TIED * len(best):
            remarks.append(f"{where}, so the best {k} are not known: top-{k} is left out.")
            k = min(TOP_K)
        else:
            remarks.append(f"{where}; there, top-{k} counts the lower class index.")
    if len(equal) and equal[0] > _SOME_TIED * len(best):
        remarks.append(
            f"Several classes share the best score on {equal[0]:,} of {len(best):,} images; there, the "
            f"lowest class index counts as the prediction."
        )
    classes = classes[:, :k].astype(np.int64)
    return PredictionFile(file_names, classes, best[:, :k], scores, remarks=tuple(remarks))

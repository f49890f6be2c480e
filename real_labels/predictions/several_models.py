"""Files of several models' predictions: a `.npz` with `models` (M,) and `classes` (M, N, k)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import npz
from real_labels.labels import ClassNames
from real_labels.predictions import reading
from real_labels.predictions.known_labels import KnownLabels
from real_labels.predictions.reading import PredictionFile

_MODELS, _CLASSES, _SCORES = "models", "classes", "scores"


def read_each(
    path: str | os.PathLike[str],
    column: str | None = None,
    labels: KnownLabels | None = None,
    class_names: ClassNames | None = None,
) -> Iterator[tuple[str | None, PredictionFile]]:
    """Yields (name of the model, predictions) of each model; the name is None if the file has one model.

    Args:
      path, column, labels, class_names: see reading.read.

    Raises:
      InputError: naming the file (see reading.read), or if the arrays of several models do not fit together.
    """
    arrays = _arrays(path) if pathlib.Path(path).suffix.lower() == ".npz" else None
    if arrays is None:
        yield None, reading.read(path, column, labels, class_names)
        return
    names, classes, scores, file_names = arrays
    for row, name in enumerate(names.tolist()):
        model_scores = None if scores is None else scores[row]
        yield name, PredictionFile(file_names, classes[row].astype(np.int64), model_scores)


def _arrays(
    path: str | os.PathLike[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None] | None:
    """Returns (models, classes, scores, file names) of a file of several models; None for other files."""
    with npz.opened(path) as archive:
        if _MODELS not in archive.files or _CLASSES not in archive.files:
            return None
        with archive.member(_CLASSES) as member:
            shape, _, dtype = npz.read_header(member)
        if len(shape) != 3:
            return None
        with naming(path):
            names = npz.as_text(archive[_MODELS], _MODELS)
            if len(set(names.tolist())) < len(names):
                raise InputError("two of its models have the same name.")
            if len(names) != shape[0] or dtype.kind not in "iu" or not all(shape):
                raise InputError(
                    f"classes must be (M, N, k) integers for M = {len(names)} models; found shape {shape} "
                    f"and dtype {dtype}."
                )
            scores = archive[_SCORES] if _SCORES in archive.files else None
            if scores is not None and (scores.shape != shape or scores.dtype.kind not in "iuf"):
                raise InputError(
                    f"scores must be numbers in the shape {shape} of the classes; found shape "
                    f"{scores.shape} and dtype {scores.dtype}."
                )
            file_names = None
            if "file_names" in archive.files:
                file_names = npz.as_text(archive["file_names"], "file_names")
                if len(file_names) != shape[1]:
                    raise InputError(
                        f"has {len(file_names):,} file names for {shape[1]:,} predictions of each model; "
                        f"expected one file name per prediction."
                    )
            return names, archive[_CLASSES], scores, file_names

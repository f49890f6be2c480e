"""The labels of Shankar et al. 2020, read from a prepared TFDS dataset `imagenet2012_multilabel`.

TFDS stores them with the images (200 MB); `python -m real_labels fetch --label-sets shankar` needs no TFDS.
"""

from __future__ import annotations

import os

import tensorflow_datasets as tfds

from big_transfer.datasets.source import DatasetError
from big_transfer.datasets.tfds_source import as_data_source, load_builder, make_ready
from real_labels.errors import InputError
from real_labels.labels import Reassessment, published, relabellings

DATASET = "imagenet2012_multilabel"
_SPLIT = "validation"
_KEYS = (
    "file_name",
    "original_label",
    "correct_multi_labels",
    "unclear_multi_labels",
    "is_problematic",
)


def read(data_dir: str | os.PathLike[str] | None = None) -> Reassessment:
    """Returns the reassessment `shankar`, with the same labels as the published CSV.

    Args:
      data_dir: TFDS data folder; TFDS's default if None.

    Raises:
      DatasetError: if the dataset is not prepared, or its labels differ from the published ones.
    """
    folder = None if data_dir is None else os.fspath(data_dir)
    builder = make_ready(load_builder(DATASET, folder), DATASET, folder)
    # The images are not needed, so they are not decoded.
    source = as_data_source(builder, _SPLIT, {"image": tfds.decode.SkipDecoding()})
    rows = [
        {key: record[key] for key in _KEYS}
        for record in map(source.__getitem__, range(len(source)))
    ]
    try:
        relabelled = relabellings.multilabel_sets(
            [_text(row["file_name"]) for row in rows],
            [int(row["original_label"]) for row in rows],
            [list(map(int, row["correct_multi_labels"])) for row in rows],
            [list(map(int, row["unclear_multi_labels"])) for row in rows],
            [bool(row["is_problematic"]) for row in rows],
        )
        published.check_version(published.SHANKAR, relabelled, f"{DATASET} in {builder.data_dir}")
    except InputError as error:
        raise DatasetError(f"{DATASET}: {error}") from None
    return published.of_labels(published.SHANKAR, relabelled)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def is_prepared(data_dir: str | None) -> bool:
    """Whether the dataset is prepared in the TFDS data folder."""
    return load_builder(DATASET, data_dir).is_prepared()

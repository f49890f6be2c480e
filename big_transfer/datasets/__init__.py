"""Datasets from TFDS or from image files on disk, and batches of their examples."""

from big_transfer.datasets.batches import (
    ShuffledPositions,
    default_threads,
    eval_batches,
    local_rows,
    train_batches,
)
from big_transfer.datasets.choosing import fold_of, sha256_of
from big_transfer.datasets.opening import (
    ORIGINAL_KEY,
    REAL_KEY,
    evaluation_split_of,
    few_shot,
    label_key_of,
    open_source,
    typical_area,
)
from big_transfer.datasets.source import (
    DatasetError,
    Source,
    Subset,
    WithLabels,
    check_num_classes,
    file_names_of,
    labels_of,
)

__all__ = [
    "ORIGINAL_KEY",
    "REAL_KEY",
    "DatasetError",
    "ShuffledPositions",
    "Source",
    "Subset",
    "WithLabels",
    "check_num_classes",
    "default_threads",
    "eval_batches",
    "evaluation_split_of",
    "few_shot",
    "file_names_of",
    "fold_of",
    "label_key_of",
    "labels_of",
    "local_rows",
    "open_source",
    "sha256_of",
    "train_batches",
    "typical_area",
]

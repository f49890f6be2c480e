"""Writes a split as plain files: images, labels as JSON, and class names.

    python -m big_transfer.datasets.export digit_scenes --split=validation --out=digit_scenes_validation

writes images/…, original.json, class_names.json and, if the split has ReaL labels, real.json. The commands
`score`, `compare` and `report` of `python -m real_labels` read these files. The dataset may also be the path
of a folder or tar of images. For the train split of digit_scenes, truth.json has the digits that are in each
scene, for `python -m real_labels clean --truth`.
"""

from __future__ import annotations

import pathlib
import sys

import tqdm
from absl import app, flags, logging

from big_transfer.datasets import image_files
from big_transfer.datasets.opening import (
    ORIGINAL_KEY,
    REAL_KEY,
    label_key_of,
    open_source,
    tfds_source_for,
)
from big_transfer.datasets.source import EMBEDDED, DatasetError, Source
from big_transfer.run.spelling import underscored
from real_labels import LabelSets, files
from real_labels.errors import ExpectedError, bucket_errors_as_os_errors

_SIGNATURES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"RI": ".webp", b"BM": ".bmp"}


def export(source: Source, folder: pathlib.Path) -> None:
    """Writes the stored bytes of every image, then the labels, then the class names.

    ReaL labels are left out if no image has one, as in the train split of digit_scenes.

    Args:
      source: source with the original labels as first label key and ReaL labels, if any, as second.
      folder: output folder.

    Raises:
      DatasetError: if a file name points outside the folder.
    """
    names, labels = [], {key: [] for key in source.label_keys}
    for index in tqdm.trange(len(source), desc="exporting", unit=" images", disable=None):
        example = source[index]
        name = example["file_name"]
        path = folder / "images" / name
        if ".." in pathlib.PurePosixPath(name).parts or pathlib.PurePosixPath(name).is_absolute():
            raise DatasetError(f"{source.dataset}: the file name {name} points outside {folder}.")
        if not path.suffix:
            path = path.with_name(path.name + _SIGNATURES.get(example["image"][:2], ".jpg"))
        with files.replacing(path) as temporary:
            temporary.write_bytes(example["image"])
        names.append(name)
        for key, lists in labels.items():
            lists.append(example[key])
    original, *real = source.label_keys
    LabelSets.from_lists(names, labels[original]).to_json(folder / "original.json")
    has_real = any(any(labels[key]) for key in real)
    (folder / "real.json").unlink(missing_ok=True)  # of an earlier export
    if has_real:
        LabelSets.from_lists(names, labels[real[0]]).to_json(folder / "real.json")
    elif source.dataset.partition(":")[0] in EMBEDDED:
        # Imported late, because the import registers the datasets with TFDS.
        from big_transfer.datasets.builders import digit_scenes

        truth = LabelSets.from_lists(names, digit_scenes.true_labels(names))
        truth.to_json(folder / "truth.json")
    files.write_json(folder / "class_names.json", source.class_names[source.label_keys[0]])


def label_keys(
    name: str, original: str | None, real: str | None, data_dir: str | None
) -> list[str]:
    """Returns the label features to export.

    If neither feature is given and the dataset has original and ReaL labels, these are both. Otherwise they
    are `original`, by default the label that a classifier learns, and `real`, if it is given.
    """
    if original is None and real is None and not image_files.is_path(name):
        features = tfds_source_for(name).load_builder(name, data_dir).info.features
        if {ORIGINAL_KEY, REAL_KEY} <= set(features):
            return [ORIGINAL_KEY, REAL_KEY]
    keys = [original or label_key_of(name, data_dir), real]
    return [key for key in keys if key]


def _define_flags() -> None:
    flags.DEFINE_string("split", "validation", "The split to export.")
    flags.DEFINE_string("out", None, "The output folder.", required=True)
    flags.DEFINE_string(
        "original_key",
        None,
        "Feature of the original labels; by default the original labels of a dataset that has ReaL "
        "labels, too, else the label that a classifier learns.",
    )
    flags.DEFINE_string(
        "real_key",
        None,
        "Feature of the ReaL labels; by default the dataset's, unless --original_key is given.",
    )
    flags.DEFINE_string("data_dir", None, "TFDS data folder; TFDS's default if not given.")


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        sys.exit(f"Expected one dataset, found {len(arguments) - 1} arguments.\n{__doc__}")
    logging.set_verbosity(logging.WARNING)  # hides TFDS's messages about files on disk
    given, folder = flags.FLAGS, pathlib.Path(flags.FLAGS.out)
    try:
        with bucket_errors_as_os_errors():
            keys = label_keys(arguments[1], given.original_key, given.real_key, given.data_dir)
            source = open_source(arguments[1], given.split, keys, data_dir=given.data_dir)
            export(source, folder)
    except (ExpectedError, OSError) as error:
        sys.exit(f"Error: {error}")
    print(f"Wrote {len(source):,} images and their labels to {folder}.")


if __name__ == "__main__":
    _define_flags()
    app.run(main, flags_parser=lambda given: app.parse_flags_with_usage(underscored(given)))

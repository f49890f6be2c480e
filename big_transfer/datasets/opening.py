"""Opening datasets by name (TFDS) or path (folders and tars of images), with the requested labels."""

from __future__ import annotations

import collections
import importlib.util
import logging
import re
import types
from collections.abc import Sequence

import numpy as np

from big_transfer.datasets import image_files, preprocessing
from big_transfer.datasets.source import (
    DatasetError,
    RandomImages,
    Source,
    Subset,
    WithLabels,
    labels_of,
)
from real_labels import LabelSets
from real_labels.errors import InputError
from real_labels.labels import imagenet, published

log = logging.getLogger("big_transfer")

ORIGINAL_KEY, REAL_KEY = "original_label", "real_label"  # features of TFDS's imagenet2012_real
_AREA_SAMPLES = 32  # images read to estimate the typical area
_EVALUATION_SPLITS = ("test", "validation")  # default splits, in order of preference


def open_source(
    dataset: str,
    split: str,
    label_keys: Sequence[str],
    *,
    data_dir: str | None = None,
    mock: bool = False,
    real_labels: str | None = None,
    features: Sequence[str] = (),
) -> Source:
    """Opens one split of a dataset.

    Labels that are not part of the dataset are matched by file name: the labels of ILSVRC-2012's validation
    images, and reassessed labels from a file.

    Args:
      dataset: name of a TFDS dataset or of one of this project, or a path (see `image_files`).
      split: such as "train" or, with TFDS, "validation[:10%]".
      label_keys: feature of the original labels and, if there are ReaL labels, their feature.
      data_dir: TFDS data folder; TFDS's default if None.
      mock: use random images instead of the dataset's, with the features of a TFDS dataset, or with the
        file names and labels of a folder or tar.
      real_labels: JSON file of the ReaL labels (see `LabelSets.from_json`); if None, the dataset's own
        ReaL labels or the published ones.
      features: further label features, which the dataset itself must have.

    Raises:
      DatasetError: if the dataset, split or labels cannot be read; the message says how to fix it.
    """
    label_keys = tuple(label_keys)
    if image_files.is_path(dataset):
        images = image_files.ImageFiles(dataset, split)
        source: Source = images
        if unknown := set(features) - set(source.label_keys):
            raise DatasetError(
                f"{dataset} has no feature {', '.join(sorted(unknown))}; it has "
                f"{', '.join(source.label_keys) or 'no labels'}. Give a file of labels instead: "
                f"--config.eval.label_sets=NAME=FILE."
            )
        is_imagenet = images.is_imagenet
        if mock:
            source = RandomImages(images)
        # In a folder, the only label of an image is its original label.
        if not is_imagenet and label_keys[0] not in source.label_keys:
            raise DatasetError(
                f"{dataset} has no labels {label_keys[0]!r}, but {', '.join(source.label_keys)}."
            )
    else:
        tfds_source = tfds_source_for(dataset)
        is_imagenet = re.split("[/:]", dataset)[0] == "imagenet2012" and split.startswith(
            "validation"
        )
        matched_keys = (ORIGINAL_KEY, REAL_KEY) if is_imagenet else ()
        if real_labels is not None:
            matched_keys = (*matched_keys, *label_keys[1:])
        own_keys = [key for key in label_keys if key not in matched_keys]
        own_keys += [key for key in features if key not in own_keys]
        source = tfds_source.TfdsSource(dataset, split, own_keys, data_dir=data_dir, mock=mock)
    missing_keys = [key for key in label_keys if key not in source.label_keys]
    label_keys = (*label_keys, *features)
    if not missing_keys:
        return source
    names = imagenet.wordnet_ids() if is_imagenet else source.class_names[label_keys[0]]
    label_sets = {
        key: (
            imagenet.original_labels()
            if key == label_keys[0]
            else _real_labels(dataset, real_labels, is_imagenet)
        )
        for key in missing_keys
    }
    return WithLabels(source, label_sets, names, label_keys)


def tfds_source_for(dataset: str) -> types.ModuleType:
    """Imports and returns the module `tfds_source`.

    It is imported here because TFDS takes a second to import, and images on disk do not need it.

    Raises:
      DatasetError: if a package is missing.
    """
    for package, name in (
        ("tensorflow_datasets", "tensorflow-datasets"),
        ("tensorflow", "tensorflow"),
    ):
        if importlib.util.find_spec(package) is None:
            raise DatasetError(
                f"{dataset} is a TFDS dataset, and {name} is not installed: pip install .[train]. (A "
                f"folder of images, given by its path, needs no TensorFlow.)"
            )
    from big_transfer.datasets import tfds_source

    return tfds_source


def _real_labels(dataset: str, path: str | None, is_imagenet: bool) -> LabelSets:
    try:
        if path is not None:
            return LabelSets.from_json(path)
        if is_imagenet:
            return published.real_labels()
    except InputError as error:
        raise DatasetError(str(error)) from None
    raise DatasetError(
        f"{dataset} has no ReaL labels of its own; give a file with --config.eval.real_labels "
        f"(or --config.eval.label_sets=real=FILE), or evaluate without ReaL labels with "
        f"--config.eval.real_key=."
    )


def label_key_of(dataset: str, data_dir: str | None) -> str:
    """Returns the feature with the labels that a classifier of this dataset learns."""
    if image_files.is_path(dataset):
        return image_files.LABEL_KEY
    return tfds_source_for(dataset).supervised_key(dataset, data_dir)


def evaluation_split_of(dataset: str, data_dir: str | None, mock: bool) -> str:
    """Returns the default evaluation split of a dataset: "test" if it has one, else "validation".

    Raises:
      DatasetError: if the dataset has neither.
    """
    if image_files.is_path(dataset):
        splits = image_files.splits_of(dataset)
    else:
        if mock:
            return _EVALUATION_SPLITS[0]  # any split works with random images
        splits = tfds_source_for(dataset).splits_of(dataset, data_dir)
    for split in _EVALUATION_SPLITS:
        if split in splits:
            return split
    raise DatasetError(
        f"{dataset} has the splits {', '.join(splits)}; set the evaluation split with "
        f"--config.eval.split, such as 'train[90%:]', and the training split with --config.input.split."
    )


def few_shot(source: Source, label_key: str, examples_per_class: int, seed: int) -> Subset:
    """Returns `examples_per_class` random examples of each class, or all examples of a smaller class.

    Args:
      source: source with one label per example.
      label_key: key of the label.
      examples_per_class: at least 1.
      seed: seed of the random choice; with the same seed, a larger `examples_per_class` adds examples and
        removes none.

    Raises:
      DatasetError: if an example has no label or several labels.
    """
    rows = collections.defaultdict(list)
    for index, labels in enumerate(labels_of(source, label_key)):
        if len(labels) != 1:
            raise DatasetError(
                f"input.examples_per_class needs one label per image; {source.dataset} "
                f"{source[index]['file_name']} has {len(labels)}."
            )
        rows[labels[0]].append(index)
    chosen = []
    for label in range(source.num_classes[label_key]):
        order = np.random.default_rng((seed, label)).permutation(rows[label])
        chosen.extend(order[:examples_per_class].tolist())
        if len(order) < examples_per_class:
            log.warning(
                "Class %s has only %d of the %d requested examples.",
                source.class_names[label_key][label],
                len(order),
                examples_per_class,
            )
    return Subset(source, sorted(chosen))


def typical_area(source: Source) -> float:
    """Median of height · width in pixels, of up to 32 images spread evenly over the source."""
    if not len(source):
        raise DatasetError(f"{source.dataset} {source.split} is empty.")
    rows = np.unique(np.linspace(0, len(source) - 1, _AREA_SAMPLES).round().astype(int))
    areas = []
    for row in rows.tolist():
        example = source[row]
        name = f"{source.dataset} {example['file_name']}"
        image = preprocessing.decode(example["image"], name)
        areas.append(image.shape[0] * image.shape[1])
    return float(np.median(areas))

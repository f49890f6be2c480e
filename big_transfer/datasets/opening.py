"""Opening datasets by name (TFDS) or path (folders and tars of images), with the labels asked for."""

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

ORIGINAL_KEY, REAL_KEY = "original_label", "real_label"  # of TFDS's imagenet2012_real
_LOOKED_AT = 32  # images whose size stands for all
_PREFERRED = ("test", "validation")  # for evaluation, where a config names no split


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

    Labels that a dataset does not have itself are matched by file name: those of ILSVRC-2012's
    validation images, and reassessed ones from a file.

    Args:
      dataset: a name for TFDS, ours included, or a path (see `image_files`).
      split: such as "train" or, with TFDS, "validation[:10%]".
      label_keys: the original labels' feature and, if any, that of the ReaL labels.
      data_dir: of TFDS; its default if None.
      mock: random images in place of the dataset's: with the features of a TFDS dataset, or the names
        and labels of a folder or tar.
      real_labels: JSON of the ReaL labels (see `LabelSets.from_json`); None for the dataset's own or
        the published ones.
      features: further labels, which the dataset must have itself.

    Raises:
      DatasetError: with what to do about it.
    """
    label_keys = tuple(label_keys)
    if image_files.is_path(dataset):
        images = image_files.ImageFiles(dataset, split)
        source: Source = images
        if strange := set(features) - set(source.label_keys):
            raise DatasetError(
                f"{dataset} has no feature {', '.join(sorted(strange))}; it has "
                f"{', '.join(source.label_keys) or 'no labels'}. Name a file of labels instead: "
                f"--config.eval.label_sets=NAME=FILE."
            )
        is_imagenet = images.is_imagenet
        if mock:
            source = RandomImages(images)
        # The one label of a folder's image is its original label.
        if not is_imagenet and label_keys[0] not in source.label_keys:
            raise DatasetError(
                f"{dataset} has no labels {label_keys[0]!r}, but {', '.join(source.label_keys)}."
            )
    else:
        tfds_source = tfds_source_for(dataset)
        is_imagenet = re.split("[/:]", dataset)[0] == "imagenet2012" and split.startswith(
            "validation"
        )
        looked_up = (ORIGINAL_KEY, REAL_KEY) if is_imagenet else ()
        if real_labels is not None:
            looked_up = (*looked_up, *label_keys[1:])
        own = [key for key in label_keys if key not in looked_up]
        own += [key for key in features if key not in own]
        source = tfds_source.TfdsSource(dataset, split, own, data_dir=data_dir, mock=mock)
    further = [key for key in label_keys if key not in source.label_keys]
    label_keys = (*label_keys, *features)
    if not further:
        return source
    names = imagenet.wordnet_ids() if is_imagenet else source.class_names[label_keys[0]]
    label_sets = {
        key: (
            imagenet.original_labels()
            if key == label_keys[0]
            else _real_labels(dataset, real_labels, is_imagenet)
        )
        for key in further
    }
    return WithLabels(source, label_sets, names, label_keys)


def tfds_source_for(dataset: str) -> types.ModuleType:
    """The module `tfds_source`, imported here: TFDS takes a second, and images on disk do not need it.

    Raises:
      DatasetError: if a package is missing.
    """
    for package, name in (
        ("tensorflow_datasets", "tensorflow-datasets"),
        ("tensorflow", "tensorflow"),
    ):
        if importlib.util.find_spec(package) is None:
            raise DatasetError(
                f"{dataset} is a dataset of TFDS, which needs {name}: pip install .[train]. (A folder "
                f"of images, named with its path, needs no TensorFlow.)"
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
        f"{dataset} has no ReaL labels of its own; name a file with --config.eval.real_labels "
        f"(or --config.eval.label_sets=real=FILE), or say "
        f"--config.eval.real_key= for none."
    )


def label_key_of(dataset: str, data_dir: str | None) -> str:
    """The feature a classifier of this dataset is to learn."""
    if image_files.is_path(dataset):
        return image_files.LABEL_KEY
    return tfds_source_for(dataset).supervised_key(dataset, data_dir)


def evaluation_split_of(dataset: str, data_dir: str | None, mock: bool) -> str:
    """The split that a dataset is evaluated on: "test" if it has one, else "validation".

    Raises:
      DatasetError: if it has neither.
    """
    if image_files.is_path(dataset):
        splits = image_files.splits_of(dataset)
    else:
        if mock:
            return _PREFERRED[0]  # any will do
        splits = tfds_source_for(dataset).splits_of(dataset, data_dir)
    for split in _PREFERRED:
        if split in splits:
            return split
    raise DatasetError(
        f"{dataset} has the splits {', '.join(splits)}; name the one to evaluate on with "
        f"--config.eval.split, such as 'train[90%:]', and the rest with --config.input.split."
    )


def few_shot(source: Source, label_key: str, examples_per_class: int, seed: int) -> Subset:
    """A random choice of so many examples of each class; a class with fewer gives all it has.

    Args:
      source: with one label an example.
      label_key: which of its labels.
      examples_per_class: at least 1.
      seed: of the choice; the examples of one number are among those of any larger one.

    Raises:
      DatasetError: if an example has several labels, or none.
    """
    rows = collections.defaultdict(list)
    for index, labels in enumerate(labels_of(source, label_key)):
        if len(labels) != 1:
            raise DatasetError(
                f"input.examples_per_class needs one label an image; {source.dataset} "
                f"{source[index]['file_name']} has {len(labels)}."
            )
        rows[labels[0]].append(index)
    chosen = []
    for label in range(source.num_classes[label_key]):
        order = np.random.default_rng((seed, label)).permutation(rows[label])
        chosen.extend(order[:examples_per_class].tolist())
        if len(order) < examples_per_class:
            log.warning(
                "Class %s has %d of the %d examples asked for.",
                source.class_names[label_key][label],
                len(order),
                examples_per_class,
            )
    return Subset(source, sorted(chosen))


def typical_area(source: Source) -> float:
    """Median of height · width of some images spread over the source, in pixels."""
    if not len(source):
        raise DatasetError(f"{source.dataset} {source.split} is empty.")
    rows = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).round().astype(int))
    areas = []
    for row in rows.tolist():
        example = source[row]
        name = f"{source.dataset} {example['file_name']}"
        image = preprocessing.decode(example["image"], name)
        areas.append(image.shape[0] * image.shape[1])
    return float(np.median(areas))

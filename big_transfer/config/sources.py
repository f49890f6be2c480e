"""Opens the images and label sets that a config names."""

from __future__ import annotations

import importlib.util

import numpy as np

from big_transfer import datasets
from big_transfer.config.schema import Config, EvaluationConfig
from big_transfer.datasets import choosing
from real_labels import LabelSets
from real_labels.errors import InputError
from real_labels.labels import Reassessment, published, reassessment
from real_labels.labels.reassessment import REAL


def label_key(config: Config) -> str:
    """The feature of the training images that holds the labels to learn."""
    data = config.input
    if data.label_key is not None:
        return data.label_key
    return datasets.label_key_of(_dataset(config), data.data_dir)


def training_source(config: Config) -> datasets.Source:
    """The training examples of a config, with the labels to learn.

    These are the images of `kept_source` without the images of config.fold; with examples_per_class, only
    this number of examples of each class.

    Raises:
      DatasetError: if the dataset cannot be read, if it is empty, or if the fold holds none or all of
        the images.
    """
    source = kept_source(config)
    if config.fold is not None:
        in_fold = _is_in_fold(config, source)
        if not in_fold.any() or in_fold.all():
            raise datasets.DatasetError(
                f"folds: fold {config.fold} of {config.folds} has {in_fold.sum()} of the {len(source)} "
                f"images; use fewer folds."
            )
        source = datasets.Subset(source, np.flatnonzero(~in_fold))
    if not len(source):
        data = config.input
        raise datasets.DatasetError(f"input.split: {data.dataset} has no images in {data.split!r}.")
    count = config.input.examples_per_class
    if count is None:
        return source
    return datasets.few_shot(source, label_key(config), count, config.seed)


def fold_source(config: Config) -> datasets.Source:
    """The images of config.fold, which training leaves out, in the dataset's order."""
    source = kept_source(config)
    return datasets.Subset(source, np.flatnonzero(_is_in_fold(config, source)))


def kept_source(config: Config) -> datasets.Source:
    """The training images of all folds: the images of the split, or only the images that input.keep lists.

    The labels of input.relabel replace the dataset's labels.
    """
    data, key = config.input, label_key(config)
    assert data.split is not None  # checked for training, as in `_dataset`
    source = datasets.open_source(
        _dataset(config), data.split, [key], data_dir=data.data_dir, mock=data.mock
    )
    if data.keep is not None:
        source = choosing.kept(source, data.keep)
    if data.relabel is not None:
        source = choosing.relabelled(
            source, key, data.relabel, max_labels=data.max_labels, loss=config.loss
        )
    return source


def evaluation_source(config: Config) -> datasets.Source:
    """The evaluation examples of a config, with the label sets that the dataset contains.

    The label keys of the source are the key of the original labels and the keys of `feature_keys`, in this
    order.

    Args:
      config: a config in which eval.split and eval.original_key are set.
    """
    section, keys = config.eval, feature_keys(config)
    assert section.split is not None and section.original_key is not None
    real = [section.real_key] if section.real_key and keys.get(REAL) == section.real_key else []
    features = [key for key in keys.values() if key not in real]
    return datasets.open_source(
        section.dataset,
        section.split,
        [section.original_key, *real],
        data_dir=config.input.data_dir,
        mock=config.input.mock,
        real_labels=section.real_labels if real else None,
        features=features,
    )


def feature_keys(config: Config) -> dict[str, str]:
    """The features of the evaluation dataset that hold reassessed labels, by name of the label set.

    The earlier field eval.real_key adds the entry `real` unless eval.label_sets has one; its labels may also
    come from a file or from the published labels (see `open_source`).
    """
    section = config.eval
    return {
        name: location.removeprefix(reassessment.FEATURE)
        for name, location in reassessment.entries(section.label_sets, section.real_key).items()
        if location.startswith(reassessment.FEATURE)
    }


def other_label_sets(config: EvaluationConfig) -> dict[str, Reassessment]:
    """The label sets of a config that the dataset does not contain: published label sets and label files.

    Raises:
      DatasetError: if a file is missing or damaged, a published label set is unknown, or a class is
        num_classes or larger.
    """
    section, label_sets = config.eval, {}
    for name, location in reassessment.entries(section.label_sets, section.real_key).items():
        if location.startswith(reassessment.FEATURE):
            continue
        try:
            if location:
                label_sets[name] = reassessment.mine(name, LabelSets.from_json(location), location)
            else:
                label_sets[name] = _published(name, config.input.data_dir)
        except InputError as error:
            raise datasets.DatasetError(str(error)) from None
        highest = int(label_sets[name].labels.classes.max(initial=0))
        if highest >= config.num_classes:
            raise datasets.DatasetError(
                f"{location or name}: the labels have class {highest}, but there are {config.num_classes} "
                f"classes, 0 to {config.num_classes - 1}."
            )
    return label_sets


def _published(name: str, data_dir: str | None) -> Reassessment:
    """A published label set. If the file of Shankar et al. is missing, their labels are read from TFDS."""
    try:
        return published.reassessment(name)
    except published.NotThereError:
        if name != published.SHANKAR or importlib.util.find_spec("tensorflow_datasets") is None:
            raise
        from big_transfer.datasets import multilabel  # imported late: importing TFDS takes a second

        if not multilabel.is_prepared(data_dir):
            raise
        return multilabel.read(data_dir)


def _dataset(config: Config) -> str:
    assert config.input.dataset is not None  # a config checked for training names a dataset
    return config.input.dataset


def _is_in_fold(config: Config, source: datasets.Source) -> np.ndarray:
    assert config.fold is not None and config.folds is not None
    return choosing.in_fold(source, config.fold, config.folds, config.seed)

"""The images and label sets that a config names, opened."""

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
    """The feature of the training images to learn."""
    data = config.input
    if data.label_key is not None:
        return data.label_key
    return datasets.label_key_of(_dataset(config), data.data_dir)


def training_source(config: Config) -> datasets.Source:
    """The training examples of a config, with the labels to learn.

    The images of `kept_source` without the fold that is left out; of these all, or examples_per_class of each
    class.

    Raises:
      DatasetError: if the dataset cannot be read, or a fold is empty.
    """
    source = kept_source(config)
    if config.fold is not None:
        left_out = _left_out(config, source)
        if not left_out.any() or left_out.all():
            raise datasets.DatasetError(
                f"folds: fold {config.fold} of {config.folds} has {left_out.sum()} of the {len(source)} "
                f"images; take fewer folds."
            )
        source = datasets.Subset(source, np.flatnonzero(~left_out))
    few = config.input.examples_per_class
    return source if few is None else datasets.few_shot(source, label_key(config), few, config.seed)


def fold_source(config: Config) -> datasets.Source:
    """The images of the fold that training leaves out, in the dataset's order."""
    source = kept_source(config)
    return datasets.Subset(source, np.flatnonzero(_left_out(config, source)))


def kept_source(config: Config) -> datasets.Source:
    """The training images of all folds: the split, or the images that input.keep lists.

    Labels of input.relabel replace the dataset's.
    """
    data, key = config.input, label_key(config)
    assert data.split is not None  # as for the dataset
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
    """The evaluation examples of a config, with the label sets that the dataset has.

    The source's label keys are the original labels' and those of `feature_keys`, in this order.

    Args:
      config: with eval.split and eval.original_key.
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
    """The features of the evaluation's dataset that hold reassessed labels, by name of the label set.

    The ReaL labels in their old spelling are among them, wherever they come from (see `open_source`).
    """
    section = config.eval
    return {
        name: where.removeprefix(reassessment.FEATURE)
        for name, where in reassessment.entries(section.label_sets, section.real_key).items()
        if where.startswith(reassessment.FEATURE)
    }


def other_label_sets(config: EvaluationConfig) -> dict[str, Reassessment]:
    """The label sets of a config that are not the dataset's own: published ones, and those of files.

    Raises:
      DatasetError: if a file is missing or damaged, there is no such published set, or a class is beyond
        num_classes.
    """
    section, found = config.eval, {}
    for name, where in reassessment.entries(section.label_sets, section.real_key).items():
        if where.startswith(reassessment.FEATURE):
            continue
        try:
            if where:
                found[name] = reassessment.mine(name, LabelSets.from_json(where), where)
            else:
                found[name] = _published(name, config.input.data_dir)
        except InputError as error:
            raise datasets.DatasetError(str(error)) from None
        highest = int(found[name].labels.classes.max(initial=0))
        if highest >= config.num_classes:
            raise datasets.DatasetError(
                f"{where or name}: the labels have class {highest}, but there are {config.num_classes} "
                f"classes, 0 to {config.num_classes - 1}."
            )
    return found


def _published(name: str, data_dir: str | None) -> Reassessment:
    """A published label set; that of Shankar et al. from TFDS where its file is not there."""
    try:
        return published.reassessment(name)
    except published.NotThereError:
        if name != published.SHANKAR or importlib.util.find_spec("tensorflow_datasets") is None:
            raise
        from big_transfer.datasets import multilabel  # TFDS takes a second

        if not multilabel.is_prepared(data_dir):
            raise
        return multilabel.read(data_dir)


def _dataset(config: Config) -> str:
    assert config.input.dataset is not None  # a config that is checked for training names it
    return config.input.dataset


def _left_out(config: Config, source: datasets.Source) -> np.ndarray:
    assert config.fold is not None and config.folds is not None
    return choosing.in_fold(source, config.fold, config.folds, config.seed)

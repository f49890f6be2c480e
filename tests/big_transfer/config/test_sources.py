"""The training images of a config: listed images and folds."""

from __future__ import annotations

import pytest

from big_transfer import config as config_lib
from big_transfer import datasets
from big_transfer.config import sources
from tests.configs import tiny


def config_of(folder, **changes):
    config = tiny.get_config()
    config.seed = 3
    config.input.data_dir = folder
    config.update_from_flattened_dict(changes)
    return config_lib.check(config)


def names_of(source):
    return datasets.file_names_of(source).tolist()


def test_training_and_its_fold_share_no_image(scenes_dir, tmp_path):
    every = names_of(sources.training_source(config_of(scenes_dir)))
    (tmp_path / "keep.txt").write_text("".join(f"{name}\n" for name in every[::2]))
    kept = {"input.keep": str(tmp_path / "keep.txt"), "folds": 4}
    seen = []
    for fold in range(4):
        config = config_of(scenes_dir, fold=fold, **kept)
        learned, left_out = (
            set(names_of(s)) for s in (sources.training_source(config), sources.fold_source(config))
        )
        assert not learned & left_out and learned | left_out == set(every[::2])
        seen += left_out
    assert sorted(seen) == sorted(every[::2])
    assert names_of(sources.training_source(config_of(scenes_dir, **kept))) == every[::2]


def test_an_open_label_key_is_the_datasets(scenes_dir):
    """The label key is found before the config is complete; cross-validation needs it to check labels."""
    config = config_of(scenes_dir, **{"input.label_key": ""})
    assert config.input.label_key is None
    assert sources.kept_source(config).label_keys == ("original_label",)


def test_a_fold_without_images_is_refused(scenes_dir):
    with pytest.raises(datasets.DatasetError, match="fold 0 of 10000 has 0 of the"):
        sources.training_source(config_of(scenes_dir, folds=10_000, fold=0))

"""TFDS's imagenet2012_multilabel, prepared from the published CSV, gives the labels of the CSV."""

import csv
import io

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from big_transfer import config as config_lib
from big_transfer.config import EvaluationConfig, sources
from big_transfer.datasets import multilabel
from big_transfer.datasets.source import DatasetError
from configs import bit_evaluate
from real_labels.labels import published


@pytest.fixture(scope="module")
def prepared(shared, tmp_path_factory):
    """A TFDS folder with an example for each row of the CSV; each image is one pixel."""
    folder = tmp_path_factory.mktemp("tfds")

    def numbers(text):
        return [int(part) for part in text.split(",") if part.strip()]

    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "JPEG")

    def examples(self):
        with open(shared / "relabellings" / "multilabel.csv") as file:
            for row in csv.DictReader(file):
                yield (
                    row["id"],
                    {
                        "file_name": row["id"],
                        "image": io.BytesIO(pixel.getvalue()),
                        "original_label": int(row["original_label"]),
                        "correct_multi_labels": numbers(row["proposed_labels"]),
                        "wrong_multi_labels": numbers(row["wrong_multi_labels"]),
                        "unclear_multi_labels": numbers(row["unclear_multi_labels"]),
                        "is_problematic": row["is_problematic"] == "True",
                    },
                )

    builder = tfds.builder(multilabel.DATASET, data_dir=str(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(builder), "_split_generators", lambda self, dl: {"validation": examples(self)}
        )
        builder.download_and_prepare(file_format="array_record")
    return str(folder)


def test_it_is_the_published_reassessment(prepared, shared, monkeypatch, tmp_path):
    read, expected = multilabel.read(prepared), published.reassessment("shankar", shared)
    order = read.labels.rows(expected.labels.file_names)
    assert read.labels.take(order).to_lists() == expected.labels.to_lists()
    assert (read.title, read.counting) == (expected.title, expected.counting)
    # A config with the label set reads it from TFDS if the CSV was not downloaded.
    monkeypatch.setenv("REAL_LABELS_DIR", str(tmp_path))
    config = bit_evaluate.get_config("R50x1")
    config.eval.size, config.eval.label_sets, config.eval.real_key = 64, "shankar", ""

    def label_sets(folder):
        config.input.data_dir = folder
        checked = config_lib.check(config, training=False)
        return sources.other_label_sets(config_lib.completed(checked, EvaluationConfig))

    (label_set,) = label_sets(prepared).values()
    assert label_set.labels.counts.sum() == expected.labels.counts.sum()
    with pytest.raises(DatasetError, match="fetch --label-sets shankar"):
        label_sets(str(tmp_path))


def test_where_it_is_not_prepared(tmp_path):
    with pytest.raises(DatasetError, match="imagenet2012_multilabel is not prepared"):
        multilabel.read(tmp_path)

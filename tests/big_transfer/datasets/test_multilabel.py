"""TFDS's imagenet2012_multilabel, prepared from the published CSV, gives the same labels."""

import csv
import io

import ml_collections
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from big_transfer import datasets
from big_transfer.datasets import multilabel
from big_transfer.datasets.source import DatasetError
from real_labels.labels import published


@pytest.fixture(scope="module")
def prepared(shared, tmp_path_factory):
    """A TFDS folder with the dataset of as many rows as the CSV, and a pixel for each image."""
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
    found, expected = multilabel.read(prepared), published.reassessment("shankar", shared)
    order = found.labels.rows(expected.labels.file_names)
    assert found.labels.take(order).to_lists() == expected.labels.to_lists()
    assert (found.title, found.counting) == (expected.title, expected.counting)
    # A config that names it finds it there, where the CSV was not fetched.
    monkeypatch.setenv("REAL_LABELS_DIR", str(tmp_path))
    config = ml_collections.ConfigDict(
        {
            "num_classes": 1000,
            "eval": {"label_sets": "shankar", "real_key": ""},
            "input": {"data_dir": prepared},
        }
    )
    (one,) = datasets.other_label_sets(config).values()
    assert one.labels.counts.sum() == expected.labels.counts.sum()
    config.input.data_dir = str(tmp_path)
    with pytest.raises(DatasetError, match="fetch --label-sets shankar"):
        datasets.other_label_sets(config)


def test_where_it_is_not_prepared(tmp_path):
    with pytest.raises(DatasetError, match="imagenet2012_multilabel is not prepared"):
        multilabel.read(tmp_path)

"""Prepares a TFDS dataset as ArrayRecord files; training needs their random access.

    python -m big_transfer.datasets.prepare imagenet2012 --manual_dir=/path/to/tars
    python -m big_transfer.datasets.prepare imagenet2012_real --manual_dir=/path/to/tars

TFDS downloads and unpacks as usual; `--manual_dir` holds the files that must be downloaded by hand, such as
ILSVRC2012_img_train.tar. A dataset that exists as TFRecord files is instead converted record by record,
without the original files; the TFRecord files are kept.
"""

from __future__ import annotations

import sys
from typing import Any

import tqdm
from absl import app, flags

from big_transfer.datasets import opening
from big_transfer.run.spelling import underscored
from real_labels.errors import ExpectedError

_DATA_DIR = flags.DEFINE_string("data_dir", None, "TFDS data folder; TFDS's default if not given.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Folder of the files downloaded by hand.")


def prepare(name: str, data_dir: str | None = None, manual_dir: str | None = None) -> None:
    """Prepares or converts dataset `name` in `data_dir`, unless its ArrayRecord files exist."""
    builder = opening.tfds_source_for(name).load_builder(name, data_dir)
    import tensorflow_datasets as tfds

    if builder.is_prepared():
        array_record = tfds.core.FileFormat.ARRAY_RECORD
        if array_record not in builder.info.available_file_formats():
            _convert(builder)
        return
    builder.download_and_prepare(
        file_format="array_record",
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False),
    )


def _convert(builder: Any) -> None:
    """Writes ArrayRecord shards next to the existing shards, then lists the format in dataset_info.json."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import file_adapters

    info = builder.info
    source = file_adapters.ADAPTER_FOR_FORMAT[info.file_format]
    target = file_adapters.ADAPTER_FOR_FORMAT[tfds.core.FileFormat.ARRAY_RECORD]
    for split in info.splits.values():
        inputs = split.filename_template
        outputs = inputs.replace(filetype_suffix=target.FILE_SUFFIX)
        for shard in tqdm.trange(split.num_shards, desc=f"{info.name} {split.name}", unit="shard"):
            path = outputs.sharded_filepath(shard_index=shard, num_shards=split.num_shards)
            if path.exists():  # from an interrupted conversion; complete, since renaming comes last
                continue
            records = source.make_tf_data(
                inputs.sharded_filepath(shard_index=shard, num_shards=split.num_shards)
            )
            incomplete = path.with_name(f"{path.name}.incomplete")
            target.write_examples(incomplete, ((i, r.numpy()) for i, r in enumerate(records)))
            incomplete.rename(path)
    info.add_alternative_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    info.write_to_directory(builder.data_dir)


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        sys.exit(f"Expected one dataset name, found {len(arguments) - 1} arguments.\n{__doc__}")
    try:
        prepare(arguments[1], _DATA_DIR.value, _MANUAL_DIR.value)
    except ExpectedError as error:
        sys.exit(f"Error: {error}")
    print(f"{arguments[1]} is prepared.")


if __name__ == "__main__":
    app.run(main, flags_parser=lambda given: app.parse_flags_with_usage(underscored(given)))

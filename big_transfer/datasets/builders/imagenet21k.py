"""imagenet21k: all of ImageNet as of autumn 2011, the training data of BiT-M, which TFDS lacks.

Download `fall11_whole.tar` (1.3 TB; it holds one tar of JPEGs per synset) from image-net.org, then run

    python -m big_transfer.datasets.prepare imagenet21k --manual_dir=FOLDER_OF_THE_TAR

The index of a class is the position of its WordNet id among the 21,843 sorted ids, as in the public models.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import ClassVar

import tensorflow_datasets as tfds
from etils import epath

ARCHIVE = "fall11_whole.tar"
NUM_CLASSES = 21_843  # classes of the published models' heads


class Imagenet21k(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder: image, label, file_name (such as n01440764/n01440764_18.JPEG)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"manual_dir must hold {ARCHIVE} from https://image-net.org."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="ImageNet-21k, autumn 2011: 14.2 million images of 21,843 synsets.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(num_classes=NUM_CLASSES),
                    "file_name": tfds.features.Text(),
                }
            ),
            homepage="https://image-net.org/",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        return {"train": self._generate_examples(dl_manager.manual_dir / ARCHIVE)}

    def _generate_examples(self, archive: epath.Path):
        wnids = sorted(epath.Path(name).stem for name in _synset_tars(archive))
        if len(wnids) != NUM_CLASSES:
            raise ValueError(
                f"{archive}: expected {NUM_CLASSES:,} synset archives, found {len(wnids):,}."
            )
        class_of = {wnid: i for i, wnid in enumerate(wnids)}
        for wnid, name, jpeg in read_images(archive):
            yield (
                f"{wnid}/{name}",
                {"image": jpeg, "label": class_of[wnid], "file_name": f"{wnid}/{name}"},
            )


def _synset_tars(archive: epath.Path) -> Iterator[str]:
    with archive.open("rb") as file, tarfile.open(fileobj=file) as outer:
        for member in outer:
            if member.isfile() and member.name.endswith(".tar"):
                yield member.name


def read_images(archive: epath.Path) -> Iterator[tuple[str, str, bytes]]:
    """Yields (WordNet id, file name, JPEG bytes) for every image, without unpacking to disk."""
    with archive.open("rb") as file, tarfile.open(fileobj=file) as outer:
        for synset in outer:
            if not (synset.isfile() and synset.name.endswith(".tar")):
                continue
            with tarfile.open(fileobj=outer.extractfile(synset)) as inner:
                for image in inner:
                    if (content := inner.extractfile(image)) is not None:  # a file
                        name = epath.Path(image.name).name
                        yield epath.Path(synset.name).stem, name, content.read()

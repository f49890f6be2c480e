"""Images as people have them on disk: a flat folder, class folders, or a tar read without unpacking.

    FOLDER/ILSVRC2012_val_00000001.JPEG                    flat, or likewise in a tar
    FOLDER/n01440764/ILSVRC2012_val_00000293.JPEG          class folders; deeper ones belong to them
    FOLDER/train/cat/1.jpg, FOLDER/val/cat/2.jpg           class folders in folders of the splits

Class indices are the positions of the class folders in sorted order. ILSVRC-2012's validation images
are told by their file names, whatever folder they lie in; their labels are matched by file name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
import pathlib
import tarfile
from collections.abc import Sequence
from typing import Any

from big_transfer.datasets.source import DatasetError
from real_labels.files.text import normalised
from real_labels.labels import imagenet

log = logging.getLogger("big_transfer")

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
LABEL_KEY = "label"
ALL = "all"  # the split that is everything
# Names that people give to the folders of a split.
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
_HELD_OUT_SPLITS = ["train", "validation"]
_HELD_OUT = 10  # one image in so many, where there are no folders of splits


def is_path(dataset: str) -> bool:
    """Whether a dataset's name is a path of images, and not a name for TFDS.

    A relative folder is told from a name of TFDS by a "./" in front.
    """
    return (
        dataset in (".", "..")
        or dataset.startswith(("/", "./", "../", "~"))
        or dataset.endswith("/")
        or dataset.lower().endswith((".tar", ".tar.gz", ".tgz", ".zip"))
    )


class ImageFiles(Sequence):
    """One split of a folder or tar of images (see `Source`), in the order of the file names.

    Attributes:
      is_imagenet: whether these are ILSVRC-2012's validation images. If so, file names are without
        folders, there are no `label_keys`, and labels are looked up by name (see `opening`).
    """

    def __init__(self, dataset: str, split: str):
        """Lists the images; none is read yet.

        Args:
          dataset: path of the folder or tar; "~" is the user's home.
          split: one of `splits_of`.

        Raises:
          DatasetError: if there is no such folder, tar, split, or no image in it; if a tar is
            compressed or cut short; if there are no class folders; if two images have one name.
        """
        self.dataset, self.split = dataset, split
        self._store, found = _images(dataset)
        self.is_imagenet = _is_imagenet(found)
        if self.is_imagenet:
            if split != "validation":
                raise DatasetError(
                    f"{dataset} holds ILSVRC-2012's validation images; their split is 'validation', and "
                    f"not {split!r}."
                )
            self._images = sorted(
                (imagenet.file_name_of(_base(image.path)), image) for image in found
            )
            self._check_imagenet()
            names: tuple[str, ...] = ()
        else:
            # The classes of all splits, so that one that lacks some is numbered like the others.
            names = tuple(sorted({image.class_name for image in found}))
            self._images = sorted((image.name, image) for image in _of_split(dataset, found, split))
        self._check_distinct()
        self.label_keys: tuple[str, ...] = () if self.is_imagenet else (LABEL_KEY,)
        self.class_names: dict[str, tuple[str, ...]] = dict.fromkeys(self.label_keys, names)
        self.num_classes = {key: len(names) for key in self.label_keys}
        self._index = {name: i for i, name in enumerate(names)}

    def _check_distinct(self) -> None:
        for (name, first), (other, second) in itertools.pairwise(self._images):
            if name == other:
                raise DatasetError(
                    f"{self.dataset}: {first.path} and {second.path} have the same file name."
                )

    def _check_imagenet(self) -> None:
        if len(self) != imagenet.NUM_IMAGES:
            log.warning(
                "%s has %s of ILSVRC-2012's %s validation images.",
                self.dataset,
                f"{len(self):,}",
                f"{imagenet.NUM_IMAGES:,}",
            )
        index = imagenet.class_of_wordnet_id()
        original = imagenet.original_labels().classes
        wrong = [
            image.path
            for name, image in self._images
            if index.get(image.class_name, original[imagenet.row_of(name)])
            != original[imagenet.row_of(name)]
        ]
        if wrong:
            log.warning(
                "%s of the images lie in the folder of another class than their original label "
                "(first: %s). The labels are those of the file names.",
                f"{len(wrong):,}",
                wrong[0],
            )

    @property
    def file_names(self) -> list[str]:
        """Of every image, in order."""
        return [name for name, _ in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, image = self._images[index]
        example = {"image": self._store.read(image.path), "file_name": name, "index": index}
        for key in self.label_keys:
            example[key] = (self._index[image.class_name],)
        return example

    def labels_of(self, label_key: str) -> list[tuple[int, ...]]:
        """The labels of every image, for which no file need be read."""
        del label_key  # there is but one
        return [(self._index[image.class_name],) for _, image in self._images]


def splits_of(dataset: str) -> list[str]:
    """The splits of a folder or tar of images.

    "train", "validation" and "test" where there are folders of that name (or a usual one like it);
    where there are none, "train", "validation" and "all". Where there is none for validation and
    test, every tenth image, by a hash of its name, is held out.
    ILSVRC-2012's validation images are "validation".
    """
    _, found = _images(dataset)
    return ["validation"] if _is_imagenet(found) else _splits(found)


def _splits(images: Sequence[_Image]) -> list[str]:
    folders = [split for split in _SPLITS if any(image.split == split for image in images)]
    return _HELD_OUT_SPLITS if folders == ["train"] else folders or [*_HELD_OUT_SPLITS, ALL]


@dataclasses.dataclass(frozen=True, order=True)
class _Image:
    path: str  # in the store
    split: str | None  # whose folder it lies in
    name: str  # below that: class/…/file name
    class_name: str  # its class folder; "" if it lies in none


def _images(dataset: str) -> tuple[_Folder | _Tar, list[_Image]]:
    path = pathlib.Path(dataset).expanduser()
    if not path.exists():
        raise DatasetError(f"{dataset}: there is no such folder or tar of images.")
    store = _Folder(path) if path.is_dir() else _Tar(path)
    paths = [p for p in store.paths if p.lower().endswith(_ENDINGS)]
    if not paths:
        raise DatasetError(
            f"{dataset}: holds no images, but {len(store.paths)} other files; looked for "
            f"{', '.join(_ENDINGS)}."
        )
    others = [p for p in store.paths if not p.lower().endswith(_ENDINGS)]
    if others:
        log.warning(
            "%s: %s files with other endings than images' are left out (first: %s).",
            dataset,
            f"{len(others):,}",
            others[0],
        )
    start = _common(paths) if isinstance(store, _Tar) else 0
    split_of = {
        folder: split
        for folder in {p[start:].partition("/")[0] for p in paths if p[start:].count("/") >= 2}
        for split, names in _SPLITS.items()
        if folder.lower() in names
    }
    images, beside = [], []
    for path in paths:
        top, _, below = path[start:].partition("/")
        split = split_of.get(top)
        if split_of and split is None:
            if top.lower() in _SPLITS["validation"]:
                raise DatasetError(
                    f"{dataset}: the images of {top} lie in no class folders, as those of "
                    f"{', '.join(sorted(split_of))} do. Give them class folders; or, to evaluate "
                    f"ILSVRC-2012's, name that folder itself."
                )
            beside.append(path)  # annotations and the like
            continue
        # In one form on every system: macOS hands out decomposed accents.
        name = normalised(below if split is not None else path[start:])
        images.append(_Image(path, split, name, name.rpartition("/")[0].partition("/")[0]))
    if beside:
        log.warning(
            "%s: %s images beside the folders %s are left out (first: %s).",
            dataset,
            f"{len(beside):,}",
            ", ".join(sorted(split_of)),
            beside[0],
        )
    return store, images


def _common(paths: Sequence[str]) -> int:
    """Length of the folders that all images of a tar share above their class and split folders."""
    start = 0
    while True:
        tops = {path[start:].partition("/")[0] for path in paths}
        deep = all(path[start:].count("/") >= 2 for path in paths)
        if len(tops) > 1 or not deep or any(tops <= set(names) for names in _SPLITS.values()):
            return start
        start += len(tops.pop()) + 1


def _is_imagenet(images: Sequence[_Image]) -> bool:
    others = [i.path for i in images if not imagenet.is_validation_name(_base(i.path))]
    if others and 2 * len(others) < len(images):
        raise DatasetError(
            f"{len(others)} of {len(images):,} images are not named as ILSVRC-2012's validation images "
            f"are, as the others; the first is {others[0]}. Move them away."
        )
    return not others


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _of_split(dataset: str, images: Sequence[_Image], split: str) -> list[_Image]:
    flat = [image.path for image in images if not image.class_name]
    if flat:
        raise DatasetError(
            f"{dataset}: {flat[0]} lies in no class folder, and is not named as ILSVRC-2012's "
            f"validation images are ({imagenet.IMAGENET_FILE_NAME.format(1)}). Images of other "
            f"datasets go into one folder for each class."
        )
    splits = _splits(images)
    if split not in splits:
        raise DatasetError(
            f"{dataset} has no split {split!r}; it has {', '.join(sorted(splits))}. Splits are folders "
            f"of that name; without one to evaluate on, one image in {_HELD_OUT} is held out for it."
        )
    if split == ALL:
        return list(images)
    if any(image.split not in (None, "train") for image in images):
        return [image for image in images if image.split == split]
    held_out = split == "validation"
    return [image for image in images if _is_held_out(image.name) == held_out]


def _is_held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) % _HELD_OUT == 0


class _Folder:
    """Files below a folder, by their path in it; hidden ones are none."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self.paths = []
        seen = set()

        def stop(error: OSError) -> None:
            raise error  # a folder that cannot be read is not to be left out in silence

        for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
            place = os.path.realpath(folder)
            if place in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = pathlib.PurePath(folder).relative_to(root)
            self.paths += [
                (relative / name).as_posix() for name in sorted(files) if not name.startswith(".")
            ]

    def read(self, path: str) -> bytes:
        with open(f"{self._root}/{path}", "rb") as file:
            return file.read()


class _Tar:
    """Files in a tar, read where they lie in it; by many threads and processes at once."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._file: int | None = None
        try:
            with tarfile.open(path, "r:") as tar:
                entries = list(tar)
                end_mark = tar.offset
            with path.open("rb") as file:
                file.seek(end_mark)
                if file.read(512) != bytes(512):
                    raise tarfile.ReadError("its end mark is missing")
        except tarfile.ReadError as error:
            raise DatasetError(
                f"{path}: is no tar, compressed, or cut short ({error}). A compressed one cannot be read "
                f"at random: decompress it first."
            ) from None
        links = [entry.name for entry in entries if entry.islnk() or entry.issym()]
        if links:
            log.warning("%s: %d links in it are left out (first: %s).", path, len(links), links[0])
        names = {entry.name.removeprefix("./"): entry for entry in entries if entry.isfile()}
        self._places = {
            name: (entry.offset_data, entry.size)
            for name, entry in names.items()
            if not any(part.startswith(".") for part in name.split("/"))
        }
        self.paths = sorted(self._places)

    def read(self, path: str) -> bytes:
        offset, size = self._places[path]
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY)
        return os.pread(self._file, size, offset)

    def __getstate__(self):
        return self.__dict__ | {"_file": None}  # another process opens its own

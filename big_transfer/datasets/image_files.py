"""Images on disk: a flat folder, class folders, or a tar that is read without unpacking.

    FOLDER/ILSVRC2012_val_00000001.JPEG                    flat; a tar may have any of these layouts
    FOLDER/n01440764/ILSVRC2012_val_00000293.JPEG          class folders; subfolders belong to the class
    FOLDER/train/cat/1.jpg, FOLDER/val/cat/2.jpg           class folders inside split folders

Class indices are the positions of the class folders in sorted order. ILSVRC-2012's validation images
are recognised by their file names, in any folder; their labels are matched by file name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
import pathlib
import stat
import tarfile
from collections.abc import Sequence
from typing import Any

from big_transfer.datasets.source import DatasetError
from real_labels.files.text import normalised
from real_labels.labels import imagenet

log = logging.getLogger("big_transfer")

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
LABEL_KEY = "label"
ALL = "all"  # the split of all images
# Usual names of the folder of each split.
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
_HELD_OUT_SPLITS = ["train", "validation"]
_HELD_OUT_EVERY = 10  # without split folders, one image in 10 is held out


def is_path(dataset: str) -> bool:
    """Whether a dataset's name is a path of images rather than the name of a TFDS dataset.

    A relative folder needs a "./" in front, to distinguish it from a TFDS name.
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
      is_imagenet: whether the images are ILSVRC-2012's validation images. If so, file names have no
        folders, `label_keys` is empty, and labels are looked up by file name (see `opening`).
    """

    def __init__(self, dataset: str, split: str):
        """Lists the images without reading them.

        Args:
          dataset: path of the folder or tar; "~" is the user's home.
          split: one of `splits_of`.

        Raises:
          DatasetError: if the folder, tar or split does not exist or holds no image; if a tar is
            compressed or cut short; if there are no class folders; if two images have the same name.
        """
        self.dataset, self.split = dataset, split
        self._store, images = _list_images(dataset)
        self.is_imagenet = _is_imagenet(images)
        if self.is_imagenet:
            if split != "validation":
                raise DatasetError(
                    f"{dataset} holds ILSVRC-2012's validation images; their split is 'validation', "
                    f"not {split!r}."
                )
            self._images = sorted(
                (imagenet.file_name_of(_file_name(image.path)), image) for image in images
            )
            self._check_imagenet()
            names: tuple[str, ...] = ()
        else:
            # The classes of all splits, so that class indices agree even if a split lacks a class.
            names = tuple(sorted({image.class_name for image in images}))
            self._images = sorted(
                (image.name, image) for image in _of_split(dataset, images, split)
            )
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
                "(first: %s). Labels are taken by file name, not by folder.",
                f"{len(wrong):,}",
                wrong[0],
            )

    @property
    def file_names(self) -> list[str]:
        """The file name of every image, in order."""
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
        """The labels of every image; no file is read."""
        del label_key  # there is only one
        return [(self._index[image.class_name],) for _, image in self._images]


def splits_of(dataset: str) -> list[str]:
    """The splits of a folder or tar of images.

    With split folders of the usual names: those of "train", "validation" and "test" that exist; a training
    folder alone gives "train" and "validation". Without split folders: "train", "validation" and "all".
    Where there is neither a validation nor a test folder, one image in ten, chosen by a hash of its name, is
    held out as "validation". ILSVRC-2012's validation images have only the split "validation".
    """
    _, images = _list_images(dataset)
    return ["validation"] if _is_imagenet(images) else _splits(images)


def _splits(images: Sequence[_Image]) -> list[str]:
    folders = [split for split in _SPLITS if any(image.split == split for image in images)]
    return _HELD_OUT_SPLITS if folders == ["train"] else folders or [*_HELD_OUT_SPLITS, ALL]


@dataclasses.dataclass(frozen=True, order=True)
class _Image:
    path: str  # in the store
    split: str | None  # the split of its folder; None without split folders
    name: str  # path below the split folder: class/…/file name
    class_name: str  # its class folder; "" without one


def _list_images(dataset: str) -> tuple[_Folder | _Tar, list[_Image]]:
    path = pathlib.Path(dataset).expanduser()
    if not path.exists():
        raise DatasetError(f"{dataset}: there is no such folder or tar of images.")
    store = _Folder(path) if path.is_dir() else _Tar(path)
    paths = [p for p in store.paths if p.lower().endswith(_ENDINGS)]
    if not paths:
        raise DatasetError(
            f"{dataset}: holds no images, but {len(store.paths)} other files; expected files ending in "
            f"{', '.join(_ENDINGS)}."
        )
    others = [p for p in store.paths if not p.lower().endswith(_ENDINGS)]
    if others:
        log.warning(
            "%s: %s files without an image extension are left out (first: %s).",
            dataset,
            f"{len(others):,}",
            others[0],
        )
    start = _shared_folders(paths) if isinstance(store, _Tar) else 0
    split_of = {
        folder: split
        for folder in {p[start:].partition("/")[0] for p in paths if p[start:].count("/") >= 2}
        for split, names in _SPLITS.items()
        if folder.lower() in names
    }
    images, outside = [], []
    for path in paths:
        top, _, below = path[start:].partition("/")
        split = split_of.get(top)
        if split_of and split is None:
            if top.lower() in _SPLITS["validation"]:
                raise DatasetError(
                    f"{dataset}: the images of {top} are not in class folders, unlike those of "
                    f"{', '.join(sorted(split_of))}. Move them into class folders; or, to evaluate "
                    f"ILSVRC-2012's validation images, give the path of {top} itself."
                )
            outside.append(path)  # annotations, for example
            continue
        # One Unicode form on every system: macOS returns decomposed accents.
        name = normalised(below if split is not None else path[start:])
        images.append(_Image(path, split, name, name.rpartition("/")[0].partition("/")[0]))
    if outside:
        log.warning(
            "%s: %s images outside the split folders %s are left out (first: %s).",
            dataset,
            f"{len(outside):,}",
            ", ".join(sorted(split_of)),
            outside[0],
        )
    return store, images


def _shared_folders(paths: Sequence[str]) -> int:
    """Length of the path prefix that all images of a tar share above their class and split folders."""
    start = 0
    while True:
        tops = {path[start:].partition("/")[0] for path in paths}
        deep = all(path[start:].count("/") >= 2 for path in paths)
        if len(tops) > 1 or not deep or any(tops <= set(names) for names in _SPLITS.values()):
            return start
        start += len(tops.pop()) + 1


def _is_imagenet(images: Sequence[_Image]) -> bool:
    others = [i.path for i in images if not imagenet.is_validation_name(_file_name(i.path))]
    if others and 2 * len(others) < len(images):
        raise DatasetError(
            f"{len(others)} of {len(images):,} images are not named like ILSVRC-2012's validation images, "
            f"unlike the others; the first is {others[0]}. Move them to another folder."
        )
    return not others


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _of_split(dataset: str, images: Sequence[_Image], split: str) -> list[_Image]:
    flat = [image.path for image in images if not image.class_name]
    if flat:
        raise DatasetError(
            f"{dataset}: {flat[0]} is not in a class folder, and is not named like ILSVRC-2012's "
            f"validation images ({imagenet.IMAGENET_FILE_NAME.format(1)}). Put the images of each "
            f"class into a folder of their own."
        )
    splits = _splits(images)
    if split not in splits:
        raise DatasetError(
            f"{dataset} has no split {split!r}; it has {', '.join(sorted(splits))}. A split is a "
            f"folder of that name; without a validation or test folder, one image in "
            f"{_HELD_OUT_EVERY} is held out for validation."
        )
    if split == ALL:
        return list(images)
    if any(image.split not in (None, "train") for image in images):
        return [image for image in images if image.split == split]
    held_out = split == "validation"
    return [image for image in images if _is_held_out(image.name) == held_out]


def _is_held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) % _HELD_OUT_EVERY == 0


class _Folder:
    """The files below a folder, by relative path; hidden files and folders are left out."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self.paths = []
        seen = set()

        def stop(error: OSError) -> None:
            raise error  # an unreadable folder must not be left out silently

        for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
            place = os.path.realpath(folder)
            if place in seen:  # a link to a folder visited before
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = pathlib.PurePath(folder).relative_to(root)
            self.paths += [
                (relative / name).as_posix() for name in sorted(files) if not name.startswith(".")
            ]

    def read(self, path: str) -> bytes:
        # Without waiting: a pipe would block until something is written into it.
        with open(f"{self._root}/{path}", "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DatasetError(f"{self._root}/{path}: is not a regular file. Remove it.")
            return file.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _Tar:
    """The files in a tar, read at their offset; many threads and processes may read at once."""

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
                f"{path}: is not a tar, is compressed, or is cut short ({error}). A compressed tar has no "
                f"random access: decompress it first."
            ) from None
        links = [entry.name for entry in entries if entry.islnk() or entry.issym()]
        if links:
            log.warning(
                "%s: %d links in the tar are left out (first: %s).", path, len(links), links[0]
            )
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
        return self.__dict__ | {"_file": None}  # another process opens its own file descriptor

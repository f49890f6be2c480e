"""Finds example images of the classes, in a folder with one folder for each class."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

from real_labels.errors import InputError
from real_labels.labels import imagenet

_MAX_EXAMPLES = 3  # of each class
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def find(
    folder: str | os.PathLike[str] | None, class_names: Mapping[int, str]
) -> dict[int, tuple[str, ...]]:
    """Returns paths of up to three example images of each class.

    The folder of a class is named by its index, name or WordNet id. Classes without a folder are left out. If
    `folder` is None, there are no examples.

    Raises:
      InputError: if `folder` is not a folder, or none of its folders has the name of a class.
    """
    if folder is None:
        return {}
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(
            f"{root}: is not a folder; expected a folder with one folder of images for each class."
        )
    by_name = {p.name.lower(): p for p in root.iterdir() if p.is_dir()}
    ids = imagenet.wordnet_ids()
    pictures = {}
    for label, name in class_names.items():
        keys = [str(label), name.lower(), name.split(",")[0].lower()]
        keys += [ids[label]] if label < len(ids) else []
        place = next((by_name[key] for key in keys if key in by_name), None)
        if place is not None:
            files = sorted(
                p for p in place.iterdir() if p.suffix.lower() in _ENDINGS and p.is_file()
            )
            pictures[label] = tuple(str(p.resolve()) for p in files[:_MAX_EXAMPLES])
    if not pictures:
        raise InputError(
            f"{root}: none of its folders has the index, name or WordNet id of a class as its name; "
            f"found {', '.join(sorted(by_name)[:3]) or 'no folders'}."
        )
    return pictures

"""Example pictures of the classes, from a folder of class folders."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

from real_labels.errors import InputError
from real_labels.labels import imagenet

_MOST = 3  # of each class
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def found(
    folder: str | os.PathLike[str] | None, class_names: Mapping[int, str]
) -> dict[int, tuple[str, ...]]:
    """Up to three pictures of each class: of the folder called after its index, its name or its WordNet id.

    Raises:
      InputError: if there is no such folder, or no folder in it is called after a class.
    """
    if folder is None:
        return {}
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder of examples.")
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
            pictures[label] = tuple(str(p.resolve()) for p in files[:_MOST])
    if not pictures:
        raise InputError(
            f"{root}: none of its folders is called after a class (by index, name or WordNet id); it has "
            f"{', '.join(sorted(by_name)[:3]) or 'none'}."
        )
    return pictures

"""Thumbnails: images found by file name, reduced, and embedded in the page."""

from __future__ import annotations

import base64
import io
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.files.text import normalised
from real_labels.labels.file_names import stem

if TYPE_CHECKING:
    from PIL import Image

SIZE = 176  # pixels of the longer side; shown at half the size, for high-density screens
_ENDINGS = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_QUALITY = 78


class Thumbnails:
    """The images below a folder.

    A file name matches the image of the same name that shares the most last folders with it. If no image
    has the name, the file name matches an image of the same name with another ending. A file
    name that matches several images equally well matches none.

    Attributes:
      folder: the folder.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        """Lists the images without reading them.

        Raises:
          InputError: if the folder does not exist or holds no image.
        """
        self.folder = folder = pathlib.Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder of images.")
        self._paths: dict[str, pathlib.Path | None] = {}
        for where, _, names in os.walk(folder):
            for name in names:
                path = pathlib.Path(where, name)
                if path.suffix.lower() in _ENDINGS:
                    self._add(path, path.relative_to(folder).parts)
        if not self._paths:
            raise InputError(f"{folder}: holds no images ({', '.join(sorted(_ENDINGS))}).")

    def _add(self, path: pathlib.Path, parts: tuple[str, ...]) -> None:
        for key in _keys(tuple(map(normalised, parts))):
            self._paths[key] = None if key in self._paths else path

    def find(self, file_name: str) -> pathlib.Path | None:
        """The path of the image that matches a file name, or None."""
        for key in _keys(normalised(file_name).replace("\\", "/").split("/")):
            if self._paths.get(key) is not None:
                return self._paths[key]
        return None

    def data_uri(self, file_name: str) -> str | None:
        """The image as a small JPEG in a data: address; None if it is missing or unreadable."""
        path = self.find(file_name)
        small = _small(path) if path is not None and path.is_file() else None
        if small is None:
            return None
        jpeg = io.BytesIO()
        small.save(jpeg, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def _keys(parts: Sequence[str]) -> list[str]:
    """Lookup keys of a path: its ends, from the whole path to the bare name, then its stem and a dot."""
    return ["/".join(parts[i:]) for i in range(len(parts))] + [f"{stem(parts[-1])}."]


def _small(path: pathlib.Path) -> Image.Image | None:
    """The image, upright, in RGB and at most SIZE wide and high; None if it cannot be read."""
    from PIL import Image, ImageFile, ImageOps

    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # show the intact part of a truncated image
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # about damaged metadata and large images
            image.draft("RGB", (2 * SIZE, 2 * SIZE))  # a JPEG is decoded no larger than needed
            small = _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict
    small.thumbnail((SIZE, SIZE))
    return small


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales grey images of more than 8 bits to 8 bits; returns other images unchanged."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values)
        white = 1.0 if values.max(initial=0) <= 1 else 255.0
    else:
        white = 65_535.0
    return Image.fromarray((values / white * 255).clip(0, 255).astype(np.uint8))

"""Decodes and resizes images, so that the server never sends an original file."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import stat
import tempfile

from PIL import Image, ImageOps

from real_labels.errors import InputError
from real_labels.files.paths import replacing

SIZES = {"page": 1600, "thumbnail": 240}  # longest side, pixels
_MAX_PIXELS = 200_000_000
_QUALITY = 88


class Pictures:
    """Images as JPEG in the sizes of the pages, cached in a folder."""

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        """Caches resized images in `folder`; None: in a temporary folder."""
        self._temporary = None  # a reference: the temporary folder is deleted with this object
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rating-pictures-")
            folder = self._temporary.name
        self._folder = pathlib.Path(folder)

    def jpeg(self, path: str, size: str) -> bytes:
        """Returns the JPEG of an image file, in a size of SIZES.

        Raises:
          InputError: if the file cannot be decoded, or has too many pixels.
          OSError: if there is no such file.
        """
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is not a regular file.")
        version = f"{path}\0{status.st_mtime_ns}\0{status.st_size}"
        key = f"{hashlib.sha256(version.encode()).hexdigest()}-{size}.jpg"
        cached = self._folder / key
        if cached.exists():
            return cached.read_bytes()
        content = _resized(path, SIZES[size])
        with replacing(cached) as temporary:  # another request may write the same file now
            temporary.write_bytes(content)
        return content


def _resized(path: str, side: int) -> bytes:
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise InputError(
                    f"{path}: has {image.width} x {image.height} pixels, more than {_MAX_PIXELS:,}."
                )
            image.draft("RGB", (side, side))
            shown = ImageOps.exif_transpose(image).convert("RGB")
            shown.thumbnail((side, side), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            shown.save(buffer, "JPEG", quality=_QUALITY)
            return buffer.getvalue()
    except InputError:
        raise
    except Exception as error:  # decoders raise many kinds of exceptions
        raise InputError(f"{path}: cannot be decoded as an image ({error}).") from None

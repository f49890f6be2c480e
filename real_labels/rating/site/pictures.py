"""Pictures: decoded and resized here, so that no file of a stranger is sent as it is."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import tempfile

from PIL import Image, ImageOps

from real_labels.errors import InputError
from real_labels.files.paths import replacing

SIZES = {"page": 1600, "thumbnail": 240}  # longest side, pixels
_MOST_PIXELS = 200_000_000
_QUALITY = 88


class Pictures:
    """Pictures as JPEG, of the sizes that the pages show, kept in a folder."""

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        """Keeps what was resized in a folder; None: a temporary one."""
        self._own = None  # kept, as the folder goes with it
        if folder is None:
            self._own = tempfile.TemporaryDirectory(prefix="rating-pictures-")
            folder = self._own.name
        self._folder = pathlib.Path(folder)

    def jpeg(self, path: str, size: str) -> bytes:
        """The picture of a file.

        Raises:
          InputError: if it is no picture that can be decoded.
        """
        status = os.stat(path)
        version = f"{path}\0{status.st_mtime_ns}\0{status.st_size}"
        key = f"{hashlib.sha256(version.encode()).hexdigest()}-{size}.jpg"
        kept = self._folder / key
        if kept.exists():
            return kept.read_bytes()
        content = _resized(path, SIZES[size])
        with replacing(kept) as temporary:  # another request may make the same picture just now
            temporary.write_bytes(content)
        return content


def _resized(path: str, side: int) -> bytes:
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise InputError(f"{path}: has {image.width} x {image.height} pixels, too many.")
            image.draft("RGB", (side, side))
            shown = ImageOps.exif_transpose(image).convert("RGB")
            shown.thumbnail((side, side), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            shown.save(buffer, "JPEG", quality=_QUALITY)
            return buffer.getvalue()
    except InputError:
        raise
    except Exception as error:  # whatever a decoder raises
        raise InputError(f"{path}: is no picture that can be shown ({error}).") from None

"""Image operations on the host: decode, crop, resize, flip, scale. OpenCV, Pillow and NumPy only.

Images are (height, width, 3) RGB arrays: uint8 as decoded, float32 in [0, 255] after resizing,
float32 in [-1, 1] after scaling. Resizing equals TensorFlow's: bilinear with half-pixel centres, without
antialiasing.
"""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from real_labels.errors import ExpectedError

MAX_PIXELS = 1 << 27  # a small file may claim to be a huge image
# The pipeline decodes in many threads; OpenCV's own threads would compete with them.
cv2.setNumThreads(0)

# TensorFlow ignores the EXIF orientation, and the published models were trained with TensorFlow.
_DECODE_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_INCEPTION_ATTEMPTS = 100


class ImageError(ExpectedError, ValueError):
    """A file is not an image or is cut short; the message names the file."""


def decode(encoded: bytes, file_name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a JPEG, PNG or any other image OpenCV reads to RGB.

    Raises:
      ImageError: if the file is not an image or is cut short; the message names the file.
    """
    if _pixels(encoded) > MAX_PIXELS:
        raise ImageError(
            f"{file_name}: cannot be decoded: more than the limit of {MAX_PIXELS:,} pixels."
        )
    buffer = np.frombuffer(encoded, np.uint8)
    # OpenCV fills the missing part of a cut JPEG with grey, so the end marker is checked here, in the
    # second half alone: an embedded preview has an end marker in the first half.
    half = len(encoded.rstrip(b"\0")) // 2
    is_cut = encoded.startswith(b"\xff\xd8") and encoded.rfind(b"\xff\xd9", half) < 0
    try:
        image = None if is_cut or not buffer.size else cv2.imdecode(buffer, _DECODE_FLAGS)
    except cv2.error:  # Pillow could not read the header, and OpenCV's own limit is exceeded, say
        raise ImageError(f"{file_name}: cannot be decoded.") from None
    if image is None:
        raise ImageError(f"{file_name}: is no image, or cut short ({len(encoded):,} bytes).")
    return image


def _pixels(encoded: bytes) -> float:
    """The number of pixels in an image's header: 0 if Pillow cannot read it, ∞ if Pillow refuses so many."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.width * image.height
    except Image.DecompressionBombError:
        return math.inf
    except Exception:  # Pillow's readers raise many types
        return 0


def resize(
    image: UInt8[np.ndarray, "height width 3"] | Float[np.ndarray, "height width 3"],
    height: int,
    width: int,
) -> Float[np.ndarray, "new_height new_width 3"]:
    """Resizes bilinearly to float32; the aspect ratio is not kept."""
    image = image.astype(np.float32)
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_random_crop(
    image: UInt8[np.ndarray, "height width 3"],
    resize_to: int,
    size: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "size size 3"]:
    """Resizes to resize_to × resize_to, then crops a size × size square at a uniformly random place."""
    if size > resize_to:
        raise ValueError(f"a crop of {size} does not fit into an image resized to {resize_to}.")
    top, left = rng.integers(0, resize_to - size + 1, 2)
    return resize(image, resize_to, resize_to)[top : top + size, left : left + size]


def inception_box(
    height: int,
    width: int,
    rng: np.random.Generator,
    area: tuple[float, float] = (0.05, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    """Draws a random box like TensorFlow's `sample_distorted_bounding_box` (Szegedy et al. 2015).

    The aspect ratio is uniform; then the height is uniform among the heights that keep the area in bounds;
    then the place is uniform. If 100 attempts fail (very long images), the box is the whole image.

    Args:
      height, width: size of the image, pixels.
      rng: source of randomness.
      area: bounds of the box's share of the image's area.
      aspect: bounds of the box's width over its height.

    Returns:
      top, left, height, width of the box, pixels.
    """
    smallest, largest = (share * height * width for share in area)
    for _ in range(_INCEPTION_ATTEMPTS):
        ratio = rng.uniform(*aspect)
        lowest = round(math.sqrt(smallest / ratio))
        highest = min(round(math.sqrt(largest / ratio)), height, math.floor((width + 0.5) / ratio))
        box_height = int(rng.integers(min(lowest, highest), highest + 1))
        box_width = round(box_height * ratio)
        if box_width * box_height < smallest:  # rounded out of bounds: correct by one pixel
            box_height += 1
            box_width = round(box_height * ratio)
        if box_width * box_height > largest:
            box_height -= 1
            box_width = round(box_height * ratio)
        in_bounds = smallest <= box_width * box_height <= largest
        if in_bounds and 0 < box_height <= height and 0 < box_width <= width:
            top = int(rng.integers(0, height - box_height + 1))
            left = int(rng.integers(0, width - box_width + 1))
            return top, left, box_height, box_width
    return 0, 0, height, width


def inception_crop(
    image: UInt8[np.ndarray, "height width 3"],
    size: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "size size 3"]:
    """Crops an `inception_box` and resizes it to size × size."""
    top, left, height, width = inception_box(image.shape[0], image.shape[1], rng)
    return resize(image[top : top + height, left : left + width], size, size)


def random_flip(
    image: Float[np.ndarray, "height width 3"], rng: np.random.Generator
) -> Float[np.ndarray, "height width 3"]:
    """Mirrors left and right with probability ½."""
    return cv2.flip(image, 1) if rng.random() < 0.5 else image


def scale(
    image: Float[np.ndarray, "height width 3"],
) -> Float[np.ndarray, "height width 3"]:
    """[0, 255] -> [-1, 1]: (x - 127.5) / 127.5, a new float32 array."""
    scaled = image - np.float32(127.5)
    return np.divide(scaled, np.float32(127.5), out=scaled)


def train_image(
    encoded: bytes,
    file_name: str,
    rng: np.random.Generator,
    *,
    crop: str,
    size: int,
    resize_to: int | None,
    flip: bool,
) -> Float[np.ndarray, "size size 3"]:
    """Decodes, crops, flips and scales a training image; values are in [-1, 1].

    Args:
      encoded: the image file's bytes.
      file_name: file name for error messages.
      rng: random generator for this example in this epoch.
      crop: "inception" (crop of random area and aspect), "random" (resize to `resize_to`, crop at a
        random place) or "none" (resize to `size`).
      size: height and width of the result.
      resize_to: height and width before a "random" crop; not used by the other crops.
      flip: mirror left and right with probability ½.
    """
    image = decode(encoded, file_name)
    if crop == "inception":
        image = inception_crop(image, size, rng)
    elif crop == "random":
        assert resize_to is not None  # see `config.checking`
        image = resize_random_crop(image, resize_to, size, rng)
    else:
        image = resize(image, size, size)
    return scale(random_flip(image, rng) if flip else image)


def eval_image(encoded: bytes, file_name: str, size: int) -> Float[np.ndarray, "size size 3"]:
    """Decodes an evaluation image, resizes it to size × size, and scales it to [-1, 1]."""
    return scale(resize(decode(encoded, file_name), size, size))

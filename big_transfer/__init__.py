"""Big Transfer (BiT): the model, its data, its training and its predictions, in JAX."""

import importlib.util
import os

# The largest image that OpenCV decodes, in pixels: a small file may claim to be a huge image. OpenCV reads
# the limit when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

_missing = [name for name in ("jax", "flax") if importlib.util.find_spec(name) is None]
if _missing:
    raise ImportError(
        f"big_transfer needs {' and '.join(_missing)}, which the base installation does not have: "
        f"pip install .[train]"
    )

"""Reading `.npz` files with one clear message for each way they can be wrong."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from etils import epath

from real_labels.errors import InputError


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str], required: tuple[str, ...] = ()
) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens a `.npz`; whatever is wrong with it, then or while arrays are read, is an InputError.

    Pickled arrays are never loaded: unpickling runs whatever code the file names.

    Args:
      path: the file; may be gs://….
      required: arrays that must be there.
    """
    path = epath.Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = set(required) - set(archive.files)
            if missing:
                raise InputError(
                    f"{path}: lacks {', '.join(sorted(missing))}; it holds "
                    f"{', '.join(archive.files) or 'nothing'}."
                )
            yield archive
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (
        ValueError,
        TypeError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if "allow_pickle" in str(error):
            raise pickled(path) from None
        raise InputError(f"{path}: is no .npz file, or cut short ({error}).") from None


def pickled(path: str | os.PathLike[str]) -> InputError:
    """The error of a file with pickled arrays."""
    return InputError(
        f"{path}: holds pickled Python objects, which are never loaded, since that can run any code. "
        f"Save plain arrays: np.savez(path, file_names=np.array(names, dtype=str), …)."
    )

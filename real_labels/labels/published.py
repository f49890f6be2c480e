"""The files published with "Are we done with ImageNet?": where they are, and fetching them.

Beyer et al. 2020, arXiv 2006.07159; github.com/google-research/reassessed-imagenet, Apache 2.0.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import pathlib
import time
import urllib.error
import urllib.request

from real_labels.errors import InputError
from real_labels.labels.label_sets import LabelSets
from real_labels.labels.reassessment import REAL, Reassessment

COMMIT = "bcd006fe12e929f055e0ec7fe39dbf4d64a6881a"
URL = f"https://raw.githubusercontent.com/google-research/reassessed-imagenet/{COMMIT}"
SHA256 = {
    "real.json": "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
    "scores.npz": "c4b558569f3da12945c57684294f439214a9cb7919b0ae5b44432bd077d03b79",
    "raters.npz": "d3ffe8082e4e61e9716cbc93a7a4e877e3b1d1240032a176e797b43f19107ec8",
    "raters_golden.npz": "6fd910fc7389c3d695ac5e18269689797d0246a378c536e218854f9d93bc8ea6",
    "golden.npz": "738a795e88351799934669ac48bb70e2ebe484b447fc3e09e0c36fbd987d06d2",
}
FILES = {REAL: "real.json"}  # of the published reassessments
_TRIES = 3
_CHUNK = 1 << 16


def data_dir(given: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """The folder of the published files: the one given, $REAL_LABELS_DIR, or the user's cache."""
    if given is not None:
        return pathlib.Path(given)
    if os.environ.get("REAL_LABELS_DIR"):
        return pathlib.Path(os.environ["REAL_LABELS_DIR"])
    import platformdirs

    return pathlib.Path(platformdirs.user_cache_dir("real_labels"))


def locate(name: str, folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Path of one of the published files.

    Raises:
      InputError: if it is not there, with the command that fetches it.
    """
    path = data_dir(folder) / name
    if not path.exists():
        raise InputError(
            f"{path}: the published file is not there. Fetch it with `python -m real_labels fetch` "
            f"(4.9 MB), or name its folder with --data-dir or $REAL_LABELS_DIR."
        )
    return path


def reassessment(name: str, folder: str | os.PathLike[str] | None = None) -> Reassessment:
    """A published reassessment of ILSVRC-2012's validation images.

    Args:
      name: one of FILES.
      folder: of the published files (see `data_dir`).

    Raises:
      InputError: if there is none of that name, or its file is not there.
    """
    if name not in FILES:
        raise InputError(
            f"There is no published label set {name!r}; there are {', '.join(FILES)}. Your own are "
            f"named with their file, as mine=FILE."
        )
    return Reassessment(
        real_labels(folder),
        title="ReaL",
        source="Beyer et al. 2020, Are we done with ImageNet?, arXiv 2006.07159",
        licence="Apache 2.0",
        caveat="Raters were asked only about labels that models had proposed; 3,163 images have no label.",
    )


def real_labels(folder: str | os.PathLike[str] | None = None) -> LabelSets:
    """The published ReaL labels of the 50,000 validation images."""
    return LabelSets.from_json(locate(FILES[REAL], folder))


def fetch(folder: str | os.PathLike[str] | None = None, url: str = URL) -> list[pathlib.Path]:
    """Downloads the published files that are not there yet, and checks each one's SHA-256.

    A file is written as NAME.part, which an interrupted download leaves and the next continues, and
    renamed when it is whole and right.

    Args:
      folder: where to (see `data_dir`).
      url: where from.

    Returns:
      The paths of all files.

    Raises:
      InputError: if a file that is there, or that was served, is not the published one, or it
        cannot be reached.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url}: expected an address that begins with http:// or https://.")
    folder = data_dir(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder.")
    paths = []
    for name, expected in SHA256.items():
        path = folder / name
        if path.exists():
            if _sha256(path) != expected:
                raise InputError(
                    f"{path}: is not the published file (its SHA-256 differs). Move it away, then "
                    f"fetch again."
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _download(f"{url}/{name}", path, expected)
        paths.append(path)
    return paths


def _download(url: str, path: pathlib.Path, expected: str) -> None:
    part = path.with_name(path.name + ".part")
    resumed = part.exists()
    _receive(url, part, path)
    if _sha256(part) != expected and resumed:
        part.unlink()  # what was left of an earlier download may have been the fault
        _receive(url, part, path)
    if _sha256(part) != expected:
        part.unlink()
        raise InputError(
            f"{url}: what was served is not the published file (its SHA-256 differs); it was removed."
        )
    part.replace(path)


def _receive(url: str, part: pathlib.Path, path: pathlib.Path) -> None:
    """Downloads what is missing of the part, in several tries."""
    for attempt in range(1, _TRIES + 1):
        try:
            _continue(url, part)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left to ask for: the part is whole, or wrong
                break
            raise InputError(f"{url}: the server answered {error.code} {error.reason}.") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _TRIES:
                kept = f" {part} holds what came so far." if part.exists() else ""
                raise InputError(
                    f"{url}: cannot be downloaded ({getattr(error, 'reason', error)}). Fetch again "
                    f"to continue, or put {path.name} into {path.parent} by hand.{kept}"
                ) from None
            time.sleep(attempt)


def _continue(url: str, part: pathlib.Path) -> None:
    """Appends to the part what is missing."""
    import tqdm

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as reply:
        if have and reply.status != 206:  # the server sends all of it
            have = 0
        length = int(reply.headers.get("Content-Length", 0)) or None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm.tqdm(
                desc=part.stem,
                initial=have,
                total=length and have + length,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            while chunk := reply.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if length and part.stat().st_size < have + length:
        raise OSError("the connection ended early")


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

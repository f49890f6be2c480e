"""Downloading a file of known size and SHA-256: bounded, continued after an interruption."""

from __future__ import annotations

import hashlib
import http.client
import pathlib
import time
import urllib.error
import urllib.request

from real_labels.errors import InputError

_TRIES = 3
_CHUNK = 1 << 16


def download(url: str, path: pathlib.Path, sha256: str, size: int) -> None:
    """Downloads a file unless it is there, and checks it.

    It is written as NAME.part, which an interrupted download leaves and the next continues, and renamed
    when it is whole and right.

    Args:
      url: where from.
      path: where to; its folder is made.
      sha256: of its content, in hexadecimal.
      size: its bytes; no more are ever received.

    Raises:
      InputError: if the file that is there, or that was served, is another one, or it cannot be reached.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url}: expected an address that begins with http:// or https://.")
    if path.exists():
        if sha256_of(path) != sha256:
            raise InputError(
                f"{path}: is not the published file (its SHA-256 differs). Move it away, then fetch again."
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    resumed = part.exists()
    _receive(url, part, path, size)
    if sha256_of(part) != sha256 and resumed:
        part.unlink()  # what was left of an earlier download may have been the fault
        _receive(url, part, path, size)
    if sha256_of(part) != sha256:
        part.unlink()
        raise InputError(
            f"{url}: what was served is not the published file (its SHA-256 differs); it was removed."
        )
    part.replace(path)


def sha256_of(path: pathlib.Path) -> str:
    """The hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(url: str, part: pathlib.Path, path: pathlib.Path, size: int) -> None:
    """Downloads what is missing of the part, in several tries."""
    for attempt in range(1, _TRIES + 1):
        try:
            _continue(url, part, size)
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


def _continue(url: str, part: pathlib.Path, size: int) -> None:
    """Appends to the part what is missing, up to its size and a byte more, which tells another file."""
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
            left = size + 1 - have
            while left > 0 and (chunk := reply.read(min(_CHUNK, left))):
                file.write(chunk)
                bar.update(len(chunk))
                left -= len(chunk)
    if length and part.stat().st_size < min(have + length, size + 1):
        raise OSError("the connection ended early")

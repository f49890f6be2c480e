"""Downloading files of known size and SHA-256, with resumption of interrupted downloads."""

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
_SLOWEST = 10_000  # bytes a second; a slower server, or one that never ends, is given up
_PATIENCE = 60  # seconds without a byte, and before the speed is judged


def download(url: str, path: pathlib.Path, sha256: str, size: int) -> None:
    """Downloads a file unless it exists, and checks its SHA-256.

    The download is written to NAME.part and renamed when it is complete and correct. An interrupted
    download leaves NAME.part, and the next call continues it.

    Args:
      url: address of the file.
      path: path to write; its folder is created.
      sha256: SHA-256 of the content, in hexadecimal.
      size: size in bytes; at most one more byte is received.

    Raises:
      InputError: if the existing or the downloaded file has another SHA-256, or the download fails.
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
        part.unlink()  # the part of an earlier download may be damaged: start over once
        _receive(url, part, path, size)
    if sha256_of(part) != sha256:
        part.unlink()
        raise InputError(
            f"{url}: the downloaded file is not the published file (its SHA-256 differs); it was removed."
        )
    part.replace(path)


def sha256_of(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(url: str, part: pathlib.Path, path: pathlib.Path, size: int) -> None:
    """Downloads the missing bytes of the part, in up to three attempts."""
    for attempt in range(1, _TRIES + 1):
        try:
            _continue(url, part, size)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # no bytes are left: the part is complete, or too long
                break
            raise InputError(f"{url}: the server answered {error.code} {error.reason}.") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _TRIES:
                kept = f" {part} holds the bytes received so far." if part.exists() else ""
                raise InputError(
                    f"{url}: cannot be downloaded ({getattr(error, 'reason', error)}). Fetch again "
                    f"to continue, or put {path.name} into {path.parent} by hand.{kept}"
                ) from None
            time.sleep(attempt)


def _continue(url: str, part: pathlib.Path, size: int) -> None:
    """Appends the missing bytes to the part, up to `size` + 1: the extra byte reveals a longer file."""
    import tqdm

    received = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        url, headers={"Range": f"bytes={received}-"} if received else {}
    )
    deadline = time.monotonic() + _PATIENCE + size / _SLOWEST
    with urllib.request.urlopen(request, timeout=_PATIENCE) as reply:
        if (
            received and reply.status != 206
        ):  # the server ignored the range and sends the whole file
            received = 0
        length = int(reply.headers.get("Content-Length", 0)) or None
        with (
            part.open("ab" if received else "wb") as file,
            tqdm.tqdm(
                desc=part.stem,
                initial=received,
                total=length and received + length,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            left = size + 1 - received
            while left > 0 and (chunk := reply.read1(min(_CHUNK, left))):
                file.write(chunk)
                bar.update(len(chunk))
                left -= len(chunk)
                if time.monotonic() > deadline:
                    raise OSError(f"the server sends less than {_SLOWEST:,} bytes a second")
    if length and part.stat().st_size < min(received + length, size + 1):
        raise OSError("the connection ended early")

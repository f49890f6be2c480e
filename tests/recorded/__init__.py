"""Files that an earlier version wrote (see README.md)."""

from __future__ import annotations

import pathlib
import tarfile
from typing import Any

FOLDER = pathlib.Path(__file__).parent


def unpack(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Unpacks one of the archives into a folder."""
    with tarfile.open(FOLDER / name) as archive:
        archive.extractall(folder, filter="data")
    return folder


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Missing keys and changed values of `after`, compared with `before`; additional keys are allowed."""
    if isinstance(before, dict) and isinstance(after, dict):
        missing = [f"{place}/{key} is missing" for key in before if key not in after]
        return missing + [
            difference
            for key in before.keys() & after.keys()
            for difference in differences(before[key], after[key], f"{place}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            difference
            for i, (a, b) in enumerate(zip(before, after, strict=True))
            for difference in differences(a, b, f"{place}[{i}]")
        ]
    return [] if before == after else [f"{place}: {before!r} became {after!r}"]

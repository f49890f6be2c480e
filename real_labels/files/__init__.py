"""Reading and writing files: paths, archives, tables; tables for a terminal."""

from real_labels.files.paths import (
    check_reachable,
    path_of,
    readable,
    remove_leftovers,
    replacing,
    why_unwritable,
    write_json,
)

__all__ = [
    "check_reachable",
    "path_of",
    "readable",
    "remove_leftovers",
    "replacing",
    "why_unwritable",
    "write_json",
]

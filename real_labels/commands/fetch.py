"""python -m real_labels fetch."""

from __future__ import annotations

import argparse

from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = "download the published ReaL files (4.9 MB), or other published reassessments"
EXAMPLE = "--label-sets all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--label-sets",
        metavar="NAMES",
        default="real",
        help="reassessments to fetch, joined by commas: real (default), shankar, tsipras, northcutt, "
        "mistakes (two models' mistakes, reviewed by Vasudevan et al.); or all (8.8 MB)",
    )
    common.add_data_dir(parser)
    parser.add_argument(
        "--url",
        metavar="URL",
        help="address of a mirror that holds all files (default: the public repositories)",
    )


def run(options: argparse.Namespace) -> None:
    """Downloads the missing files and lists all files."""
    from real_labels.labels import published

    requested = common.names_in(options.label_sets)
    if not requested:
        raise InputError(
            f"--label-sets {options.label_sets!r} names no label set; expected all, or "
            f"{', '.join(published.FILES)}."
        )
    names = tuple(published.FILES) if "all" in requested else requested
    paths = published.fetch(options.data_dir, names, options.url)
    print(
        f"{published.data_dir(options.data_dir)} holds the published files, with the expected checksums:"
    )
    for path in paths:
        print(f"  {path.name:24} {path.stat().st_size:>9,} bytes")

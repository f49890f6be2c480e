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
        help="what to fetch, joined by commas: real (default), shankar, tsipras, northcutt, mistakes (of two "
        "models, reviewed by Vasudevan et al.); or all (8.8 MB)",
    )
    common.add_data_dir(parser)
    parser.add_argument(
        "--url", metavar="URL", help="a mirror to fetch from, with all files below it"
    )


def run(options: argparse.Namespace) -> None:
    """Fetches what is not there yet and says what is."""
    from real_labels.labels import published

    asked = common.names_in(options.label_sets)
    if not asked:
        raise InputError(
            f"--label-sets names nothing; expected all, or {', '.join(published.FILES)}."
        )
    names = tuple(published.FILES) if "all" in asked else asked
    paths = published.fetch(options.data_dir, names, options.url)
    print(
        f"{published.data_dir(options.data_dir)} holds the published files, their checksums are right:"
    )
    for path in paths:
        print(f"  {path.name:24} {path.stat().st_size:>9,} bytes")

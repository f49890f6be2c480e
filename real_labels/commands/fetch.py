"""python -m real_labels fetch."""

from __future__ import annotations

import argparse

from real_labels.commands import options as common

SUMMARY = "download the published ReaL files (4.9 MB)"
EXAMPLE = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    common.add_data_dir(parser)
    parser.add_argument("--url", metavar="URL", help="a mirror to fetch from")


def run(options: argparse.Namespace) -> None:
    """Fetches what is not there yet and says what is."""
    from real_labels.labels import published

    paths = published.fetch(options.data_dir, options.url or published.URL)
    print(f"{paths[0].parent} holds the published files, their checksums are right:")
    for path in paths:
        print(f"  {path.name:18} {path.stat().st_size:>9,} bytes")

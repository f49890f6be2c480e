"""python -m real_labels score."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.accuracy.scoring import Scored
    from real_labels.labels import Reference

SUMMARY = "accuracy of predictions on the original labels, ReaL and other reassessments"
EXAMPLE = "predictions.npz timm_results.csv --json scores.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS", help=common.PREDICTIONS)
    common.add_labels(parser)
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo a mix-up in all files first; the diagnosis names it (several, joined by commas)",
    )


def run(options: argparse.Namespace) -> None:
    """Scores each file; one that cannot be is named at the end and does not stop the others."""
    import tqdm

    from real_labels.accuracy import scoring
    from real_labels.accuracy.text import remarks

    common.check_outputs((options.json, (".json",)), inputs=options.predictions)
    assume = common.repairs(options.assume)
    reference = common.reference(options)
    scored, errors = [], []
    for path in tqdm.tqdm(
        options.predictions, desc="scoring", unit=" files", leave=False, delay=1, disable=None
    ):
        try:
            scored.append(scoring.score(path, reference, assume, column=options.column))
        except InputError as error:
            errors.append(str(error))
    if scored:
        print(_table(scored, reference))
        for one in scored:
            for warning in (*one.warnings, *remarks(one.results, reference.titles)):
                common.print_warning(f"{one.file}: {warning}")
        if options.json:
            common.write_json(options.json, [one.as_json() for one in scored])
    common.report_errors(errors)


def _table(scored: Sequence[Scored], reference: Reference) -> str:
    from real_labels.accuracy import scoring
    from real_labels.accuracy.text import accuracy_table

    partial = any(len(one.predictions) < len(reference.file_names) for one in scored)
    title = "the original labels" + (", all images" if partial else "")
    itself = title, scoring.original_on_reassessments(reference)
    return accuracy_table([(one.file, one.results) for one in scored], reference.titles, itself)

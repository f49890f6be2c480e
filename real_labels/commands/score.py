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
    from real_labels.accuracy.text import remarks, together
    from real_labels.files.paths import short_names

    common.check_outputs((options.json, (".json",)), inputs=options.predictions)
    assume = common.repairs(options.assume)
    reference = common.reference(options, options.predictions)
    class_names = common.class_names(options, reference)
    scored, errors = [], []
    for path in tqdm.tqdm(
        options.predictions, desc="scoring", unit=" files", leave=False, delay=1, disable=None
    ):
        try:
            scored.append(
                scoring.score(
                    path, reference, assume, column=options.column, class_names=class_names
                )
            )
        except InputError as error:
            errors.append(str(error))
    if scored:
        if options.json:
            common.write_json(options.json, [one.as_json() for one in scored])
        names = short_names([one.file for one in scored])
        print(_table(scored, names, reference))
        warnings = [
            (name, warning)
            for name, one in zip(names, scored, strict=True)
            for warning in (*one.warnings, *remarks(one.results, reference.titles))
        ]
        for warning in together(warnings, len(scored), "files"):
            common.print_warning(warning)
        if options.json:
            print(f"Wrote {options.json}.")
    common.report_errors(errors)


def _table(scored: Sequence[Scored], names: Sequence[str], reference: Reference) -> str:
    from real_labels.accuracy import scoring
    from real_labels.accuracy.text import accuracy_table

    partial = any(len(one.predictions) < len(reference.file_names) for one in scored)
    title = "the original labels" + (", all images" if partial else "")
    itself = title, scoring.original_on_reassessments(reference)
    rows = [(name, one.results) for name, one in zip(names, scored, strict=True)]
    return accuracy_table(rows, reference.titles, itself)

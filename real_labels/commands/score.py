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
    from real_labels.accuracy.text import is_in_columns, remarks, together
    from real_labels.labels.reassessment import REAL

    common.check_outputs((options.json, (".json",)), inputs=options.predictions)
    assume = common.repairs(options.assume)
    reference = common.reference(options, options.predictions)
    class_names = common.class_names(options, reference)
    scored, errors = [], []
    for path in tqdm.tqdm(
        options.predictions, desc="scoring", unit=" files", leave=False, delay=1, disable=None
    ):
        try:
            scored += scoring.score_all(
                path, reference, assume, column=options.column, class_names=class_names
            )
        except InputError as error:
            errors.append(str(error))
    if scored:
        if options.json:
            common.write_json(options.json, [one.as_json() for one in scored])
        names = _names(scored)
        print(_table(scored, names, reference))
        in_table = is_in_columns(scored[0].results)
        warnings = [
            (name, warning)
            for name, one in zip(names, scored, strict=True)
            for warning in (
                *one.warnings,
                *remarks(one.results, reference.titles, with_numbers=not in_table),
            )
        ]
        what = "files" if all(one.model is None for one in scored) else "models"
        for warning in together(warnings, len(scored), what):
            common.print_warning(warning)
        for name, one in reference.reassessments.items():
            if name != REAL and one.caveat:
                common.print_warning(f"{one.title}: {one.caveat}")
        if options.json:
            print(f"Wrote {options.json}.")
    common.report_errors(errors)


def _names(scored: Sequence[Scored]) -> list[str]:
    """What to call each: its file, and its model where the file has several."""
    from real_labels.files.paths import short_names

    of_one = {one.file for one in scored if one.model is None}
    several = {one.file for one in scored if one.model is not None}
    if not of_one and len(several) == 1:
        return [str(one.model) for one in scored]
    files = list(dict.fromkeys(one.file for one in scored))
    short = dict(zip(files, short_names(files), strict=True))
    return [
        short[one.file] if one.model is None else f"{short[one.file]}: {one.model}"
        for one in scored
    ]


def _table(scored: Sequence[Scored], names: Sequence[str], reference: Reference) -> str:
    import numpy as np

    from real_labels.accuracy import scoring
    from real_labels.accuracy.text import accuracy_table

    first = scored[0]
    are_alike = all(
        np.array_equal(one.predictions.file_names, first.predictions.file_names) for one in scored
    )
    own = {
        name: one.original_labels
        for name, one in first.results.reassessments.items()
        if one.original_labels is not None
    }
    itself = "the original labels", own
    if not are_alike:  # of no model's images in particular
        itself = "the original labels, all images", scoring.original_on_reassessments(reference)
    rows = [(name, one.results) for name, one in zip(names, scored, strict=True)]
    return accuracy_table(rows, reference.titles, itself)

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

SUMMARY = "measure the accuracy of predictions on the original labels, ReaL and other reassessments"
EXAMPLE = "predictions.npz timm_results.csv --json scores.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS", help=common.PREDICTIONS)
    common.add_labels(parser)
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo this mix-up in all files first; the warnings of `score` name it (join several by commas)",
    )


def run(options: argparse.Namespace) -> None:
    """Scores each file. Files that cannot be used are left out, and their errors are printed at the end."""
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
            common.write_json(options.json, [entry.as_json() for entry in scored])
        names = _names(scored)
        print(_table(scored, names, reference))
        in_table = is_in_columns(scored[0].results)
        warnings = [
            (name, warning)
            for name, entry in zip(names, scored, strict=True)
            for warning in (
                *entry.warnings,
                *remarks(entry.results, reference.titles, with_numbers=not in_table),
            )
        ]
        noun = "files" if all(entry.model is None for entry in scored) else "models"
        for warning in together(warnings, len(scored), noun):
            common.print_warning(warning)
        for name, reassessment in reference.reassessments.items():
            if name != REAL and reassessment.caveat:
                common.print_warning(f"{reassessment.title}: {reassessment.caveat}")
        if options.json:
            print(f"Wrote {options.json}.")
    common.report_errors(errors)


def _names(scored: Sequence[Scored]) -> list[str]:
    """Returns a distinct name for each: its file, with its model if the file holds several models.

    If all are models of one file, the names of the models.
    """
    from real_labels.files.paths import short_names

    of_one_model = {entry.file for entry in scored if entry.model is None}
    of_several_models = {entry.file for entry in scored if entry.model is not None}
    if not of_one_model and len(of_several_models) == 1:
        return [str(entry.model) for entry in scored]
    files = list(dict.fromkeys(entry.file for entry in scored))
    short = dict(zip(files, short_names(files), strict=True))
    return [
        short[entry.file] if entry.model is None else f"{short[entry.file]}: {entry.model}"
        for entry in scored
    ]


def _table(scored: Sequence[Scored], names: Sequence[str], reference: Reference) -> str:
    import numpy as np

    from real_labels.accuracy import scoring
    from real_labels.accuracy.text import accuracy_table

    first = scored[0]
    are_alike = all(
        np.array_equal(entry.predictions.file_names, first.predictions.file_names)
        for entry in scored
    )
    by_label_set = {
        name: result.original_labels
        for name, result in first.results.reassessments.items()
        if result.original_labels is not None
    }
    original_row = "the original labels", by_label_set
    if not are_alike:  # the models cover different images, so the row is about all images
        original_row = (
            "the original labels, all images",
            scoring.original_on_reassessments(reference),
        )
    rows = [(name, entry.results) for name, entry in zip(names, scored, strict=True)]
    return accuracy_table(rows, reference.titles, original_row)

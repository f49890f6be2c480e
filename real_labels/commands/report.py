"""python -m real_labels report."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = (
    "write the paper's analysis of models' predictions: a page with figures, lists and all numbers"
)
EXAMPLE = "bit.npz resnet50.csv --out report --images ILSVRC2012_img_val"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        nargs="*",
        metavar="PREDICTIONS",
        help=f"{common.PREDICTIONS}; the report is about the first. Without predictions, only analyses that "
        f"need no model are written",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for the page (index.html), its figures and lists",
    )
    common.add_labels(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers, in the formats of `aggregate` (default with the published labels: the "
        "published answers)",
    )
    common.add_categories(parser)
    parser.add_argument(
        "--scores",
        metavar="FILE.npz",
        help="probability of each label, by the raters' answers (default with the published labels: the "
        "published scores; else Dawid-Skene on --answers)",
    )
    parser.add_argument(
        "--accuracy-table",
        nargs="+",
        metavar="FILE",
        help="accuracies of further models: one table of model, original, real (and other label sets); or, "
        "as timm publishes them, a table of model, top1 for each label set: the original labels first, ReaL "
        "second, further label sets as NAME=FILE",
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the images, for thumbnails")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="name of the dataset (default: ILSVRC-2012, or the folder of the labels)",
    )
    parser.add_argument(
        "--show", metavar="MODEL", help="model that the report is about (default: the first)"
    )
    parser.add_argument(
        "--list-mistakes",
        metavar="MODELS",
        default="",
        help="further models whose mistakes are listed one by one; names joined by commas, or all",
    )
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo this mix-up in all files first (see score --assume)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")


def run(options: argparse.Namespace) -> None:
    """Writes the report. Files that cannot be used are left out, and their errors are printed at the end."""
    from real_labels.analysis import inputs, report
    from real_labels.analysis.page.thumbnails import Thumbnails

    _check(options)
    images = None if options.images is None else Thumbnails(options.images)
    given = {
        field.name: getattr(options, field.name) for field in dataclasses.fields(inputs.Inputs)
    }
    given["labels"] = common.labels(options)
    given["label_sets"] = common.label_sets(options)
    given["list_mistakes"] = common.names_in(options.list_mistakes)
    given["assume"] = common.repairs(options.assume)
    given["categories"] = common.categories(options)
    given["columns"] = common.columns(options)
    study, origin, errors = inputs.gather(inputs.Inputs(**given))
    page = pathlib.Path(options.out) / "index.html"
    if errors and not study.models and page.exists():
        raise InputError(
            f"{errors[0]} No predictions can be used, so the report in {options.out} is left as it is."
        )
    written = report.write(study, options.out, origin, images)
    for section in written.sections:
        if section.lead:
            print(section.title)
            common.print_lines(section.lead, indent="  ", widest=100)
    for section in written.sections:
        if not section.lead:
            common.print_warning(f"{section.title}: {' '.join(section.missing)}")
    for remark in written.remarks:
        if remark not in errors:
            common.print_warning(remark)
    print(f"\nThe report: {page}")
    common.report_errors(errors)


def _check(options: argparse.Namespace) -> None:
    """Refuses invalid options and outputs that cannot be written, before any work."""
    from real_labels.predictions import mixups

    if not options.out:
        raise InputError("--out: name a folder.")
    mixups.check_names(common.repairs(options.assume))
    out = pathlib.Path(options.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder.")
    common.check_outputs((str(out / "index.html"), (".html",)))
    common.check_seed(options.seed)

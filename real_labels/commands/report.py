"""python -m real_labels report."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = "the paper's analysis of models' predictions: one page with figures, lists, all numbers"
EXAMPLE = "bit.npz resnet50.csv --out report --images ILSVRC2012_img_val"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        nargs="*",
        metavar="PREDICTIONS",
        help=f"{common.PREDICTIONS}; the report is about the first; none give what needs no model",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for index.html and what belongs to it"
    )
    common.add_labels(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers, as for aggregate (default with the published labels: the published ones)",
    )
    common.add_categories(parser)
    parser.add_argument(
        "--scores",
        metavar="FILE.npz",
        help="how probable raters made each label (default with the published labels: the published ones; "
        "else Dawid-Skene on --answers)",
    )
    parser.add_argument(
        "--accuracy-table",
        nargs="+",
        metavar="FILE",
        help="accuracies of further models: one table of model, original, real (and other label sets), or "
        "two of model, top1 as timm publishes them, the original labels' first; further ones as NAME=FILE",
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the images, for thumbnails")
    parser.add_argument(
        "--dataset", metavar="NAME", help="what to call the dataset (default: the labels' folder)"
    )
    parser.add_argument("--show", metavar="MODEL", help="the model that the report is about")
    parser.add_argument(
        "--list-mistakes",
        metavar="MODELS",
        default="",
        help="further models whose mistakes are listed one by one, joined by commas, or all",
    )
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo a mix-up in all files first (see score --assume)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def run(options: argparse.Namespace) -> None:
    """Writes the report; a file that cannot be used is named at the end and does not stop the others."""
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
    for one in written.sections:
        if one.lead:
            print(one.title)
            common.print_lines(one.lead, indent="  ", widest=100)
    for one in written.sections:
        if not one.lead:
            common.print_warning(f"{one.title}: {' '.join(one.missing)}")
    for remark in written.remarks:
        if remark not in errors:
            common.print_warning(remark)
    print(f"\nThe report: {page}")
    common.report_errors(errors)


def _check(options: argparse.Namespace) -> None:
    """What cannot be written or makes no sense should cost nothing."""
    from real_labels.predictions import mixups

    if not options.out:
        raise InputError("--out: name a folder.")
    mixups.check_names(common.repairs(options.assume))
    out = pathlib.Path(options.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder.")
    common.check_outputs((str(out / "index.html"), (".html",)))
    common.check_seed(options.seed)

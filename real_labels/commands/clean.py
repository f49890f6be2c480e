"""python -m real_labels clean."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError, naming

if TYPE_CHECKING:
    import numpy as np

    from real_labels.predictions.out_of_fold import OutOfFold

SUMMARY = "training images whose label a cross-validated model does not support"
EXAMPLE = "runs/folds/out_of_fold.npz --rule confident --kept keep.txt"
_SHOWN = 20  # classes of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        metavar="FILE",
        help="out_of_fold.npz of --mode=cross_validate; or out-of-sample scores of every class, in any form "
        "that score reads, with --original",
    )
    parser.add_argument(
        "--rule",
        default="top1",
        metavar="RULE",
        help="top1: the first prediction is the label, as in the paper (default); top-k=K: it is among the "
        "first K; confident: confident learning",
    )
    parser.add_argument(
        "--kept", metavar="FILE.txt", help="write the images to keep, for --config.input.keep"
    )
    parser.add_argument(
        "--original",
        metavar="LABELS",
        help="labels of the images, for scores without: JSON of file names (rows without names are taken in "
        "their order), or .npy in the order of the rows",
    )
    parser.add_argument(
        "--truth", metavar="LABELS.json", help="true labels: what the dropping is worth"
    )
    parser.add_argument("--report", metavar="DIR", help="a page of the likeliest wrong labels")
    parser.add_argument("--images", metavar="DIR", help="the images, for the page")
    parser.add_argument("--class-names", metavar="FILE", help="names of the classes")
    parser.add_argument("--json", metavar="FILE", help="write all figures")


def run(options: argparse.Namespace) -> None:
    """Says which images go, and writes those that stay."""
    import numpy as np

    from real_labels.analysis import cleaning as analysis
    from real_labels.files import replacing
    from real_labels.files.text_table import text_table
    from real_labels.intervals import percent
    from real_labels.labels import ClassNames, LabelSets
    from real_labels.predictions import cleaning

    common.check_outputs(
        (options.kept, (".txt",)),
        (options.json, (".json",)),
        inputs=[options.predictions, options.original, options.truth],
    )
    if options.images and not options.report:
        raise InputError("--images are for the page: give --report DIR, too.")
    found = _read(options)
    kept = cleaning.keeps(options.rule, found)
    truth = LabelSets.from_json(options.truth) if options.truth else None
    names = ClassNames.load(options.class_names) if options.class_names else ClassNames(())
    outcome = analysis.measure(found, kept, options.rule, truth)
    if options.kept:
        with replacing(options.kept) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in sorted(found.file_names[kept])))
    if options.json:
        common.write_json(options.json, outcome.as_json())
    if options.report:
        lost = analysis.write_page(
            pathlib.Path(options.report), found, outcome, names, truth, options.images
        )
        if lost:
            common.print_warning(
                f"{len(lost)} of the images to show are not below {options.images}, or unreadable (first: "
                f"{lost[0]})."
            )

    print(
        f"{options.rule} drops {outcome.dropped:,} of {len(found):,} images ({percent(outcome.share, 1)}) "
        f"and keeps {len(found) - outcome.dropped:,}."
    )
    classes = outcome.classes[:_SHOWN]
    rows = [("class", "images", "dropped", "share", "predicted instead")]
    rows += [
        (
            names[one.label],
            f"{one.images:,}",
            f"{one.dropped:,}",
            f"{100 * one.dropped / one.images:.1f}%",
            ", ".join(f"{names[c]} ({n})" for c, n in one.instead),
        )
        for one in classes
    ]
    print(f"\n{text_table(rows, '<>>><')}")
    if len(outcome.classes) > len(classes):
        print(f"({len(outcome.classes) - len(classes):,} more classes)")
    precision, recall, wrong = outcome.precision, outcome.recall, outcome.wrong
    if precision is not None and recall is not None and wrong is not None:
        print(
            f"\nAgainst the truth: {percent(precision, 1)} of the dropped labels are wrong "
            f"(by chance {percent(wrong, 1)}), and {percent(recall, 1)} of the "
            f"{outcome.num_wrong:,} wrong labels are dropped (by chance {percent(outcome.share, 1)})."
        )
    written = [path for path in (options.kept, options.json) if path]
    written += [f"{options.report}/index.html"] if options.report else []
    if written:
        print(f"\nWrote {', '.join(written)}.")
    if not np.any(kept):
        common.print_warning("No image is left to learn from.")


def _read(options: argparse.Namespace) -> OutOfFold:
    """The out-of-fold predictions of a file, or scores of every class with their labels beside them."""
    from real_labels.files import readable
    from real_labels.predictions.out_of_fold import OutOfFold

    if options.original is None:
        with naming(options.predictions):
            if not OutOfFold.is_in(readable(options.predictions)):
                raise InputError(
                    "is no out_of_fold.npz. Scores of every class are taken, too, with their labels: "
                    "--original LABELS."
                )
        return OutOfFold.load(options.predictions)
    from real_labels.predictions import ranking, reading

    if OutOfFold.is_in(options.predictions):
        raise InputError(f"{options.predictions}: has its own labels; leave --original out.")
    file = reading.read(options.predictions)
    scores = file.every_score
    if scores is None:
        raise InputError(
            f"{options.predictions}: holds no score of every class, which --original LABELS goes with."
        )
    names, label = _labels(options.original, file.file_names, len(file))
    if scores.min() < -ranking.ROUNDING or scores.max() > 1 + ranking.ROUNDING:
        common.print_warning(
            f"The scores reach from {scores.min():.3g} to {scores.max():.3g}, so they are no probabilities: "
            f"their softmax is taken."
        )
    with naming(options.original):
        return OutOfFold.of_probabilities(names, ranking.probabilities(scores, scores), label)


def _labels(path: str, file_names: np.ndarray | None, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(file names, label) of each row: by file name, or in the order of the rows."""
    import numpy as np

    from real_labels.files import npz
    from real_labels.labels import LabelSets

    if path.endswith(".npy"):
        label = npz.read_array(path)
        if label.shape != (number,) or label.dtype.kind not in "iu":
            raise InputError(
                f"{path}: expected {number:,} whole numbers, found {label.dtype} of shape {label.shape}."
            )
        rows = np.arange(number).astype(np.str_)
        return (rows if file_names is None else file_names), label
    labels = LabelSets.from_json(path)
    if file_names is None:
        if len(labels) != number:
            raise InputError(
                f"{path}: has {len(labels):,} images, and the predictions have {number:,} rows without "
                f"names."
            )
        common.print_warning(
            f"The predictions have no file names: their rows are taken for the images of {path} in the "
            f"order of their names."
        )
        file_names = np.sort(labels.file_names)
    found = labels.take(labels.rows(file_names))
    if (found.counts != 1).any():
        row = int(np.argmax(found.counts != 1))
        raise InputError(
            f"{path}: {found.file_names[row]} has {found.counts[row]} labels; expected one."
        )
    return file_names, found.classes

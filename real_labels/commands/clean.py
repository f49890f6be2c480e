"""python -m real_labels clean."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError, naming

if TYPE_CHECKING:
    import numpy as np

    from real_labels.analysis.cleaning import Outcome
    from real_labels.predictions.out_of_fold import OutOfFold

SUMMARY = "find training images whose label a cross-validated model does not support"
EXAMPLE = "runs/folds/out_of_fold.npz --rule confident --kept keep.txt"
_SHOWN = 20  # classes of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        metavar="FILE",
        help="out_of_fold.npz of `main.py --mode=cross_validate`; or out-of-sample scores of every class, in "
        "any format that `score` reads, together with --original",
    )
    parser.add_argument(
        "--rule",
        default="top1",
        metavar="RULE",
        help="rule for keeping an image. top1 (default, as in the paper): the first prediction is the label; "
        "top-k=K: the label is among the first K predictions; confident: confident learning",
    )
    parser.add_argument(
        "--kept",
        metavar="FILE.txt",
        help="write the names of the images to keep, for --config.input.keep",
    )
    parser.add_argument(
        "--original",
        metavar="LABELS",
        help="labels of the images, if FILE has none: JSON from file name to label (rows without file names "
        "follow the order of the sorted names), or .npy in the order of the rows (without file names, --kept "
        "then holds row numbers)",
    )
    parser.add_argument(
        "--truth",
        metavar="LABELS.json",
        help="true labels by file name (by row number, if there are no file names), to measure the precision "
        "and recall of the rule",
    )
    parser.add_argument(
        "--report", metavar="DIR", help="write a page of the labels that are most likely wrong"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the images, to show them on the page"
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of the classes: a JSON list, or one name per line",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")


def run(options: argparse.Namespace) -> None:
    """Prints how many images of each class the rule drops, and writes the names of the images to keep."""
    import numpy as np

    from real_labels.analysis import cleaning as analysis
    from real_labels.analysis.page.thumbnails import Thumbnails
    from real_labels.files import replacing
    from real_labels.files.text_table import text_table
    from real_labels.intervals import percent
    from real_labels.labels import ClassNames, LabelSets
    from real_labels.predictions import cleaning

    if options.images and not options.report:
        raise InputError("--images needs --report DIR: the images are shown on its page.")
    page = f"{options.report}/index.html" if options.report else None
    common.check_outputs(
        (options.kept, (".txt",)),
        (options.json, (".json",)),
        (page, (".html",)),
        inputs=[options.predictions, options.original, options.truth],
    )
    thumbnails = Thumbnails(options.images) if options.images else None
    predictions = _read(options)
    kept = cleaning.keeps(options.rule, predictions)
    truth = LabelSets.from_json(options.truth) if options.truth else None
    names = ClassNames.load(options.class_names) if options.class_names else ClassNames(())
    with naming(options.truth) if truth else contextlib.nullcontext():
        outcome = analysis.measure(predictions, kept, options.rule, truth)
    if options.kept:
        with replacing(options.kept) as temporary:
            kept_names = sorted(predictions.file_names[kept])
            temporary.write_text("".join(f"{name}\n" for name in kept_names))
    if options.json:
        common.write_json(options.json, outcome.as_json())
    if options.report:
        not_shown = analysis.write_page(
            pathlib.Path(options.report), predictions, outcome, names, truth, thumbnails
        )
        if not_shown:
            common.print_warning(
                f"{len(not_shown)} of the images to show are not below {options.images}, or cannot be read "
                f"(first: {not_shown[0]})."
            )

    print(
        f"{options.rule} drops {outcome.dropped:,} of {len(predictions):,} images "
        f"({percent(outcome.share, 1)}) and keeps {len(predictions) - outcome.dropped:,}."
    )
    classes = outcome.classes[:_SHOWN]
    rows = [("class", "images", "dropped", "share", "predicted instead")]
    rows += [
        (
            names[row.label],
            f"{row.images:,}",
            f"{row.dropped:,}",
            f"{100 * row.dropped / row.images:.1f}%",
            ", ".join(f"{names[c]} ({n})" for c, n in row.instead),
        )
        for row in classes
    ]
    print(f"\n{text_table(rows, '<>>><')}")
    if len(outcome.classes) > len(classes):
        print(f"({len(outcome.classes) - len(classes):,} more classes)")
    if outcome.wrong is not None:
        print(f"\n{_against_truth(outcome)}")
    written = [path for path in (options.kept, options.json, page) if path]
    if written:
        print(f"\nWrote {', '.join(written)}.")
    if not np.any(kept):
        common.print_warning("No image is left to learn from.")


def _against_truth(outcome: Outcome) -> str:
    """Returns precision and recall of the rule as a sentence."""
    from real_labels.intervals import percent

    precision, recall, wrong = outcome.precision, outcome.recall, outcome.wrong
    assert precision is not None and recall is not None and wrong is not None
    if not recall.is_known:
        return f"Against the truth: none of the {len(outcome.kept):,} labels is wrong."
    found = (
        f"{percent(recall, 1)} of the {outcome.num_wrong:,} wrong labels are dropped "
        f"(by chance {percent(outcome.share, 1)})."
    )
    if not precision.is_known:
        return f"Against the truth: {found}"
    return (
        f"Against the truth: {percent(precision, 1)} of the dropped labels are wrong "
        f"(by chance {percent(wrong, 1)}), and {found}"
    )


def _read(options: argparse.Namespace) -> OutOfFold:
    """Returns the predictions of out_of_fold.npz, or of scores of every class with --original labels."""
    from real_labels.files import readable
    from real_labels.predictions.out_of_fold import OutOfFold

    if options.original is None:
        with naming(options.predictions):
            if not OutOfFold.is_in(readable(options.predictions)):
                raise InputError(
                    "is no out_of_fold.npz. For scores of every class, give the labels of the images with "
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
            f"{options.predictions}: --original LABELS needs scores of every class; this file does not hold "
            f"them."
        )
    names, label = _labels(options.original, file.file_names, len(file))
    if (scale := ranking.scale_of(scores)) != 1:
        common.print_warning(
            f"The scores range from {scores.min():.3g} to {scores.max():.3g}, so they are no probabilities: "
            + ("their softmax is taken." if scale is None else f"they are divided by {scale}.")
        )
    if file.file_names is None and options.original.endswith(".npy") and options.kept:
        common.print_warning(
            f"Neither file has file names, so {options.kept} holds row numbers, from 0. For "
            f"--config.input.keep, give file names: --original LABELS.json."
        )
    with naming(options.original):
        return OutOfFold.of_probabilities(names, ranking.probabilities(scores, scores), label)


def _labels(path: str, file_names: np.ndarray | None, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (file names, label), a pair of (N,) arrays, matched by file name or, for .npy, by row."""
    import numpy as np

    from real_labels.files import npz
    from real_labels.labels import LabelSets

    if path.endswith(".npy"):
        with naming(path):
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
                f"{path}: has {len(labels):,} images; expected {number:,}, the number of rows of the "
                f"predictions, which have no file names."
            )
        common.print_warning(
            f"The predictions have no file names, so their rows are matched to the images of {path} in the "
            f"order of the sorted file names."
        )
        file_names = np.sort(labels.file_names)
    row_labels = labels.take(labels.rows(file_names))
    if (row_labels.counts != 1).any():
        row = int(np.argmax(row_labels.counts != 1))
        raise InputError(
            f"{path}: {row_labels.file_names[row]} has {row_labels.counts[row]} labels; expected one."
        )
    return file_names, row_labels.classes

"""python -m real_labels curve."""

from __future__ import annotations

import argparse

from real_labels.commands import options as common

SUMMARY = "measure precision and recall of scores against gold questions"
EXAMPLE = "--scores scores.npz --gold gold.csv --precision 0.9 --out curve.png"
_ENDINGS = (".png", ".svg", ".pdf", ".csv", ".parquet", ".json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--scores",
        required=True,
        metavar="FILE.npz",
        help="scores, in the format of the published scores.npz",
    )
    common.add_gold(parser, required=True)
    common.add_categories(parser)
    common.add_operating_point(parser)
    parser.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write the curve: .png, .svg, .pdf, .csv, .parquet or .json; may be repeated",
    )


def run(options: argparse.Namespace) -> None:
    """Prints the best and the selected threshold with their precision and recall, and writes the curve."""
    from real_labels.aggregation.thresholds import PrecisionRecall
    from real_labels.answers import Scores

    common.check_outputs(
        *((out, _ENDINGS) for out in options.out), inputs=[options.scores, options.gold]
    )
    scores = Scores.load(options.scores)
    gold = common.gold(options, lambda: scores.questions)
    assert gold is not None  # --gold is required
    curve = PrecisionRecall.of(scores, gold)
    marked = best = curve.at_best_f1()
    is_selected = options.threshold is not None or options.precision is not None
    if is_selected:
        marked = curve.at_threshold(common.threshold(options, scores, gold, best.threshold))
    for out in options.out:  # before printing: standard output may be a pipe that closes early
        curve.save(out, marked)
    print(
        f"{curve.kept[-1]:,} gold questions, {curve.present:,} labels present; "
        f"{len(curve.thresholds):,} different thresholds."
    )
    print(f"Best F1:  {best}")
    if is_selected:
        print(f"Selected: {marked}")
    if options.out:
        print(f"Wrote {', '.join(options.out)}.")

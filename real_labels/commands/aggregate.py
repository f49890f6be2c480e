"""python -m real_labels aggregate."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from real_labels.commands import aggregation_options
from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from real_labels.aggregation import Aggregate
    from real_labels.answers import Answers, Gold
    from real_labels.labels import LabelSets

SUMMARY = "turn raters' answers into scores and label sets"
EXAMPLE = "--answers answers.csv --labels-out labels.json"
_LEAST_SURE = 0.75  # questions decided with less are offered for more answers
_MORE_LIKELY_THAN_NOT = math.nextafter(0.5, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    aggregation_options.add_arguments(parser)
    parser.add_argument(
        "--unrated",
        metavar="LABELS",
        help="labels of all images (JSON, or 'original' for ILSVRC-2012's), of which those without a "
        "question keep them; or of the other images alone (propose --unrated-out)",
    )
    common.add_operating_point(parser)
    parser.add_argument("--scores-out", metavar="FILE.npz", help="scores, as published")
    parser.add_argument("--labels-out", metavar="FILE.json", help="label sets, as published")
    parser.add_argument(
        "--questions-out",
        metavar="FILE",
        help="table of the questions, the least sure first (.csv, .parquet)",
    )
    parser.add_argument("--raters-out", metavar="FILE", help="table of the raters (.csv, .parquet)")
    parser.add_argument("--fit-out", metavar="FILE.npz", help="a fit for --start")


def run(options: argparse.Namespace) -> None:
    """Aggregates, says what came out, and writes what was asked for."""
    from real_labels import aggregation
    from real_labels.aggregation import recipe

    common.check_outputs(
        (options.scores_out, (".npz",)),
        (options.fit_out, (".npz",)),
        (options.labels_out, (".json",)),
        (options.questions_out, common.TABLES),
        (options.raters_out, common.TABLES),
        inputs=[*aggregation_options.inputs(options), options.unrated],
    )
    if options.preset and options.unrated:
        raise InputError("--preset has its own labels for unrated images; leave --unrated out.")
    if options.hold_gold and (options.precision is not None or options.best_f1):
        raise InputError(
            "Gold that is held at its truth cannot choose a threshold: every score on it is perfect. "
            "Leave --hold-gold out, or give --threshold."
        )
    gold = aggregation_options.gold_questions(options)
    unrated = "original" if options.preset else options.unrated
    unrated = unrated and aggregation_options.labels_of(unrated)
    aggregate, answers = aggregation_options.aggregated(options, gold)
    default = recipe.THRESHOLD if options.preset else _MORE_LIKELY_THAN_NOT
    threshold = common.threshold(options, aggregate.scores, gold, default)
    labels = aggregate.scores.label_sets(threshold, unrated)
    are_others = unrated is not None and len(labels) > len(unrated)
    written = _write(
        options, aggregate, answers, labels
    )  # first: the reader of the text may leave early

    for remark in answers.remarks:
        common.print_warning(remark)
    print(
        f"{len(answers):,} answers ({' < '.join(answers.categories)}) of {len(answers.raters):,} raters "
        f"to {len(answers.questions):,} questions on {len(answers.questions.file_names):,} images."
    )
    if aggregate.convergence is not None:
        print(f"{aggregate.convergence}.")
    _print_labels(labels, threshold)
    if are_others and unrated is not None and len(unrated):
        rated = len(answers.questions.file_names)
        print(
            f"{len(labels) - rated:,} of them were not rated and keep the labels of {options.unrated} (it "
            f"begins with {unrated.file_names[0]}, the rated images with {answers.questions.file_names[0]})."
        )
    if gold is not None and not options.hold_gold:
        _print_gold(aggregate, gold, threshold)
    if options.preset:
        _print_published(aggregate, labels, options.data_dir)
    unsure = int((aggregate.sureness < _LEAST_SURE).sum())
    print(
        f"{unsure:,} questions are decided with a sureness below {_LEAST_SURE}: more answers to these "
        f"help most{'' if options.questions_out else ' (--questions-out lists them)'}."
    )
    for doubt in aggregation.doubts(aggregate, answers):
        common.print_warning(doubt)
    if written:
        print(f"Wrote {', '.join(written)}.")


def _print_labels(labels: LabelSets, threshold: float) -> None:
    counts = labels.counts
    above = "more than 0.5" if threshold == _MORE_LIKELY_THAN_NOT else f"{threshold:.6g} or more"
    print(
        f"Score {above}: {len(labels.classes):,} labels on {(counts > 0).sum():,} of {len(labels):,} "
        f"images; {(counts == 0).sum():,} without a label, {(counts > 1).sum():,} with several."
    )


def _print_gold(aggregate: Aggregate, gold: Gold, threshold: float) -> None:
    from real_labels.aggregation.thresholds import PrecisionRecall

    rows = aggregate.scores.questions.find(gold.questions)
    here = rows >= 0
    if not here.any():
        print("No gold question is among the answers' own: precision and recall are not measured.")
        return
    if not gold.present[here].any():
        print(
            f"None of the {here.sum():,} gold questions has its label present: nothing to measure."
        )
        return
    point = PrecisionRecall.of(aggregate.scores, gold).at_threshold(threshold)
    print(f"On gold, {point} ({here.sum():,} of {len(gold):,} gold questions were asked).")


def _print_published(aggregate: Aggregate, labels: LabelSets, data_dir: str | None) -> None:
    """Says how far the rebuilt scores and labels are from the published ones, if they are there."""
    import numpy as np

    from real_labels.answers import Scores
    from real_labels.labels import published

    folder = published.data_dir(data_dir)
    if (folder / "scores.npz").exists():
        theirs = Scores.load(folder / "scores.npz")
        ours = aggregate.scores.probability[aggregate.scores.questions.find(theirs.questions)]
        print(
            f"Published scores: {len(theirs):,}, the largest difference is "
            f"{np.abs(ours - theirs.probability).max():.1e}."
        )
    if (folder / "real.json").exists():
        published_lists = published.real_labels(data_dir).to_lists()
        same = sum(a == b for a, b in zip(labels.to_lists(), published_lists, strict=True))
        print(f"Published labels: {same:,} of {len(published_lists):,} label sets are equal.")


def _write(
    options: argparse.Namespace, aggregate: Aggregate, answers: Answers, labels: LabelSets
) -> list[str]:
    """Writes the files that are asked for, and returns their paths."""
    from real_labels.aggregation.reliability import Reliability
    from real_labels.files import tables

    outputs = (
        (options.scores_out, aggregate.scores.save),
        (options.labels_out, labels.to_json),
        (options.questions_out, lambda path: tables.write(path, _questions(aggregate, answers))),
        (options.raters_out, lambda path: tables.write(path, Reliability.of(aggregate).columns())),
        (options.fit_out, aggregate.save),
    )
    asked = [(path, write) for path, write in outputs if path is not None]
    for path, write in asked:
        write(path)
    return [path for path, _ in asked]


def _questions(aggregate: Aggregate, answers: Answers) -> dict[str, np.ndarray]:
    """Columns of the questions, the least sure first."""
    import numpy as np

    scores = aggregate.scores
    order = np.argsort(aggregate.sureness, kind="stable")
    columns = {
        "file_name": scores.questions.file_name(),
        "label": scores.questions.label,
        "score": scores.probability,
        "sureness": aggregate.sureness,
        "answers": answers.asked,
    }
    return {name: column[order] for name, column in columns.items()}

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
_LEAST_SURE = 0.75  # more answers are recommended for questions of lower sureness
_MORE_LIKELY_THAN_NOT = math.nextafter(0.5, 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    aggregation_options.add_arguments(parser)
    parser.add_argument(
        "--unrated",
        metavar="LABELS",
        help="labels of the images without a question, as `propose --unrated-out` writes them; or labels of "
        "all images (JSON, or 'original' for ILSVRC-2012's), used where an image has no question",
    )
    common.add_operating_point(parser)
    parser.add_argument(
        "--scores-out",
        metavar="FILE.npz",
        help="write the scores, in the format of the published scores.npz",
    )
    parser.add_argument(
        "--labels-out",
        metavar="FILE.json",
        help="write the label sets, in the format of the published real.json; for other images, an object "
        "from file name to classes",
    )
    parser.add_argument(
        "--questions-out",
        metavar="FILE",
        help="write a table of the questions, least sure first (.csv, .parquet)",
    )
    parser.add_argument(
        "--raters-out", metavar="FILE", help="write a table of the raters (.csv, .parquet)"
    )
    parser.add_argument(
        "--fit-out", metavar="FILE.npz", help="write the fit, to start from it with --start"
    )


def run(options: argparse.Namespace) -> None:
    """Aggregates the answers, writes the requested files and prints a summary."""
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
            "--hold-gold sets the scores of the gold questions to their truth, so gold cannot choose a "
            "threshold. Leave --hold-gold out, or give --threshold."
        )
    gold = aggregation_options.gold_questions(options)
    unrated = "original" if options.preset else options.unrated
    unrated = unrated and aggregation_options.labels_of(unrated)
    aggregate, answers = aggregation_options.aggregated(options, gold)
    default = recipe.THRESHOLD if options.preset else _MORE_LIKELY_THAN_NOT
    threshold = common.threshold(options, aggregate.scores, gold, default)
    labels = aggregate.scores.label_sets(threshold, unrated)
    holds_only_others = unrated is not None and len(labels) > len(unrated)
    # Before printing: standard output may be a pipe that closes early.
    written = _write(options, aggregate, answers, labels)

    for remark in answers.remarks:
        common.print_warning(remark)
    print(
        f"{len(answers):,} answers ({' < '.join(answers.categories)}) of {len(answers.raters):,} raters "
        f"to {len(answers.questions):,} questions on {len(answers.questions.file_names):,} images."
    )
    if aggregate.convergence is not None:
        print(f"{aggregate.convergence}.")
    _print_labels(labels, threshold)
    if holds_only_others and unrated is not None and len(unrated):
        rated = len(answers.questions.file_names)
        print(
            f"{len(labels) - rated:,} images were not rated and keep the labels of {options.unrated} (its "
            f"first image: {unrated.file_names[0]}; first rated image: {answers.questions.file_names[0]})."
        )
    if gold is not None and not options.hold_gold:
        _print_gold(aggregate, gold, threshold)
    if options.preset:
        _print_published(aggregate, labels, options.data_dir)
    unsure = int((aggregate.sureness < _LEAST_SURE).sum())
    print(
        f"{unsure:,} questions have a sureness below {_LEAST_SURE}; more answers to these questions "
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
    is_answered = rows >= 0
    if not is_answered.any():
        print("None of the gold questions was answered: precision and recall are not measured.")
        return
    if not gold.present[is_answered].any():
        print(
            f"None of the {is_answered.sum():,} gold questions has its label present: "
            f"precision and recall are not measured."
        )
        return
    point = PrecisionRecall.of(aggregate.scores, gold).at_threshold(threshold)
    print(f"On gold, {point} ({is_answered.sum():,} of {len(gold):,} gold questions were asked).")


def _print_published(aggregate: Aggregate, labels: LabelSets, data_dir: str | None) -> None:
    """Compares the rebuilt scores and labels with the published files, if these exist."""
    import numpy as np

    from real_labels.answers import Scores
    from real_labels.labels import published

    folder = published.data_dir(data_dir)
    if (folder / "scores.npz").exists():
        published_scores = Scores.load(folder / "scores.npz")
        rows = aggregate.scores.questions.find(published_scores.questions)
        difference = np.abs(aggregate.scores.probability[rows] - published_scores.probability)
        print(
            f"Published scores: {len(published_scores):,}, the largest difference is "
            f"{difference.max():.1e}."
        )
    if (folder / "real.json").exists():
        published_lists = published.real_labels(data_dir).to_lists()
        same = sum(a == b for a, b in zip(labels.to_lists(), published_lists, strict=True))
        print(f"Published labels: {same:,} of {len(published_lists):,} label sets are equal.")


def _write(
    options: argparse.Namespace, aggregate: Aggregate, answers: Answers, labels: LabelSets
) -> list[str]:
    """Writes the requested files and returns their paths."""
    from real_labels.aggregation.reliability import Reliability
    from real_labels.files import tables

    outputs = (
        (options.scores_out, aggregate.scores.save),
        (options.labels_out, labels.to_json),
        (options.questions_out, lambda path: tables.write(path, _questions(aggregate, answers))),
        (options.raters_out, lambda path: tables.write(path, Reliability.of(aggregate).columns())),
        (options.fit_out, aggregate.save),
    )
    requested = [(path, write) for path, write in outputs if path is not None]
    for path, write in requested:
        write(path)
    return [path for path, _ in requested]


def _questions(aggregate: Aggregate, answers: Answers) -> dict[str, np.ndarray]:
    """Returns the columns of the table of questions, least sure first."""
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

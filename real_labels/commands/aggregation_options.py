"""Options for reading and aggregating answers, shared by `aggregate`, `raters`, `next` and `replay`."""

from __future__ import annotations

import argparse
import functools
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.aggregation import Aggregate, PseudoRater
    from real_labels.answers import Answers, Gold, Questions
    from real_labels.labels import LabelSets

PRESET = "reassessed-imagenet"
METHODS = ("majority", "dawid-skene", "gold")
# The methods that use each option. The other methods refuse the option instead of ignoring it silently.
_METHODS_OF_OPTION = {
    "smoothing": ("dawid-skene", "gold"),
    "shrinkage": ("dawid-skene",),
    "prior": ("dawid-skene", "gold"),
    "start": ("dawid-skene",),
    "max_passes": ("dawid-skene",),
    "hold_gold": ("dawid-skene",),
    "gold_answers": ("gold",),
}
_NOT_WITH_PRESET = (
    "answers",
    "method",
    "categories",
    "columns",
    "gold",
    "gold_votes",
    "pseudo_rater",
    *_METHODS_OF_OPTION,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --preset, --data-dir, --answers and the options of `add_method`."""
    parser.add_argument("--preset", choices=[PRESET], help="use the published answers and recipe")
    common.add_data_dir(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers: .npz in the published format; .csv, .parquet, .jsonl with the columns "
        "file_name, label, rater, answer; or Label Studio's export. Several files are joined",
    )
    add_method(parser)


def add_method(parser: argparse.ArgumentParser) -> None:
    """Adds --categories, --columns, --gold, --gold-votes, --method and the settings of the methods."""
    common.add_categories(parser)
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="majority: share of yes answers; dawid-skene (default): rater model fitted by EM; gold: "
        "confusion matrices measured on gold questions",
    )
    common.add_gold(parser)
    parser.add_argument(
        "--hold-gold",
        action="store_true",
        default=None,
        help="dawid-skene: hold gold questions at their truth (default: gold does not change the scores)",
    )
    parser.add_argument(
        "--gold-answers",
        metavar="FILE",
        help="gold: the raters' answers to the gold questions, if they are in a file of their own",
    )
    parser.add_argument(
        "--pseudo-rater",
        action="append",
        metavar="labels=FILE[,name=NAME][,classes=0-397][,votes=N]",
        help="add labels (JSON or predictions; 'original' for ILSVRC-2012's) as a further rater. classes: "
        "the classes on which it votes (default: all). votes: with --method gold, measure it on gold that "
        "needs N expert votes. May be repeated",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        metavar="S",
        help="pseudo-answers for each truth and category, added for every rater (default: gold 1, "
        "dawid-skene 0)",
    )
    parser.add_argument(
        "--shrinkage",
        type=float,
        metavar="S",
        help="dawid-skene: pseudo-answers for each truth, distributed like the average rater's and added for "
        "every rater (default 20; 0: maximum likelihood)",
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="P",
        help="prior probability that a label is present (default: estimated)",
    )
    parser.add_argument(
        "--start",
        metavar="FILE.npz",
        help="dawid-skene: an earlier fit to start from (aggregate --fit-out)",
    )
    parser.add_argument(
        "--max-passes",
        type=int,
        metavar="N",
        help="dawid-skene: at most N passes of EM (default 1000)",
    )


def gold_questions(options: argparse.Namespace) -> Gold | None:
    """Returns the gold questions of --gold or of the preset, or None."""
    from real_labels.answers import Gold
    from real_labels.labels import published

    if options.preset:
        return Gold.load(published.locate("golden.npz", options.data_dir), at_least=3)
    return common.gold(options, lambda: _asked(options))


def _asked(options: argparse.Namespace) -> Questions:
    """Returns all questions that raters answered, including the questions of --gold-answers."""
    import numpy as np

    from real_labels.answers import Questions

    parts = [answers_of(options), gold_answers_of(options)]
    pairs = dict.fromkeys(
        pair
        for part in parts
        if part is not None
        for pair in zip(
            part.questions.file_name().tolist(), part.questions.label.tolist(), strict=True
        )
    )
    names, labels = zip(*pairs, strict=True)
    return Questions.from_pairs(names, np.array(labels))


def aggregated(options: argparse.Namespace, gold: Gold | None) -> tuple[Aggregate, Answers]:
    """Returns the aggregate that the options select, and its answers (without pseudo-raters)."""
    from real_labels.aggregation import recipe

    if options.preset:
        given = [name for name in _NOT_WITH_PRESET if getattr(options, name) is not None]
        if given:
            raise InputError(f"--preset has its own answers and recipe; leave {_flags(given)} out.")
        answers = recipe.raw_answers(options.data_dir)
        return recipe.rebuild(options.data_dir, answers), answers
    if not options.answers:
        raise InputError(f"Give --answers FILE, or --preset {PRESET}.")
    _check_method(options, gold)
    answers = answers_of(options)
    return method_of(options, gold, answers)(answers), answers


def _check_method(options: argparse.Namespace, gold: Gold | None) -> None:
    """Refuses options that the method does not use, and a missing --gold that it needs."""
    method = options.method or "dawid-skene"
    unused = [
        name
        for name, methods in _METHODS_OF_OPTION.items()
        if getattr(options, name) is not None and method not in methods
    ]
    if unused:
        them = "it" if len(unused) == 1 else "them"
        raise InputError(f"--method {method} does not use {_flags(unused)}; leave {them} out.")
    if gold is None and (method == "gold" or options.hold_gold):
        raise InputError(
            f"{'--hold-gold' if options.hold_gold else '--method gold'} needs --gold FILE."
        )


def answers_of(options: argparse.Namespace) -> Answers:
    """Returns the answers of all files, joined."""
    from real_labels.answers import Answers

    categories, columns = common.categories(options), common.columns(options)
    return Answers.join([Answers.load(path, categories, columns) for path in options.answers])


def method_of(
    options: argparse.Namespace, gold: Gold | None, answers: Answers
) -> Callable[[Answers], Aggregate]:
    """Returns the method of the options, as a function from answers to their aggregate."""
    from real_labels import aggregation

    _check_method(options, gold)
    if gold is not None and options.gold_answers is None:
        gold.among(answers.questions, "answers")  # fails before the long computation, not after it
    method = options.method or "dawid-skene"
    settings = _settings(options, gold)
    if method == "majority":
        return functools.partial(aggregation.majority, **settings)
    if method == "gold":
        assert gold is not None  # checked with the other options
        truth, gold_answers = gold, gold_answers_of(options)
        return lambda given: calibrated(options, given, truth, gold_answers)
    settings["start"] = options.start and aggregation.Start.load(options.start)
    settings["gold"] = gold if options.hold_gold else None
    return functools.partial(aggregation.dawid_skene, **settings)


def gold_answers_of(options: argparse.Namespace) -> Answers | None:
    """Returns the raters' answers to gold questions in --gold-answers, or None."""
    from real_labels.answers import Answers

    if options.gold_answers is None:
        return None
    return Answers.load(options.gold_answers, common.categories(options), common.columns(options))


def calibrated(
    options: argparse.Namespace, answers: Answers, gold: Gold, gold_answers: Answers | None
) -> Aggregate:
    """Returns the aggregate of `answers` by confusion matrices measured on gold (--method gold)."""
    from real_labels import aggregation

    return aggregation.gold_calibrated(answers, gold, gold_answers, **_settings(options, gold))


def _settings(options: argparse.Namespace, gold: Gold | None) -> dict[str, Any]:
    """Returns the keyword arguments of the method: the given settings and the pseudo-raters."""
    names = ("smoothing", "shrinkage", "prior", "max_passes")
    settings = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    settings["pseudo_raters"] = [
        _pseudo_rater(text, gold, options.method or "dawid-skene")
        for text in options.pseudo_rater or ()
    ]
    return settings


def inputs(options: argparse.Namespace) -> list[str | None]:
    """Returns the paths of the files that the options name; None for an option that is not given."""
    return [*(options.answers or ()), options.gold, options.gold_answers, options.start]


def labels_of(path: str) -> LabelSets:
    """Returns the label sets of a JSON file, of ILSVRC-2012 for 'original', or the top-1 of predictions."""
    from real_labels.labels import LabelSets, imagenet
    from real_labels.predictions import reading

    if path == "original":
        return imagenet.original_labels()
    if pathlib.Path(path).suffix.lower() == ".json":
        return LabelSets.from_json(path)
    predictions = reading.read(path)
    if predictions.file_names is None:
        raise InputError(f"{path}: predictions used as labels need file names; found none.")
    return LabelSets.from_lists(predictions.file_names, predictions.classes[:, :1].tolist())


def _pseudo_rater(text: str, gold: Gold | None, method: str) -> PseudoRater:
    """Returns the pseudo-rater of labels=FILE[,name=NAME][,classes=0-397][,votes=N]."""
    import numpy as np

    from real_labels.aggregation import PseudoRater

    parts = (part.partition("=") for part in text.split(","))
    fields = {key: value for key, _, value in parts}
    unknown = set(fields) - {"labels", "name", "classes", "votes"}
    if unknown or not fields.get("labels"):
        raise InputError(
            f"--pseudo-rater {text}: expected labels=FILE[,name=NAME][,classes=0-397][,votes=N]."
        )
    classes = None
    try:
        if "classes" in fields:
            first, _, last = fields["classes"].partition("-")
            classes = np.arange(int(first), int(last or first) + 1)
        votes = int(fields["votes"]) if "votes" in fields else None
    except ValueError:
        raise InputError(
            f"--pseudo-rater {text}: expected classes as a range such as 0-397, and votes as a whole number."
        ) from None
    if votes is not None and (gold is None or method != "gold"):
        raise InputError(
            f"--pseudo-rater {text}: votes are for --method gold with --gold FILE; leave votes out."
        )
    return PseudoRater(
        name=fields.get("name") or pathlib.Path(fields["labels"]).stem,
        labels=labels_of(fields["labels"]),
        classes=classes,
        gold=None if votes is None or gold is None else gold.with_votes(votes),
    )


def _flags(names: list[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)

"""Reading answers and aggregating them, which `aggregate` and `raters` both do."""

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
# Which methods an option is for; given to another, it would be ignored in silence.
_FOR = {
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
    *_FOR,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Answers, method and what belongs to it."""
    parser.add_argument("--preset", choices=[PRESET], help="the published answers and recipe")
    common.add_data_dir(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers: .npz as published, or .csv, .parquet, .jsonl with the columns "
        "file_name, label, rater, answer, or Label Studio's export; several files are joined",
    )
    add_method(parser)


def add_method(parser: argparse.ArgumentParser) -> None:
    """What may be answered, the method and what belongs to it."""
    common.add_categories(parser)
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="share of yes; EM; or confusions measured on gold questions (default dawid-skene)",
    )
    common.add_gold(parser)
    parser.add_argument(
        "--hold-gold",
        action="store_true",
        default=None,
        help="dawid-skene: hold gold questions at their truth (else gold only measures)",
    )
    parser.add_argument(
        "--gold-answers",
        metavar="FILE",
        help="gold: the raters' answers to gold questions, if they are not among the answers",
    )
    parser.add_argument(
        "--pseudo-rater",
        action="append",
        metavar="labels=FILE[,name=NAME][,classes=0-397][,votes=N]",
        help="labels (JSON or predictions; 'original' for ILSVRC-2012's) that vote as a rater, on "
        "these classes, for --method gold measured against gold of N votes; may be repeated",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        metavar="S",
        help="pseudo-answers of each kind that every rater is given (default: gold 1, dawid-skene 0)",
    )
    parser.add_argument(
        "--shrinkage",
        type=float,
        metavar="S",
        help="dawid-skene: pseudo-answers like the average rater's that every rater is given "
        "(default 20; 0: maximum likelihood)",
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="P",
        help="P(present) before any answer (default: estimated)",
    )
    parser.add_argument(
        "--start",
        metavar="FILE.npz",
        help="dawid-skene: an earlier fit to start from (aggregate --fit-out)",
    )
    parser.add_argument(
        "--max-passes", type=int, metavar="N", help="dawid-skene: passes of EM (default 1000)"
    )


def gold_questions(options: argparse.Namespace) -> Gold | None:
    """The gold questions of --gold or of the preset, or None."""
    from real_labels.answers import Gold
    from real_labels.labels import published

    if options.preset:
        return Gold.load(published.locate("golden.npz", options.data_dir), at_least=3)
    return common.gold(options, lambda: _asked(options))


def _asked(options: argparse.Namespace) -> Questions:
    """All questions that raters answered, also those of --gold-answers."""
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
    """The aggregate that the options ask for, and the answers behind it (without pseudo-raters)."""
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
    """Refuses options that the method has no use for, and one that lacks what it needs."""
    method = options.method or "dawid-skene"
    unused = [
        name
        for name, methods in _FOR.items()
        if getattr(options, name) is not None and method not in methods
    ]
    if unused:
        raise InputError(f"--method {method} has no use for {_flags(unused)}.")
    if gold is None and (method == "gold" or options.hold_gold):
        raise InputError(
            f"{'--hold-gold' if options.hold_gold else '--method gold'} needs --gold FILE."
        )


def answers_of(options: argparse.Namespace) -> Answers:
    """The answers of all files."""
    from real_labels.answers import Answers

    categories, columns = common.categories(options), common.columns(options)
    return Answers.join([Answers.load(path, categories, columns) for path in options.answers])


def method_of(
    options: argparse.Namespace, gold: Gold | None, answers: Answers
) -> Callable[[Answers], Aggregate]:
    """The method that the options ask for, which turns answers into an aggregate."""
    from real_labels import aggregation

    _check_method(options, gold)
    if gold is not None and options.gold_answers is None:
        gold.among(answers.questions, "answers")  # it would be a pity to find out afterwards
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
    """The raters' answers to gold questions of --gold-answers, or None."""
    from real_labels.answers import Answers

    if options.gold_answers is None:
        return None
    return Answers.load(options.gold_answers, common.categories(options), common.columns(options))


def calibrated(
    options: argparse.Namespace, answers: Answers, gold: Gold, gold_answers: Answers | None
) -> Aggregate:
    """The aggregate of answers by confusions measured on gold (--method gold)."""
    from real_labels import aggregation

    return aggregation.gold_calibrated(answers, gold, gold_answers, **_settings(options, gold))


def _settings(options: argparse.Namespace, gold: Gold | None) -> dict[str, Any]:
    """The method's settings that are given."""
    names = ("smoothing", "shrinkage", "prior", "max_passes")
    settings = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    settings["pseudo_raters"] = [
        _pseudo_rater(text, gold, options.method or "dawid-skene")
        for text in options.pseudo_rater or ()
    ]
    return settings


def inputs(options: argparse.Namespace) -> list[str | None]:
    """The files that are read."""
    return [*(options.answers or ()), options.gold, options.gold_answers, options.start]


def labels_of(path: str) -> LabelSets:
    """Label sets from JSON, 'original' for ILSVRC-2012's, or the top-1 of predictions."""
    from real_labels.labels import LabelSets, imagenet
    from real_labels.predictions import reading

    if path == "original":
        return imagenet.original_labels()
    if pathlib.Path(path).suffix.lower() == ".json":
        return LabelSets.from_json(path)
    found = reading.read(path)
    if found.file_names is None:
        raise InputError(f"{path}: predictions that vote need file names.")
    return LabelSets.from_lists(found.file_names, found.classes[:, :1].tolist())


def _pseudo_rater(text: str, gold: Gold | None, method: str) -> PseudoRater:
    """Reads labels=FILE[,name=NAME][,classes=0-397][,votes=N]."""
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
            f"--pseudo-rater {text}: classes are a range such as 0-397, votes a number."
        ) from None
    if votes is not None and (gold is None or method != "gold"):
        raise InputError(f"--pseudo-rater {text}: votes are for --method gold with --gold FILE.")
    return PseudoRater(
        name=fields.get("name") or pathlib.Path(fields["labels"]).stem,
        labels=labels_of(fields["labels"]),
        classes=classes,
        gold=None if votes is None or gold is None else gold.with_votes(votes),
    )


def _flags(names: list[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)

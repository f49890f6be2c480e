"""python -m real_labels tasks."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.commands import task_output
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.answers import Questions
    from real_labels.labels.hierarchy import Hierarchy
    from real_labels.rating.splitting import Rule

SUMMARY = "split proposed labels into tasks: the labels that raters see together"
EXAMPLE = "proposals.csv --out tasks.jsonl"
_PUBLISHED = "reassessed-imagenet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "proposals",
        nargs="?",
        metavar="PROPOSALS",
        help="a table of file_name and label, as `propose --out` writes it",
    )
    parser.add_argument(
        "--preset",
        choices=[_PUBLISHED],
        help="use the published questions and the rule that split them into tasks",
    )
    common.add_data_dir(parser)
    parser.add_argument(
        "--hierarchy",
        metavar="FILE",
        help=f"hierarchy of the classes: a table of child, parent; or {task_output.IMAGENET} for WordNet "
        f"(default for ILSVRC-2012's images). Without a hierarchy, classes that are often proposed together "
        f"stay together",
    )
    parser.add_argument(
        "--max-labels",
        type=int,
        metavar="N",
        help="greatest number of labels in a task (default 8)",
    )
    parser.add_argument(
        "--rule",
        choices=[_PUBLISHED],
        help="split by the rule of the published tasks, which has no upper limit",
    )
    task_output.add_arguments(parser)
    parser.add_argument(
        "--categories",
        metavar="A,B,…",
        help="label-studio: possible answers, from surely absent to surely present (default "
        "no,maybe,yes)",
    )


def run(options: argparse.Namespace) -> None:
    """Splits the proposals, writes the tasks and prints a summary."""
    from real_labels.rating import tasks as rated

    task_output.check(options, [options.proposals, options.hierarchy])
    if (options.proposals is None) == (options.preset is None):
        raise InputError(f"Give a table of PROPOSALS, or --preset {_PUBLISHED}.")
    max_labels = _max_labels(options)
    questions = _questions(options)
    are_imagenet = _are_imagenet(options, questions)
    rule, description = _rule(options, questions, max_labels, are_imagenet)
    tasks = rated.make(questions, rule)
    written = task_output.write(options, tasks, are_imagenet=are_imagenet)
    print(f"Split {description}.")
    task_output.print_sizes(tasks)
    print(f"Wrote {', '.join(written)}.")


def _max_labels(options: argparse.Namespace) -> int | None:
    """Returns the greatest number of labels in a task; None for the published rule, which has no limit."""
    from real_labels.rating.splitting import MAX_LABELS

    if options.max_labels is None:
        return None if options.rule or options.preset else MAX_LABELS
    if options.rule is not None:
        raise InputError(
            f"--rule {_PUBLISHED} has no upper limit: leave --max-labels out. Without --rule, the same rule "
            f"is used with a limit."
        )
    if options.max_labels < 1:
        raise InputError(f"--max-labels {options.max_labels}: expected at least 1.")
    return options.max_labels


def _questions(options: argparse.Namespace) -> Questions:
    from real_labels.answers import Questions, Scores
    from real_labels.labels import published

    if options.preset is not None:
        return Scores.load(published.locate("scores.npz", options.data_dir)).questions
    return Questions.load(options.proposals, task_output.class_names_of(options))


def _are_imagenet(options: argparse.Namespace, questions: Questions) -> bool:
    """Returns whether the labels are ILSVRC-2012's classes."""
    from real_labels.labels import imagenet

    if options.hierarchy is not None and options.hierarchy != task_output.IMAGENET:
        return False
    if options.hierarchy is None and not imagenet.is_validation_set(questions.file_names):
        return False
    if (highest := int(questions.label.max())) >= imagenet.NUM_CLASSES:
        raise InputError(
            f"{options.proposals}: class {highest} is not among ILSVRC-2012's {imagenet.NUM_CLASSES:,} "
            f"classes. Give the hierarchy of other classes with --hierarchy FILE."
        )
    return True


def _rule(
    options: argparse.Namespace,
    questions: Questions,
    max_labels: int | None,
    are_imagenet: bool,
) -> tuple[Rule, str]:
    """Returns the rule that splits an image's labels, and its description."""
    from real_labels.labels import wordnet
    from real_labels.labels.hierarchy import Hierarchy
    from real_labels.rating import splitting

    limit = "" if max_labels is None else f", at most {max_labels} labels per task"
    if are_imagenet:
        return splitting.rule_along(wordnet.hierarchy(), max_labels), f"along WordNet{limit}"
    if options.hierarchy is not None:
        labels = set(questions.label.tolist())
        names = task_output.class_names_of(options)
        hierarchy = Hierarchy.load(options.hierarchy, names, labels)
        _warn_outside(hierarchy, questions, options.hierarchy)
        return splitting.rule_along(hierarchy, max_labels), f"along {options.hierarchy}{limit}"
    if max_labels is None:
        raise InputError(
            f"--rule {_PUBLISHED} needs a hierarchy: --hierarchy FILE, or --hierarchy "
            f"{task_output.IMAGENET} for ILSVRC-2012's classes."
        )
    rule = functools.partial(splitting.Confusions(questions).tasks, max_labels=max_labels)
    return rule, f"by the models' confusions, as no --hierarchy is given{limit}"


def _warn_outside(hierarchy: Hierarchy, questions: Questions, path: str) -> None:
    import numpy as np

    outside = np.setdiff1d(questions.label, list(hierarchy.node_of)).tolist()
    if outside:
        examples = ", ".join(map(str, outside[:5])) + (", …" if len(outside) > 5 else "")
        classes_are = "class is" if len(outside) == 1 else "classes are"
        common.print_warning(
            f"{len(outside):,} {classes_are} not in {path} ({examples}); each is a kind of its own."
        )

"""Options and functions for writing tasks, shared by `tasks` and `next`."""

from __future__ import annotations

import argparse
import collections
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError
from real_labels.files.text import normalised

if TYPE_CHECKING:
    from real_labels.labels import ClassNames
    from real_labels.rating.tasks import Task

IMAGENET = "imagenet"
_LABEL_STUDIO = "label-studio"
_MOST_SIZES = 12  # sizes with a line of their own in the table of sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --out, --format, --image-url, --class-names, --wordnet, --descriptions, but not --categories."""
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="write the tasks: .jsonl; .json for Label Studio",
    )
    parser.add_argument(
        "--format",
        choices=["jsonl", _LABEL_STUDIO],
        default="jsonl",
        help="jsonl (default); or label-studio: JSON that Label Studio imports, with the labelling interface "
        "in an .xml file of the same name",
    )
    parser.add_argument(
        "--image-url",
        metavar="URL",
        default="/data/local-files/?d=",
        help="label-studio: address of the folder of the images (default: Label Studio's local files)",
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of the classes: a JSON list, or one name per line (default for ILSVRC-2012: its own)",
    )
    descriptions = parser.add_mutually_exclusive_group()
    descriptions.add_argument(
        "--wordnet",
        metavar="DIR",
        help="folder of WordNet 3.0, whose glosses describe ILSVRC-2012's classes (Debian's wordnet-base: "
        "/usr/share/wordnet)",
    )
    descriptions.add_argument(
        "--descriptions",
        metavar="FILE",
        help="descriptions of the classes, in the format of --class-names",
    )


def check(options: argparse.Namespace, inputs: Sequence[str | None]) -> None:
    """Refuses files that cannot be written and invalid categories, before any work."""
    outputs = [(options.out, (".jsonl",))]
    if options.format == _LABEL_STUDIO:
        outputs = [(options.out, (".json",)), (_interface_path(options.out), (".xml",))]
    common.check_outputs(*outputs, inputs=[*inputs, options.class_names, options.descriptions])
    categories = common.categories(options)
    distinct = {normalised(category).lower() for category in categories}
    if len(distinct) < max(2, len(categories)) or "" in distinct:
        raise InputError(
            f"--categories {options.categories}: expected two or more different answers."
        )


def _interface_path(out: str) -> str:
    return str(pathlib.Path(out).with_suffix(".xml"))


def class_names_of(options: argparse.Namespace) -> ClassNames | None:
    """Returns the names of --class-names, or None."""
    from real_labels.labels import ClassNames

    return None if options.class_names is None else ClassNames.load(options.class_names)


def write(
    options: argparse.Namespace, tasks: Sequence[Task], *, are_imagenet: bool = False
) -> list[str]:
    """Writes the tasks in the format of the options, and returns the paths.

    Args:
      options: parsed options, including the options of add_arguments and --categories.
      tasks: the tasks.
      are_imagenet: whether the labels are ILSVRC-2012's classes. If False, the first file name decides.
    """
    import numpy as np

    from real_labels import files
    from real_labels.labels import imagenet
    from real_labels.rating import label_studio
    from real_labels.rating import tasks as rated

    if not are_imagenet and tasks:
        are_imagenet = imagenet.is_validation_set(np.array([tasks[0].file_name]))
    tasks = _described(options, tasks, are_imagenet)
    if options.format != _LABEL_STUDIO:
        rated.save(options.out, tasks)
        return [options.out]
    interface = _interface_path(options.out)
    label_studio.save(options.out, tasks, options.image_url)
    with files.replacing(interface) as temporary:
        temporary.write_text(label_studio.interface(common.categories(options)), encoding="utf-8")
    return [options.out, interface]


def _described(
    options: argparse.Namespace, tasks: Sequence[Task], are_imagenet: bool
) -> Sequence[Task]:
    """Returns the tasks with the names and descriptions of their classes, if the options give them.

    ILSVRC-2012's names are added for Label Studio, with glosses, and with --hierarchy imagenet: then the file
    names may not reveal to `rate` that the classes are ILSVRC-2012's.
    """
    from real_labels.labels import ClassNames, wordnet
    from real_labels.labels.class_names import load_descriptions
    from real_labels.rating import tasks as rated

    names = class_names_of(options)
    is_imagenet_hierarchy = getattr(options, "hierarchy", None) == IMAGENET
    needs_names = (
        options.format == _LABEL_STUDIO or options.wordnet is not None or is_imagenet_hierarchy
    )
    if names is None and are_imagenet and needs_names and tasks and tasks[0].names is None:
        names = ClassNames.of_imagenet()
    descriptions = None
    if options.wordnet is not None:
        if not are_imagenet:
            raise InputError(
                f"--wordnet describes ILSVRC-2012's classes, and these images are of another dataset. If its "
                f"classes are ILSVRC-2012's, use `tasks --hierarchy {IMAGENET} --wordnet DIR`; else use "
                f"--descriptions FILE."
            )
        descriptions = wordnet.glosses(options.wordnet)
    elif options.descriptions is not None:
        descriptions = load_descriptions(options.descriptions)
    return rated.described(tasks, names and names.names, descriptions)


def print_sizes(tasks: Sequence[Task]) -> None:
    """Prints the numbers of tasks, images and questions, and a table of the sizes of the tasks."""
    from real_labels.files.text_table import text_table

    images = len({task.file_name for task in tasks})
    asked = sum(len(task.ask) for task in tasks)
    print(
        f"{common.counted(len(tasks), 'task')} on {common.counted(images, 'image')} with "
        f"{common.counted(asked, 'question')}.\n"
    )
    sizes = sorted(collections.Counter(len(task.labels) for task in tasks).items())
    rows = [("labels", "tasks")]
    rows += [(f"{size}", f"{number:,}") for size, number in sizes[:_MOST_SIZES]]
    if more := sizes[_MOST_SIZES:]:
        rows.append((f"{more[0][0]}–{more[-1][0]}", f"{sum(n for _, n in more):,}"))
    print(text_table(rows, ">>") + "\n")

"""Options that several commands have, and reading what they name."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.answers import Gold, Questions, Scores
    from real_labels.labels import ClassNames, Reference

PREDICTIONS = (
    "predictions: .npy or .npz of classes (N,), ranked classes (N, k) or logits (N, C); .csv, .jsonl, "
    ".json, .parquet with file names and class indices or WordNet ids"
)
TABLES = (".csv", ".parquet")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """--data-dir."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the published files (default: $REAL_LABELS_DIR, or the user's cache)",
    )


def add_labels(parser: argparse.ArgumentParser) -> None:
    """--labels, --label-sets, and the options of `add_dataset`."""
    parser.add_argument(
        "--labels",
        action="append",
        metavar="[NAME=]FILE",
        help="reassessed labels, as published or an object from file name to classes; several times for "
        "several sets, each with its NAME (without: real). Default: the published ReaL labels",
    )
    parser.add_argument(
        "--label-sets",
        metavar="NAMES",
        help="published reassessments of ILSVRC-2012, joined by commas: real, shankar, tsipras, "
        "northcutt; or all, of which those count that were fetched",
    )
    add_dataset(parser)


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """--original, --num-classes, --column, --class-names, --data-dir."""
    parser.add_argument(
        "--original",
        metavar="FILE.json",
        help="original labels: an object from file name to class (default for ILSVRC-2012 images: its own)",
    )
    parser.add_argument("--num-classes", type=int, metavar="C", help="if it is not ILSVRC-2012")
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column or array of the predictions, where several could be (index for index_0, index_1, …)",
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of the classes in the order of the class indices, as a JSON list or a name a line: for "
        "predictions that are names, and for the report (default for ILSVRC-2012: its own)",
    )
    add_data_dir(parser)


def reference(options: argparse.Namespace, predictions: Sequence[str] = ()) -> Reference:
    """The labels that --labels, --original and the others name.

    Args:
      options: with what add_labels added.
      predictions: the files that are to be scored.

    Raises:
      InputError: if there are no labels; of images that are not ILSVRC-2012's, with the option that names
        them.
    """
    from real_labels.labels import Reference

    try:
        return Reference.load(
            labels(options),
            options.original,
            label_sets=label_sets(options),
            data_dir=options.data_dir,
            num_classes=options.num_classes,
        )
    except InputError:
        if not (options.labels or options.original or options.label_sets):
            check_own_labels(predictions, ", and reassessed ones with --labels FILE.json")
        raise


def original_reference(options: argparse.Namespace) -> Reference:
    """The original labels alone, of --original or ILSVRC-2012's own."""
    from real_labels.labels import Reference

    return Reference.load(
        None,
        options.original,
        label_sets=(),
        data_dir=options.data_dir,
        num_classes=options.num_classes,
    )


def names_in(text: str) -> list[str]:
    """The names in A,B: each once, without spaces around them."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def check_own_labels(predictions: Sequence[str], options: str = "") -> None:
    """Refuses predictions for images other than ILSVRC-2012's, which no published labels are about.

    Args:
      predictions: the files.
      options: what else names labels.
    """
    from real_labels.labels import imagenet
    from real_labels.predictions import reading

    for path in predictions:
        try:
            names = reading.read(path).file_names
        except InputError:
            continue
        if names is not None and not imagenet.is_validation_set(names):
            raise InputError(
                f"{path}: its images ({names[0]}, …) are not ILSVRC-2012's; name their labels with "
                f"--original FILE.json{options}: an object from file name to class indices."
            )


def class_names(options: argparse.Namespace, of: Reference) -> ClassNames | None:
    """The names of --class-names, or None."""
    return None if options.class_names is None else of.class_names(options.class_names)


def labels(options: argparse.Namespace) -> dict[str, str]:
    """The files of --labels by the names of the label sets."""
    from real_labels.labels.reassessment import REAL, check_name

    named: dict[str, str] = {}
    for given in options.labels or ():
        name, is_named, path = given.partition("=")
        if not is_named or "/" in name or pathlib.Path(given).exists():
            name, path = REAL, given
        if not path:
            raise InputError(f"--labels {given}: expected NAME=FILE.")
        if check_name(name) in named:
            raise InputError(
                f"--labels {given}: there are two label sets {name}; name them, as in --labels mine={path}."
            )
        named[name] = path
    return named


def label_sets(options: argparse.Namespace) -> list[str] | None:
    """The published reassessments of --label-sets; None if it is not given.

    Of "all", those whose files are there; each of the others gets a line that says how to fetch it.
    """
    from real_labels.labels import published

    if options.label_sets is None:
        return None
    asked = names_in(options.label_sets)
    if not asked:
        raise InputError(
            f"--label-sets names nothing; expected all, or {', '.join(published.NAMES)}."
        )
    if "all" not in asked:
        return asked
    found = []
    for name in published.NAMES:
        try:
            published.reassessment(name, options.data_dir)
            found.append(name)
        except InputError as error:
            print_warning(str(error))
    return found


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 task", "2,000 tasks"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def add_ask_until(parser: argparse.ArgumentParser) -> None:
    """--ask-until."""
    parser.add_argument(
        "--ask-until",
        type=float,
        default=0.95,
        metavar="P",
        help="sureness at which a question is done (default 0.95)",
    )


def check_seed(seed: int) -> None:
    """Refuses a seed that no random generator takes."""
    if seed < 0:
        raise InputError(f"The seed must be at least 0, found {seed}.")


def repairs(text: str) -> list[str]:
    """The names in --assume=A,B."""
    names = [name.strip() for name in text.split(",")] if text else []
    if not all(names):
        raise InputError(f"--assume {text}: expected names of repairs, joined by commas.")
    return names


def add_gold(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--gold, --gold-votes."""
    parser.add_argument(
        "--gold",
        metavar="FILE",
        required=required,
        help="questions with known truth: a table of file_name, label, truth; or experts' answers",
    )
    parser.add_argument(
        "--gold-votes",
        type=int,
        metavar="N",
        help="experts who must say yes for a label to be present (default: more than half)",
    )


def add_categories(parser: argparse._ActionsContainer) -> None:
    """--categories, --columns."""
    parser.add_argument(
        "--columns",
        metavar="ROLE=NAME,…",
        help="what a table of answers calls file_name, label, rater and answer, if it is something else",
    )
    parser.add_argument(
        "--categories",
        metavar="A,B,…",
        help="what may be answered, from surely absent to surely present (default no,maybe,yes)",
    )


def columns(options: argparse.Namespace) -> dict[str, str]:
    """A table's own names of file_name, label, rater and answer, by these."""
    from real_labels.answers.answer_tables import COLUMNS

    if options.columns is None:
        return {}
    pairs = [part.partition("=") for part in options.columns.split(",")]
    named = {role.strip(): name for role, _, name in pairs}
    if len(named) < len(pairs) or not set(named) <= set(COLUMNS) or not all(named.values()):
        raise InputError(
            f"--columns {options.columns}: expected ROLE=NAME,…, each role once, of {', '.join(COLUMNS)}."
        )
    return named


def categories(options: argparse.Namespace) -> tuple[str, ...]:
    """What may be answered."""
    from real_labels.answers import CATEGORIES

    if options.categories is None:
        return CATEGORIES
    return tuple(c.strip() for c in options.categories.split(","))


def gold(options: argparse.Namespace, asked: Callable[[], Questions]) -> Gold | None:
    """The gold questions of --gold, or None.

    Args:
      options: with what add_gold and add_categories added.
      asked: the questions that label sets, if --gold holds these, tell the truth of.
    """
    from real_labels.answers import Gold, load_truth
    from real_labels.errors import naming

    if options.gold is None:
        if options.gold_votes is not None:
            raise InputError("--gold-votes needs --gold.")
        return None
    truth = load_truth(options.gold, options.gold_votes, categories(options), columns(options))
    if isinstance(truth, Gold):
        return truth
    with naming(options.gold):
        return Gold.of_label_sets(truth, asked())


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """--threshold, --precision, --best-f1."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--threshold", type=float, metavar="T", help="keep labels of score T or more"
    )
    group.add_argument(
        "--precision", type=float, metavar="P", help="lowest threshold of precision P"
    )
    group.add_argument("--best-f1", action="store_true", help="threshold of the best F1")


def threshold(
    options: argparse.Namespace, scores: Scores, gold_questions: Gold | None, default: float
) -> float:
    """The threshold that was asked for, or the default."""
    from real_labels.aggregation.thresholds import PrecisionRecall

    if options.precision is not None or options.best_f1:
        if gold_questions is None:
            raise InputError("--precision and --best-f1 need --gold FILE.")
        curve = PrecisionRecall.of(scores, gold_questions)
        if options.precision is not None:
            return curve.at_precision(options.precision).threshold
        return curve.at_best_f1().threshold
    return default if options.threshold is None else options.threshold


def check_outputs(
    *outputs: tuple[str | None, tuple[str, ...]], inputs: Sequence[str | None] = ()
) -> None:
    """Before any work: what cannot be written, or would overwrite, should cost nothing.

    Args:
      outputs: (path or None, endings it may have).
      inputs: what the command reads.
    """
    taken = {
        pathlib.Path(path).resolve(): "overwritten, though it is read" for path in inputs if path
    }
    for path, endings in outputs:
        if path is None:
            continue
        target = pathlib.Path(path)
        if target.resolve() in taken:
            raise InputError(f"{path}: would be {taken[target.resolve()]}; name another file.")
        taken[target.resolve()] = "written twice"
        if target.suffix.lower() not in endings:
            raise InputError(f"{path}: this is written as {' or '.join(endings)}.")
        if target.is_dir():
            raise InputError(f"{path}: is a folder; name a file.")
        folder = next(p for p in target.absolute().parents if p.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise InputError(
                f"{path}: cannot be written, {folder} is no folder that can be written to."
            )


def write_json(path: str, record: Any) -> None:
    """Writes JSON, atomically: before anything is printed, as the reader of that may leave early."""
    from real_labels import files

    files.write_json(path, record, indent=2)


def report_errors(errors: Sequence[str]) -> None:
    """Names the files that could not be used, after what was made of the others.

    Raises:
      InputError: with the last one, if there is any.
    """
    sys.stdout.flush()
    for error in errors[:-1]:
        print(f"Error: {error}", file=sys.stderr)
    if errors:
        raise InputError(errors[-1])


def print_warning(text: str) -> None:
    """Prints a remark in lines that fit the terminal."""
    print_lines(f"! {text}", indent="    ", first="")


def print_lines(text: str, indent: str = "", first: str | None = None, widest: int = 120) -> None:
    """Prints text in lines that fit the terminal.

    Args:
      text: the text.
      indent: before each line.
      first: before the first one, if that is something else.
      widest: letters of a line at most.
    """
    import shutil
    import textwrap

    print(
        textwrap.fill(
            text,
            min(shutil.get_terminal_size((100, 24)).columns, widest),
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
    )

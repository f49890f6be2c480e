"""Options that several commands share, and functions that check and read their values."""

from __future__ import annotations

import argparse
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
    """Adds --data-dir."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the published files (default: $REAL_LABELS_DIR, or the user's cache)",
    )


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Adds --labels, --label-sets and the options of `add_dataset`."""
    parser.add_argument(
        "--labels",
        action="append",
        metavar="[NAME=]FILE",
        help="reassessed labels: JSON in the format of the published real.json, or an object from file name "
        "to classes. Repeat the option for several label sets, each with its NAME (default NAME: real). "
        "Default: the published ReaL labels",
    )
    parser.add_argument(
        "--label-sets",
        metavar="NAMES",
        help="published reassessments of ILSVRC-2012, joined by commas: real, shankar, tsipras, "
        "northcutt; or all, that is, all that were fetched",
    )
    add_dataset(parser)


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Adds --original, --num-classes, --column, --class-names, --data-dir."""
    parser.add_argument(
        "--original",
        metavar="FILE.json",
        help="original labels: a JSON object from file name to class (default for ILSVRC-2012: its own)",
    )
    parser.add_argument(
        "--num-classes",
        type=int,
        metavar="C",
        help="number of classes, if the dataset is not ILSVRC-2012",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column or array that holds the predictions, if several could (index for index_0, index_1, …)",
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="names of the classes in the order of the class indices: a JSON list, or one name per line. "
        "Used to read predictions that are class names, and in the report (default for ILSVRC-2012: its own)",
    )
    add_data_dir(parser)


def reference(options: argparse.Namespace, predictions: Sequence[str] = ()) -> Reference:
    """Returns the labels that --labels, --label-sets and --original select.

    Args:
      options: parsed options, including the options of add_labels.
      predictions: paths of the files that will be scored, which are read only to explain missing labels.

    Raises:
      InputError: if there are no labels. If the images of `predictions` are not ILSVRC-2012's, the message
        names the options that take their labels.
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
            check_own_labels(predictions, ", and reassessed labels with --labels FILE.json")
        raise


def original_reference(options: argparse.Namespace) -> Reference:
    """Returns only the original labels: of --original, or ILSVRC-2012's own."""
    from real_labels.labels import Reference

    return Reference.load(
        None,
        options.original,
        label_sets=(),
        data_dir=options.data_dir,
        num_classes=options.num_classes,
    )


def names_in(text: str) -> list[str]:
    """Returns the distinct names in "A,B", without spaces around them."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def check_own_labels(predictions: Sequence[str], options: str = "") -> None:
    """Refuses predictions for images that are not ILSVRC-2012's: no published labels cover them.

    Files that cannot be read are skipped.

    Args:
      predictions: paths of the files.
      options: text of the message about further options that take labels.

    Raises:
      InputError: for the first such file.
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
                f"--original FILE.json{options}: a JSON object from file name to class indices."
            )


def class_names(options: argparse.Namespace, labelled: Reference) -> ClassNames | None:
    """Returns the names of --class-names, checked against the labels, or None."""
    return None if options.class_names is None else labelled.class_names(options.class_names)


def labels(options: argparse.Namespace) -> dict[str, str]:
    """Returns the files of --labels, keyed by the name of the label set."""
    from real_labels.labels.reassessment import REAL, check_name

    paths: dict[str, str] = {}
    for given in options.labels or ():
        name, equals, path = given.partition("=")
        if not equals or "/" in name or pathlib.Path(given).exists():
            name, path = REAL, given
        if not path:
            raise InputError(f"--labels {given}: expected NAME=FILE.")
        if check_name(name) in paths:
            raise InputError(
                f"--labels {given}: there are two label sets {name}; name them, as in --labels mine={path}."
            )
        paths[name] = path
    return paths


def label_sets(options: argparse.Namespace) -> list[str] | None:
    """Returns the names of the published reassessments in --label-sets; None if it is not given.

    "all" selects the reassessments whose files exist. For each of the others, a warning says how to fetch it.
    """
    from real_labels.labels import published

    if options.label_sets is None:
        return None
    requested = names_in(options.label_sets)
    if not requested:
        raise InputError(
            f"--label-sets {options.label_sets!r} names no label set; expected all, or "
            f"{', '.join(published.NAMES)}."
        )
    if "all" not in requested:
        return requested
    available = []
    for name in published.NAMES:
        try:
            published.reassessment(name, options.data_dir)
            available.append(name)
        except InputError as error:
            print_warning(str(error))
    return available


def counted(number: int, noun: str) -> str:
    """Returns a number and its noun: "1 task", "2,000 tasks"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def add_ask_until(parser: argparse.ArgumentParser) -> None:
    """Adds --ask-until."""
    parser.add_argument(
        "--ask-until",
        type=float,
        default=0.95,
        metavar="P",
        help="sureness at which a question is done (default 0.95)",
    )


def check_seed(seed: int) -> None:
    """Refuses a negative seed, which NumPy's random generators do not accept."""
    if seed < 0:
        raise InputError(f"The seed must be at least 0, found {seed}.")


def repairs(text: str) -> list[str]:
    """Returns the names of the repairs in --assume=A,B."""
    names = [name.strip() for name in text.split(",")] if text else []
    if not all(names):
        raise InputError(f"--assume {text}: expected names of repairs, joined by commas.")
    return names


def add_gold(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds --gold, --gold-votes."""
    parser.add_argument(
        "--gold",
        metavar="FILE",
        required=required,
        help="gold questions, whose truth is known: a table of file_name, label, truth; experts' answers; or "
        "label sets of some images (.json)",
    )
    parser.add_argument(
        "--gold-votes",
        type=int,
        metavar="N",
        help="number of experts who must answer yes for a label to be present (default: more than half)",
    )


def add_categories(parser: argparse._ActionsContainer) -> None:
    """Adds --categories, --columns."""
    parser.add_argument(
        "--columns",
        metavar="ROLE=NAME,…",
        help="names of the columns file_name, label, rater and answer in tables of answers, if they differ "
        "(rater=worker)",
    )
    parser.add_argument(
        "--categories",
        metavar="A,B,…",
        help="possible answers, from surely absent to surely present (default no,maybe,yes)",
    )


def columns(options: argparse.Namespace) -> dict[str, str]:
    """Returns the column names in --columns, keyed by role: file_name, label, rater, answer."""
    from real_labels.answers.answer_tables import COLUMNS

    if options.columns is None:
        return {}
    pairs = [part.partition("=") for part in options.columns.split(",")]
    names = {role.strip(): name for role, _, name in pairs}
    if len(names) < len(pairs) or not set(names) <= set(COLUMNS) or not all(names.values()):
        raise InputError(
            f"--columns {options.columns}: expected ROLE=NAME,… with each ROLE at most once, out of "
            f"{', '.join(COLUMNS)}."
        )
    return names


def categories(options: argparse.Namespace) -> tuple[str, ...]:
    """Returns the possible answers, from surely absent to surely present."""
    from real_labels.answers import CATEGORIES

    if options.categories is None:
        return CATEGORIES
    return tuple(c.strip() for c in options.categories.split(","))


def gold(options: argparse.Namespace, asked: Callable[[], Questions]) -> Gold | None:
    """Returns the gold questions of --gold, or None.

    Args:
      options: parsed options, including the options of add_gold and add_categories.
      asked: returns the questions whose truth is needed; called only if --gold holds label sets.
    """
    from real_labels.answers import Gold, load_truth
    from real_labels.errors import naming

    if options.gold is None:
        if options.gold_votes is not None:
            raise InputError("--gold-votes needs --gold FILE.")
        return None
    truth = load_truth(options.gold, options.gold_votes, categories(options), columns(options))
    if isinstance(truth, Gold):
        return truth
    with naming(options.gold):
        return Gold.of_label_sets(truth, asked())


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """Adds --threshold, --precision, --best-f1."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--threshold", type=float, metavar="T", help="keep labels with a score of T or more"
    )
    group.add_argument(
        "--precision",
        type=float,
        metavar="P",
        help="use the lowest threshold whose precision on gold is P or more",
    )
    group.add_argument(
        "--best-f1", action="store_true", help="use the threshold with the highest F1 on gold"
    )


def threshold(
    options: argparse.Namespace, scores: Scores, gold_questions: Gold | None, default: float
) -> float:
    """Returns the threshold that the options select, or `default`."""
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
    """Refuses outputs that cannot be written or would overwrite an input or another output, before any work.

    Args:
      outputs: pairs of a path, or None, and its allowed endings.
      inputs: paths that the command reads; None for an option that is not given.
    """
    from real_labels import files

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
            raise InputError(f"{path}: the file name must end in {' or '.join(endings)}.")
        if reason := files.why_unwritable(target):
            raise InputError(f"{path}: {reason}; name a file.")


def write_json(path: str, record: Any) -> None:
    """Writes `record` as indented JSON, atomically.

    Call it before printing: standard output may be a pipe that closes early.
    """
    from real_labels import files

    files.write_json(path, record, indent=2)


def report_errors(errors: Sequence[str]) -> None:
    """Prints the errors of unusable files to stderr, after the results of the other files.

    Raises:
      InputError: with the last error, if there is any.
    """
    sys.stdout.flush()
    for error in errors[:-1]:
        print(f"Error: {error}", file=sys.stderr)
    if errors:
        raise InputError(errors[-1])


def print_warning(text: str) -> None:
    """Prints a warning, marked with "!", in lines that fit the terminal."""
    print_lines(f"! {text}", indent="    ", first="")


def print_lines(text: str, indent: str = "", first: str | None = None, widest: int = 120) -> None:
    """Prints text in lines that fit the terminal.

    Args:
      text: the text.
      indent: text before each line.
      first: text before the first line; None: `indent`.
      widest: greatest number of characters in a line.
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

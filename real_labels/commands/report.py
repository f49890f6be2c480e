"""python -m real_labels report."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.accuracy_files import AccuracyTable
    from real_labels.analysis.study import Origin, Study
    from real_labels.answers import Answers
    from real_labels.class_names import ClassNames
    from real_labels.predictions import Predictions
    from real_labels.reference import Reference
    from real_labels.scores import Scores

SUMMARY = "the paper's analysis of models' predictions: one page with figures, lists, all numbers"
EXAMPLE = "bit.npz resnet50.csv --out report --images ILSVRC2012_img_val"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        nargs="*",
        metavar="PREDICTIONS",
        help=f"{common.PREDICTIONS}; the report is about the first; none give what needs no model",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for index.html and what belongs to it"
    )
    common.add_labels(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers, as for aggregate (default with the published labels: the published ones)",
    )
    common.add_categories(parser)
    parser.add_argument(
        "--scores",
        metavar="FILE.npz",
        help="how probable raters made each label (default with the published labels: the published ones; "
        "else Dawid-Skene on --answers)",
    )
    parser.add_argument(
        "--accuracy-table",
        nargs="+",
        metavar="FILE",
        help="accuracies of further models: one table of model, original, real, or two of model, top1 as "
        "timm publishes them, the original labels' first",
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the images, for thumbnails")
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help=".json list or a name a line, in the order of the class indices (default for ILSVRC-2012: its "
        "own)",
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="what to call the dataset (default: the labels' folder)"
    )
    parser.add_argument("--show", metavar="MODEL", help="the model that the report is about")
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo a mix-up in all files first (see score --assume)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def run(options: argparse.Namespace) -> None:
    """Writes the report; a file that cannot be used is named at the end and does not stop the others."""
    from real_labels.analysis import report
    from real_labels.analysis.thumbnails import Thumbnails

    _check(options)
    images = None if options.images is None else Thumbnails(options.images)
    study, origin, errors = _gather(options)
    page = pathlib.Path(options.out) / "index.html"
    if errors and not study.models and page.exists():
        raise InputError(
            f"{errors[0]} No predictions can be used, so the report in {options.out} is left as it is."
        )
    written = report.write(study, options.out, origin, images)
    for one in written.sections:
        if one.lead:
            _print_lead(one.title, one.lead)
    for one in written.sections:
        if not one.lead:
            common.print_warning(f"{one.title}: {' '.join(one.missing)}")
    for remark in written.remarks:
        if remark not in errors:
            common.print_warning(remark)
    print(f"\nThe report: {page}")
    sys.stdout.flush()
    for error in errors[:-1]:
        print(f"Error: {error}", file=sys.stderr)
    if errors:
        raise InputError(errors[-1])


def _check(options: argparse.Namespace) -> None:
    """What cannot be written or makes no sense should cost nothing."""
    from real_labels import mixups

    if not options.out:
        raise InputError("--out: name a folder.")
    mixups.check_names(common.repairs(options.assume))
    out = pathlib.Path(options.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder.")
    common.check_outputs((str(out / "index.html"), (".html",)))
    if options.seed < 0:
        raise InputError(f"The seed must be at least 0, found {options.seed}.")
    if options.accuracy_table and len(options.accuracy_table) > 2:
        raise InputError(
            f"--accuracy-table takes one file or two, found {len(options.accuracy_table)}."
        )


def _gather(options: argparse.Namespace) -> tuple[Study, Origin, list[str]]:
    """Reads everything; (the study, where it comes from, errors of files left out)."""
    from real_labels import accuracy_files
    from real_labels.analysis.study import Origin, Study

    remarks: list[str] = []
    absent: dict[str, str] = {}
    accuracies = None
    if options.accuracy_table:
        accuracies = accuracy_files.read(options.accuracy_table)
        if accuracies.left_out:
            remarks.append(
                f"{accuracies.left_out:,} models are in one of the two accuracy tables alone and left out."
            )
        remarks += _doubts(accuracies)
    reference = _reference(options, absent)
    if reference is None:
        study = Study(accuracies=accuracies, seed=options.seed, absent=absent)
        return study, Origin("Published accuracies", {}, remarks), []
    models, paths, errors = _models(options, reference, remarks)
    if errors and not models:
        absent["models"] = f"No predictions can be used: {errors[0]}"
    if accuracies is not None:
        accuracies = accuracies.beside(models)
    answers, scores, scores_from = _answers(options, reference, absent, remarks)
    names = _class_names(options, reference, remarks)
    if _same(reference):
        remarks.append(
            "The original and the reassessed labels are the same: does one of --original and --labels name "
            "the wrong file?"
        )
    shown = _shown(options.show, models, paths)
    study = Study(
        models=models,
        original=reference.original,
        real=reference.real,
        num_classes=reference.num_known_classes,
        class_names=names,
        answers=answers,
        scores=scores,
        scores_from=scores_from,
        accuracies=accuracies,
        shown=shown,
        seed=options.seed,
        absent=absent,
    )
    dataset = _dataset(options, reference)
    return study, Origin(dataset, paths, [*remarks, *errors]), errors


def _class_names(
    options: argparse.Namespace, reference: Reference, remarks: list[str]
) -> ClassNames:
    from real_labels.class_names import ClassNames

    if options.class_names is None:
        return ClassNames.of_imagenet() if reference.is_imagenet else ClassNames()
    names = ClassNames.load(options.class_names)
    known, named = reference.num_known_classes, len(names.names)
    if named < known or (reference.num_classes is not None and named > known):
        raise InputError(f"{options.class_names}: names {named:,} classes; expected {known:,}.")
    if named > known:
        remarks.append(
            f"{options.class_names} names {named:,} classes, while the labels have {known:,}; "
            f"--num-classes says how many there are."
        )
    return names


def _doubts(accuracies: AccuracyTable) -> list[str]:
    several = len(accuracies) > 1
    if several and (accuracies.original == accuracies.real).all():
        raise InputError(
            "--accuracy-table: the original and the ReaL accuracies are the same; is one file given twice?"
        )
    if several and (accuracies.original > accuracies.real).all():
        return [
            "In --accuracy-table, every model is better on the original than on the ReaL labels: are the "
            "two exchanged?"
        ]
    return []


def _same(reference: Reference) -> bool:
    import numpy as np

    one, other = reference.original, reference.real
    return (
        one is not None
        and other is not None
        and np.array_equal(one.offsets, other.offsets)
        and np.array_equal(one.classes, other.classes)
    )


def _shown(asked: str | None, models: dict[str, Predictions], paths: dict[str, str]) -> str:
    """The model of this name or file; without one, the first."""
    if not asked:
        return next(iter(models), "")
    named = [
        name for name in models if asked in (name, paths[name], pathlib.Path(paths[name]).name)
    ]
    if len(named) != 1:
        raise InputError(
            f"--show {asked}: there is {'no such model' if not named else 'more than one'}; there are "
            f"{', '.join(models) or 'none'}."
        )
    return named[0]


def _reference(options: argparse.Namespace, absent: dict[str, str]) -> Reference | None:
    """The labels; None where only a table of accuracies is to be drawn and nobody named any."""
    try:
        return common.reference(options)
    except InputError as error:
        if options.predictions or not options.accuracy_table or options.labels or options.original:
            raise
        absent |= dict.fromkeys(("original", "real"), str(error))
        return None


def _models(
    options: argparse.Namespace, reference: Reference, remarks: list[str]
) -> tuple[dict[str, Predictions], dict[str, str], list[str]]:
    """(predictions by model, file by model, errors of those that cannot be used)."""
    import tqdm

    from real_labels import scoring

    assume = common.repairs(options.assume)
    models: dict[str, Predictions] = {}
    paths: dict[str, str] = {}
    errors = []
    names = _names(options.predictions)
    with tqdm.tqdm(
        list(zip(names, options.predictions, strict=True)),
        desc="reading",
        unit=" files",
        leave=False,
        disable=None,
    ) as bar:
        for name, path in bar:
            try:
                scored = scoring.score(
                    path, reference, assume, column=options.column, probabilities=True
                )
            except InputError as error:
                errors.append(str(error))
                continue
            models[name], paths[name] = scored.predictions, str(path)
            remarks += [f"{name}: {warning}" for warning in scored.warnings]
    return models, paths, errors


def _names(paths: list[str]) -> list[str]:
    """What to call the models: their files, with the folder where a file's name says nothing."""
    from real_labels.class_names import printable

    names = [
        path.parent.name if path.stem == "predictions" and path.parent.name else path.stem
        for path in map(pathlib.Path, paths)
    ]
    if len(set(names)) < len(names):
        names = [str(pathlib.Path(path).with_suffix("")) for path in paths]
    if len(set(names)) < len(names):
        names = paths
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice}: is given twice.")
    return list(map(printable, names))


def _answers(
    options: argparse.Namespace, reference: Reference, absent: dict[str, str], remarks: list[str]
) -> tuple[Answers | None, Scores | None, str]:
    """Raters' answers, the scores that they gave, and where those are from, as far as there are any."""
    from real_labels import aggregation, published
    from real_labels.answers import Answers
    from real_labels.scores import Scores

    are_published = reference.is_imagenet and options.labels is None
    answers = scores = None
    scores_from = ""
    if options.answers:
        parts = [Answers.load(path, common.categories(options)) for path in options.answers]
        answers = Answers.join(parts)
    elif are_published:
        try:
            answers = published.raw_answers(options.data_dir)
        except InputError as error:
            absent["answers"] = str(error)
    if options.scores:
        scores, scores_from = Scores.load(options.scores), f"the scores in {options.scores}"
    elif options.answers:
        scores = aggregation.dawid_skene(answers).scores
        scores_from = "Dawid and Skene's model of the answers given"
    elif are_published:
        try:
            scores = Scores.load(published.locate("scores.npz", options.data_dir))
            scores_from = "the published scores"
        except InputError as error:
            absent["scores"] = str(error)
    found: dict[str, Any] = {"answers": answers, "scores": scores}
    for what, one in found.items():
        if one is not None and not _is_about(one.questions.file_names, reference):
            first = one.questions.file_names[:1].tolist() or ["none"]
            absent[what] = (
                f"The {what} are about other images (first: {first[0]}; the labels begin with "
                f"{reference.file_names[0]})."
            )
            remarks.append(absent[what])
            found[what] = None
    return found["answers"], found["scores"], scores_from


def _is_about(file_names: Any, reference: Reference) -> bool:
    from real_labels.labels import find_rows

    return bool((find_rows(reference.file_names, file_names) >= 0).any())


def _dataset(options: argparse.Namespace, reference: Reference) -> str:
    if options.dataset:
        return options.dataset
    if reference.is_imagenet:
        return "ILSVRC-2012 validation"
    path = pathlib.Path(options.original or options.labels).absolute()
    return path.parent.name or path.stem


def _print_lead(title: str, lead: str) -> None:
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    print(title)
    print(textwrap.fill(lead, width, initial_indent="  ", subsequent_indent="  "))

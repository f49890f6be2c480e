"""A report's inputs, read from files. In a notebook: `study, origin, errors = gather(Inputs(…))`."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from real_labels import aggregation
from real_labels.accuracy import scoring
from real_labels.accuracy.text import together
from real_labels.aggregation import recipe
from real_labels.analysis import other_models
from real_labels.analysis.other_models import AccuracyTable
from real_labels.analysis.study import Origin, Study
from real_labels.answers import CATEGORIES, Answers, Scores
from real_labels.errors import InputError, printable
from real_labels.labels import (
    ORIGINAL,
    ClassNames,
    Reference,
    match,
    published,
    reviewed_mistakes,
)
from real_labels.labels.reassessment import REAL, title_of
from real_labels.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The files and options of a report; all may be missing.

    Attributes:
      predictions: files of predictions (see reading.read); the report is about the first.
      labels: JSON files of reassessed labels by name; empty for the published ReaL labels, or for no
        reassessed labels if `original` is given.
      label_sets: names of published reassessments; None for the default.
      original: JSON file of the original labels; None for ILSVRC-2012's, if the images are ILSVRC-2012's.
      data_dir: folder of the published files; None for the default folder.
      num_classes: number of classes, if the dataset is not ILSVRC-2012.
      column: column or array of the predictions, if several columns could hold them.
      assume: mix-ups to undo in all files first (mixups.REPAIRS).
      answers: files of raters' answers; None for the published answers, if the labels are published ones.
      categories: the answers that raters could give, from surely absent to surely present.
      columns: names of the columns in a table of answers (see Answers.load).
      scores: .npz of the probability of each label; None for Dawid and Skene's model of `answers`, or
        without `answers` for the published scores, if the labels are published ones.
      accuracy_table: accuracies of further models, in one table or several (other_models.read).
      class_names: names of the classes (ClassNames.load); None for ILSVRC-2012's own.
      dataset: name of the dataset; None for ILSVRC-2012, or the folder of the labels.
      show: name or file of the model that the report is about; None for the first.
      list_mistakes: further models whose mistakes are listed one by one; "all" for every one.
      seed: seed of every bootstrap.
    """

    predictions: Sequence[str] = ()
    labels: Mapping[str, str | os.PathLike[str]] = dataclasses.field(default_factory=dict)
    label_sets: Sequence[str] | None = None
    original: str | os.PathLike[str] | None = None
    data_dir: str | os.PathLike[str] | None = None
    num_classes: int | None = None
    column: str | None = None
    assume: Sequence[str] = ()
    answers: Sequence[str] | None = None
    categories: tuple[str, ...] = CATEGORIES
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scores: str | None = None
    accuracy_table: Sequence[str] | None = None
    class_names: str | None = None
    dataset: str | None = None
    show: str | None = None
    list_mistakes: Sequence[str] = ()
    seed: int = 0


def gather(given: Inputs) -> tuple[Study, Origin, list[str]]:
    """Reads all inputs.

    Returns:
      The study, its origin, and the error messages of files of predictions that cannot be used. These
      files are left out.

    Raises:
      InputError: if another file cannot be used, if `show` fits no model or several, or if `list_mistakes`
        names an unknown model.
    """
    remarks: list[str] = []
    absent: dict[str, str] = {}
    accuracies = None
    if given.accuracy_table:
        names = (*published.NAMES, *given.labels)
        accuracies = other_models.read(given.accuracy_table, names)
        if accuracies.left_out:
            remarks.append(
                f"{accuracies.left_out:,} models are left out, because they are not in both the original "
                f"labels' and another accuracy table."
            )
        remarks += _doubts(accuracies)
        used = {REAL, *(given.label_sets or ()), *given.labels}
        unused = [name for name in accuracies.by if name not in used]
        if unused:
            remarks.append(
                f"The accuracies on {', '.join(unused)} in --accuracy-table are not used; --label-sets "
                f"{','.join(unused)} adds a section for each."
            )
    reference = _reference(given, absent)
    if reference is None:
        study = Study(accuracies=accuracies, seed=given.seed, absent=absent)
        return study, Origin("Published accuracies", {}, remarks), []
    names = None if given.class_names is None else reference.class_names(given.class_names)
    models, paths, errors = _models(given, reference, names, remarks)
    if errors and not models:
        absent["models"] = f"No predictions can be used: {errors[0]}"
    if accuracies is not None:
        accuracies = accuracies.beside(models)
    answers, scores, scores_from = _answers(given, reference, absent, remarks)
    if names is None:
        names = ClassNames.of_imagenet() if reference.is_imagenet else ClassNames()
    elif len(names.names) > reference.num_known_classes:
        remarks.append(
            f"{given.class_names} names {len(names.names):,} classes, but the labels have "
            f"{reference.num_known_classes:,}; give the number of classes with --num-classes."
        )
    remarks += _same(reference)
    shown = _shown(given.show, models, paths)
    listed = tuple(given.list_mistakes)
    if listed == ("all",):
        listed = tuple(models)
    for name in listed:
        if name not in models:
            raise InputError(
                f"--list-mistakes {name}: there is no such model; there are {', '.join(models) or 'none'}."
            )
    study = Study(
        models=models,
        original=reference.original,
        reassessments=reference.reassessments,
        num_classes=reference.num_known_classes,
        class_names=names,
        answers=answers,
        scores=scores,
        scores_from=scores_from,
        scores_of=REAL if REAL in reference.reassessments else "",
        accuracies=accuracies,
        shown=shown,
        listed=listed,
        reviewed=reviewed_mistakes.load(given.data_dir) if reference.is_imagenet else (),
        seed=given.seed,
        absent=absent,
    )
    dataset = _dataset(given, reference)
    return study, Origin(dataset, paths, [*remarks, *errors]), errors


def _doubts(accuracies: AccuracyTable) -> list[str]:
    remarks = []
    for name, values in accuracies.by.items() if len(accuracies) > 1 else ():
        title = title_of(name)
        if (accuracies.original == values).all():
            raise InputError(
                f"--accuracy-table: the original and the {title} accuracies are the same; is one file given "
                f"twice?"
            )
        if name == REAL and (accuracies.original > values).all():
            remarks.append(
                f"In --accuracy-table, every model is better on the original than on the {title} labels: are "
                f"the two exchanged?"
            )
    return remarks


def _same(reference: Reference) -> list[str]:
    """One remark for each pair of equal label sets."""
    remarks = []
    for (name, labels), (other_name, other_labels) in itertools.combinations(
        reference.label_sets.items(), 2
    ):
        if np.array_equal(labels.offsets, other_labels.offsets) and np.array_equal(
            labels.classes, other_labels.classes
        ):
            which_sets = (
                f"The {reference.titles[name]} and the {reference.titles[other_name]} labels"
            )
            if name == ORIGINAL and len(reference.reassessments) == 1:
                which_sets = "The original and the reassessed labels"
            names = "--original and --labels" if name == ORIGINAL else "--labels"
            remarks.append(f"{which_sets} are the same: does one of {names} name the wrong file?")
    return remarks


def _shown(asked: str | None, models: dict[str, Predictions], paths: dict[str, str]) -> str:
    """The model with this name or file; the first model if `asked` is empty."""
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


def _reference(given: Inputs, absent: dict[str, str]) -> Reference | None:
    """Loads the labels; None if loading fails and the user gave only a table of accuracies."""
    try:
        return Reference.load(
            given.labels,
            given.original,
            label_sets=given.label_sets,
            data_dir=given.data_dir,
            num_classes=given.num_classes,
        )
    except InputError as error:
        if given.predictions or not given.accuracy_table or given.labels or given.original:
            raise
        absent |= dict.fromkeys(("original", "reassessments"), str(error))
        return None


def _models(
    given: Inputs, reference: Reference, class_names: ClassNames | None, remarks: list[str]
) -> tuple[dict[str, Predictions], dict[str, str], list[str]]:
    """(predictions by model, file by model, errors of files that cannot be used)."""
    models: dict[str, Predictions] = {}
    paths: dict[str, str] = {}
    errors = []
    names = _names(given.predictions)
    warnings: list[tuple[str, str]] = []
    with tqdm.tqdm(
        list(zip(names, given.predictions, strict=True)),
        desc="reading",
        unit=" files",
        leave=False,
        disable=None,
    ) as bar:
        for name, path in bar:
            try:
                scored = scoring.score_all(
                    path,
                    reference,
                    given.assume,
                    column=given.column,
                    class_names=class_names,
                    probabilities=True,
                )
            except InputError as error:
                errors.append(str(error))
                continue
            for model in scored:
                title = name if model.model is None else _model_name(model.model, name, models)
                models[title], paths[title] = model.predictions, str(path)
                warnings += [(title, warning) for warning in model.warnings]
    remarks += together(warnings, len(models), "models")
    return models, paths, errors


def _model_name(model: str, file: str, taken: Mapping[str, object]) -> str:
    """The name of a model in a file of several models, with the file's name in front if it is taken."""
    title = printable(model)
    return f"{file}: {title}" if title in taken else title


def _names(paths: Sequence[str]) -> list[str]:
    """Names of the models: the name of each file without ending, or of its folder for `predictions.*`.

    If names repeat, the names are the paths without ending; if these repeat, the whole paths.
    """
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
    given: Inputs, reference: Reference, absent: dict[str, str], remarks: list[str]
) -> tuple[Answers | None, Scores | None, str]:
    """(raters' answers or None, scores of the labels or None, source of the scores in words)."""
    are_published = (
        reference.is_imagenet and REAL in reference.reassessments and REAL not in given.labels
    )
    answers = scores = None
    scores_from = ""
    if given.answers:
        parts = [Answers.load(path, given.categories, given.columns) for path in given.answers]
        answers = Answers.join(parts)
        remarks += answers.remarks
    elif are_published:
        try:
            answers = recipe.raw_answers(given.data_dir)
        except InputError as error:
            absent["answers"] = str(error)
    if given.scores:
        scores, scores_from = Scores.load(given.scores), f"the scores in {given.scores}"
    elif given.answers and answers is not None:
        scores = aggregation.dawid_skene(answers).scores
        scores_from = "Dawid and Skene's model of the answers given"
    elif are_published:
        try:
            scores = Scores.load(published.locate("scores.npz", given.data_dir))
            scores_from = "the published scores"
        except InputError as error:
            absent["scores"] = str(error)
    usable: dict[str, Any] = {"answers": answers, "scores": scores}
    for kind, records in usable.items():
        if records is not None and not _is_about(records.questions.file_names, reference):
            first = records.questions.file_names[:1].tolist() or ["none"]
            absent[kind] = (
                f"The {kind} are about other images (first: {first[0]}; the labels begin with "
                f"{reference.file_names[0]})."
            )
            remarks.append(absent[kind])
            usable[kind] = None
    named = reference.file_names
    if (answers := usable["answers"]) is not None:
        asked = answers.questions.named_as(named)
        answers = dataclasses.replace(answers, questions=asked)
    if (scores := usable["scores"]) is not None:
        scores = dataclasses.replace(scores, questions=scores.questions.named_as(named))
    return answers, scores, scores_from


def _is_about(file_names: Any, reference: Reference) -> bool:
    return bool((match(reference.file_names, file_names) >= 0).any())


def _dataset(given: Inputs, reference: Reference) -> str:
    if given.dataset:
        return given.dataset
    if reference.is_imagenet:
        return "ILSVRC-2012 validation"
    path = pathlib.Path(given.original or next(iter(given.labels.values()))).absolute()
    return path.parent.name or path.stem

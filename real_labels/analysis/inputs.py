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
from real_labels.errors import InputError
from real_labels.labels import (
    ORIGINAL,
    ClassNames,
    Reference,
    match,
    published,
    reviewed_mistakes,
)
from real_labels.labels.class_names import printable
from real_labels.labels.reassessment import REAL, title_of
from real_labels.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The files that a report is made from; every one may be missing.

    Attributes:
      predictions: files of predictions (see reading.read); the report is about the first.
      labels: JSON of reassessed labels by name; empty for the published ReaL labels, or for none where
        `original` is given.
      label_sets: names of published reassessments; None for the default.
      original: JSON of the original labels; None for those of ILSVRC-2012 where the images are its own.
      data_dir: folder of the published files; None for the usual one.
      num_classes: number of classes, if the dataset is not ILSVRC-2012.
      column: column or array of the predictions, where several could be.
      assume: mix-ups to undo in all files first (mixups.REPAIRS).
      answers: raters' answers; none for the published ones, with the published labels.
      categories: the answers that raters could give, from surely absent to surely present.
      columns: what a table of answers calls its columns (see Answers.load).
      scores: .npz of the probability of each label; None for the published ones, with the published
        labels, or Dawid and Skene's model of `answers`.
      accuracy_table: accuracies of further models, in one table or several (other_models.read).
      class_names: names of the classes (ClassNames.load); None for ILSVRC-2012's own.
      dataset: name of the dataset; None for ILSVRC-2012, or the folder of the labels.
      show: name or file of the model that the report is about; None for the first.
      list_mistakes: further models whose mistakes are listed one by one; "all" for every one.
      seed: of every bootstrap.
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
    """Reads everything.

    Returns:
      The study, where it comes from, and the errors of predictions that cannot be used, which are left out.

    Raises:
      InputError: if another file cannot be used, or no or several models are called `show`.
    """
    remarks: list[str] = []
    absent: dict[str, str] = {}
    accuracies = None
    if given.accuracy_table:
        names = (*published.NAMES, *given.labels)
        accuracies = other_models.read(given.accuracy_table, names)
        if accuracies.left_out:
            remarks.append(
                f"{accuracies.left_out:,} models are in one of the accuracy tables alone and left out."
            )
        remarks += _doubts(accuracies)
        used = {REAL, *(given.label_sets or ()), *given.labels}
        unused = [name for name in accuracies.by if name not in used]
        if unused:
            remarks.append(
                f"The accuracies by {', '.join(unused)} of --accuracy-table are not used; --label-sets "
                f"{','.join(unused)} has a section for each."
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
            f"{given.class_names} names {len(names.names):,} classes, while the labels have "
            f"{reference.num_known_classes:,}; --num-classes says how many there are."
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
    said = []
    for name, values in accuracies.by.items() if len(accuracies) > 1 else ():
        title = title_of(name)
        if (accuracies.original == values).all():
            raise InputError(
                f"--accuracy-table: the original and the {title} accuracies are the same; is one file given "
                f"twice?"
            )
        if name == REAL and (accuracies.original > values).all():
            said.append(
                f"In --accuracy-table, every model is better on the original than on the {title} labels: are "
                f"the two exchanged?"
            )
    return said


def _same(reference: Reference) -> list[str]:
    """A sentence for each two label sets that are equal."""
    remarks = []
    for (name, one), (other_name, other) in itertools.combinations(reference.label_sets.items(), 2):
        if np.array_equal(one.offsets, other.offsets) and np.array_equal(
            one.classes, other.classes
        ):
            what = f"The {reference.titles[name]} and the {reference.titles[other_name]} labels"
            if name == ORIGINAL and len(reference.reassessments) == 1:
                what = "The original and the reassessed labels"
            names = "--original and --labels" if name == ORIGINAL else "--labels"
            remarks.append(f"{what} are the same: does one of {names} name the wrong file?")
    return remarks


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


def _reference(given: Inputs, absent: dict[str, str]) -> Reference | None:
    """The labels; None where only a table of accuracies is to be drawn and nobody named any."""
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
    """(predictions by model, file by model, errors of those that cannot be used)."""
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
            for one in scored:
                called = name if one.model is None else _model_name(one.model, name, models)
                models[called], paths[called] = one.predictions, str(path)
                warnings += [(called, warning) for warning in one.warnings]
    remarks += together(warnings, len(models), "models")
    return models, paths, errors


def _model_name(model: str, file: str, taken: Mapping[str, object]) -> str:
    """What to call a model of a file of several: with the file's name where another is called so."""
    called = printable(model)
    return f"{file}: {called}" if called in taken else called


def _names(paths: Sequence[str]) -> list[str]:
    """What to call the models: their files, with the folder where a file's name says nothing."""
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
    """Raters' answers, the scores that they gave, and where those are from, as far as there are any."""
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
    named = reference.file_names
    if (answers := found["answers"]) is not None:
        asked = answers.questions.named_as(named)
        answers = dataclasses.replace(answers, questions=asked)
    if (scores := found["scores"]) is not None:
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

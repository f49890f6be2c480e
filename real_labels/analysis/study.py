"""The inputs of the analyses: models' predictions, label sets, answers, scores, class names."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.accuracy import top_k_accuracy
from real_labels.analysis.outcomes import Outcomes
from real_labels.labels import ClassNames, Reassessment, find_rows, label_sets_of, titles_of
from real_labels.labels.reassessment import REAL
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from real_labels.analysis.other_models import AccuracyTable
    from real_labels.answers import Answers, Scores
    from real_labels.answers.questions import QuestionLookup
    from real_labels.labels import LabelSets
    from real_labels.labels.reviewed_mistakes import ReviewedMistakes

_ABSENT = {
    "models": "There are no predictions that could be used.",
    "original": "There are no original labels; give them with --original FILE.json.",
    "reassessments": "There are no reassessed labels; give them with --labels FILE.json.",
    "answers": "There are no raters' answers about these images; give them with --answers FILE.",
    "scores": "There are no scores (probabilities of labels, from raters' answers); give --scores FILE.npz "
    "or --answers FILE.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """The inputs of the analyses; every input may be missing.

    Attributes:
      models: predictions by the model's name; all label sets know the predicted images.
      original: original labels, one class for each image.
      reassessments: the other label sets by name, of the same images.
      num_classes: number of classes.
      class_names: names of the classes.
      answers: raters' answers about these images.
      scores: probability of each label according to the raters.
      scores_from: source of the scores, in words.
      scores_of: name of the reassessment that the scores belong to; empty for the first.
      accuracies: accuracies of further models whose predictions are not known.
      shown: the model that the report is about; its mistakes are listed one by one.
      listed: further models whose mistakes are listed.
      reviewed: mistakes of strong models that people reviewed.
      panel: all reassessments, if `reassessments` holds the judge alone; empty if it holds all.
      seed: seed of every bootstrap.
      absent: messages about missing inputs, by the input's name, that replace the usual messages.
      names: names of all models, if `models` may lack some of them; else empty.
    """

    models: Mapping[str, Predictions] = dataclasses.field(default_factory=dict)
    original: LabelSets | None = None
    reassessments: Mapping[str, Reassessment] = dataclasses.field(default_factory=dict)
    num_classes: int = 0
    class_names: ClassNames = dataclasses.field(default_factory=ClassNames)
    answers: Answers | None = None
    scores: Scores | None = None
    scores_from: str = ""
    scores_of: str = ""
    accuracies: AccuracyTable | None = None
    shown: str = ""
    listed: tuple[str, ...] = ()
    reviewed: tuple[ReviewedMistakes, ...] = ()
    panel: Mapping[str, Reassessment] = dataclasses.field(default_factory=dict)
    seed: int = 0
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    names: tuple[str, ...] = ()

    def missing(self, *inputs: str) -> list[str]:
        """One sentence for each of these inputs that is missing, without repetitions."""
        sentences = [
            self.absent.get(name, _ABSENT[name])
            for name in inputs
            if getattr(self, name) is None or getattr(self, name) == {}
        ]
        return list(dict.fromkeys(sentences))

    @property
    def label_sets(self) -> dict[str, LabelSets]:
        """Every label set by name, the original labels first if there are any."""
        return label_sets_of(self.original, self.reassessments)

    @property
    def titles(self) -> dict[str, str]:
        """The title of each label set, the original labels first."""
        return titles_of(self.reassessments)

    @property
    def all_reassessments(self) -> Mapping[str, Reassessment]:
        """Every reassessment, also if `reassessments` holds the judge alone."""
        return self.panel or self.reassessments

    @property
    def is_real_alone(self) -> bool:
        """Whether there is no reassessment other than the ReaL labels."""
        return set(self.reassessments) <= {REAL}

    @functools.cached_property
    def by_judge(self) -> dict[str, Study]:
        """For each reassessment, the study with it as the only judge, on the images that it covers."""
        return {name: self._judged_by(name) for name in self.reassessments}

    def _judged_by(self, name: str) -> Study:
        judge = self.reassessments[name]
        changes: dict[str, Any] = {
            "reassessments": {name: judge},
            "panel": self.reassessments,
            "names": tuple(self.links),
        }
        if name != (self.scores_of or next(iter(self.reassessments))):
            sentence = f"There are no scores of the {judge.title} labels."
            changes |= {
                "scores": None,
                "scores_from": "",
                "absent": {**self.absent, "scores": sentence},
            }
        if judge.covered is not None:
            rows = np.flatnonzero(judge.covered)
            labels = judge.labels.take(rows)
            changes["reassessments"] = {
                name: dataclasses.replace(judge, labels=labels, covered=None)
            }
            if self.original is not None:
                changes["original"] = self.original.take(rows)
            models = changes["models"] = _on(labels.file_names, self.models)
            if self.shown not in models:
                changes["shown"] = next(iter(models), "")
            if self.models and not changes["models"]:
                sentence = f"No predicted image is covered by the {judge.title} labels."
                changes["absent"] = {**changes.get("absent", self.absent), "models": sentence}
        return dataclasses.replace(self, **changes)

    @property
    def judge(self) -> Reassessment:
        """The first reassessment: the judge of every analysis by one label set. There must be one."""
        return next(iter(self.reassessments.values()))

    @property
    def judge_column(self) -> str:
        """The name of the judge's column in lists, chosen so that no other column can have the same name."""
        return REAL if next(iter(self.reassessments), REAL) == REAL else "reassessed"

    @functools.cached_property
    def outcomes(self) -> dict[str, Outcomes]:
        """The outcomes of each model by name; requires original labels and a judge."""
        original = self.original
        assert original is not None
        return {
            name: Outcomes.of(predictions, original, self.judge.labels)
            for name, predictions in self.models.items()
        }

    @functools.cached_property
    def original_top1(self) -> dict[str, float]:
        """Each model's top-1 accuracy on the original labels, a share in [0, 1]; requires original labels."""
        original = self.original
        assert original is not None
        return {
            name: top_k_accuracy(predictions, original).value
            for name, predictions in self.models.items()
        }

    @functools.cached_property
    def answer_lookup(self) -> QuestionLookup:
        """Finds the questions of the answers by rows of the first label set; requires answers."""
        assert self.answers is not None
        return self.answers.questions.lookup(next(iter(self.label_sets.values())).file_names)

    @functools.cached_property
    def score_lookup(self) -> QuestionLookup | None:
        """Finds the questions of the scores by rows of the original labels; None if either is missing."""
        if self.scores is None or self.original is None:
            return None
        return self.scores.questions.lookup(self.original.file_names)

    @functools.cached_property
    def links(self) -> dict[str, str]:
        """The link of each model, which its marks in the figures and its rows in the tables share."""
        return {name: f"model-{number}" for number, name in enumerate(self.names or self.models)}

    def label_columns(self, file_names: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a list: the judge's labels of these images, as indices and as names."""
        rows = self.judge.labels.rows(file_names)
        return {name: column[rows] for name, column in self._label_text.items()}

    @functools.cached_property
    def _label_text(self) -> dict[str, np.ndarray]:
        sets = self.judge.labels.to_lists()
        names = [[self.class_names[class_] for class_ in labels] for labels in sets]
        column = self.judge_column
        return {
            column: np.array([" ".join(map(str, labels)) for labels in sets], np.str_),
            f"{column}_names": np.array(["; ".join(labels) for labels in names], np.str_),
        }

    def subject(self, models: Mapping[str, object]) -> str:
        """The model that a section is about: the shown model if it is in `models`, else the first of them."""
        return self.shown if self.shown in models else next(iter(models))


@dataclasses.dataclass(frozen=True)
class Origin:
    """The origin of a report's inputs.

    Attributes:
      dataset: name of the dataset.
      model_files: the file of each model, by the model's name.
      remarks: remarks on the inputs, such as mix-ups and files that were left out.
    """

    dataset: str
    model_files: dict[str, str] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()


def _on(file_names: np.ndarray, models: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The predictions restricted to these images; models that predict none of them are left out."""
    kept: dict[str, Predictions] = {}
    # By the array of names: models that share the array share the rows.
    kept_rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for name, predictions in models.items():
        if id(predictions.file_names) not in kept_rows:
            rows = np.flatnonzero(find_rows(file_names, predictions.file_names) >= 0)
            names = predictions.file_names[rows]
            is_all = len(names) == len(file_names) and bool((names == file_names).all())
            kept_rows[id(predictions.file_names)] = rows, file_names if is_all else names
        rows, names = kept_rows[id(predictions.file_names)]
        if len(rows):
            scores = None if predictions.scores is None else predictions.scores[rows]
            kept[name] = Predictions(names, predictions.classes[rows], scores, predictions.is_mock)
    return kept

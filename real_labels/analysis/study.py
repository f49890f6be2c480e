"""What there is to analyse: models' predictions, label sets, answers, scores, names."""

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
    "original": "There are no original labels; --original FILE.json names them.",
    "reassessments": "There are no reassessed labels; --labels FILE.json names them.",
    "answers": "There are no raters' answers to these images; --answers FILE names them.",
    "scores": "How sure the raters were is not known; --scores FILE.npz or --answers FILE tells.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """The inputs of the analyses; every one may be missing.

    Attributes:
      models: predictions by name, at least those of one model if any; of images that all label sets know.
      original: original labels, one class an image.
      reassessments: the other label sets by name, of the same images.
      num_classes: number of classes.
      class_names: what they are called.
      answers: raters' answers about these images.
      scores: how probable raters made each label.
      scores_from: where these come from, in words.
      scores_of: name of the reassessment that they belong to; empty for the first.
      accuracies: further models of which only the accuracies are known.
      shown: the model that the report is about, whose mistakes are listed one by one.
      listed: further models whose mistakes are listed.
      reviewed: mistakes of strong models that people reviewed.
      panel: all reassessments, where `reassessments` has the judge alone; empty where it has all.
      seed: of every bootstrap.
      absent: what the reader is told of an input that is not there, where that is special.
      names: of all models, where some were left out; empty where none was.
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
        """A sentence for each of these inputs that is not there."""
        said = [
            self.absent.get(name, _ABSENT[name])
            for name in inputs
            if getattr(self, name) is None or getattr(self, name) == {}
        ]
        return list(dict.fromkeys(said))

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
        """Every reassessment, also where one judges alone."""
        return self.panel or self.reassessments

    @property
    def is_real_alone(self) -> bool:
        """Whether there is no other reassessment than the ReaL labels."""
        return set(self.reassessments) <= {REAL}

    @functools.cached_property
    def by_judge(self) -> dict[str, Study]:
        """By each reassessment, the same with it alone, on the images that it covers; it is the judge."""
        return {name: self._judged_by(name) for name in self.reassessments}

    def _judged_by(self, name: str) -> Study:
        judge = self.reassessments[name]
        changes: dict[str, Any] = {
            "reassessments": {name: judge},
            "panel": self.reassessments,
            "names": tuple(self.links),
        }
        if name != (self.scores_of or next(iter(self.reassessments))):
            said = f"How sure the raters of the {judge.title} labels were is not known."
            changes |= {
                "scores": None,
                "scores_from": "",
                "absent": {**self.absent, "scores": said},
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
                said = f"No predicted image is covered by the {judge.title} labels."
                changes["absent"] = {**changes.get("absent", self.absent), "models": said}
        return dataclasses.replace(self, **changes)

    @property
    def judge(self) -> Reassessment:
        """The first reassessment, by which an analysis of one label set judges; it must be there."""
        return next(iter(self.reassessments.values()))

    @property
    def judge_column(self) -> str:
        """The name of the judge's columns in lists, which is no other column's."""
        return REAL if next(iter(self.reassessments), REAL) == REAL else "reassessed"

    @functools.cached_property
    def outcomes(self) -> dict[str, Outcomes]:
        """Each model's first predictions beside the original labels and the judge's, which must be there."""
        original = self.original
        assert original is not None
        return {
            name: Outcomes.of(one, original, self.judge.labels) for name, one in self.models.items()
        }

    @functools.cached_property
    def original_top1(self) -> dict[str, float]:
        """Each model's top-1 accuracy on the original labels, which must be there: a share."""
        original = self.original
        assert original is not None
        return {name: top_k_accuracy(one, original).value for name, one in self.models.items()}

    @functools.cached_property
    def answer_lookup(self) -> QuestionLookup:
        """The questions of the answers, which must be there, by the images of the first label set."""
        assert self.answers is not None
        return self.answers.questions.lookup(next(iter(self.label_sets.values())).file_names)

    @functools.cached_property
    def score_lookup(self) -> QuestionLookup | None:
        """The questions of the scores by images of the original labels, which must be there."""
        if self.scores is None or self.original is None:
            return None
        return self.scores.questions.lookup(self.original.file_names)

    @functools.cached_property
    def links(self) -> dict[str, str]:
        """What ties each model's marks in the figures to its rows in the tables."""
        return {name: f"model-{number}" for number, name in enumerate(self.names or self.models)}

    def label_columns(self, file_names: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a list: the judge's labels of these images, as indices and as names."""
        rows = self.judge.labels.rows(file_names)
        return {name: column[rows] for name, column in self._label_text.items()}

    @functools.cached_property
    def _label_text(self) -> dict[str, np.ndarray]:
        sets = self.judge.labels.to_lists()
        names = [[self.class_names[class_] for class_ in one] for one in sets]
        column = self.judge_column
        return {
            column: np.array([" ".join(map(str, one)) for one in sets], np.str_),
            f"{column}_names": np.array(["; ".join(one) for one in names], np.str_),
        }

    def subject(self, models: Mapping[str, object]) -> str:
        """The model that a section speaks of: the one shown, or the first of those it has."""
        return self.shown if self.shown in models else next(iter(models))


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the report says of where its inputs come from.

    Attributes:
      dataset: what to call it.
      model_files: the file of each model, by name.
      remarks: what the reader should know of the inputs: mix-ups, files left out.
    """

    dataset: str
    model_files: dict[str, str] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()


def _on(file_names: np.ndarray, models: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The predictions of these images; models that have none are left out."""
    kept: dict[str, Predictions] = {}
    # By the array of names, which models share.
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for name, one in models.items():
        if id(one.file_names) not in found:
            rows = np.flatnonzero(find_rows(file_names, one.file_names) >= 0)
            names = one.file_names[rows]
            is_all = len(names) == len(file_names) and bool((names == file_names).all())
            found[id(one.file_names)] = rows, file_names if is_all else names
        rows, names = found[id(one.file_names)]
        if len(rows):
            scores = None if one.scores is None else one.scores[rows]
            kept[name] = Predictions(names, one.classes[rows], scores, one.is_mock)
    return kept

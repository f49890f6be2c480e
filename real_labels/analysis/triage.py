"""Triage of a model's mistakes: whether the model or the label is wrong (paper, section 4, on BiT-L)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from real_labels.accuracy import Accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.outcomes import Outcomes
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import (
    Card,
    Cell,
    Column,
    Content,
    Gallery,
    SectionFigure,
    Table,
)
from real_labels.analysis.study import Study
from real_labels.answers import Scores
from real_labels.files.records import as_json
from real_labels.intervals import percent
from real_labels.labels import ClassNames, Reassessment, reviewed_mistakes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from real_labels.answers.questions import QuestionLookup

KEY = "triage"
KINDS = ("both_valid", "label_error", "model_error", "neither", "no_label")
_TITLES = {
    "both_valid": "Both are right",
    "label_error": "The label is wrong, the model right",
    "model_error": "The model is wrong, the label right",
    "neither": "Both are wrong",
    "no_label": "No label is right",
}
_SHORT = {
    "both_valid": "both right",
    "label_error": "label wrong",
    "model_error": "model wrong",
    "neither": "both wrong",
    "no_label": "no label right",
}
_TEXTS = {  # {by} is the title of the label set that judges
    "both_valid": "Both are {by} labels: the image shows several classes, or both names mean the same.",
    "label_error": "The prediction is a {by} label, the original label is not.",
    "model_error": "The original label is a {by} label, the prediction is not.",
    "neither": "Neither is a {by} label, but another class is.",
    "no_label": "The image has no {by} label, so the {by} accuracy leaves it out.",
}
_COLOURS = dict(
    zip(
        KINDS,
        (figures.REAL, figures.ORIGINAL, figures.MODEL, figures.VIOLET, figures.GREY),
        strict=True,
    )
)
_CARDS = 12  # images of each kind
_CLASSES_SHOWN = 100


@dataclasses.dataclass(frozen=True)
class KindShare(Accuracy):
    """The mistakes of one kind, as a share of all mistakes.

    Attributes:
      count: number of mistakes of the kind.
      prediction_asked: number of these on which raters were asked about the prediction; None if not known.
    """

    count: int
    prediction_asked: int | None


@dataclasses.dataclass(frozen=True)
class ClassMistakes:
    """The mistakes on the images of one original label.

    Attributes:
      class_: the original label.
      num_images, num_mistakes: number of images and of mistakes.
      share: share of the images that are mistakes.
      kinds: number of mistakes of each kind.
    """

    class_: int
    num_images: int
    num_mistakes: int
    share: Accuracy
    kinds: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """The fields, with one key for each kind."""
        return {
            "class": self.class_,
            "num_images": self.num_images,
            "num_mistakes": self.num_mistakes,
            "share": as_json(self.share),
            **self.kinds,
        }


@dataclasses.dataclass(frozen=True)
class ValidOn:
    """The number of mistakes for one pair of counts.

    The counts are of the reassessments that label the image, and of those in which the prediction is valid.

    Attributes:
      judges: number of reassessments that label the image.
      valid: number of these in which the prediction is valid.
      count: number of mistakes.
    """

    judges: int
    valid: int
    count: int


@dataclasses.dataclass(frozen=True)
class Triage:
    """A model's mistakes by kind.

    Attributes:
      num_images, num_mistakes: number of images and of mistakes.
      kinds: the mistakes of each kind.
      prediction_valid: share of the mistakes whose prediction is a valid label.
      agrees_with_rejected: number of predictions that equal an original label which is not valid.
      classes: the mistakes by original label, sorted by the lower end of the share's interval, highest first,
        so that classes of few images do not come first; None for a model whose mistakes are not listed.
      reassessments: the mistakes by the number of reassessments that label the image, and that call the
        prediction valid; None with one reassessment alone, or if the mistakes are not listed.
    """

    num_images: int
    num_mistakes: int
    kinds: Mapping[str, KindShare]
    prediction_valid: Accuracy
    agrees_with_rejected: int
    classes: Sequence[ClassMistakes] | None = None
    reassessments: Sequence[ValidOn] | None = None


def measure(outcomes: Outcomes, scores: Scores | None = None) -> Triage:
    """Sorts each mistake (a prediction that is not the original label) into exactly one kind.

    A class that raters were not asked about is not a valid label, unless it is the original label.

    Args:
      outcomes: outcomes of the model.
      scores: the scores of all labels that raters were asked about; None if not known.
    """
    return summary(outcomes, mistakes(outcomes, scores), scores is not None)


def summary(
    outcomes: Outcomes,
    listed: Mistakes,
    has_scores: bool,
    *,
    with_classes: bool = True,
    panel: Panel | None = None,
) -> Triage:
    """Counts mistakes that `mistakes` has listed; see `measure`.

    Args:
      outcomes: outcomes of the model.
      listed: the model's mistakes.
      has_scores: whether there are scores.
      with_classes: whether to count the mistakes by class.
      panel: the verdicts of all reassessments on the mistakes.
    """
    counts = np.bincount(listed.kind, minlength=len(KINDS))
    n = len(listed.row)
    rejected = ~outcomes.mistake & ~outcomes.original_valid
    asked: list[int | None] = [None] * len(KINDS)
    if has_scores:
        known = ~np.isnan(listed.predicted_score)
        asked = np.bincount(listed.kind[known], minlength=len(KINDS)).tolist()
    return Triage(
        num_images=len(outcomes),
        num_mistakes=n,
        kinds={
            name: KindShare.of(c, n, count=int(c), prediction_asked=of_these)
            for name, c, of_these in zip(KINDS, counts, asked, strict=True)
        },
        prediction_valid=Accuracy.of(counts[0] + counts[1], n),
        agrees_with_rejected=int(np.count_nonzero(rejected)),
        classes=_per_class(outcomes, listed) if with_classes else None,
        reassessments=None if panel is None else panel.counts(),
    )


def _per_class(outcomes: Outcomes, listed: Mistakes) -> list[ClassMistakes]:
    classes, row = np.unique(outcomes.original, return_inverse=True)
    images = np.bincount(row, minlength=len(classes)).tolist()
    table = np.zeros((len(classes), len(KINDS)), np.int64)
    np.add.at(table, (row[listed.row], listed.kind), 1)
    mistakes_by_class = [
        ClassMistakes(
            class_,
            n,
            sum(counts),
            Accuracy.of(sum(counts), n),
            dict(zip(KINDS, counts, strict=True)),
        )
        for class_, n, counts in zip(classes.tolist(), images, table.tolist(), strict=True)
    ]
    return sorted(mistakes_by_class, key=lambda of_class: -of_class.share.low)


@dataclasses.dataclass(frozen=True, eq=False)
class Mistakes:
    """A model's M mistakes, sorted as the function `mistakes` sorts them.

    Attributes:
      row: (M,) row in the outcomes.
      kind: (M,) index in KINDS.
      original_score, predicted_score: (M,) the raters' probability of the original and of the predicted
        label; NaN if raters were not asked about the label.
      sureness: (M,) probability that the reassessment is right about both labels: the product of its
        probabilities for the labels with a score. NaN if neither label has one.
    """

    row: Int[np.ndarray, "mistakes"]
    kind: Int[np.ndarray, "mistakes"]
    original_score: Float[np.ndarray, "mistakes"]
    predicted_score: Float[np.ndarray, "mistakes"]
    sureness: Float[np.ndarray, "mistakes"]

    def take(self, rows: np.ndarray) -> Mistakes:
        """The mistakes of these rows, in the order of `rows`."""
        return Mistakes(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})


def mistakes(
    outcomes: Outcomes, scores: Scores | None = None, lookup: QuestionLookup | None = None
) -> Mistakes:
    """Lists the mistakes, those of which the raters were surest first.

    Mistakes with raters' scores of both labels come first, then mistakes with a score of one label, then
    mistakes without. Within each group, mistakes are sorted by sureness, then by the model's confidence, both
    highest first, then by file name.

    Args:
      outcomes: outcomes of the model.
      scores: the raters' probability of each label.
      lookup: finds the questions of `scores` by row of the original labels; None: it is made here.
    """
    p, o = outcomes.predicted_valid, outcomes.original_valid
    kind = np.select([p & o, p, o, outcomes.num_labels > 0], [0, 1, 2, 3], 4)
    row = np.flatnonzero(outcomes.mistake)
    names = outcomes.file_names[row]
    label_scores, sureness = [], np.ones(len(row))
    asked = np.zeros(len(row), np.int64)
    image = np.arange(len(names)) if lookup is None else outcomes.row[row]
    if scores is not None and lookup is None:
        lookup = scores.questions.lookup(names)
    for label, valid in (
        (outcomes.original[row], outcomes.original_valid[row]),
        (outcomes.predicted[row], outcomes.predicted_valid[row]),
    ):
        score = _scores_of(scores, lookup, image, label)
        label_scores.append(score)
        known = ~np.isnan(score)
        asked += known
        sureness *= np.where(known, np.where(valid, score, 1 - score), 1)
    sureness[asked == 0] = np.nan
    everything = Mistakes(row, kind[row], label_scores[0], label_scores[1], sureness)
    confidence = np.zeros(len(row)) if outcomes.confidence is None else outcomes.confidence[row]
    return everything.take(np.lexsort([names, -confidence, -np.nan_to_num(sureness), -asked]))


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """The verdicts of R reassessments on M mistakes.

    Attributes:
      names: names of the R reassessments.
      judges: (M, R) whether the reassessment labels the image.
      valid: (M, R) whether the prediction is valid in the reassessment.
    """

    names: tuple[str, ...]
    judges: Bool[np.ndarray, "mistakes reassessments"]
    valid: Bool[np.ndarray, "mistakes reassessments"]

    @classmethod
    def of(
        cls, outcomes: Outcomes, listed: Mistakes, reassessments: Mapping[str, Reassessment]
    ) -> Panel:
        """Looks up the mistakes in every reassessment; every reassessment must know the images."""
        names, predicted = outcomes.file_names[listed.row], outcomes.predicted[listed.row]
        judges, valid = [], []
        for reassessment in reassessments.values():
            rows = reassessment.labels.rows(names)
            judges.append(reassessment.labels.counts[rows] > 0)
            valid.append(reassessment.labels.contains(rows, predicted[:, None])[:, 0])
        return cls(tuple(reassessments), np.stack(judges, axis=1), np.stack(valid, axis=1))

    def counts(self) -> list[ValidOn]:
        """Counts the mistakes by the number of judging reassessments and of valid verdicts."""
        pairs = np.stack([self.judges.sum(axis=1), self.valid.sum(axis=1)], axis=1)
        distinct, number = np.unique(pairs, axis=0, return_counts=True)
        kinds = zip(distinct.tolist(), number.tolist(), strict=True)
        return [ValidOn(judges, valid, n) for (judges, valid), n in kinds]

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of a list: names and number of valid verdicts, and number of judging reassessments."""
        by = [
            " ".join(name for name, is_valid in zip(self.names, row, strict=True) if is_valid)
            for row in self.valid.tolist()
        ]
        return {
            "valid_by": np.array(by, np.str_),
            "num_valid_by": self.valid.sum(axis=1),
            "num_reassessments": self.judges.sum(axis=1),
        }

    def describe(self, mistake: int) -> str:
        """The verdicts on one mistake in words; "" if no reassessment labels the image."""
        judges, valid = int(self.judges[mistake].sum()), int(self.valid[mistake].sum())
        return f"valid on {valid} of {judges} reassessments" if judges else ""


def _scores_of(
    scores: Scores | None,
    lookup: QuestionLookup | None,
    image: Int[np.ndarray, "n"],
    classes: Int[np.ndarray, "n"],
) -> Float[np.ndarray, "n"]:
    if lookup is None or scores is None or not len(scores):
        return np.full(len(image), np.nan)
    at = lookup.rows(image, classes)
    return np.where(at >= 0, scores.probability[np.maximum(at, 0)], np.nan)


@figures.styled
def draw(
    measured: Mapping[str, Triage], links: Mapping[str, str], accuracies: Mapping[str, float]
) -> Figure:
    """Draws each model's mistakes by kind: a bar for each model or, with many models, shares over accuracy.

    Args:
      measured: the triage of each model.
      links: the link of each model.
      accuracies: top-1 on the original labels, shares.
    """
    names = _ranked(measured)
    if len(names) > figures.MANY:
        shares = {kind: [measured[name].kinds[kind] for name in names] for kind in KINDS}
        return figures.over_accuracy(
            [accuracies[name] for name in names],
            [figures.Series(_TITLES[kind], _COLOURS[kind], shares[kind]) for kind in KINDS],
            [links[name] for name in names],
            "share of the model's mistakes, %",
        )
    figure, (axis,) = figures.rows_axes(names, extra=1.2)
    counts = [[measured[name].kinds[kind].count for name in names] for kind in KINDS]

    def targets(kind: str) -> list[str]:
        # With one model, the marks also link to the images of each kind.
        also = f" {section.GALLERY}{kind}" if len(names) == 1 else ""
        return [links[name] + also for name in names]

    figures.stack(
        axis,
        [
            figures.Part(_TITLES[kind], _COLOURS[kind], widths, targets(kind))
            for kind, widths in zip(KINDS, counts, strict=True)
        ],
        lambda part, row: f"{100 * counts[part][row] / measured[names[row]].num_mistakes:.0f}%",
    )
    axis.set_xlabel("predictions that are not the original label")
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    figures.legend(figure, [axis])
    return figure


def _ranked(measured: Mapping[str, Triage]) -> list[str]:
    """The names of the models, sorted by their number of mistakes."""
    return sorted(measured, key=lambda name: measured[name].num_mistakes)


def make(study: Study) -> Content:
    """Sorts the mistakes of each model of a study by kind, and shows the mistakes of one model."""
    missing = study.missing("scores")
    by = study.judge.title
    shown = study.shown
    listed = {
        name: mistakes(outcomes, study.scores, study.score_lookup)
        for name, outcomes in study.outcomes.items()
    }
    in_lists = [name for name in listed if name == shown or name in study.listed]
    panels = {}
    if len(study.all_reassessments) > 1:
        panels = {
            name: Panel.of(study.outcomes[name], listed[name], study.all_reassessments)
            for name in in_lists
        }
    measured = {
        name: summary(
            study.outcomes[name],
            of_model,
            study.scores is not None,
            with_classes=name in in_lists,
            panel=panels.get(name),
        )
        for name, of_model in listed.items()
    }
    remarks = list(filter(None, [reviewed_mistakes.sentence(study.reviewed, study.judge)]))
    if len(measured) > 1:
        others = (
            "the lists have all"
            if len(in_lists) == len(measured)
            else "--list-mistakes NAMES lists the mistakes of others, too"
        )
        remarks.append(
            f"Classes and images are those of {shown}; --show NAME takes another model, and {others}."
        )
    if study.scores is not None and measured[shown].num_mistakes:
        remarks.append(_asked_sentence(measured[shown]))
    list_names = _list_names(listed)
    lists = {
        list_names[name]: _list(study, study.outcomes[name], listed[name], panels.get(name))
        for name in in_lists
    }
    lists[f"{KEY}_by_class"] = _classes_list(measured[shown], study.class_names)
    tables = [_table(measured, study.links, by)]
    if measured[shown].num_mistakes:
        tables.append(_classes_table(measured[shown], study.class_names, shown, by))
        if (panel := measured[shown].reassessments) is not None:
            tables.append(_panel_table(panel, shown))
    title = "Mistakes of each model by kind"
    if len(measured) > figures.MANY:
        title += ", over the models' accuracy"
    return Content(
        lead=_lead(measured[shown], shown),
        missing=missing,
        remarks=remarks,
        numbers=measured,
        figures=[SectionFigure(KEY, title, draw(measured, study.links, study.original_top1))],
        tables=tables,
        galleries=_galleries(study, shown, listed[shown], measured[shown], panels.get(shown)),
        lists=lists,
        notes=[
            f"A mistake is a first prediction that is not the original label. A label is valid if it is "
            f"among the {by} labels. Images are sorted by the probability that the {by} labels are right "
            f"about the original and the predicted label, computed from the raters' scores. Images on which "
            f"raters were asked about both labels come first; a label that raters were not asked about does "
            f"not count.",
            *([f"Source of the raters' scores: {study.scores_from}."] if study.scores_from else []),
        ],
        tiles=section.tiles(
            (measured[shown].prediction_valid, "of its mistakes are valid predictions", "model")
        ),
    )


ANALYSIS = Analysis(
    KEY,
    "Triage of mistakes",
    "How many of the model's mistakes are errors of the original labels?",
    needs=("models", "original", "reassessments"),
    make=make,
    by_one=True,
)


def _asked_sentence(triage: Triage) -> str:
    """Says about how many of the invalid predictions raters were asked."""
    wrong = [triage.kinds[kind] for kind in ("model_error", "neither", "no_label")]
    total = sum(kind.count for kind in wrong)
    asked = sum(kind.prediction_asked or 0 for kind in wrong)
    return (
        f"Of the {total:,} mistakes whose prediction is not valid, raters were asked about the prediction on "
        f"{asked:,}: what nobody proposed counts as not valid."
    )


def _lead(triage: Triage, name: str) -> str:
    n = triage.num_mistakes
    if not n:
        return (
            f"{name} makes no mistakes: each of its {triage.num_images:,} first predictions is the "
            f"original label."
        )
    counts = {name: kind.count for name, kind in triage.kinds.items()}
    share = {kind: f"{count:,} ({100 * count / n:.1f}%)" for kind, count in counts.items()}
    return (
        f"{name} contradicts the original label on {n:,} of {triage.num_images:,} images. On "
        f"{percent(triage.prediction_valid, 1)} of these its prediction is a valid label: beside "
        f"the original one ({counts['both_valid']:,}) or in its place ({counts['label_error']:,}). On "
        f"{share['model_error']} only the original label is right, on {share['neither']} neither of the two, "
        f"and {share['no_label']} have no valid label. On {triage.agrees_with_rejected:,} other images it "
        f"repeats an original label that is not valid."
    )


def _table(measured: Mapping[str, Triage], links: Mapping[str, str], by: str) -> Table:
    columns = [
        Column("model", lambda name: name, is_text=True),
        Column("mistakes", lambda name: measured[name].num_mistakes),
        *(
            Column(
                _SHORT[kind],
                lambda name, kind=kind: _kind_cell(measured[name].kinds[kind]),
                _TEXTS[kind].format(by=by),
            )
            for kind in KINDS
        ),
        Column(
            "repeats a wrong label",
            lambda name: measured[name].agrees_with_rejected,
            "Predictions equal to an original label that is not valid",
        ),
    ]
    title = "The mistakes by kind"
    return Table.of(f"{KEY}-models", title, columns, _ranked(measured), links.__getitem__)


def _kind_cell(kind: KindShare) -> Cell:
    return Cell(f"{kind.count:,}", kind.count, percent(kind, 1)) if kind.is_known else Cell("–")


def _classes_table(triage: Triage, names: ClassNames, model: str, by: str) -> Table:
    columns = [
        Column("original label", lambda row: names[row.class_], is_text=True),
        Column("images", lambda row: row.num_images),
        Column(
            "wrong",
            lambda row: section.share(row.share, bar=True),
            "Share of the images whose first prediction is not the original label",
        ),
        Column("mistakes", lambda row: row.num_mistakes),
        *(
            Column(_SHORT[kind], lambda row, kind=kind: row.kinds[kind], _TEXTS[kind].format(by=by))
            for kind in KINDS
        ),
    ]
    worst = [row for row in triage.classes or () if row.num_mistakes][:_CLASSES_SHOWN]
    return Table.of(
        f"{KEY}-classes",
        f"The {len(worst)} classes with the highest share of mistakes of {model}",
        columns,
        worst,
        lambda row: f"class-{row.class_}",
        f"{KEY}_by_class",
    )


def _panel_table(counts: Sequence[ValidOn], model: str) -> Table:
    """Counts of mistakes. Rows: number of judging reassessments; columns: number of valid verdicts."""
    most = max(group.judges for group in counts)
    number = {(group.judges, group.valid): group.count for group in counts}
    columns = [
        Column("reassessments with a label", lambda judges: judges),
        *(
            Column(
                f"valid on {valid}",
                lambda judges, valid=valid: (
                    number.get((judges, valid), 0) if valid <= judges else Cell("–")
                ),
                "Mistakes",
            )
            for valid in range(most + 1)
        ),
    ]
    title = f"Mistakes of {model}, by the number of reassessments in which the prediction is valid"
    return Table.of(f"{KEY}-reassessments", title, columns, range(most, -1, -1))


def _classes_list(triage: Triage, names: ClassNames) -> dict[str, np.ndarray]:
    rows = triage.classes or ()
    columns = {
        "class": np.array([row.class_ for row in rows]),
        "num_images": np.array([row.num_images for row in rows]),
        "num_mistakes": np.array([row.num_mistakes for row in rows]),
        **{kind: np.array([row.kinds[kind] for row in rows]) for kind in KINDS},
    }
    shares = section.columns("share", [row.share for row in rows])
    return {"name": names.of(columns["class"]), **columns, **shares}


def _list_names(models: Iterable[str]) -> dict[str, str]:
    """A file name for each model's list, distinct even if the file system ignores case."""
    names: dict[str, str] = {}
    for number, model in enumerate(models):
        name = "mistakes_" + re.sub(r"[^\w.+-]+", "_", model)
        taken = {other.lower() for other in names.values()}
        names[model] = f"{name}_{number}" if name.lower() in taken else name
    return names


def _list(
    study: Study, outcomes: Outcomes, listed: Mistakes, panel: Panel | None
) -> dict[str, np.ndarray]:
    row, names = listed.row, study.class_names
    columns = {
        "file_name": outcomes.file_names[row],
        "kind": np.array(KINDS)[listed.kind],
        "sureness": listed.sureness,
        "original": outcomes.original[row],
        "original_name": names.of(outcomes.original[row]),
        "original_score": listed.original_score,
        "predicted": outcomes.predicted[row],
        "predicted_name": names.of(outcomes.predicted[row]),
        "predicted_score": listed.predicted_score,
        **study.label_columns(outcomes.file_names[row]),
        **({} if panel is None else panel.columns()),
    }
    if outcomes.confidence is not None:
        columns["confidence"] = outcomes.confidence[row]
    return columns


def _galleries(
    study: Study, model: str, listed: Mistakes, triage: Triage, panel: Panel | None
) -> list[Gallery]:
    outcomes, judge = study.outcomes[model], study.judge
    galleries = []
    for number, kind in enumerate(KINDS):
        of_kind = np.flatnonzero(listed.kind == number)[:_CARDS].tolist()
        chosen = listed.take(of_kind)
        if not len(chosen.row):
            continue
        names = outcomes.file_names[chosen.row]
        sets = judge.labels.take(judge.labels.rows(names)).to_lists()
        cards = [
            Card(
                file_name=str(outcomes.file_names[row]),
                original=study.class_names[int(outcomes.original[row])],
                predicted=study.class_names[int(outcomes.predicted[row])],
                by=judge.title,
                valid=[study.class_names[c] for c in sets[i]],
                original_valid=bool(outcomes.original_valid[row]),
                predicted_valid=bool(outcomes.predicted_valid[row]),
                notes=[
                    *_notes(outcomes, chosen, i),
                    *([] if panel is None else filter(None, [panel.describe(of_kind[i])])),
                ],
            )
            for i, row in enumerate(chosen.row.tolist())
        ]
        text = _TEXTS[kind].format(by=judge.title)
        galleries.append(
            Gallery(
                f"{section.GALLERY}{kind}", _TITLES[kind], text, cards, triage.kinds[kind].count
            )
        )
    return galleries


def _notes(outcomes: Outcomes, chosen: Mistakes, i: int) -> list[str]:
    notes = []
    scores = {"original": chosen.original_score[i], "prediction": chosen.predicted_score[i]}
    if not all(np.isnan(p) for p in scores.values()):
        asked = [
            f"{name} {'not asked' if np.isnan(p) else f'{100 * p:.0f}%'}"
            for name, p in scores.items()
        ]
        notes.append(f"raters: {', '.join(asked)}")
    if outcomes.confidence is not None:
        notes.append(f"model: {_confidence(float(outcomes.confidence[chosen.row[i]]))}")
    return notes


def _confidence(score: float) -> str:
    return f"{100 * score:.0f}% sure" if 0 <= score <= 1 else f"score {score:.3g}"

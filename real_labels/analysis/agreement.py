"""Whether the reassessments agree: with each other, with the raters, and in how they rank models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from real_labels import accuracy
from real_labels.accuracy import Accuracy
from real_labels.analysis import real_over_original
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import figures, section
from real_labels.analysis.page.section import Cell, Column, Content, SectionFigure, Table
from real_labels.analysis.real_over_original import Regression
from real_labels.analysis.study import Study
from real_labels.answers import Answers
from real_labels.intervals import Estimate, bootstrap_estimate, percent
from real_labels.labels import ORIGINAL, LabelSets, find_rows
from real_labels.predictions import Predictions

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from real_labels.answers.questions import QuestionLookup

KEY = "agreement"
RELATIONS = ("equal", "overlapping", "disjoint")
_COLOURS = dict(zip(RELATIONS, (figures.REAL, figures.AMBER, figures.ORIGINAL), strict=True))
LEAST_MODELS = 3  # rankings of two models are either equal or opposite
DRAWS = 500
_AT_A_TIME = 100  # draws of the bootstrap


@dataclasses.dataclass(frozen=True)
class RaterSupport:
    """The label set that raters support on images on which two label sets differ.

    Attributes:
      first, second, neither: shares of the images on which raters support the first, the second, neither set.
      n: number of images whose sets differ in a label that raters were asked about.
    """

    first: Accuracy
    second: Accuracy
    neither: Accuracy

    @property
    def n(self) -> int:
        """Number of images."""
        return self.first.n


@dataclasses.dataclass(frozen=True)
class SetAgreement:
    """How far two label sets agree, image by image.

    Attributes:
      first, second: names of the label sets.
      covered: number of images that both looked at.
      labelled: number of images to which both give a label.
      equal, overlapping, disjoint: shares of the images in `labelled`.
      raters: the set that raters support if the sets differ; None without answers.
    """

    first: str
    second: str
    covered: int
    labelled: int
    equal: Accuracy
    overlapping: Accuracy
    disjoint: Accuracy
    raters: RaterSupport | None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How far two label sets rank the models alike.

    Attributes:
      first, second: names of the label sets.
      spearman, kendall: rank correlations of the models' top-1 accuracies (Kendall's tau-b), with bootstrap
        intervals over images; n is the number of models.
      swapped: number of pairs of models whose order differs.
      pairs: number of pairs of models.
    """

    first: str
    second: str
    spearman: Estimate
    kendall: Estimate
    swapped: int
    pairs: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """All results of the section.

    Attributes:
      sets: every pair of label sets, the original labels among them.
      rankings: every pair of label sets, with three models or more; else empty.
      rankings_of_best: the same for the better half of the models by the first label set (the original
        labels, if any), with six models or more; else empty.
      slopes: by reassessment, the regression of its accuracy on original accuracy
        (real_over_original.measure).
    """

    sets: Sequence[SetAgreement]
    rankings: Sequence[Ranking]
    rankings_of_best: Sequence[Ranking]
    slopes: Mapping[str, Regression | None]


def compare(
    first: tuple[str, LabelSets, Bool[np.ndarray, "images"]],
    second: tuple[str, LabelSets, Bool[np.ndarray, "images"]],
    answers: Answers | None = None,
    lookup: QuestionLookup | None = None,
) -> SetAgreement:
    """Measures how far two label sets agree.

    If the sets of an image differ, a rater's answer about a label that only one set has counts from -1
    (surely absent) to 1 (surely present) for this set. The mean answers to these labels are summed, with
    a minus for the second set; the sign of the sum tells which set the raters support.

    Args:
      first, second: (name, label sets, whether each image was looked at), of the same images.
      answers: raters' answers.
      lookup: finds the questions of the answers by rows of these images; None to make a lookup here.
    """
    (name, a, a_covers), (other, b, b_covers) = first, second
    covered = a_covers & b_covers
    counts_a, counts_b = a.counts, b.counts
    image_a, image_b = (np.repeat(np.arange(len(labels)), labels.counts) for labels in (a, b))
    only_a = ~b.contains(image_a, a.classes[:, None])[:, 0]
    only_b = ~a.contains(image_b, b.classes[:, None])[:, 0]
    alone_a = np.bincount(image_a[only_a], minlength=len(a))
    alone_b = np.bincount(image_b[only_b], minlength=len(a))
    both = covered & (counts_a > 0) & (counts_b > 0)
    n = int(np.count_nonzero(both))
    equal = both & (alone_a == 0) & (alone_b == 0)
    disjoint = both & (alone_a == counts_a)
    kinds = [equal, both & ~equal & ~disjoint, disjoint]
    equal_share, partly_share, disjoint_share = (
        Accuracy.of(int(np.count_nonzero(kind)), n) for kind in kinds
    )
    raters = None
    if answers is not None:
        lookup = lookup or answers.questions.lookup(a.file_names)
        kept_a, kept_b = only_a & covered[image_a], only_b & covered[image_b]
        raters = _sides(
            (image_a[kept_a], a.classes[kept_a]),
            (image_b[kept_b], b.classes[kept_b]),
            len(a),
            answers,
            lookup,
        )
    num_covered = int(np.count_nonzero(covered))
    return SetAgreement(
        name, other, num_covered, n, equal_share, partly_share, disjoint_share, raters
    )


def _sides(
    only_first: tuple[Int[np.ndarray, "p"], Int[np.ndarray, "p"]],
    only_second: tuple[Int[np.ndarray, "q"], Int[np.ndarray, "q"]],
    number: int,
    answers: Answers,
    lookup: QuestionLookup,
) -> RaterSupport:
    mean = _mean_answers(answers)
    support, asked = np.zeros(number), np.zeros(number, bool)
    for (image, label), sign in ((only_first, 1), (only_second, -1)):
        row = lookup.rows(image, label)
        known = (row >= 0) & (answers.asked[np.maximum(row, 0)] > 0)
        np.add.at(support, image[known], sign * mean[row[known]])
        asked[image[known]] = True
    n = int(np.count_nonzero(asked))
    # The sums are of a few fractions: rounding must not turn a tie into support.
    support = np.where(np.abs(support) < 1e-9, 0, support)
    return RaterSupport(
        *(
            Accuracy.of(int(np.count_nonzero(asked & side)), n)
            for side in (support > 0, support < 0, support == 0)
        )
    )


def _mean_answers(answers: Answers) -> Float[np.ndarray, "questions"]:
    """Mean answer to each question, from -1 (surely absent) to 1 (surely present)."""
    most = len(answers.categories) - 1
    value = 2 * answers.answer.astype(np.float64) / most - 1
    question = np.repeat(np.arange(len(answers.questions)), answers.asked)
    total = np.bincount(question, value, minlength=len(answers.questions))
    return total / np.maximum(answers.asked, 1)


def rank(
    models: Mapping[str, Predictions], label_sets: Mapping[str, LabelSets], *, seed: int = 0
) -> tuple[list[Ranking], list[Ranking]]:
    """Measures how far every two label sets rank all models alike, and the better half of the models.

    Any labels rank models of very different accuracy alike, so the better half tells more.

    Args:
      models: predictions by the model's name; the images that all models predict count.
      label_sets: by name; each must know all predicted images.
      seed: seed of the bootstrap over images.

    Returns:
      A ranking for every pair of label sets on which every model has an accuracy; empty for fewer than three
      models or without common images. The same for the better half of the models by the first label set;
      empty for fewer than six models.
    """
    names = _common_images(list(models.values()))
    if len(models) < LEAST_MODELS or not len(names):
        return [], []
    labelled, hits = {}, {}
    for key, labels in label_sets.items():
        judged = []
        for predictions in models.values():
            on_common = (
                predictions
                if predictions.file_names is names
                else predictions.take(predictions.rows(names))
            )
            judged.append(accuracy.top_k_hits(on_common, labels))
        if judged[0][0].any():
            labelled[key], hits[key] = judged[0][0], np.stack([right for _, right in judged])
    draws = _bootstrap(labelled, hits, seed)
    values = {key: hits[key].sum(axis=1)[None] / labelled[key].sum() for key in hits}
    order = (
        np.argsort(-values[next(iter(values))][0], kind="stable") if values else np.zeros(0, int)
    )
    best = np.sort(order[: (len(models) + 1) // 2])
    of_best = _rankings(values, draws, best) if len(models) >= 2 * LEAST_MODELS else []
    return _rankings(values, draws, np.arange(len(models))), of_best


def _rankings(
    values: Mapping[str, Float[np.ndarray, "1 models"]],
    draws: Mapping[str, Float[np.ndarray, "draws models"]],
    models: Int[np.ndarray, "some"],
) -> list[Ranking]:
    """A ranking of these models for every pair of label sets."""
    rankings = []
    for first, second in itertools.combinations(values, 2):
        a, b = values[first][:, models], values[second][:, models]
        draws_a, draws_b = draws[first][:, models], draws[second][:, models]
        spearman, kendall = (
            bootstrap_estimate(
                float(correlation(a, b)[0]), correlation(draws_a, draws_b), len(models)
            )
            for correlation in (_spearman, _kendall)
        )
        sign_a, sign_b = _signs(a)[0], _signs(b)[0]
        swapped = int(np.count_nonzero(sign_a * sign_b < 0))
        rankings.append(Ranking(first, second, spearman, kendall, swapped, len(sign_a)))
    return rankings


def _common_images(models: Sequence[Predictions]) -> np.ndarray:
    """The images that all models predict, in the order of the first."""
    names = models[0].file_names if models else np.zeros(0, np.str_)
    for predictions in models[1:]:
        if predictions.file_names is not names:
            is_common = find_rows(predictions.file_names, names) >= 0
            names = names if is_common.all() else names[is_common]
    return names


def _bootstrap(
    labelled: Mapping[str, Bool[np.ndarray, "images"]],
    hits: Mapping[str, Bool[np.ndarray, "models images"]],
    seed: int,
) -> dict[str, Float[np.ndarray, "draws models"]]:
    """Bootstrap accuracies of the models on each label set; all label sets share the drawn images."""
    generator = np.random.default_rng(seed)
    n = len(next(iter(labelled.values())))
    accuracies: dict[str, list[np.ndarray]] = {key: [] for key in hits}
    as_float = {key: right.astype(np.float32) for key, right in hits.items()}
    for begin in range(0, DRAWS, _AT_A_TIME):
        size = min(_AT_A_TIME, DRAWS - begin)
        weights = np.stack(
            [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(size)]
        ).astype(np.float32)
        for key, right in as_float.items():
            counted = weights @ labelled[key].astype(np.float32)
            with np.errstate(invalid="ignore"):  # a draw may hold no labelled image
                accuracies[key].append((weights @ right.T) / counted[:, None])
    return {key: np.concatenate(parts) for key, parts in accuracies.items()}


def _spearman(
    first: Float[np.ndarray, "draws models"], second: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, "draws"]:
    from scipy import stats

    a, b = (stats.rankdata(values, axis=1) for values in (first, second))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    with np.errstate(invalid="ignore"):  # if all models are equal
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def _kendall(
    first: Float[np.ndarray, "draws models"], second: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, "draws"]:
    """Kendall's tau-b."""
    a, b = _signs(first), _signs(second)
    concordant = np.einsum("dp,dp->d", a, b, dtype=np.float64)
    sizes = [np.count_nonzero(signs, axis=1).astype(np.float64) for signs in (a, b)]
    with np.errstate(invalid="ignore"):
        return concordant / np.sqrt(sizes[0] * sizes[1])


def _signs(values: Float[np.ndarray, "draws models"]) -> Int[np.ndarray, "draws pairs"]:
    """For every pair of models, 1 if the second is better, 0 if they are equal, -1 if it is worse."""
    i, j = np.triu_indices(values.shape[1], 1)
    return np.sign(values[:, j] - values[:, i]).astype(np.int8)


@figures.styled
def draw(
    sets: Sequence[SetAgreement], rankings: Sequence[Ranking], titles: Mapping[str, str]
) -> Figure:
    """Draws how far every two label sets agree (left) and how far they rank the models alike (right)."""
    names = [f"{titles[pair.first]} /\n{titles[pair.second]}" for pair in sets]
    figure, axes = figures.rows_axes(names, columns=2 if rankings else 1, extra=1.1)
    links = [_link(pair) for pair in sets]
    widths = {kind: [100 * _or_0(getattr(pair, kind)) for pair in sets] for kind in RELATIONS}
    figures.stack(
        axes[0],
        [figures.Part(kind, _COLOURS[kind], widths[kind], links) for kind in RELATIONS],
        lambda part, row: _if_wide(widths[RELATIONS[part]][row], has_room=not rankings),
    )
    axes[0].set_xlabel("images, %")
    if rankings:
        ranked = {(ranking.first, ranking.second): ranking for ranking in rankings}
        rows = [ranked.get((pair.first, pair.second)) for pair in sets]
        for field, colour, title in (
            ("spearman", figures.MODEL, "Spearman's ρ"),
            ("kendall", figures.VIOLET, "Kendall's τ"),
        ):
            shares = [ranking and getattr(ranking, field) for ranking in rows]
            figures.dots(axes[1], shares, links, colour, title)
        axes[1].set_xlabel("rank correlation × 100")
    figures.legend(figure, axes)
    return figure


def _if_wide(percent_: float, *, has_room: bool) -> str:
    """The text in a part of a bar; "" if the part is too narrow."""
    return f"{percent_:.0f}%" if has_room or percent_ > 16 else ""


def _or_0(share: Accuracy) -> float:
    return share.value if share.is_known else 0.0


def _link(pair: SetAgreement | Ranking) -> str:
    return f"sets-{pair.first}-{pair.second}"


def make(study: Study) -> Content:
    """Compares the label sets of a study."""
    label_sets = study.label_sets
    images = next(iter(label_sets.values())).file_names
    sided = [
        (
            key,
            labels,
            np.ones(len(images), bool)
            if key == ORIGINAL
            else study.reassessments[key].covers(images),
        )
        for key, labels in label_sets.items()
    ]
    lookup = None if study.answers is None else study.answer_lookup
    sets = [
        compare(first, second, study.answers, lookup)
        for first, second in itertools.combinations(sided, 2)
    ]
    rankings, of_best = rank(study.models, label_sets, seed=study.seed)
    slopes = {
        key: real_over_original.regress(real_over_original.points(judged))
        for key, judged in study.by_judge.items()
    }
    numbers = Agreement(sets, rankings, of_best, slopes)
    missing = study.missing("answers")
    if not rankings:
        missing.append(
            f"A ranking needs {LEAST_MODELS} models or more with common images; there "
            f"{'is' if len(study.models) == 1 else 'are'} {len(study.models)}."
        )
    titles = study.titles
    tables = [_sets_table(sets, titles)]
    title = "How far every two label sets rank the models alike"
    if rankings:
        tables.append(_rankings_table(rankings, titles, f"{KEY}-rankings", title))
    if of_best:
        title += f": the better half of the models ({of_best[0].spearman.n})"
        tables.append(_rankings_table(of_best, titles, f"{KEY}-rankings-of-best", title))
    if any(slopes.values()):
        tables.append(_slopes_table(slopes, titles))
    title = "Left: how far every two label sets agree, of the images that both label"
    if rankings:
        title += ". Right: how far they rank the models alike (1 is the same order)"
    return Content(
        lead=_lead(sets, of_best or rankings, bool(of_best), titles),
        missing=missing,
        numbers=numbers,
        figures=[SectionFigure(KEY, title, draw(sets, rankings, titles))],
        tables=tables,
        notes=[
            "Equal, overlapping and disjoint are shares of the images to which both sets give a label. "
            "Raters' support is measured on the images that both sets looked at. Each label that only one "
            "set has counts for this set with the raters' mean answer, from −1 (no) to 1 (yes), and raters "
            "support the set with the larger sum. Raters were asked for one of the sets (ReaL, of the "
            "published sets), and only about proposed labels, which favours that set. Rankings are by top-1 "
            f"on the images that all models predict. Intervals are bootstrap over images ({DRAWS:,} draws, "
            "the same images for all sets). The bootstrap adds noise to a ranking, so these intervals lie "
            "lower than 95% intervals would.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Do the reassessments agree?",
    "Do the reassessed label sets hold the same labels, and do they rank models alike?",
    needs=("reassessments",),
    make=make,
    applies=lambda study: len(study.reassessments) > 1,
)


def _lead(
    sets: Sequence[SetAgreement],
    rankings: Sequence[Ranking],
    are_best: bool,
    titles: Mapping[str, str],
) -> str:
    between = [pair for pair in sets if ORIGINAL not in (pair.first, pair.second)]
    judge = between[0].first
    shares = [
        f"{titles[pair.second]} {percent(pair.equal, 1)}"
        for pair in between
        if pair.first == judge and pair.labelled
    ]
    lead = ""
    if shares:
        lead = (
            f"Share of images with exactly the labels of {titles[judge]}, of the images that both sets "
            f"label: {section.join(shares)}."
        )
    known = [pair for pair in between if pair.labelled]
    if not known:
        lead = "No two reassessments give a label to the same image."
    if len(known) > 1:
        least = max(known, key=lambda pair: pair.disjoint.value)
        lead += (
            f" {titles[least.first]} and {titles[least.second]} differ the most: they have no label in "
            f"common on {percent(least.disjoint, 1)} of {least.labelled:,} images."
        )
    if rankings:
        least = min(rankings, key=lambda ranking: ranking.spearman.value)
        models = least.spearman.n
        which_models = f"better half of the models ({models})" if are_best else f"{models} models"
        lead += (
            f" The {titles[least.first]} and the {titles[least.second]} labels rank the {which_models} least "
            f"alike: Spearman's correlation is {percent(least.spearman, 3, scale=1, unit='')}, and "
            f"{least.swapped:,} of {least.pairs:,} pairs of models change places."
        )
    return lead.strip()


def _sets_table(sets: Sequence[SetAgreement], titles: Mapping[str, str]) -> Table:
    def side(pair: SetAgreement, which: str) -> Cell:
        return section.share(None if pair.raters is None else getattr(pair.raters, which))

    columns = [
        Column("A", lambda pair: titles[pair.first], is_text=True),
        Column("B", lambda pair: titles[pair.second], is_text=True),
        Column("both looked at", lambda pair: pair.covered, "Images"),
        Column("both label", lambda pair: pair.labelled, "Images"),
        *(
            Column(kind, lambda pair, kind=kind: section.share(getattr(pair, kind)))
            for kind in RELATIONS
        ),
        Column(
            "raters for A",
            lambda pair: side(pair, "first"),
            "Share of the images whose sets differ in a label that raters were asked about",
        ),
        Column("raters for B", lambda pair: side(pair, "second"), "Share of the same images"),
        Column(
            "images",
            lambda pair: 0 if pair.raters is None else pair.raters.n,
            "Images on which the raters' support is measured",
        ),
    ]
    return Table.of(f"{KEY}-sets", "Every two label sets", columns, sets, _link)


def _rankings_table(
    rankings: Sequence[Ranking], titles: Mapping[str, str], key: str, title: str
) -> Table:
    def correlation(estimate: Estimate) -> Cell:
        value, _, interval = percent(estimate, 3, scale=1, unit="").partition(" ")
        return Cell(value, estimate.value, interval)

    columns = [
        Column("A", lambda ranking: titles[ranking.first], is_text=True),
        Column("B", lambda ranking: titles[ranking.second], is_text=True),
        Column("Spearman", lambda ranking: correlation(ranking.spearman)),
        Column("Kendall", lambda ranking: correlation(ranking.kendall), "Tau-b"),
        Column("pairs that change places", lambda ranking: ranking.swapped),
        Column("of", lambda ranking: ranking.pairs, "Pairs of models"),
    ]
    return Table.of(key, title, columns, rankings, _link)


def _slopes_table(slopes: Mapping[str, Regression | None], titles: Mapping[str, str]) -> Table:
    known = {key: regression for key, regression in slopes.items() if regression is not None}

    def cell(key: str, half: str) -> Cell:
        estimate = getattr(known[key], half).slope
        value, _, interval = percent(estimate, 3, scale=1, unit="").partition(" ")
        return Cell(value, estimate.value, interval)

    columns = [
        Column("labels", lambda key: titles[key], is_text=True),
        Column(
            "slope, lower half",
            lambda key: cell(key, "lower"),
            "Half of the models with the lower original top-1",
        ),
        Column("slope, upper half", lambda key: cell(key, "upper")),
        Column(
            "p",
            lambda key: section.p_value(known[key].difference.p_value),
            "Of the hypothesis that the slopes are equal",
        ),
    ]
    title = "Points of accuracy gained for one point on the original labels"
    return Table.of(f"{KEY}-slopes", title, columns, known)

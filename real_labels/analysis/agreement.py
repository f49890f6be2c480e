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
from real_labels.analysis.page.section import Cell, Column, Content, Drawn, Table
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
SIDES = ("equal", "overlapping", "disjoint")
_COLOURS = dict(zip(SIDES, (figures.REAL, figures.AMBER, figures.ORIGINAL), strict=True))
LEAST_MODELS = 3  # a ranking of two is right or wrong
DRAWS = 500
_AT_A_TIME = 100  # draws of the bootstrap


@dataclasses.dataclass(frozen=True)
class Sides:
    """Whom raters support where two label sets differ.

    Attributes:
      first, second, neither: shares of the images.
      n: images whose sets differ in a label that raters were asked about.
    """

    first: Accuracy
    second: Accuracy
    neither: Accuracy

    @property
    def n(self) -> int:
        """Number of images."""
        return self.first.n


@dataclasses.dataclass(frozen=True)
class Sets:
    """How far two label sets agree, image by image.

    Attributes:
      first, second: their names.
      covered: images that both looked at.
      labelled: images to which both give a label.
      equal, overlapping, disjoint: shares of these.
      raters: whom raters support where the sets differ; None without answers.
    """

    first: str
    second: str
    covered: int
    labelled: int
    equal: Accuracy
    overlapping: Accuracy
    disjoint: Accuracy
    raters: Sides | None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How far two label sets rank the models alike.

    Attributes:
      first, second: their names.
      spearman, kendall: rank correlations of the models' top-1 accuracies (Kendall's tau-b), with bootstrap
        intervals over images; n is the number of models.
      swapped: pairs of models whose order differs.
      pairs: pairs of models.
    """

    first: str
    second: str
    spearman: Estimate
    kendall: Estimate
    swapped: int
    pairs: int


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Everything that the section says.

    Attributes:
      sets: every pair of label sets, the original labels among them.
      rankings: the same, of three models or more; else empty.
      rankings_of_best: of the better half of the models by the original labels, of six or more; else empty.
      slopes: by reassessment, of its accuracy over the original one (real_over_original.measure).
    """

    sets: Sequence[Sets]
    rankings: Sequence[Ranking]
    rankings_of_best: Sequence[Ranking]
    slopes: Mapping[str, Regression | None]


def compare(
    first: tuple[str, LabelSets, Bool[np.ndarray, "images"]],
    second: tuple[str, LabelSets, Bool[np.ndarray, "images"]],
    answers: Answers | None = None,
    lookup: QuestionLookup | None = None,
) -> Sets:
    """How far two label sets agree.

    Where they differ, a rater's answer about a label that one of them has alone counts from -1 (surely
    absent) to 1 (surely present) for it; the mean over raters, summed over these labels, is for the first
    set or for the second.

    Args:
      first, second: (name, label sets, whether each image was looked at), of the same images.
      answers: raters' answers.
      lookup: of their questions by these images, where it was made already.
    """
    (name, a, a_covers), (other, b, b_covers) = first, second
    covered = a_covers & b_covers
    counts_a, counts_b = a.counts, b.counts
    image_a, image_b = (np.repeat(np.arange(len(one)), one.counts) for one in (a, b))
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
    return Sets(name, other, num_covered, n, equal_share, partly_share, disjoint_share, raters)


def _sides(
    only_first: tuple[Int[np.ndarray, "p"], Int[np.ndarray, "p"]],
    only_second: tuple[Int[np.ndarray, "q"], Int[np.ndarray, "q"]],
    number: int,
    answers: Answers,
    lookup: QuestionLookup,
) -> Sides:
    mean = _mean_answers(answers)
    support, asked = np.zeros(number), np.zeros(number, bool)
    for (image, label), sign in ((only_first, 1), (only_second, -1)):
        row = lookup.rows(image, label)
        known = (row >= 0) & (answers.asked[np.maximum(row, 0)] > 0)
        np.add.at(support, image[known], sign * mean[row[known]])
        asked[image[known]] = True
    n = int(np.count_nonzero(asked))
    # Sums of a few fractions of five: rounding must not make a tie a side.
    support = np.where(np.abs(support) < 1e-9, 0, support)
    return Sides(
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
    """How far every two label sets rank the models alike: all of them, and the better half.

    Models far apart are ranked alike by any labels, so the better half tells more.

    Args:
      models: predictions; the images that all of them have count.
      label_sets: by name; each must know all predicted images.
      seed: of the bootstrap over images.

    Returns:
      A ranking for every pair of label sets by which every model has an accuracy; none for fewer than three
      models, or without common images. The same of the better half by the first label set, which are
      none for fewer than six models.
    """
    names = _common_images(list(models.values()))
    if len(models) < LEAST_MODELS or not len(names):
        return [], []
    labelled, hits = {}, {}
    for key, labels in label_sets.items():
        judged = []
        for one in models.values():
            same = one if one.file_names is names else one.take(one.rows(names))
            judged.append(accuracy.top_k_hits(same, labels))
        if judged[0][0].any():
            labelled[key], hits[key] = judged[0][0], np.stack([right for _, right in judged])
    drawn = _bootstrap(labelled, hits, seed)
    values = {key: hits[key].sum(axis=1)[None] / labelled[key].sum() for key in hits}
    order = (
        np.argsort(-values[next(iter(values))][0], kind="stable") if values else np.zeros(0, int)
    )
    best = np.sort(order[: (len(models) + 1) // 2])
    of_best = _rankings(values, drawn, best) if len(models) >= 2 * LEAST_MODELS else []
    return _rankings(values, drawn, np.arange(len(models))), of_best


def _rankings(
    values: Mapping[str, Float[np.ndarray, "1 models"]],
    drawn: Mapping[str, Float[np.ndarray, "draws models"]],
    models: Int[np.ndarray, "some"],
) -> list[Ranking]:
    """The rankings of some of the models."""
    found = []
    for first, second in itertools.combinations(values, 2):
        a, b = values[first][:, models], values[second][:, models]
        drawn_a, drawn_b = drawn[first][:, models], drawn[second][:, models]
        spearman, kendall = (
            bootstrap_estimate(float(of(a, b)[0]), of(drawn_a, drawn_b), len(models))
            for of in (_spearman, _kendall)
        )
        sign_a, sign_b = _signs(a)[0], _signs(b)[0]
        swapped = int(np.count_nonzero(sign_a * sign_b < 0))
        found.append(Ranking(first, second, spearman, kendall, swapped, len(sign_a)))
    return found


def _common_images(models: Sequence[Predictions]) -> np.ndarray:
    """The images that all models predict, in the order of the first."""
    names = models[0].file_names if models else np.zeros(0, np.str_)
    for one in models[1:]:
        if one.file_names is not names:
            found = find_rows(one.file_names, names) >= 0
            names = names if found.all() else names[found]
    return names


def _bootstrap(
    labelled: Mapping[str, Bool[np.ndarray, "images"]],
    hits: Mapping[str, Bool[np.ndarray, "models images"]],
    seed: int,
) -> dict[str, Float[np.ndarray, "draws models"]]:
    """Accuracies of the models by each label set, on the same drawn images for all."""
    generator = np.random.default_rng(seed)
    n = len(next(iter(labelled.values())))
    drawn: dict[str, list[np.ndarray]] = {key: [] for key in hits}
    as_float = {key: one.astype(np.float32) for key, one in hits.items()}
    for begin in range(0, DRAWS, _AT_A_TIME):
        size = min(_AT_A_TIME, DRAWS - begin)
        weights = np.stack(
            [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(size)]
        ).astype(np.float32)
        for key, right in as_float.items():
            counted = weights @ labelled[key].astype(np.float32)
            with np.errstate(invalid="ignore"):  # a draw may hold no labelled image
                drawn[key].append((weights @ right.T) / counted[:, None])
    return {key: np.concatenate(parts) for key, parts in drawn.items()}


def _spearman(
    first: Float[np.ndarray, "draws models"], second: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, "draws"]:
    from scipy import stats

    a, b = (stats.rankdata(one, axis=1) for one in (first, second))
    a, b = (one - one.mean(axis=1, keepdims=True) for one in (a, b))
    with np.errstate(invalid="ignore"):  # where all models are equal
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def _kendall(
    first: Float[np.ndarray, "draws models"], second: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, "draws"]:
    """Kendall's tau-b."""
    a, b = _signs(first), _signs(second)
    concordant = np.einsum("dp,dp->d", a, b, dtype=np.float64)
    sizes = [np.count_nonzero(one, axis=1).astype(np.float64) for one in (a, b)]
    with np.errstate(invalid="ignore"):
        return concordant / np.sqrt(sizes[0] * sizes[1])


def _signs(values: Float[np.ndarray, "draws models"]) -> Int[np.ndarray, "draws pairs"]:
    """-1, 0 or 1 for every two models: whether the second is better."""
    i, j = np.triu_indices(values.shape[1], 1)
    return np.sign(values[:, j] - values[:, i]).astype(np.int8)


@figures.styled
def draw(sets: Sequence[Sets], rankings: Sequence[Ranking], titles: Mapping[str, str]) -> Figure:
    """Left, how far every two label sets agree; right, how far they rank the models alike."""
    names = [f"{titles[one.first]} /\n{titles[one.second]}" for one in sets]
    figure, axes = figures.rows_axes(names, columns=2 if rankings else 1, extra=1.1)
    links = [_link(one) for one in sets]
    widths = {kind: [100 * _or_0(getattr(one, kind)) for one in sets] for kind in SIDES}
    figures.stack(
        axes[0],
        [figures.Part(kind, _COLOURS[kind], widths[kind], links) for kind in SIDES],
        lambda part, row: _if_wide(widths[SIDES[part]][row], has_room=not rankings),
    )
    axes[0].set_xlabel("images, %")
    if rankings:
        ranked = {(one.first, one.second): one for one in rankings}
        rows = [ranked.get((one.first, one.second)) for one in sets]
        for field, colour, title in (
            ("spearman", figures.MODEL, "Spearman's ρ"),
            ("kendall", figures.VIOLET, "Kendall's τ"),
        ):
            shares = [one and getattr(one, field) for one in rows]
            figures.dots(axes[1], shares, links, colour, title)
        axes[1].set_xlabel("rank correlation × 100")
    figures.legend(figure, axes)
    return figure


def _if_wide(percent_: float, *, has_room: bool) -> str:
    """What is written into a part of a bar, where it fits."""
    return f"{percent_:.0f}%" if has_room or percent_ > 16 else ""


def _or_0(share: Accuracy) -> float:
    return share.value if share.is_known else 0.0


def _link(one: Sets | Ranking) -> str:
    return f"sets-{one.first}-{one.second}"


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
        key: real_over_original.regress(real_over_original.points(part))
        for key, part in study.by_judge.items()
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
        figures=[Drawn(KEY, title, draw(sets, rankings, titles))],
        tables=tables,
        notes=[
            "Images count to which both sets give a label. Raters' support: of labels that one set has "
            "alone, among images that both looked at, the mean answer from −1 (no) to 1 (yes), for the one "
            "set minus for the other. Raters were asked for one of the sets (ReaL's for the published ones), "
            "and only about proposed labels, which favours that set. Rankings are by top-1 on the images "
            f"that all models have; intervals are bootstrap over images ({DRAWS:,} draws, the same images "
            "for all sets). A bootstrap adds noise to a ranking, so they lie lower.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Do the reassessments agree?",
    "Where better labels were collected several times: are they the same, and do they rank models alike?",
    needs=("reassessments",),
    make=make,
    applies=lambda study: len(study.reassessments) > 1,
)


def _lead(
    sets: Sequence[Sets], rankings: Sequence[Ranking], are_best: bool, titles: Mapping[str, str]
) -> str:
    between = [one for one in sets if ORIGINAL not in (one.first, one.second)]
    judge = between[0].first
    said = [
        f"{titles[one.second]} on {percent(one.equal, 1)}"
        for one in between
        if one.first == judge and one.labelled
    ]
    lead = ""
    if said:
        lead = (
            f"Of the images that both label, the sets are equal to those of {titles[judge]} for "
            f"{section.join(said)}."
        )
    known = [one for one in between if one.labelled]
    if not known:
        lead = "No two reassessments give a label to the same image."
    if len(known) > 1:
        least = max(known, key=lambda one: one.disjoint.value)
        lead += (
            f" Furthest apart are {titles[least.first]} and {titles[least.second]}: on "
            f"{percent(least.disjoint, 1)} of {least.labelled:,} images they have no label in common."
        )
    if rankings:
        least = min(rankings, key=lambda one: one.spearman.value)
        models = least.spearman.n
        of = f"better half of the models ({models})" if are_best else f"{models} models"
        lead += (
            f" The {titles[least.first]} and the {titles[least.second]} labels rank the {of} least alike: "
            f"Spearman's correlation is {percent(least.spearman, 3, scale=1, unit='')}, and "
            f"{least.swapped:,} of {least.pairs:,} pairs of models change places."
        )
    return lead


def _sets_table(sets: Sequence[Sets], titles: Mapping[str, str]) -> Table:
    def side(one: Sets, which: str) -> Cell:
        return section.share(None if one.raters is None else getattr(one.raters, which))

    columns = [
        Column("A", lambda one: titles[one.first], is_text=True),
        Column("B", lambda one: titles[one.second], is_text=True),
        Column("both looked at", lambda one: one.covered, "Images"),
        Column("both label", lambda one: one.labelled, "Images"),
        *(Column(kind, lambda one, kind=kind: section.share(getattr(one, kind))) for kind in SIDES),
        Column(
            "raters for A",
            lambda one: side(one, "first"),
            "Of the images whose sets differ in a label that raters were asked about",
        ),
        Column("raters for B", lambda one: side(one, "second"), "Likewise"),
        Column(
            "images",
            lambda one: 0 if one.raters is None else one.raters.n,
            "Of the raters' support",
        ),
    ]
    return Table.of(f"{KEY}-sets", "Every two label sets", columns, sets, _link)


def _rankings_table(
    rankings: Sequence[Ranking], titles: Mapping[str, str], key: str, title: str
) -> Table:
    def correlation(one: Estimate) -> Cell:
        value, _, interval = percent(one, 3, scale=1, unit="").partition(" ")
        return Cell(value, one.value, interval)

    columns = [
        Column("A", lambda one: titles[one.first], is_text=True),
        Column("B", lambda one: titles[one.second], is_text=True),
        Column("Spearman", lambda one: correlation(one.spearman)),
        Column("Kendall", lambda one: correlation(one.kendall), "Tau-b"),
        Column("pairs that change places", lambda one: one.swapped),
        Column("of", lambda one: one.pairs, "Pairs of models"),
    ]
    return Table.of(key, title, columns, rankings, _link)


def _slopes_table(slopes: Mapping[str, Regression | None], titles: Mapping[str, str]) -> Table:
    known = {key: one for key, one in slopes.items() if one is not None}

    def cell(key: str, half: str) -> Cell:
        estimate = getattr(known[key], half).slope
        value, _, interval = percent(estimate, 3, scale=1, unit="").partition(" ")
        return Cell(value, estimate.value, interval)

    columns = [
        Column("labels", lambda key: titles[key], is_text=True),
        Column("slope, lower half", lambda key: cell(key, "lower"), "Of models, by original top-1"),
        Column("slope, upper half", lambda key: cell(key, "upper")),
        Column(
            "p", lambda key: section.p_value(known[key].difference.p_value), "That they are equal"
        ),
    ]
    title = "Points of accuracy for a point on the original labels"
    return Table.of(f"{KEY}-slopes", title, columns, known)

"""Runs the paper's analyses on sixty real models; writes docs/real_models.md and its figures.

    python benchmarks/real_models.py top5.npz                  # arrays models (M,) and classes (M, N, k)
    python benchmarks/real_models.py ImageNetV2/data/predictions/imagenet-validation-original

The second command reads a folder of the public repository modestyachts/ImageNetV2 (MIT): a file (50000, 5) for
each model, with rows in the order of the class folders. The program recognises this order and undoes it. It
needs the published label sets (`python -m real_labels fetch --label-sets all`). `--json FILE` writes every
number.
"""

# ruff: noqa: E501 -- sentences of the page
from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels import Answers, Gold, LabelSets, Predictions, Scores, accuracy, aggregation
from real_labels.accuracy import scoring
from real_labels.aggregation import recipe
from real_labels.aggregation.thresholds import PrecisionRecall
from real_labels.analysis import (
    agreement,
    rater_preference,
    real_over_original,
    several_labels,
)
from real_labels.analysis.page import figures
from real_labels.analysis.study import Study
from real_labels.files import paths
from real_labels.files.records import as_json
from real_labels.intervals import holm, percent
from real_labels.labels import Reference, published
from real_labels.predictions.ensemble import Ensemble
from real_labels.predictions.reading import PredictionFile

DOCS = ROOT / "docs"
ORDER = "class-folder-order"
_NEAREST, _BEYOND = 8, 0.02


@dataclasses.dataclass(frozen=True)
class Proposer:
    """How often raters were asked about a model's predictions.

    Attributes:
      model: name of the model.
      differing: number of rated images whose first prediction is not the original label.
      asked: share of these images on which raters were asked about the first prediction.
      second, third: share of all rated images on which raters were asked about the second or third prediction.
      rated: share of all images with a differing first prediction that were rated at all.
      beyond: `asked` minus the median `asked` of the eight models nearest in accuracy.
      stands_out: whether `asked` is larger than that of every more accurate model that does not stand out,
        and `beyond` is more than 2 points.
    """

    model: str
    differing: int
    asked: float
    second: float
    third: float
    rated: float
    beyond: float = 0.0
    stands_out: bool = False


def read(source: pathlib.Path, reference: Reference) -> dict[str, Predictions]:
    """Reads one file of several models, or a folder of .npy files; undoes class-folder order of the rows."""
    files = sorted(source.glob("*.npy")) if source.is_dir() else [source]
    if not files:
        sys.exit(
            f"{source}: this folder has no .npy files. Name a folder with a .npy file for each model."
        )
    models = {}
    for path in files:
        for scored in scoring.score_all(path, reference):
            if scored.repair == ORDER:
                (scored,) = scoring.score_all(path, reference, [ORDER])
            elif scored.repair is not None:
                sys.exit(f"{path}: {scored.evidence}")
            models[scored.model or path.stem] = scored.predictions
    return models


def proposers(
    models: Mapping[str, Predictions], original: LabelSets, answers: Answers
) -> list[Proposer]:
    """Measures how often raters were asked about each model's predictions; the most often asked come first.

    An image was rated unless all models of the pool of proposers agreed with its original label. On a rated
    image, raters were asked about the first prediction of every model of the pool.
    """
    names = original.file_names
    lookup = answers.questions.lookup(names)
    rows = np.arange(len(names))
    rated = lookup.image >= 0
    unranked = []
    for name, predictions in models.items():
        classes = predictions.take(predictions.rows(names)).classes.astype(np.int64)
        differing = classes[:, 0] != original.classes
        asked = [lookup.rows(rows, classes[:, rank]) >= 0 for rank in range(3)]
        rated_differing = differing & rated
        unranked.append(
            Proposer(
                name,
                int(np.count_nonzero(rated_differing)),
                float(asked[0][rated_differing].mean()),
                *(float(was_asked[rated].mean()) for was_asked in asked[1:]),
                rated=float(rated[differing].mean()),
            )
        )
    accuracy = {
        name: float(
            (
                predictions.classes[:, 0] == original.classes[original.rows(predictions.file_names)]
            ).mean()
        )
        for name, predictions in models.items()
    }
    return sorted(_compared(unranked, accuracy), key=lambda proposer: -proposer.asked)


def _compared(unranked: Sequence[Proposer], accuracy: Mapping[str, float]) -> list[Proposer]:
    """Sets `beyond` and `stands_out` of each model, by comparison with models of like accuracy.

    Predictions of a more accurate model are proposed more often in any case.
    """
    compared, most_asked = [], 0.0
    for proposer in sorted(unranked, key=lambda proposer: -accuracy[proposer.model]):
        others = sorted(
            (other for other in unranked if other is not proposer),
            key=lambda other: abs(accuracy[other.model] - accuracy[proposer.model]),
        )
        beyond = proposer.asked - float(np.median([other.asked for other in others[:_NEAREST]]))
        stands_out = proposer.asked > most_asked and beyond > _BEYOND
        compared.append(dataclasses.replace(proposer, beyond=beyond, stands_out=stands_out))
        most_asked = most_asked if stands_out else max(most_asked, proposer.asked)
    return compared


@dataclasses.dataclass(frozen=True)
class GoldQuality:
    """Precision and recall of labels on the experts' images.

    Attributes:
      precision, recall: judged by the experts' answers. Labels that the experts were not asked about count as
        absent.
    """

    precision: float
    recall: float


def gold_quality(labels: Mapping[str, set[int]], gold: Gold) -> GoldQuality:
    """Compares labels with the labels that the experts found present.

    Args:
      labels: label set of each image, by file name.
      gold: the experts' questions and answers.
    """
    present = {}
    for name, label, is_present in zip(
        gold.questions.file_name().tolist(),
        gold.questions.label.tolist(),
        gold.present.tolist(),
        strict=True,
    ):
        present.setdefault(name, set()).update([label] if is_present else [])
    hits = sum(len(labels[name] & present_labels) for name, present_labels in present.items())
    num_given = sum(len(labels[name]) for name in present)
    return GoldQuality(hits / num_given, hits / sum(map(len, present.values())))


def _gold_comparison(study: Study, gold: Gold, scores: Scores) -> dict:
    """Compares the published scores, the raters' majority, original labels and models with the experts."""
    images = set(gold.questions.file_names.tolist())
    names = study.original.file_names.tolist()
    rows = [row for row, name in enumerate(names) if name in images]
    curve = PrecisionRecall.of(scores, gold)
    majority = PrecisionRecall.of(aggregation.majority(study.answers).scores, gold).at_threshold(
        0.5
    )
    models = {}
    for model, predictions in study.models.items():
        first = dict(
            zip(predictions.file_names.tolist(), predictions.classes[:, 0].tolist(), strict=True)
        )
        models[model] = gold_quality({names[row]: {first[names[row]]} for row in rows}, gold)
    original = {names[row]: {int(study.original.classes[row])} for row in rows}
    return {
        "images": len(images),
        "curve": [
            GoldQuality(p, r)
            for p, r in zip(curve.precision.tolist(), curve.recall.tolist(), strict=True)
        ],
        "published": curve.at_threshold(0.8),
        "majority": majority,
        "original": gold_quality(original, gold),
        "models": models,
    }


@figures.styled
def _draw_gold(comparison: Mapping, accuracies: Mapping[str, float], links: Mapping[str, str]):
    """Draws precision over recall, in percent: a curve for the published scores, a mark for each other source."""
    figure, axis = figures.new(4.4)
    curve = comparison["curve"]
    axis.plot(
        [100 * point.recall for point in curve], [100 * point.precision for point in curve],
        color=figures.REAL, label="the published scores",
    )  # fmt: skip
    marks = [
        ([comparison["published"]], figures.REAL, "D", "ReaL (0.8)"),
        ([comparison["majority"]], figures.AMBER, "s", "raters' majority"),
        ([comparison["original"]], figures.ORIGINAL, "^", "original labels"),
        (list(comparison["models"].values()), figures.MODEL, "o", "models"),
    ]
    for points, colour, marker, label in marks:
        axis.scatter(
            [100 * point.recall for point in points], [100 * point.precision for point in points],
            s=22 if len(points) > 1 else 55, color=colour, marker=marker, label=label, zorder=3,
        )  # fmt: skip
    axis.set_xlabel("recall of the experts' labels, %")
    axis.set_ylabel("precision, %")
    figures.legend(figure, [axis])
    return figure


def vote(models: Mapping[str, Predictions], names: Sequence[str]) -> Predictions:
    """Predictions of the named models together, by the votes of their ranks."""
    ensemble = Ensemble()
    for name in names:
        file_names, classes = models[name].file_names, models[name].classes
        ensemble.add(file_names, PredictionFile(file_names, classes.astype(np.int64)))
    return ensemble.predictions()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "predictions", type=pathlib.Path, help="file of several models, or folder of .npy files"
    )
    parser.add_argument("--data-dir", help="folder of the published files")
    parser.add_argument(
        "--docs", type=pathlib.Path, default=DOCS, help="folder for the page and the figures"
    )
    parser.add_argument("--json", type=pathlib.Path, help="file for every number")
    options = parser.parse_args()
    reference = Reference.load(label_sets=published.NAMES, data_dir=options.data_dir)
    models = read(options.predictions, reference)
    answers = recipe.raw_answers(options.data_dir)
    study = Study(
        models=models,
        original=reference.original,
        reassessments=reference.reassessments,
        num_classes=1000,
        answers=answers,
        scores=Scores.load(published.locate("scores.npz", options.data_dir)),
    )
    gold = Gold.load(published.locate("golden.npz", options.data_dir), at_least=3)
    record = measure(study, gold)
    drawings = draw(study, record)
    for name, figure in drawings.items():
        with paths.replacing(options.docs / f"{name}.png") as temporary:
            temporary.write_bytes(figures.png(figure))
    with paths.replacing(options.docs / "real_models.md") as temporary:
        temporary.write_text(page(study, record))
    if options.json:
        options.json.write_text(json.dumps(as_json(record), indent=1) + "\n")
    print(f"Wrote {options.docs / 'real_models.md'} and {', '.join(drawings)}.")


def measure(study: Study, gold: Gold) -> dict:
    """Computes every number of the page.

    Args:
      study: the models, labels, answers and scores.
      gold: the experts' questions and answers.
    """
    original, real = study.original, study.reassessments["real"].labels
    scores = {
        name: accuracy.results(predictions, original, study.reassessments)
        for name, predictions in study.models.items()
    }
    preference = {
        name: rater_preference.measure(
            predictions, original, study.answers, lookup=study.answer_lookup
        )
        for name, predictions in study.models.items()
    }
    judged = study.by_judge["real"]
    picks = {
        name: several_labels.measure(judged.outcomes[name], predictions, real)
        for name, predictions in study.models.items()
    }
    slopes = {
        key: real_over_original.regress(real_over_original.points(part))
        for key, part in study.by_judge.items()
    }
    rankings, rankings_of_best = agreement.rank(study.models, study.label_sets)
    best = sorted(study.models, key=lambda n: -scores[n].original.top1.value)[:3]
    # In the order of the file, as `real_labels ensemble` reads the models.
    best = [name for name in study.models if name in best]
    return {
        "accuracy": scores,
        "preference": preference,
        "picks": picks,
        "slopes": slopes,
        "rankings": rankings,
        "rankings_of_best": rankings_of_best,
        "sets": agreement.make(dataclasses.replace(study, models={})).numbers.sets,
        "gold_questions": len(gold),
        "gold": _gold_comparison(study, gold, study.scores),
        "proposers": proposers(study.models, original, study.answers),
        "best_three": best,
        "together": accuracy.results(vote(study.models, best), original, study.reassessments),
    }


def draw(study: Study, record: dict) -> dict:
    """Draws the figures; returns them by name."""
    links = study.links
    accuracies = {n: results.original.top1.value for n, results in record["accuracy"].items()}
    points = [
        real_over_original.ModelPoint(
            name, accuracies[name], results.reassessments["real"].top1.value
        )
        for name, results in record["accuracy"].items()
    ]
    original_labels = (
        next(iter(record["accuracy"].values())).reassessments["real"].original_labels.value
    )
    return {
        "real_models_gold": _draw_gold(record["gold"], accuracies, links),
        "real_models_preference": rater_preference.draw(record["preference"], links, accuracies),
        "real_models_real_over_original": real_over_original.draw(
            points, record["slopes"]["real"], original_labels
        ),
        "real_models_several_labels": several_labels.draw(record["picks"], links, accuracies),
    }


def page(study: Study, record: dict) -> str:
    """Returns the text of docs/real_models.md."""
    accuracy, preference = record["accuracy"], record["preference"]
    names = sorted(accuracy, key=lambda n: -accuracy[n].original.top1.value)
    best, worst = names[0], names[-1]
    regression = record["slopes"]["real"]
    lower, upper = regression.lower.slope, regression.upper.slope
    proposers_ = record["proposers"]
    pool = [proposer for proposer in proposers_ if proposer.stands_out]
    others = [proposer for proposer in proposers_ if not proposer.stands_out]
    titles = study.titles
    mean = record["together"]
    picks = record["picks"]
    gold = record["gold"]
    corrected = holm([pick.p_value for pick in picks.values()])
    num_biased = sum(
        p < 0.05 and pick.picks_original.value > pick.oracle.value
        for p, pick in zip(corrected, picks.values(), strict=True)
    )
    num_below_zero = sum(support.difference.high < 0 for support in preference.values())
    recent = sorted(names[:20], key=lambda n: preference[n].difference.value)
    lines = [
        "# Real models",
        "",
        "<!-- Written by benchmarks/real_models.py; edit that. -->",
        "",
        f"The analyses of \"Are we done with ImageNet?\" on the first five predictions of {len(names)} public models, from "
        "2012 to 2018, on all 50,000 validation images (modestyachts/ImageNetV2, MIT). The paper's own models, BiT-L and Noisy "
        "Student among them, are later and better; their predictions are not published. Made by",
        "",
        "```",
        "python -m real_labels fetch --label-sets all",
        "python benchmarks/real_models.py top5.npz     # or the folder of modestyachts/ImageNetV2",
        "```",
        "",
        "All intervals are 95%; [analysis.md](analysis.md) defines each number.",
        "",
        "## Whom raters prefer (the paper's figure 1)",
        "",
        "![Raters' preference over the models' accuracy](real_models_preference.png)",
        "",
        f"Where a model and the original label differ, raters side with the label for every one of the {len(names)} models "
        f"({num_below_zero} with an interval below 0). The better the model, the less: {_points(preference[best].difference)} points for "
        f"{best}, {_points(preference[recent[0]].difference)} for {recent[0]}, the least liked of the best twenty. The paper finds "
        "the same rise and sees it cross 0 with BiT-L and Noisy Student, two years later. The curve here ends just below: the "
        "claim agrees in direction, and its last step needs models that are not among these.",
        "",
        f"Below 60% accuracy the order turns: {worst} is at {_points(preference[worst].difference)}, better liked than some models "
        "twice as good. On most of its mistakes nobody proposed its label, so raters were never asked about it; what is left "
        "is a selection of its better mistakes.",
        "",
        "The five models that proposed labels (below) are less liked than their neighbours, vgg16 the most visibly: raters were asked "
        "about nearly all of their mistakes, of other models about the half-right ones that these five share.",
        "",
        "## ReaL over original accuracy (the paper's figure 4)",
        "",
        "![ReaL over original accuracy, with the lines of both halves](real_models_real_over_original.png)",
        "",
        f"A point on the original labels is worth {percent(lower, 3, scale=1, unit='')} points on ReaL in the lower half of the "
        f"models and {percent(upper, 3, scale=1, unit='')} in the upper half (p {_p(regression.difference.p_value)}). The paper "
        "reports 0.86 and 0.51 on its models: higher here in both halves, since these models are older; a slope that falls with "
        "accuracy is the finding, and it holds. No model reaches the original labels' own 90.02%.",
        "",
        "Points of accuracy for a point on the original labels, by label set:",
        "",
        "| labels | lower half | upper half | p |",
        "| --- | --- | --- | --- |",
        *(
            f"| {titles[key]} | {percent(regression.lower.slope, 3, scale=1, unit='')} | "
            f"{percent(regression.upper.slope, 3, scale=1, unit='')} | {_p(regression.difference.p_value).removeprefix('= ')} |"
            for key, regression in record["slopes"].items()
        ),
        "",
        "(Both accuracies are on the images that the set judges. Northcutt's were chosen because a model doubted their label.)",
        "",
        "## Labels and models beside the experts",
        "",
        "![Precision over recall of labels and models on the images of the experts](real_models_gold.png)",
        "",
        f"Five experts answered {record['gold_questions']:,} questions about {gold['images']} images; a label is present if three say so. ReaL's "
        f"labels have precision {_share_of(gold['published'].precision)} and recall {_share_of(gold['published'].recall)} on the "
        f"questions asked of both, the raters' majority {_share_of(gold['majority'].precision)} and "
        f"{_share_of(gold['majority'].recall)}, the original labels {_share_of(gold['original'].precision)} and "
        f"{_share_of(gold['original'].recall)}, and {best} {_share_of(gold['models'][best].precision)} and "
        f"{_share_of(gold['models'][best].recall)} (a prediction that the experts were not asked about counts as wrong). Of "
        "original labels and first predictions there is one an image, so their recall cannot reach 100%.",
        "",
        "## Several valid labels",
        "",
        "![How often models pick the original label among several valid ones](real_models_several_labels.png)",
        "",
        f"Of images with several ReaL labels, {num_biased} of {len(names)} models name the original label significantly more often "
        f"than an unbiased oracle (after Holm's correction): {percent(picks[best].picks_original, 1)} ({best}) where an oracle has "
        f"{percent(picks[best].oracle, 1)}. The better a model, the more it does so: it learned which label tends to be written "
        "down. The paper says the same of its models.",
        "",
        "## The best three together",
        "",
        f"{', '.join(record['best_three'])}, by the votes of their first five classes (`real_labels ensemble`): "
        f"{percent(mean.original.top1)} on the original labels and {percent(mean.reassessments['real'].top1)} on ReaL, "
        f"{100 * (mean.original.top1.value - accuracy[best].original.top1.value):+.2f} and "
        f"{100 * (mean.reassessments['real'].top1.value - accuracy[best].reassessments['real'].top1.value):+.2f} points over "
        f"{best}. The paper's three best models together have 89.03% and 91.20%: above the original labels' own 90.02%; these "
        "are not.",
        "",
        "## Which models proposed the labels",
        "",
        "The paper says that six of 19 models proposed labels, not which. A model of that pool has each first prediction among "
        "the questions about its image, if the image was rated. So: of the rated images on which a model's first prediction is "
        "not the original label, the share on which raters were asked about that prediction.",
        "",
        "| model | asked about | beside models of like accuracy | on images | its second prediction | third | "
        "differing images that were rated |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {'**' + proposer.model + '**' if proposer in pool else proposer.model} | {100 * proposer.asked:.2f}% | "
            f"{100 * proposer.beyond:+.1f} | {proposer.differing:,} | {100 * proposer.second:.0f}% | {100 * proposer.third:.0f}% | {100 * proposer.rated:.1f}% |"
            for proposer in proposers_[:12]
        ),
        f"| … {proposers_[-1].model} | {100 * proposers_[-1].asked:.2f}% | {100 * proposers_[-1].beyond:+.1f} | "
        f"{proposers_[-1].differing:,} | "
        f"{100 * proposers_[-1].second:.0f}% | {100 * proposers_[-1].third:.0f}% | {100 * proposers_[-1].rated:.1f}% |",
        "",
        f"{len(pool)} stand out (bold): raters were asked about more of their predictions than of any better model's outside the "
        f"bold ones, and {100 * min(proposer.beyond for proposer in pool):.1f} to {100 * max(proposer.beyond for proposer in pool):.1f} points more than "
        f"of the eight models nearest in accuracy (median). The next, {others[0].model}, is a port of the first's architecture. "
        "Models of these architectures, or close copies, were in the pool. Their second predictions were asked about, too, so proposals went beyond the first "
        "class. So a model like them is judged on labels that it helped to propose, and others on what they share with them: a "
        "prediction that nobody proposed counts as wrong.",
        "",
        "## Do the label sets agree?",
        "",
        "| A | B | images with labels of both | equal | overlapping | disjoint | raters for A | raters for B |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {titles[pair.first]} | {titles[pair.second]} | {pair.labelled:,} | {_share(pair.equal)} | {_share(pair.overlapping)} | "
            f"{_share(pair.disjoint)} | {_share(pair.raters.first)} | {_share(pair.raters.second)} |"
            for pair in record["sets"]
        ),
        "",
        "Raters' support is ReaL's raters', who were asked about proposed labels only. How far the sets rank the models alike, "
        f"all {len(names)} and the better half ({record['rankings_of_best'][0].spearman.n}). A bootstrap adds noise to a ranking, so the "
        "intervals lie lower than 95% intervals would:",
        "",
        "| A | B | Spearman | Kendall | pairs that change places | Spearman, better half | pairs that change places |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {titles[pair.first]} | {titles[pair.second]} | {percent(pair.spearman, 3, scale=1, unit='')} | "
            f"{percent(pair.kendall, 3, scale=1, unit='')} | {pair.swapped} of {pair.pairs:,} | "
            f"{percent(best_.spearman, 3, scale=1, unit='')} | {best_.swapped} of {best_.pairs:,} |"
            for pair, best_ in zip(record["rankings"], record["rankings_of_best"], strict=True)
        ),
        "",
        "## The models",
        "",
        "Top-1, % (shares of images). Preference: raters for the model's label minus for the original one, points, with its "
        "interval. Picks: share of the valid predictions on images with several labels that are the original one.",
        "",
        "| model | original | " + " | ".join(titles[key] for key in study.reassessments) + " | preference | picks |",
        "| --- |" + " --- |" * (3 + len(study.reassessments)),
        *(
            f"| {name} | {100 * accuracy[name].original.top1.value:.2f} | "
            + " | ".join(
                f"{100 * accuracy[name].reassessments[key].top1.value:.2f}"
                for key in study.reassessments
            )
            + f" | {percent(preference[name].difference, 1, sign='+', unit='')} | "
            f"{100 * picks[name].picks_original.value:.1f} |"
            for name in names
        ),
        "| the original labels | | "
        + " | ".join(
            f"{100 * accuracy[best].reassessments[key].original_labels.value:.2f}"
            for key in study.reassessments
        )
        + " | | |",
        "",
    ]  # fmt: skip
    return "\n".join(map(_wrapped, lines))


def _wrapped(line: str) -> str:
    """Wraps a paragraph at 120 characters; returns headings, tables, pictures and code unchanged."""
    if line[:1] in "|#!<" or line.startswith(("```", "python ")):
        return line
    return textwrap.fill(line, 120, break_long_words=False, break_on_hyphens=False)


def _points(estimate: object) -> str:
    return percent(estimate, 1, sign="+", unit="")


def _share(estimate: object) -> str:
    return percent(estimate, 1).partition(" ")[0]


def _share_of(value: float) -> str:
    return f"{100 * value:.1f}%"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


if __name__ == "__main__":
    main()

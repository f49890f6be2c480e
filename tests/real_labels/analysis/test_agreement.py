"""Whether reassessments agree, against plain loops and SciPy."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy import stats

from real_labels import Answers, LabelSets, Predictions, Questions
from real_labels.accuracy import top_k_accuracy
from real_labels.analysis import agreement, report, reviewed, triage
from real_labels.analysis.inputs import Inputs, gather
from real_labels.analysis.outcomes import Outcomes
from real_labels.analysis.study import Study
from real_labels.errors import InputError
from real_labels.labels import published as publications
from real_labels.labels import reviewed_mistakes
from real_labels.labels.reassessment import mine
from tests.real_labels.analysis import worlds


def _sets(seed, images=200):
    rng = np.random.default_rng(seed)
    names = [f"{i}.jpg" for i in range(images)]
    return LabelSets.from_lists(
        names, [rng.choice(6, rng.integers(0, 4), replace=False).tolist() for _ in names]
    )


@pytest.mark.parametrize("seed", range(5))
def test_two_sets_against_loops(seed):
    a, b = _sets(seed), _sets(seed + 100)
    rng = np.random.default_rng(seed)
    covers_a, covers_b = rng.random(len(a)) < 0.9, rng.random(len(a)) < 0.8
    asked = [(i, c) for i in range(len(a)) for c in range(6) if rng.random() < 0.7]
    questions = Questions(
        a.file_names, np.array([i for i, _ in asked]), np.array([c for _, c in asked])
    )
    answer = rng.integers(0, 3, (len(asked), 5))
    order = np.arange(len(asked) * 5)
    answers = Answers(questions, [f"r{r}" for r in range(5)], order // 5, order % 5, answer.ravel())
    found = agreement.compare(("a", a, covers_a), ("b", b, covers_b), answers)
    votes = {pair: answer[q].mean() - 1 for q, pair in enumerate(asked)}
    kinds, sides, covered = [], [], 0
    for i, (x, y) in enumerate(zip(a.to_lists(), b.to_lists())):
        x, y = set(x), set(y)
        if not (covers_a[i] and covers_b[i]):
            continue
        covered += 1
        if x and y:
            kinds.append("equal" if x == y else "overlapping" if x & y else "disjoint")
        support = [votes[i, c] for c in x - y if (i, c) in votes]
        support += [-votes[i, c] for c in y - x if (i, c) in votes]
        if support:
            total = round(sum(support), 9)
            sides.append("first" if total > 0 else "second" if total < 0 else "neither")
    assert (found.covered, found.labelled) == (covered, len(kinds))
    for kind in agreement.RELATIONS:
        assert getattr(found, kind).value == pytest.approx(kinds.count(kind) / len(kinds))
    assert found.raters.n == len(sides)
    for side in ("first", "second", "neither"):
        assert getattr(found.raters, side).value == pytest.approx(sides.count(side) / len(sides))


@pytest.fixture(scope="module")
def panel():
    """Original labels, two reassessments (the second of a part), and twenty models."""
    original, real = worlds.labels(images=400)
    rows = np.arange(0, 400, 2)
    other = LabelSets.from_lists(
        real.file_names[rows],
        [one or [0] for one in (real.to_lists()[r][:1] for r in rows.tolist())],
    )
    models = {
        f"m{i}": worlds.model(original, real, accuracy=0.3 + 0.03 * i, seed=i) for i in range(20)
    }
    reassessments = {
        "real": mine("real", real),
        "other": mine("other", other).on(original.file_names),
    }
    return original, reassessments, models


def test_rankings_are_scipys(panel):
    original, reassessments, models = panel
    sets = {"original": original} | {n: one.labels for n, one in reassessments.items()}
    found, of_best = agreement.rank(models, sets, seed=3)
    assert [(one.first, one.second) for one in found] == list(itertools.combinations(sets, 2))
    for one in found:
        a, b = (
            [top_k_accuracy(m, sets[key]).value for m in models.values()]
            for key in (one.first, one.second)
        )
        assert one.spearman.value == pytest.approx(stats.spearmanr(a, b).statistic)
        assert one.kendall.value == pytest.approx(stats.kendalltau(a, b).statistic)
        swapped = sum(
            (a[i] - a[j]) * (b[i] - b[j]) < 0 for i, j in itertools.combinations(range(20), 2)
        )
        assert (one.swapped, one.pairs) == (swapped, 190)
        assert one.spearman.low < one.spearman.value <= one.spearman.high <= 1
    best = sorted(range(20), key=lambda i: -top_k_accuracy(models[f"m{i}"], original).value)[:10]
    for one in of_best:
        a, b = (
            [top_k_accuracy(models[f"m{i}"], sets[key]).value for i in best]
            for key in (one.first, one.second)
        )
        assert one.spearman.value == pytest.approx(stats.spearmanr(a, b).statistic)
        assert one.kendall.value == pytest.approx(stats.kendalltau(a, b).statistic)
        assert one.pairs == 45
    again, _ = agreement.rank(models, sets, seed=3)
    assert [one.spearman for one in again] == [one.spearman for one in found]
    assert agreement.rank(dict(itertools.islice(models.items(), 2)), sets) == ([], [])
    # The bootstrap draws the same images for both sets: two equal sets never disagree.
    (same,), _ = agreement.rank(models, {"x": original, "y": original})
    assert same.spearman.low == pytest.approx(1) and same.kendall.low == pytest.approx(1)


def test_models_of_different_images_are_ranked_on_the_common_ones(panel):
    original, reassessments, models = panel
    some = {name: one.take(np.arange(i, 400)) for i, (name, one) in enumerate(models.items())}
    common = {name: one.take(np.arange(19, 400)) for name, one in models.items()}
    sets = {"original": original, "real": reassessments["real"].labels}
    assert agreement.rank(some, sets)[0][0].spearman.value == pytest.approx(
        agreement.rank(common, sets)[0][0].spearman.value
    )


def test_the_panel_says_on_how_many_reassessments_a_prediction_is_valid(panel):
    original, reassessments, models = panel
    model = models["m15"]
    outcomes = Outcomes.of(model, original, reassessments["real"].labels)
    listed = triage.mistakes(outcomes)
    found = triage.Panel.of(outcomes, listed, reassessments)
    columns = found.columns()
    for i, row in enumerate(listed.row.tolist()):
        valid, judges = [], 0
        for name, one in reassessments.items():
            labels = one.labels.to_lists()[row]
            judges += bool(labels)
            if outcomes.predicted[row] in labels:
                valid.append(name)
        assert columns["valid_by"][i] == " ".join(valid)
        assert (columns["num_valid_by"][i], columns["num_reassessments"][i]) == (len(valid), judges)
        assert found.describe(i) == (
            f"valid on {len(valid)} of {judges} reassessments" if judges else ""
        )
    assert sum(one.count for one in found.counts()) == len(listed.row)


def test_many_models_are_drawn_over_their_accuracy_and_listed_on_request(panel, tmp_path):
    original, reassessments, models = panel
    made = report.write(
        Study(models=models, original=original, reassessments=reassessments, num_classes=12,
              shown="m3", listed=("m7",)),
        tmp_path, report.Origin("test"),
    )  # fmt: skip
    lists = {path.name for path in (tmp_path / "lists").iterdir()}
    assert {name for name in lists if name.startswith("mistakes_")} == {
        "mistakes_m3.csv", "mistakes_m7.csv", "mistakes_m3@other.csv", "mistakes_m7@other.csv",
    }  # fmt: skip
    by = {one.key: one for one in made.sections}
    numbers = by["triage"].numbers
    assert numbers["m3"].classes and numbers["m7"].classes and numbers["m4"].classes is None
    for key in ("accuracy", "triage", "several_labels"):
        (drawn,) = by[key].figures
        axes = drawn.figure.axes
        # The height of a figure of rows grows with the models; these figures have an axis of accuracy.
        assert drawn.figure.get_size_inches()[1] < 5
        assert any("accuracy" in axis.get_xlabel() for axis in axes) or drawn.figure._supxlabel
    svg = (tmp_path / "figures" / "triage.svg").read_text()
    assert svg.count('data-link="model-') == 20 * len(triage.KINDS)
    assert {one.first + one.second for one in by["agreement"].numbers.sets} == {
        "originalreal", "originalother", "realother",
    }  # fmt: skip


def test_one_reassessment_alone_has_no_section_on_agreement(panel, tmp_path):
    original, reassessments, models = panel
    study = Study(
        models={"m3": models["m3"]}, original=original, shown="m3", num_classes=12,
        reassessments={"real": reassessments["real"]},
    )  # fmt: skip
    made = report.write(study, tmp_path, report.Origin("test"))
    keys = {one.key for one in made.sections}
    assert "agreement" not in keys and "reviewed_mistakes" not in keys


def test_the_published_sets(shared, tmp_path):
    """Known shares of equal sets, of the images that both ReaL and another set label."""
    study, _, _ = gather(Inputs(label_sets=publications.NAMES, data_dir=shared))
    sets = agreement.make(study).numbers.sets
    equal = {(o.first, o.second): round(100 * o.equal.value, 1) for o in sets}
    assert equal["real", "shankar"] == 76.7 and equal["real", "tsipras"] == 64.1
    raters = {(o.first, o.second): o.raters for o in sets}
    assert raters["original", "real"].second.value > raters["original", "real"].first.value
    assert [len(one) for one in study.reviewed] == [378, 249]


def test_reviewed_mistakes(shared):
    real = publications.reassessment("real", shared)
    found = reviewed_mistakes.load(shared)
    valid = dict(zip(real.labels.file_names.tolist(), real.labels.to_lists()))
    for mistakes, known in zip(found, (85, 67)):
        forgiven = [
            p in valid[n] for n, p in zip(mistakes.file_names.tolist(), mistakes.predicted.tolist())
        ]
        assert sum(forgiven) == known == mistakes.called_valid(real).sum()
        shares = [
            one for one in reviewed.measure([mistakes], {"real": real}).shares
            if one.severity == "Major" and one.category == "all"
        ]  # fmt: skip
        major = [f for f, s in zip(forgiven, mistakes.severity.tolist()) if s == "Major"]
        assert (shares[0].valid.value, shares[0].valid.n) == (sum(major) / len(major), len(major))
    shankar = publications.reassessment("shankar", shared)
    assert reviewed_mistakes.sentence(found, shankar) == ""  # revised with these mistakes
    said = reviewed_mistakes.sentence(found, real)
    assert "85 of 378 of ViT-3B (22.5%) and 67 of 249 of Greedy Soups (26.9%)" in said


def _mistake(prediction):
    return {"top_prediction": prediction, "failure category": "", "failure severity": ""}


FIRST = "ILSVRC2012_val_00000001.JPEG"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "expected an object from file name to a mistake"),
        ({"cat.jpg": {}}, "is about cat.jpg, which is not one of ILSVRC-2012's"),
        ({FIRST: {"top_prediction": 3}}, "expected top_prediction, failure category"),
        ({FIRST: _mistake("a")}, "the top_prediction is 'a'; expected 0 to 999"),
        ({FIRST: _mistake(65)}, "1 of its 1 predictions are the original label"),
    ],
)
def test_files_that_are_not_reviewed_mistakes(tmp_path, content, says):
    (tmp_path / "vit3b_mistakes.json").write_text(json.dumps(content))
    assert reviewed_mistakes.sentence((), None) == ""
    with pytest.raises(InputError, match=says):
        reviewed_mistakes.load(tmp_path)


def test_reviewed_mistakes_of_another_model(shared, tmp_path):
    content = (shared / "relabellings" / "vit3b_mistakes.json").read_bytes()
    (tmp_path / "greedy_soups_mistakes.json").write_bytes(content)
    with pytest.raises(InputError, match="has 378 mistakes; expected 249"):
        reviewed_mistakes.load(tmp_path)


@pytest.mark.long
def test_sixty_models_by_every_reassessment(shared, tmp_path):
    """The report of all real models: its size, and known rankings."""
    study, origin, errors = gather(
        Inputs(
            predictions=[str(shared / "imagenet_models" / "top5.npz")],
            label_sets=publications.NAMES, data_dir=shared, show="pnasnet_large_tf",
        )
    )  # fmt: skip
    assert not errors and len(study.models) == 60
    made = report.write(study, tmp_path, origin)
    kept = [tmp_path / "report.json", *(tmp_path / "lists").iterdir()]
    assert sum(path.stat().st_size for path in kept) < 30e6
    numbers = next(one for one in made.sections if one.key == "agreement").numbers
    # How far the original labels and each reassessment rank the 30 best models alike.
    found = {o.second: round(o.spearman.value, 3) for o in numbers.rankings_of_best[:4]}
    assert found == {"real": 0.972, "shankar": 0.984, "tsipras": 0.945, "northcutt": 0.978}
    preference = next(one for one in made.sections if one.key == "rater_preference").numbers
    points = {name: round(100 * one.difference.value, 1) for name, one in preference.items()}
    assert points["pnasnet_large_tf"] == -4.8
    assert isinstance(study.models["vgg16"], Predictions)

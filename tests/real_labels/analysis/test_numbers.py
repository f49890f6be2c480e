"""Each analysis against a second implementation in plain loops, and against models of known truth."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from real_labels import Answers, LabelSets, Predictions, Questions, accuracy, comparison
from real_labels.analysis import (
    accuracy_table,
    bootstrap,
    calibration,
    confusable_pairs,
    label_errors,
    rater_preference,
    real_over_original,
    several_labels,
    triage,
)
from real_labels.analysis.outcomes import Outcomes
from tests.real_labels.analysis import loops, worlds


@pytest.fixture(params=["small", "imagenet"])
def case(request):
    """(original, real, predictions): made-up labels, and the published ones."""
    if request.param == "small":
        labels = request.getfixturevalue("small")
        return (*labels, worlds.model(*labels))
    return (*request.getfixturevalue("imagenets"), request.getfixturevalue("simulated"))


# Accuracy.


def test_accuracies_and_tests_are_those_of_loops(small):
    original, real = small
    models = {
        name: worlds.model(original, real, accuracy=a, seed=s)
        for name, a, s in (("a", 0.9, 1), ("b", 0.7, 2), ("c", 0.72, 3))
    }
    record = accuracy_table.measure(models, original, real)
    right = {
        name: [ranked[0] in valid for _, ranked, _, valid in loops.worlds(one, original, real)]
        for name, one in models.items()
    }
    labelled = sum(bool(valid) for valid in real.to_lists())
    for name in models:
        top1 = record["models"][name]["real"]["top1"]
        assert top1["value"] == pytest.approx(sum(right[name]) / labelled) and top1["n"] == labelled
        above = record["models"][name]["above_original_labels"]
        own = sum(label in valid for (label,), valid in zip(original.to_lists(), real.to_lists()))
        assert above["value"] == pytest.approx((sum(right[name]) - own) / labelled)
    p_values = []
    for pair, (first, second) in zip(record["pairs"], itertools.combinations("abc", 2)):
        assert (pair["first"], pair["second"]) == (first, second)
        only = [
            sum(x and not y for x, y in zip(right[a], right[b]))
            for a, b in ((first, second), (second, first))
        ]
        assert pair["real"]["value"] == pytest.approx((only[0] - only[1]) / labelled)
        expected = stats.binomtest(only[0], sum(only)).pvalue
        assert pair["real"]["p_value"] == pytest.approx(expected)
        p_values.append(expected)
    # Holm: the smallest of three times 3, the next times 2, never falling.
    ranked = sorted(p_values)
    holm = [min(1, ranked[0] * 3)]
    holm.append(max(holm[0], min(1, ranked[1] * 2)))
    holm.append(max(holm[1], min(1, ranked[2])))
    found = sorted(pair["p_holm"]["real"] for pair in record["pairs"])
    assert found == pytest.approx(holm)


def test_holms_correction_never_falls():
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.6, 0.7]) == [1, 1] and comparison.holm([]) == []


def test_models_of_different_images_are_compared_on_the_common_ones(small):
    original, real = small
    a, b = (worlds.model(original, real, seed=s) for s in (1, 2))
    rows = np.random.default_rng(0).permutation(len(b))[:200]
    (part,) = comparison.pairs(
        {"a": a.take(np.arange(150, 600)), "b": b.take(rows)}, original, real
    )
    common = np.intersect1d(np.arange(150, 600), rows)
    (whole,) = comparison.pairs({"a": a.take(common), "b": b.take(common)}, original, real)
    assert 0 < part["original"]["n"] == len(common) < 200
    assert part == whole


def test_models_without_a_common_image_are_no_test(small):
    original, real = small
    a, b, c = (
        worlds.model(original, real, seed=s, accuracy=p) for s, p in ((1, 0.9), (2, 0.5), (3, 0.8))
    )
    models = {
        "a": a.take(np.arange(300)),
        "b": b.take(np.arange(300, 600)),
        "c": c.take(np.arange(300)),
    }
    ab, ac, bc = comparison.pairs(models, original, real)
    for pair in (ab, bc):
        assert (
            pair["real"]["n"] == 0 and pair["real"]["value"] is None and pair["p_holm"]["real"] == 1
        )
    assert ac["p_holm"]["real"] == ac["real"]["p_value"] < 1  # the only one tested


# ReaL over original accuracy.


def test_slopes_are_scipys(small):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0.4, 0.9, 61))
    bend = np.median(x)
    y = 0.2 + 0.9 * np.minimum(x, bend) + 0.5 * np.maximum(x - bend, 0) + rng.normal(0, 0.01, 61)
    order = rng.permutation(61)
    found = real_over_original.measure(x[order], y[order])
    assert found["median"] == np.median(x) and found["num_models"] == 61
    halves = {"lower": slice(0, 31), "upper": slice(31, 61)}  # the median itself is below
    fits = {}
    for name, half in halves.items():
        fit = fits[name] = stats.linregress(x[half], y[half])
        t = stats.t.ppf(0.975, len(x[half]) - 2)
        slope = found[name]["slope"]
        assert slope["value"] == pytest.approx(fit.slope) and slope["n"] == len(x[half])
        assert slope["low"] == pytest.approx(fit.slope - t * fit.stderr)
        assert slope["high"] == pytest.approx(fit.slope + t * fit.stderr)
        assert found[name]["intercept"] == pytest.approx(fit.intercept)
    # Welch's test of two means with these standard errors is the same test.
    n, m = 31, 30
    expected = stats.ttest_ind_from_stats(
        fits["lower"].slope, fits["lower"].stderr * math.sqrt(n - 1), n - 1,
        fits["upper"].slope, fits["upper"].stderr * math.sqrt(m - 1), m - 1, equal_var=False,
    )  # fmt: skip
    assert found["difference"]["t"] == pytest.approx(expected.statistic)
    assert found["difference"]["p_value"] == pytest.approx(expected.pvalue, rel=1e-6, abs=0)
    assert found["difference"]["low"] > 0


def test_equal_slopes_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        x = rng.uniform(0.4, 0.9, 40)
        found = real_over_original.measure(x, 0.3 + 0.7 * x + rng.normal(0, 0.02, 40))
        alarms += found["difference"]["p_value"] < 0.05
    assert alarms <= 22  # of 200, at 5%


@pytest.mark.parametrize("x", [[0.1, 0.2, 0.3, 0.4, 0.5], [0.5] * 10, [0.1, 0.2] * 5])
def test_too_few_models_have_no_slopes(x):
    assert real_over_original.measure(np.array(x), np.array(x)) is None


# Triage.


def test_every_mistake_is_of_exactly_one_kind(case):
    original, real, predictions = case
    outcomes = Outcomes.of(predictions, original, real)
    record = triage.measure(outcomes)
    expected = loops.triage(predictions, original, real)
    counts = collections.Counter(expected.values())
    assert {k: one["count"] for k, one in record["kinds"].items()} == {
        kind: counts[kind] for kind in triage.KINDS
    }
    assert record["num_mistakes"] == len(expected) == sum(counts.values())
    listed = triage.mistakes(outcomes)
    names = outcomes.file_names[listed.row].tolist()
    assert dict(zip(names, np.array(triage.KINDS)[listed.kind].tolist())) == expected
    assert len(names) == len(expected)
    low = [one["share"]["low"] for one in record["classes"]]
    assert low == sorted(low, reverse=True)
    worst = record["classes"][0]
    assert worst["share"]["value"] == worst["num_mistakes"] / worst["num_images"]
    for kind in (*triage.KINDS, "num_mistakes"):
        total = record["num_mistakes"] if kind == "num_mistakes" else counts[kind]
        assert sum(one[kind] for one in record["classes"]) == total
    label = dict(zip(original.file_names.tolist(), original.classes.tolist()))
    per_class = collections.Counter(label[name] for name in expected)
    assert {one["class"]: one["num_mistakes"] for one in record["classes"]} == {
        one["class"]: per_class[one["class"]] for one in record["classes"]
    }
    repeats = sum(
        ranked[0] == label and label not in valid
        for _, ranked, label, valid in loops.worlds(predictions, original, real)
    )
    assert record["agrees_with_rejected"] == repeats


def test_mistakes_are_listed_by_how_sure_the_raters_were(small, rated):
    original, real = small
    _, scores = rated
    predictions = worlds.model(original, real)
    outcomes = Outcomes.of(predictions, original, real)
    listed = triage.mistakes(outcomes, scores)
    names, label = scores.questions.file_name().tolist(), scores.questions.label.tolist()
    of = dict(zip(zip(names, label), scores.probability.tolist()))
    sureness, number = {}, {}
    for name, ranked, old, valid in loops.worlds(predictions, original, real):
        asked = [(c, of[name, c]) for c in (old, ranked[0]) if (name, c) in of]
        number[name] = len(asked)
        if asked:
            sureness[name] = math.prod(p if c in valid else 1 - p for c, p in asked)
    found = outcomes.file_names[listed.row].tolist()
    for name, value in zip(found, listed.sureness.tolist()):
        assert value == pytest.approx(sureness[name]) if name in sureness else math.isnan(value)
    # Raters' words on both labels come before those on one; what nobody was asked about comes last.
    asked = np.array([number[name] for name in found])
    assert (np.diff(asked) <= 0).all() and (np.bincount(asked) > 10).all()
    for n, by in ((2, listed.sureness), (1, listed.sureness), (0, outcomes.confidence[listed.row])):
        assert (np.diff(by[asked == n]) <= 1e-12).all()
    record = triage.measure(outcomes, scores)
    kind = dict(zip(found, np.array(triage.KINDS)[listed.kind].tolist()))
    told = {row[0]: row[1][0] for row in loops.worlds(predictions, original, real)}
    expected = collections.Counter(kind[name] for name in found if (name, told[name]) in of)
    for name, one in record["kinds"].items():
        assert one["prediction_asked"] == expected[name]
    assert triage.measure(outcomes)["kinds"]["neither"]["prediction_asked"] is None


# Errors of the labels.


def test_label_errors_add_up(case):
    original, real, _ = case
    record = label_errors.measure(original, real)
    expected = loops.label_errors(original, real)
    assert {
        one["class"]: [one["num_images"], one["with_other_labels"], one["without_labels"]]
        for one in record["classes"]
    } == expected
    for key in ("with_other_labels", "without_labels"):
        assert sum(one[key] for one in record["classes"]) == record[key]
    assert record["rejected"]["count"] == record["with_other_labels"] + record["without_labels"]
    low = [one["rejected"]["low"] for one in record["classes"]]
    assert low == sorted(low, reverse=True)
    worst = record["classes"][0]
    instead = collections.Counter()
    for (label,), valid in zip(original.to_lists(), real.to_lists()):
        if label == worst["class"] and label not in valid:
            instead.update(valid)
    assert sorted(n for _, n in instead.most_common(3)) == sorted(n for _, n in worst["instead"])
    assert all(instead[c] == n for c, n in worst["instead"])


def test_the_published_labels_have_the_published_numbers(imagenets):
    record = label_errors.measure(*imagenets)
    assert record["original_accuracy"]["value"] == pytest.approx(0.90022845, abs=5e-9)
    assert record["without_labels"] == 3_163
    assert record["with_several"] == 7_443
    assert record["num_labels"] == 57_553
    assert record["rejected"]["count"] == 7_836 == 3_163 + 46_837 - 42_164
    counts = several_labels.count(*imagenets)
    assert counts["with_several"] == 7_443
    assert {one["labels"]: one["images"] for one in counts["by_number"]}[0] == 3_163


# Several labels.


def test_picks_of_the_original_label_are_those_of_loops(case):
    original, real, predictions = case
    outcomes = Outcomes.of(predictions, original, real)
    record = several_labels.measure(outcomes, predictions, real)
    hits, n, chance = loops.picks_original(predictions, original, real)
    assert record["picks_original"]["value"] == hits / n and record["picks_original"]["n"] == n
    assert record["oracle"]["value"] == pytest.approx(chance)
    assert sum(one["picks_original"]["n"] for one in record["by_number_of_labels"]) == n
    for one in record["ranks"]:
        enough, every = loops.rank_is_valid(predictions, original, real, one["rank"])
        assert (one["valid"]["value"], one["valid"]["n"]) == (enough[0] / enough[1], enough[1])
        assert one["valid_of_all"]["value"] == every[0] / every[1]


@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
def test_a_models_bias_to_the_original_label_is_recovered(imagenets, p):
    predictions = worlds.model(
        *imagenets, picks_original=p, classes=1000, k=2, with_scores=False, seed=round(100 * p)
    )
    record = several_labels.measure(Outcomes.of(predictions, *imagenets), predictions, imagenets[1])
    share = record["picks_original"]
    assert share["high"] - share["low"] < 0.03
    assert abs(share["value"] - p) < share["high"] - share["low"]  # four standard errors
    assert record["p_value"] < 1e-3  # 25%, 50% and 80% are all far from the oracle's 44%


def test_an_unbiased_model_is_an_oracle(imagenets):
    predictions = worlds.model(*imagenets, classes=1000, k=2, with_scores=False, seed=11)
    record = several_labels.measure(Outcomes.of(predictions, *imagenets), predictions, imagenets[1])
    assert record["oracle"]["low"] <= record["picks_original"]["value"] <= record["oracle"]["high"]
    assert record["p_value"] > 0.05


def test_the_oracle_is_exact():
    number = np.array([2, 2, 3, 4])
    expected = np.zeros(5)
    for picks in itertools.product([0, 1], repeat=4):
        expected[sum(picks)] += math.prod(
            1 / k if pick else 1 - 1 / k for k, pick in zip(number.tolist(), picks)
        )
    np.testing.assert_allclose(several_labels.oracle(number), expected, atol=1e-12)
    many = several_labels.oracle(np.full(5_000, 2))
    np.testing.assert_allclose(many, stats.binom.pmf(np.arange(5_001), 5_000, 0.5), atol=1e-10)


@pytest.mark.parametrize("hits", [3, 10, 20])
def test_the_oracles_p_value_is_the_binomial_tests(hits):
    names = [f"{i}.jpg" for i in range(24)]
    original = LabelSets.from_lists(names, [[0]] * 24)
    real = LabelSets.from_lists(names, [[0, 1]] * 24)
    predictions = Predictions(names, np.where(np.arange(24) < hits, 0, 1)[:, None])
    record = several_labels.measure(Outcomes.of(predictions, original, real), predictions, real)
    expected = stats.binomtest(hits, 24, 0.5).pvalue  # at ½ either tail is the other's mirror
    assert record["p_value"] == pytest.approx(expected)
    low, high = stats.binom.ppf([0.025, 0.975], 24, 0.5) / 24
    assert (record["oracle"]["low"], record["oracle"]["high"]) == (low, high)


# Preference.


def test_preferences_are_those_of_loops(small, rated):
    original, real = small
    answers, _ = rated
    predictions = worlds.model(original, real, accuracy=0.6)
    record = rater_preference.measure(predictions, original, answers)
    shares, images, same = loops.preference(predictions, original, answers)
    assert record["num_images"] == images and 0 < record["num_same_raters"] == same < images
    for side, share in zip(rater_preference.SIDES, shares):
        assert record[side]["value"] == pytest.approx(share)
        assert record[side]["low"] < share < record[side]["high"]
    assert record["difference"]["value"] == pytest.approx(shares[0] - shares[2])


def test_preferences_of_the_published_raters(imagenets, imagenets_answers, simulated):
    original, _ = imagenets
    record = rater_preference.measure(simulated, original, imagenets_answers)
    shares, images, same = loops.preference(simulated, original, imagenets_answers)
    assert (record["num_images"], record["num_same_raters"]) == (images, same)
    found = [record[side]["value"] for side in rater_preference.SIDES]
    assert found == pytest.approx(shares) and sum(found) == pytest.approx(1)


def test_raters_prefer_a_model_that_names_what_they_say_yes_to(imagenets, imagenets_answers):
    """And the original label to one that names what they say no to."""
    original, _ = imagenets
    asked = imagenets_answers.questions
    votes = imagenets_answers.votes()
    for order, prefers in ((votes, 1), (-votes, -1)):
        best = np.lexsort([order, asked.image])[np.cumsum(np.bincount(asked.image)) - 1]
        predictions = Predictions(asked.file_names, asked.label[best][:, None])
        difference = rater_preference.measure(predictions, original, imagenets_answers)[
            "difference"
        ]
        assert prefers * difference["value"] > 0.3
        assert prefers * difference["low"] > 0.3 - 0.02


@pytest.mark.parametrize("n", [1, 6, 49, 200])
def test_raters_who_always_say_the_same(n):
    """Rounding must not put an interval beside its value."""
    names = [f"{i}.jpg" for i in range(n)]
    original = LabelSets.from_lists(names, [[0]] * n)
    questions = Questions.from_pairs(np.repeat(names, 2), np.tile([0, 1], n))
    given = np.tile([0, 2, 1, 1, 0, 2, 0, 0, 1, 2], n)  # five raters on class 0, then on class 1
    answers = Answers(
        questions,
        list("abcde"),
        np.repeat(np.arange(2 * n), 5),
        np.tile(np.arange(5), 2 * n),
        given,
    )
    record = rater_preference.measure(Predictions(names, np.ones((n, 1), int)), original, answers)
    for side, share in zip(rater_preference.SIDES, (0.4, 0.2, 0.4)):
        assert record[side]["value"] == pytest.approx(share)
        assert record[side]["low"] <= record[side]["value"] <= record[side]["high"]
    rater_preference.draw({"m": record}, {"m": "model-0"})


def test_bootstrap_of_means_is_the_normal_one_for_many_images():
    rng = np.random.default_rng(0)
    values = rng.choice([0, 0.2, 0.6, 1], (4_000, 2), p=[0.4, 0.3, 0.2, 0.1])
    drawn = bootstrap.means(values, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), values.mean(axis=0), atol=5e-4)
    np.testing.assert_allclose(drawn.std(axis=0), stats.sem(values), rtol=0.06)
    np.testing.assert_array_equal(drawn, bootstrap.means(values, seed=1))


# Pairs of classes.


def test_pairs_are_those_of_loops(case):
    original, real, _ = case
    found = confusable_pairs.find(original, real, at_least=5)
    expected = loops.pairs(original, real, 5)
    assert {
        tuple(pair["classes"]): (pair["both"], pair["swapped"], pair["overlap"]["n"])
        for pair in found
    } == expected
    low = [pair["overlap"]["low"] for pair in found]
    assert low == sorted(low, reverse=True)


def test_the_papers_pairs_come_first(imagenets):
    from real_labels.class_names import ClassNames

    names = ClassNames.of_imagenet()
    found = confusable_pairs.find(*imagenets)
    first = {" / ".join(names[c] for c in pair["classes"]) for pair in found[:15]}
    assert {"sunglass / sunglasses", "laptop / notebook", "bathtub / tub"} <= first


def test_how_far_models_tell_pairs_apart_is_that_of_loops(small):
    original, real = small
    models = {str(s): worlds.model(original, real, accuracy=0.7, seed=s) for s in (1, 2, 3)}
    pairs = confusable_pairs.find(original, real)[:6]
    found = confusable_pairs.measure(models, original, real, pairs)
    for pair, record in zip(pairs, found):
        for by in ("original", "real"):
            value, n = loops.told_apart(models.values(), original, real, pair["classes"], by)
            share = record[by]["all"]
            assert (share["value"], share["num_predictions"]) == (pytest.approx(value), n)
            assert n / 3 <= share["n"] <= n
            assert share["low"] < share["value"] < share["high"]
            for name, one in models.items():
                value, n = loops.told_apart([one], original, real, pair["classes"], by)
                assert record[by]["models"][name]["value"] == pytest.approx(value)
                assert record[by]["models"][name]["n"] == n


def test_intervals_of_pairs_hold_the_truth_and_have_a_width():
    """Newcombe's interval, by simulation: two classes of 12 and 30 images, told apart at 0.95 and 0.7."""
    names = [f"{i}.jpg" for i in range(42)]
    truth = np.repeat([0, 1], [12, 30])
    original = LabelSets.from_lists(names, truth[:, None].tolist())
    rng = np.random.default_rng(0)
    held, widths = 0, []
    for _ in range(300):
        right = rng.random(42) < np.where(truth == 0, 0.95, 0.7)
        model = Predictions(names, np.where(right, truth, 1 - truth)[:, None])
        (record,) = confusable_pairs.measure(
            {"m": model}, original, original, [{"classes": [0, 1]}]
        )
        share = record["original"]["all"]
        held += share["low"] <= 0.825 <= share["high"]
        widths.append(share["high"] - share["low"])
    assert 0.92 <= held / 300 <= 0.99 and min(widths) > 0.05


def test_a_coin_is_at_chance_and_a_knower_above():
    """Two classes: one model throws a coin that likes the first, the other repeats the original labels."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    original = LabelSets.from_lists([f"{i}.jpg" for i in range(400)], truth[:, None].tolist())
    lists = [[0, 1] if i < 100 else [int(c)] for i, c in enumerate(truth)]
    real = LabelSets.from_lists(original.file_names, lists)
    coin = Predictions(original.file_names, (rng.random(400) < 0.2).astype(int)[:, None])
    models = {"coin": coin, "repeats": Predictions.from_labels(original)}
    pairs = confusable_pairs.find(original, real)
    assert pairs == [
        {"classes": [0, 1], "both": 100, "swapped": 0,
         "overlap": accuracy.Accuracy.of(100, 400).as_json()}
    ]  # fmt: skip
    (record,) = confusable_pairs.measure(models, original, real, pairs)
    for by, n in (("original", 400), ("real", 300)):
        thrown, repeated = (record[by]["models"][name] for name in ("coin", "repeats"))
        assert thrown["low"] < 0.5 < thrown["high"] and thrown["n"] == n
        assert repeated["value"] == repeated["high"] == 1 and 0.97 < repeated["low"] < 1


# Calibration.


def test_calibration_error_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    confidence = np.append(rng.random(3_000), [0, 1, 1 / 15, 2 / 15, 0.5])
    right = rng.random(len(confidence)) < confidence**2
    found = calibration.measure(confidence, right)
    expected = loops.calibration_error(confidence.tolist(), right.tolist(), 15)
    assert found["ece"]["value"] == pytest.approx(expected)
    assert found["ece"]["low"] < expected < found["ece"]["high"]
    assert found["overconfidence"]["value"] == pytest.approx(confidence.mean() - right.mean())
    assert sum(one["n"] for one in found["bins"]) == len(confidence)
    # Against drawing images one by one.
    draws = []
    for _ in range(300):
        rows = rng.integers(0, len(confidence), len(confidence))
        place = np.digitize(confidence[rows], np.linspace(0, 1, 16), right=True)
        gap = np.bincount(place, confidence[rows] - right[rows])
        draws.append(np.abs(gap).sum() / len(rows))
    # Moved by what draws are larger than the data.
    low, high = np.quantile(draws, [0.025, 0.975]) - (np.mean(draws) - expected)
    assert found["ece"]["low"] == pytest.approx(low, abs=0.004)
    assert found["ece"]["high"] == pytest.approx(high, abs=0.004)


def test_the_upper_edge_belongs_to_a_bin():
    found = calibration.measure(np.array([0.5, 0.75]), np.array([True, False]), bins=2)
    assert found["ece"]["value"] == (0.5 + 0.75) / 2
    assert [(one["low"], one["high"], one["n"]) for one in found["bins"]] == [
        (0, 0.5, 1),
        (0.5, 1, 1),
    ]
    assert calibration.measure(np.zeros(0), np.zeros(0, bool)) is None


def test_a_model_that_knows_how_sure_it_may_be_is_calibrated():
    rng = np.random.default_rng(1)
    confidence = rng.random(40_000).astype(np.float32)
    right = rng.random(40_000) < confidence
    found = calibration.measure(confidence, right)
    assert found["ece"]["value"] < 0.01
    assert found["ece"]["low"] < found["ece"]["value"] < found["ece"]["high"] < 0.015
    assert found["overconfidence"]["low"] < 0 < found["overconfidence"]["high"]
    over = calibration.measure(np.sqrt(confidence), right)
    assert over["overconfidence"]["low"] > 0.1 and over["ece"]["low"] > 0.1


def test_calibration_counts_images_with_a_label(small):
    original, real = small
    predictions = worlds.model(original, real)
    by_real = calibration.of_model(predictions, real)
    confidence = predictions.scores[:, 0].tolist()
    labelled = [
        (confidence[i], ranked[0] in valid)
        for i, (_, ranked, _, valid) in enumerate(loops.worlds(predictions, original, real))
        if valid
    ]
    expected = loops.calibration_error(*zip(*labelled), 15)
    assert by_real["ece"]["n"] == len(labelled) < len(real)
    assert by_real["ece"]["value"] == pytest.approx(expected, abs=1e-6)


# Figures show their numbers.


def test_bars_and_lines_are_as_long_as_their_numbers(small):
    original, real = small
    records = {
        name: triage.measure(Outcomes.of(worlds.model(original, real, accuracy=a), original, real))
        for name, a in (("good", 0.9), ("bad", 0.5))
    }
    figure = triage.draw(records, {"good": "model-0", "bad": "model-1"})
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [
        records[name]["kinds"][kind]["count"] for kind in triage.KINDS for name in ("good", "bad")
    ]
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 0.9, 40)
    y = 0.3 + 0.7 * x + rng.normal(0, 0.01, 40)
    record = real_over_original.measure(x, y)
    axis = real_over_original.draw(x, y, record, own=0.9).axes[0]
    lines = {line.get_label().split(" half")[0]: line.get_xydata() for line in axis.get_lines()}
    for half in ("lower", "upper"):
        for across, up in lines[half]:
            expected = record[half]["intercept"] + record[half]["slope"]["value"] * across / 100
            assert up / 100 == pytest.approx(expected)
    assert lines["lower"][0][0] == pytest.approx(100 * x.min())
    assert lines["the original labels' own"][0][1] == 90
    points = np.concatenate([c.get_offsets() for c in axis.collections])
    np.testing.assert_allclose(points, np.column_stack([100 * x, 100 * y]))

import json

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from real_labels import aggregation
from real_labels.aggregation.reliability import Reliability
from real_labels.aggregation.thresholds import PrecisionRecall
from real_labels.answers import Gold, Scores
from real_labels.errors import InputError
from tests.real_labels import simulate


def measured(probability, present):
    asked = simulate.questions(len(probability))
    return PrecisionRecall.of(Scores(asked, probability), Gold(asked, np.array(present)))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.booleans()), min_size=1),
    st.floats(0, 1),
)
def test_precision_and_recall_are_scikit_learns(pairs, threshold):
    score, present = (np.array(column) for column in zip(*pairs))
    if not present.any():
        return
    curve = measured(score, present)
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(
        present, score, drop_intermediate=False
    )
    np.testing.assert_allclose(curve.thresholds, thresholds[::-1])
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    np.testing.assert_allclose(curve.recall, recall[-2::-1])
    point, kept = curve.at_threshold(threshold), score >= threshold
    assert point.kept == kept.sum() and point.hits == (kept & present).sum()
    if kept.any():
        assert point.precision == pytest.approx(sklearn.metrics.precision_score(present, kept))
        assert point.f1 == pytest.approx(sklearn.metrics.f1_score(present, kept))
    every = [
        sklearn.metrics.f1_score(present, score >= t, zero_division=0) for t in np.unique(score)
    ]
    assert curve.at_best_f1().f1 == pytest.approx(max(every))


def test_precision_is_reached_with_most_recall():
    curve = measured([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False])
    # 3 of the 4 labels from 0.6 up are present, although only 1 of the 2 from 0.8 up.
    assert curve.at_precision(0.7).threshold == 0.6
    assert curve.at_precision(1.0).threshold == 0.9
    hopeless = measured([0.9, 0.8], [False, True])
    with pytest.raises(
        InputError, match=r"precision of 0.9; the highest precision is 0.5000, at the threshold 0.8"
    ):
        hopeless.at_precision(0.9)


def test_published_operating_point(published):
    curve = PrecisionRecall.of(
        Scores.load(published / "scores.npz"), Gold.load(published / "golden.npz")
    )
    point = curve.at_threshold(0.8)
    assert point.precision == pytest.approx(0.898, abs=5e-4)
    assert point.recall == pytest.approx(0.778, abs=5e-4)


def test_curves_are_written(tmp_path):
    curve = measured([0.9, 0.8, 0.7], [True, False, True])
    for ending in (".csv", ".json", ".png", ".svg", ".pdf", ".parquet"):
        curve.save(tmp_path / f"curve{ending}", curve.at_best_f1())
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "curve.json").read_text())
    assert record["curve"]["recall"] == [0.5, 0.5, 1.0]
    assert record["operating_point"]["threshold"] == 0.7
    assert (tmp_path / "curve.csv").read_text().startswith('"threshold","precision","recall"')
    with pytest.raises(InputError, match=r"curve.xls: a curve is written as .*; found .xls"):
        curve.save(tmp_path / "curve.xls")
    assert len(list(tmp_path.iterdir())) == 6


def test_no_gold_among_the_scores():
    asked = simulate.questions(4)
    elsewhere = Gold(type(asked)(["z.jpg"], np.array([0]), np.array([0])), np.array([True]))
    with pytest.raises(InputError, match="None of the 1 gold questions is among the 4 questions"):
        PrecisionRecall.of(Scores(asked, np.zeros(4)), elsewhere)
    with pytest.raises(
        InputError, match="None of the 1 gold questions .* recall cannot be measured"
    ):
        measured([0.5], [False])


def test_reliability_names_the_useless_the_inverted_and_the_unknown():
    rng = np.random.default_rng(0)
    truth = rng.random(3000) < 0.4
    good = [[0.9, 0.1], [0.2, 0.8]]
    spammer, inverted = [[0.3, 0.7], [0.3, 0.7]], [[0.3, 0.7], [0.9, 0.1]]
    answers = simulate.rate(
        truth, np.array([good] * 5 + [spammer, inverted, good]), 6, rng, ("no", "yes")
    )
    newcomer = (answers.rater == 7).nonzero()[0][8:]  # the last rater answered 8 times
    kept = np.setdiff1d(np.arange(len(answers)), newcomer)
    answers = type(answers)(
        answers.questions, answers.raters, answers.question[kept], answers.rater[kept],
        answers.answer[kept], answers.categories,
    )  # fmt: skip
    reliability = Reliability.of(aggregation.dawid_skene(answers))
    assert reliability.verdict.tolist() == ["keep"] * 5 + ["drop", "inverted", "too few answers"]
    # For two categories informedness is sensitivity + specificity - 1.
    assert reliability.informedness[0] == pytest.approx(0.9 + 0.8 - 1, abs=0.04)
    assert reliability.informedness[6] == pytest.approx(0.1 + 0.3 - 1, abs=0.05)
    assert (reliability.low <= reliability.informedness).all()
    assert (reliability.informedness <= reliability.high).all()
    assert reliability.bits[5] < 0.01 < 0.2 < reliability.bits[0]
    first = reliability.columns()["rater"]
    assert first[-1] == "rater6" and set(first.tolist()) == set(answers.raters.tolist())


def test_equal_answers_carry_no_information():
    asked = simulate.questions(4)
    answers = simulate.rate(
        np.ones(4, bool), np.array([[[0, 0, 1.0]] * 2] * 3), 3, np.random.default_rng(0)
    )
    assert (answers.answer == 2).all() and len(asked) == 4
    assert Reliability.of(aggregation.majority(answers)).bits.tolist() == [0, 0, 0]


def test_bits_are_scikit_learns_mutual_information():
    rng = np.random.default_rng(1)
    truth = rng.random(500) < 0.4
    answers = simulate.rate(truth, simulate.confusions(3, 3, rng), 3, rng)
    gold = Gold(answers.questions, truth)
    calibrated = aggregation.gold_calibrated(answers, gold, smoothing=1e-12)
    bits = Reliability.of(calibrated).bits
    for rater in range(3):
        mine = answers.rater == rater
        expected = sklearn.metrics.mutual_info_score(
            truth[answers.question[mine]], answers.answer[mine]
        )
        assert bits[rater] == pytest.approx(expected / np.log(2), abs=1e-6)

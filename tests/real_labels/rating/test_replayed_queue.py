"""Published answers replayed through the real queue: adaptive asking beside five raters for each."""

from __future__ import annotations

import numpy as np
import pytest

from real_labels.answers import Answers, Gold
from real_labels.errors import InputError
from real_labels.rating import database, project, replayed_queue, results
from real_labels.rating.database import Settings
from real_labels.rating.tasks import Task
from tests.real_labels.rating.conftest import tasks_of

THRESHOLD = 0.8


def by_image(gold):
    """One task for each image, with all its gold questions."""
    labels = {}
    for name, label in zip(gold.questions.file_name().tolist(), gold.questions.label.tolist()):
        labels.setdefault(name, []).append(label)
    return [Task(name, name, tuple(sorted(of)), tuple(sorted(of))) for name, of in labels.items()]


def replayed(folder, answers, gold, **policy):
    opened = database.create(f"sqlite:///{folder / 'rating.db'}")
    project.store(opened, Settings("x", warm_up=0, gold_share=0.0, **policy), "Be careful.")
    project.add_tasks(opened, by_image(gold), None, {}, {})
    replayed_queue.answer_again(opened, answers, seed=0)
    with opened.reading() as connection:
        return results.Collected.of(connection, opened.settings(connection))


def quality(collected, gold):
    """Returns (answers per question, precision, recall)."""
    scores = collected.aggregate().scores
    kept = scores.probability[scores.questions.find(gold.questions)] >= THRESHOLD
    hits = np.count_nonzero(kept & gold.present)
    return (
        len(collected.work) / len(gold),
        hits / np.count_nonzero(kept),
        hits / np.count_nonzero(gold.present),
    )


def test_adaptive_asking_beside_five_raters(published, tmp_path):
    answers = Answers.load(published / "raters_golden.npz")
    gold = Gold.load(published / "golden.npz", at_least=3)
    (tmp_path / "fixed").mkdir()
    (tmp_path / "adaptive").mkdir()
    fixed = replayed(tmp_path / "fixed", answers, gold, raters=5)
    adaptive = replayed(tmp_path / "adaptive", answers, gold, ask_until=0.95, at_least=3, at_most=9)
    assert (fixed.work.asked == 5).all()
    asked = adaptive.work.asked
    sureness = adaptive.aggregate().sureness
    assert asked.min() == 3 and asked.max() <= 9
    assert ((sureness >= 0.95) | (asked == 9)).all()

    # Each answer equals the published answer of the same rater.
    published_answer = np.empty((len(answers.questions), len(answers.raters)), np.int64)
    published_answer[answers.question, answers.rater] = answers.answer
    rows = answers.questions.find(adaptive.work.questions)[adaptive.work.question]
    raters = np.array([int(name.removeprefix("rater-")) - 1 for name in adaptive.work.raters])
    expected = published_answer[rows, raters[adaptive.work.rater]]
    assert (adaptive.work.answer == expected).all()

    cost, precision, recall = quality(adaptive, gold)
    fixed_cost, fixed_precision, fixed_recall = quality(fixed, gold)
    assert fixed_cost == 5 and 3 < cost < 3.8
    assert precision > fixed_precision - 0.05 and recall > fixed_recall - 0.03


def test_a_rater_without_an_answer_is_named(tmp_path):
    opened = database.create(f"sqlite:///{tmp_path / 'rating.db'}")
    project.store(opened, Settings("x", raters=1, warm_up=0, gold_share=0.0), "Be careful.")
    project.add_tasks(opened, tasks_of(1, (1, 2)), None, {}, {})
    (tmp_path / "a.csv").write_text("file_name,label,rater,answer\n000.png,1,a,yes\n")
    answers = Answers.load(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"Rater a gave no answer to 000\.png, label 2"):
        replayed_queue.answer_again(opened, answers, seed=0)

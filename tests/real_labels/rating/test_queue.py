"""The queue on both databases: number of raters, leases, skipping, revising, gold, excluding."""

from __future__ import annotations

import collections
import itertools
import random
import sqlite3
import threading

import numpy as np
import pytest
import sqlalchemy

from real_labels.answers import Answers
from real_labels.errors import InputError
from real_labels.rating import adaptive, database, people, project, results, status
from real_labels.rating.database import Settings
from real_labels.rating.queue import Queue, Refused
from real_labels.rating.schema import WARM_UP
from real_labels.rating.tasks import Task
from tests.real_labels.rating.conftest import gold_of, tasks_of


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def begin(url, tasks, gold=None, raters=3, **settings):
    """Creates a project with `raters` raters; returns (database, queue, clock)."""
    opened = database.create(url)
    plain = {"raters": 2, "warm_up": 0, "gold_share": 0.0, "lease": 100.0}
    project.store(opened, Settings("test", **plain | settings), "Be careful.")
    project.add_tasks(opened, tasks, gold, {}, {})
    for _ in range(raters):
        people.invite(opened)
    clock = Clock()
    return opened, Queue(opened, clock), clock


def give(queue, rater, task, category=2, key=None):
    answers = {q.id: category for q in task.questions if q.is_asked}
    return queue.answer(
        rater, task.assignment, answers, key or f"key-{rater}-{task.assignment}", 4.0
    )


def done_by_task(opened):
    with opened.reading() as connection:
        text = "SELECT task, count(*) FROM assignments WHERE state = 'done' GROUP BY task"
        return dict(connection.execute(sqlalchemy.text(text)).all())


def test_each_task_goes_to_the_wanted_number_of_different_raters(url):
    opened, queue, _ = begin(url, tasks_of(3), raters=3)
    seen = collections.defaultdict(list)
    for rater in (1, 2, 3):
        while lent := queue.lend(rater):
            seen[rater].append(lent[0].image)
            give(queue, rater, lent[0])
    assert sum(map(len, seen.values())) == 6
    assert set(done_by_task(opened).values()) == {2}
    for images in seen.values():
        assert len(set(images)) == len(images)


def test_many_raters_at_once_leave_no_task_short_or_over(url):
    opened, queue, _ = begin(url, tasks_of(25), raters=12)
    problems = []

    def work(rater):
        rng = random.Random(rater)
        try:
            while lent := queue.lend(rater, 2):
                for task in lent:
                    give(queue, rater, task, rng.randrange(3))
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=work, args=(rater,)) for rater in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert done_by_task(opened) == dict.fromkeys(range(1, 26), 2)
    with opened.reading() as connection:
        answers = results.answers(connection, queue.settings, work=True)
    assert len(answers) == 25 * 2 * 3 and (answers.asked == 2).all()


def test_a_lease_that_ends_returns_the_task(url):
    opened, queue, clock = begin(url, tasks_of(1), raters=3)
    (first,), (second,) = queue.lend(1), queue.lend(2)
    assert queue.lend(3) == []
    clock.now += 60
    assert [task.assignment for task in queue.lend(1)] == [
        first.assignment
    ]  # renewed: the same assignment
    clock.now += 60  # the lease of the second rater has ended
    (third,) = queue.lend(3)
    give(queue, 1, first)
    give(queue, 3, third)
    late = give(queue, 2, second)
    assert all(q.answer == 2 for q in late.questions)  # kept …
    assert done_by_task(opened) == {1: 2}  # … and not counted
    with opened.reading() as connection:
        assert len(results.rows(connection, work=True)) == 6
        late = status.status(connection, queue.settings, clock.now).raters[1].late
    assert late == 1 and queue.lend(2) == []


def test_an_answer_after_the_lease_counts_if_there_is_a_place(url):
    opened, queue, clock = begin(url, tasks_of(1), raters=2)
    (task,) = queue.lend(1)
    clock.now += 1_000
    give(queue, 1, task)
    assert done_by_task(opened) == {1: 1}


def test_skipping_hands_the_task_on_with_the_reason(url):
    opened, queue, _ = begin(url, tasks_of(1), raters=3)
    (task,) = queue.lend(1)
    with pytest.raises(Refused, match="Give a reason"):
        queue.skip(1, task.assignment, "  ")
    queue.skip(1, task.assignment, "too dark")
    assert queue.lend(1) == []
    for rater in (2, 3):
        give(queue, rater, queue.lend(rater)[0])
    assert done_by_task(opened) == {1: 2}
    with opened.reading() as connection:
        text = "SELECT reason FROM assignments WHERE state = 'skipped'"
        assert connection.scalar(sqlalchemy.text(text)) == "too dark"


def test_answers_are_revised_and_the_history_is_kept(url):
    opened, queue, _ = begin(url, tasks_of(2), raters=1)
    (task,) = queue.lend(1)
    give(queue, 1, task, 2)
    assert [q.answer for q in queue.last(1)[0].questions] == [2, 2, 2]
    give(queue, 1, task, 0, key="another key")
    assert [q.answer for q in queue.last(1)[0].questions] == [0, 0, 0]
    give(queue, 1, task, 1, key="another key")  # sent twice: counts once
    with opened.reading() as connection:
        kept = connection.execute(
            sqlalchemy.text("SELECT revision, category FROM answers ORDER BY id")
        ).all()
        now = results.answers(connection, queue.settings, work=True)
    assert [tuple(row) for row in kept] == [(1, 2)] * 3 + [(2, 0)] * 3
    assert now.answer.tolist() == [0, 0, 0]


def test_answers_for_others_and_incomplete_answers_are_refused(url):
    _, queue, _ = begin(url, tasks_of(2), raters=2)
    (task,) = queue.lend(1)
    with pytest.raises(Refused, match="not assigned to you"):
        give(queue, 2, task)
    with pytest.raises(Refused, match="2 of 3 labels have no answer"):
        queue.answer(1, task.assignment, {task.questions[0].id: 0}, "key-12345")
    with pytest.raises(Refused, match="must be one of no, maybe, yes"):
        queue.answer(1, task.assignment, {q.id: 3 for q in task.questions}, "key-12345")
    with pytest.raises(Refused, match="do not belong to this task's questions"):
        queue.answer(1, task.assignment, {999: 1}, "key-12345")


def test_labels_for_contrast_are_shown_and_not_asked(url):
    _, queue, _ = begin(url, tasks_of(1, (1, 2, 3), (2,)), raters=1)
    (task,) = queue.lend(1)
    assert [(q.label, q.is_asked) for q in task.questions] == [(1, False), (2, True), (3, False)]
    assert give(queue, 1, task).questions[1].answer == 2


def test_warm_up_shows_the_truth_and_hidden_gold_does_not(url):
    tasks = tasks_of(30)
    gold = gold_of(tasks[:12])
    opened, queue, _ = begin(url, tasks, gold, raters=1, warm_up=2, gold_share=0.25)
    kinds, truths = [], []
    while lent := queue.lend(1, 2):
        for task in lent:
            assert all(q.truth is None for q in task.questions)
            saved = give(queue, 1, task)
            kinds.append(task.kind)
            truths.append([q.truth for q in saved.questions])
    assert kinds[:2] == [WARM_UP] * 2 and WARM_UP not in kinds[2:]
    assert truths[:2] == [[True, False, True]] * 2 and all(t == [None] * 3 for t in truths[2:])
    with opened.reading() as connection:
        work = results.answers(connection, queue.settings, work=True)
        hidden = results.answers(connection, queue.settings, work=False)
        truth = results.gold(connection)
    assert len(work.questions.file_names) == 18 and len(hidden.questions.file_names) == 2 + 6
    # The gold share is 0.25, so 6 of the 6 + 18 tasks after the warm-up are gold.
    assert len(truth) == 36 and (truth.present == (truth.questions.label % 2 == 1)).all()
    assert status.gold_record(hidden, truth) == [("rater-001", 16, 24)]


def test_an_excluded_raters_answers_are_kept_and_asked_again(url):
    opened, queue, _ = begin(url, tasks_of(2), raters=3)
    for rater in (1, 2):
        while lent := queue.lend(rater):
            give(queue, rater, lent[0])
    assert queue.lend(3) == []
    people.change(opened, "rater-001", is_excluded=True)
    with pytest.raises(Refused, match="paused"):
        queue.lend(1)
    while lent := queue.lend(3):
        give(queue, 3, lent[0])
    with opened.reading() as connection:
        answers = results.answers(connection, queue.settings, work=True)
        everything = connection.scalar(sqlalchemy.text("SELECT count(*) FROM answers"))
    assert set(answers.raters.tolist()) == {"rater-002", "rater-003"}
    assert len(answers) == 12 and everything == 18
    people.change(opened, "rater-001", is_excluded=False)
    with opened.reading() as connection:
        assert len(results.answers(connection, queue.settings, work=True)) == 18
    with pytest.raises(InputError, match="no rater 'nobody'"):
        people.change(opened, "nobody", is_paused=True)


def test_batches_are_added_later_and_nothing_twice(url):
    opened, queue, _ = begin(url, tasks_of(2), raters=1)
    assert project.add_tasks(opened, tasks_of(5), None, {}, {}) == (3, 0)
    assert project.add_tasks(opened, tasks_of(5), None, {}, {}) == (0, 0)
    number = 0
    while lent := queue.lend(1):
        give(queue, 1, lent[0])
        number += 1
    assert number == 5


def test_adaptive_asking_asks_only_the_unsure_again(url):
    opened, queue, _ = begin(
        url, tasks_of(40, (1, 2)), raters=9, ask_until=0.95, at_least=3, at_most=6
    )
    rng = np.random.default_rng(0)

    def truth(task, question):
        return (task.image + question.label) % 3 == 0

    rounds = 0
    while rounds < 20:
        rounds += 1
        done = 0
        for rater in range(1, 10):
            while lent := queue.lend(rater):
                (task,) = lent
                answers = {
                    q.id: (2 if truth(task, q) != (rng.random() < 0.12) else 0)
                    for q in task.questions
                    if q.is_asked
                }
                queue.answer(rater, task.assignment, answers, f"k{rater}-{task.assignment}x", 1.0)
                done += 1
        if not adaptive.ask_again(opened) and not done:
            break
    with opened.reading() as connection:
        answers = results.answers(connection, queue.settings, work=True)
        now = status.status(connection, queue.settings, 0.0)
    asked = answers.asked
    assert asked.min() >= 3 and asked.max() <= 6 and 3 < asked.mean() < 4.5
    assert now.open_tasks == 0 and now.answers == now.wanted == len(answers)


def test_the_export_can_be_read_by_aggregate(url, tmp_path):
    opened, queue, _ = begin(url, tasks_of(3), raters=2)
    for rater in (1, 2):
        while lent := queue.lend(rater):
            give(queue, rater, lent[0], rater)
    with opened.reading() as connection:
        number = results.export(connection, tmp_path / "a.csv", queue.settings, work=True)
        inside = results.answers(connection, queue.settings, work=True)
    outside = Answers.load(tmp_path / "a.csv")
    assert number == len(outside) == len(inside) == 18
    assert set(outside.raters.tolist()) == {"rater-001", "rater-002"}
    assert (outside.votes() == 1).all() and (outside.votes(1) == 1).all()


def test_other_files_and_addresses_are_refused_as_databases(url, tmp_path):
    begin(url, tasks_of(1))
    with pytest.raises(InputError, match="already holds a rating database"):
        database.create(url)
    opened = database.opened(url)
    with opened.writing() as connection:
        opened.store_fact(connection, "schema", 99)
    with pytest.raises(InputError, match=r"newer version .*tables of version 99"):
        database.opened(url)
    for wrong, says in (
        ("sqlite:////nowhere/at/all.db", "this database does not exist"),
        ("mysql://host/name", "expected sqlite:///FILE or postgresql"),
        ("rating.db", "expected sqlite:///FILE"),
        ("postgresql://tester:secret@127.0.0.1:1/x", "cannot be opened"),
    ):
        with pytest.raises(InputError, match=says) as error:
            database.opened(wrong)
        assert "secret" not in str(error.value)
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 9)
    with pytest.raises(InputError, match="cannot be opened|is not a rating database"):
        database.opened(f"sqlite:///{tmp_path / 'text.db'}")


def test_a_backup_is_whole_while_others_write(tmp_path):
    opened, queue, _ = begin(f"sqlite:///{tmp_path / 'r.db'}", tasks_of(40), raters=2)
    stop = threading.Event()

    def work():
        while not stop.is_set() and (lent := queue.lend(1)):
            give(queue, 1, lent[0])

    thread = threading.Thread(target=work)
    thread.start()
    database.backup(opened, tmp_path / "copy.db")
    stop.set()
    thread.join()
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.opened(f"sqlite:///{tmp_path / 'copy.db'}").close()


def test_a_backup_onto_the_database_is_refused(tmp_path):
    opened, *_ = begin(f"sqlite:///{tmp_path / 'r.db'}", tasks_of(1))
    (tmp_path / "link.db").symlink_to(tmp_path / "r.db")
    for name in ("r.db", "r.db-wal", "link.db"):
        with pytest.raises(InputError, match="is the database itself"):
            database.backup(opened, tmp_path / name)


def test_warm_up_answers_stay_as_they_were_before_the_feedback(url):
    tasks = tasks_of(4)
    opened, queue, _ = begin(url, tasks, gold_of(tasks[:1]), raters=1, warm_up=1)
    (warm_up,) = queue.lend(1)
    give(queue, 1, warm_up, 1)
    (work,) = queue.lend(1)
    give(queue, 1, work)
    with pytest.raises(Refused, match="cannot be changed"):
        give(queue, 1, warm_up, 2, key="another-key")
    give(queue, 1, work, 0, key="another-key")
    assert [task.assignment for task in queue.last(1)] == [work.assignment]
    with opened.reading() as connection:
        on_gold = results.answers(connection, queue.settings, work=False)
    assert set(on_gold.answer.tolist()) == {1}


def test_each_rater_gets_gold_in_another_order(url):
    tasks = tasks_of(60)
    gold = gold_of(tasks[:40])
    _, queue, _ = begin(url, tasks, gold, raters=4, warm_up=40, gold_share=0.0)
    orders = []
    for rater in range(1, 5):
        seen = []
        while (lent := queue.lend(rater)) and lent[0].kind == WARM_UP:
            seen.append(lent[0].image)
            give(queue, rater, lent[0])
        orders.append(tuple(seen))
    assert len({frozenset(order) for order in orders}) == 1 and len(orders[0]) == 40
    for first, second in itertools.combinations(orders, 2):
        assert sum(a == b for a, b in zip(first, second)) < 12  # about 1 is expected by chance


def test_a_later_batch_asks_no_question_twice_and_changes_no_task(url):
    opened, queue, _ = begin(url, tasks_of(2, (1, 2)), raters=1)
    again = [Task("again", "000.png", (2, 3), (2, 3)), Task("all there", "001.png", (1, 2), (1, 2))]
    assert project.add_tasks(opened, [*tasks_of(2, (1, 2)), *again], None, {}, {}) == (1, 0)
    asked = []
    while lent := queue.lend(1):
        asked += [(lent[0].image, q.label) for q in lent[0].questions if q.is_asked]
        give(queue, 1, lent[0])
    assert len(asked) == len(set(asked)) == 5
    with pytest.raises(
        InputError, match=r"Task t0 already exists with other labels \(\[1, 2\] in the database"
    ):
        project.add_tasks(opened, tasks_of(2, (1, 2, 3)), None, {}, {})


def test_a_later_task_with_the_id_of_a_gold_task_is_refused(url):
    gold = tasks_of(2)
    opened, _, _ = begin(url, tasks_of(4), gold_of(gold), raters=1, warm_up=1)
    assert project.add_tasks(opened, gold, None, {}, {}) == (0, 0)  # is there, as gold
    with pytest.raises(InputError, match=r"Task t0 already exists with other labels"):
        project.add_tasks(opened, tasks_of(1, (7, 8)), None, {}, {})


def test_open_tasks_that_no_rater_can_take_are_counted(url):
    opened, queue, clock = begin(url, tasks_of(3), raters=2, **{"lease": 50.0})
    opened.close()
    with opened.reading() as connection:
        assert status.needs_raters(connection) == 0
    for _ in range(3):
        give(queue, 1, queue.lend(1)[0])
    people.change(opened, "rater-002", is_paused=True)
    with opened.reading() as connection:
        assert status.needs_raters(connection) == 3
        assert status.progress(opened, connection, 1, clock.now)["wait"] is None
    people.change(opened, "rater-002", is_paused=False)
    task = queue.lend(2)[0]
    queue.skip(2, task.assignment, "too dark")
    queue.skip(2, task.assignment, "too dark")  # sent twice
    with opened.reading() as connection:
        assert status.needs_raters(connection) == 1
        (skipped,) = status.skipped(connection)
    assert (skipped["rater"], skipped["reason"]) == ("rater-002", "too dark")


def test_progress_does_not_reveal_gold(url):
    tasks = tasks_of(40)
    opened, queue, clock = begin(
        url, tasks, gold_of(tasks[:10]), raters=1, gold_share=0.25, **{"warm_up": 0}
    )
    left = []
    while lent := queue.lend(1):
        with opened.reading() as connection:
            left.append(status.progress(opened, connection, 1, clock.now)["left"])
        give(queue, 1, lent[0])
    assert left == sorted(left, reverse=True) and left[0] == 40
    steps = [a - b for a, b in itertools.pairwise(left)]
    assert set(steps) == {1}

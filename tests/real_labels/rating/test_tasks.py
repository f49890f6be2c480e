"""Reading and writing tasks.jsonl, messages about bad lines, asking again, and Label Studio."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_labels.answers import Answers, Questions
from real_labels.errors import InputError
from real_labels.rating import asking, label_studio, replay
from real_labels.rating import tasks as rated
from real_labels.rating.tasks import Task


def test_a_round_trip(tmp_path):
    questions = Questions(
        np.array(["b é.png", "a.png"]), np.array([0, 1, 0, 0]), np.array([5, 2, 1, 9])
    )
    tasks = rated.make(
        questions, lambda labels: [labels[:2], labels[2:]] if labels[2:] else [labels]
    )
    assert [(t.task, t.labels) for t in tasks] == [
        ("b é.png#1", (1, 5)), ("b é.png#2", (9,)), ("a.png#1", (2,)),
    ]  # fmt: skip
    texts = [f"text {i}" for i in range(10)]
    odd = Task("u", "line\u2028and\x85page.png", (7,), (7,))
    tasks = [*rated.described(tasks, texts, texts), odd, Task("x", "c.png", (1, 2, 3), (3,))]
    rated.save(tmp_path / "t.jsonl", tasks)
    assert rated.load(tmp_path / "t.jsonl") == tasks
    first, *_, last = map(json.loads, (tmp_path / "t.jsonl").read_text().strip().split("\n"))
    assert "ask" not in first and last == {
        "task": "x", "file_name": "c.png", "labels": [1, 2, 3], "ask": [3],
    }  # fmt: skip
    asked = rated.questions_of(tasks)
    assert list(zip(asked.file_name().tolist(), asked.label.tolist()))[-1] == ("c.png", 3)
    with pytest.raises(InputError, match="names of 3 classes only, but task b .* shows class 5"):
        rated.described(tasks, texts[:3])


def test_bad_lines_are_named(tmp_path):
    path = tmp_path / "t.jsonl"
    good = {"task": "a", "file_name": "a.png", "labels": [1, 2]}
    for change, says in (
        ({"labels": [1, 1]}, "labels must be one or more distinct classes"),
        ({"labels": []}, "labels must be one or more distinct classes, found"),
        ({"labels": [-1]}, "labels must be a list of class indices"),
        ({"labels": [1 << 31]}, "labels must be a list of class indices"),
        ({"labels": [True]}, "labels must be a list of class indices"),
        ({"labels": "1"}, "labels must be a list"),
        ({"ask": [3]}, "asks about class 3, which is not among its labels"),
        ({"ask": []}, "ask must be one or more distinct"),
        ({"task": None}, "task must be a text"),
        ({"file_name": ""}, "file_name is empty"),
        ({"names": ["x"]}, "has 1 names for 2 labels"),
        ({"names": [1, 2]}, "names must be a list of texts"),
    ):
        path.write_text(json.dumps(good) + "\n\n" + json.dumps({**good, "task": "b", **change}))
        with pytest.raises(InputError, match=f"t.jsonl: line 3: .*{says}"):
            rated.load(path)
    for content, says in (
        ("[1, 2]", "line 1: expected an object"),
        ("{", "line 1: is not JSON"),
        ("", "holds no tasks"),
        (f"{json.dumps(good)}\n" * 2, "2 tasks have the id 'a'"),
        ("[" * 100_000, "line 1: "),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=says):
            rated.load(path)


@given(
    st.lists(st.tuples(st.floats(0.5, 1), st.integers(0, 12)), min_size=1),
    st.floats(0.51, 1), st.integers(1, 5), st.integers(0, 5),
)  # fmt: skip
def test_the_rule_of_asking(questions, until, at_least, more):
    policy = asking.Policy(until, at_least, at_least + more)
    sureness, asked = map(np.array, zip(*questions))
    needed = policy.needs_more(sureness, asked)
    for sure, number, need in zip(sureness.tolist(), asked.tolist(), needed.tolist()):
        if number < at_least:
            assert need
        elif number >= at_least + more:
            assert not need
        else:
            assert need == (sure < until)


def test_the_next_round_asks_unsure_questions():
    tasks = [
        Task("t1", "x/a.png", (1, 2, 3), (1, 2, 3)),
        Task("t2", "x/b.png", (4, 5), (4,)),
        Task("t3", "x/c.png", (6,), (6,)),
    ]
    # a.png: 1 sure, 2 unsure, 3 given up after 4 answers; b.png: 4 was never asked; c.png: one answer.
    label = np.array([1] * 2 + [2] * 2 + [3] * 4 + [6] + [7])
    names = ["a.png"] * 8 + ["c.png"] * 2
    questions = Questions.from_pairs(*zip(*dict.fromkeys(zip(names, label.tolist()))))
    rows = questions.find(Questions.from_pairs(np.array(names[:1]), label[:1]))
    assert rows.tolist() == [0]
    question = np.array([0, 0, 1, 1, 2, 2, 2, 2, 3, 4])
    raters = np.array([0, 1, 0, 1, 0, 1, 2, 3, 0, 0])
    answers = Answers(questions, np.array(list("wxyz")), question, raters, np.zeros(10, int))
    sureness = np.array([0.99, 0.7, 0.6, 0.99, 0.5])
    state = asking.state(tasks, answers, sureness, asking.Policy(0.95, 2, 4))
    assert (state.sure, state.unsure, state.given_up, state.too_few) == (1, 1, 1, 2)
    assert state.unknown == 1
    more = asking.more_tasks(tasks, state)
    assert [(t.task, t.labels, t.ask) for t in more] == [
        ("t1", (1, 2, 3), (2,)), ("t2", (4, 5), (4,)), ("t3", (6,), (6,)),
    ]  # fmt: skip
    with pytest.raises(InputError, match="none of the 1 questions of the tasks was answered"):
        asking.state([Task("z", "z.png", (1,), (1,))], answers, sureness, asking.Policy())


def test_a_replay_stops_when_sure_and_counts_every_answer():
    """Adaptive asking needs fewer answers than nine for each question, and has a higher F1 than three."""
    from real_labels import aggregation
    from tests.real_labels import simulate

    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    answers = simulate.rate(truth, simulate.confusions(9, 3, rng), 9, rng)
    from real_labels.answers import Gold

    gold = Gold(answers.questions, truth)

    calibrated = replay.by_halves(
        answers, gold, lambda some, half: aggregation.gold_calibrated(some, half, answers), 0
    )

    each = [
        replay.replay(answers, gold, asking.Policy(0.95, n, n), calibrated, 0.5, 0) for n in (3, 9)
    ]
    assert [outcome.answers_per_question for outcome in each] == [3, 9]
    adaptive = replay.replay(answers, gold, asking.Policy(0.95, 3, 9), calibrated, 0.5, 0)
    assert 3 < adaptive.answers_per_question < 6
    assert each[0].f1 < adaptive.f1 <= each[1].f1 + 0.03
    never = replay.replay(answers, gold, asking.Policy(1.0, 2, 4), calibrated, 0.5, 0)
    assert 3.5 < never.answers_per_question <= 4


def test_the_interface_of_label_studio_repeats_for_each_question():
    text = label_studio.interface(('no "never"', "yes & sure"))
    root = ET.fromstring(text)
    repeater = root.find(".//Repeater")
    choices = repeater.find("Choices")
    assert repeater.get("on") == "$questions" and repeater.get("indexFlag") == "{{idx}}"
    assert choices.get("name") == "answer_{{idx}}" and choices.get("toName") == root.find(
        ".//Image"
    ).get("name")
    assert [c.get("value") for c in choices] == ['no "never"', "yes & sure"]
    task = Task("t", "a b/ü.png", (1, 2, 3), (2,), ("one", "two", "three"))
    data = label_studio.as_json(task, "http://h")["data"]
    assert label_studio.as_json(task, "/d=")["data"]["image"].startswith("/d=a")
    assert data["image"] == "http://h/a%20b/%C3%BC.png"
    assert [q["label"] for q in data["questions"]] == [2]
    assert data["others"].endswith("one, three")


def test_bad_exports_are_named(tmp_path):
    data = {"file_name": "a.png", "questions": [{"label": 3}]}
    answer = {"from_name": "answer_0", "value": {"choices": ["yes"]}}
    by = {"completed_by": 1, "result": [answer]}
    for content, says in (
        ([{"data": data, "annotations": []}], "holds no answer"),
        ([{"data": data}, {"data": data, "annotations": [by]}], "holds tasks without annotations"),
        ([{"data": data}], "holds tasks without annotations"),
        ([{"data": {}, "annotations": [by]}], "task 1 has no file_name and questions"),
        ([{"data": data, "annotations": [{**by, "completed_by": None}]}], "no annotator"),
        ([{"data": data, "annotations": [{**by, "result": "x"}]}], "must be a list of objects"),
        (
            [{"data": data, "annotations": [{**by, "result": [{**answer, "from_name": "answer_1"}]}]}],
            "task 1 has answer_1, but only 1 questions",
        ),
        (
            [{"data": data, "annotations": [{**by, "result": [{**answer, "value": {"choices": ["eh"]}}]}]}],
            "task 1 has the answer 'eh'; expected one of no, maybe, yes",
        ),
        (
            [{"data": data, "annotations": [{**by, "result": [{**answer, "value": {"choices": []}}]}]}],
            "expected one choice",
        ),
        ([{"data": data, "annotations": [by]}, 3], "task 2 is 3"),
        ([{"data": data, "annotations": [by, {**by, "result": [
            {**answer, "value": {"choices": ["no"]}}]}]}], "contradict the same rater"),
    ):  # fmt: skip
        (tmp_path / "e.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=says) as error:
            Answers.load(tmp_path / "e.json")
        assert str(error.value).startswith(f"{tmp_path / 'e.json'}: ")
    minimal = [{"id": 1, **data, "annotator": 4, "annotation_id": 2}]
    (tmp_path / "e.json").write_text(json.dumps(minimal))
    with pytest.raises(
        InputError, match="JSON_MIN, which leaves the answers out; export .* as JSON"
    ):
        Answers.load(tmp_path / "e.json")

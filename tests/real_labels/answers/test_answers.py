import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from real_labels import LabelSets
from real_labels.answers import Answers, Gold, Questions, Scores
from real_labels.errors import InputError
from tests.real_labels import simulate

ROWS = [
    ("b.jpg", 7, "ann", "yes"),
    ("a.jpg", 3, "bob", "maybe"),
    ("b.jpg", 7, "bob", "no"),
    ("a.jpg", 1, "ann", "no"),
]


def frame(rows=ROWS):
    return pd.DataFrame(rows, columns=["file_name", "label", "rater", "answer"])


def as_rows(answers):
    asked = answers.questions
    return sorted(
        (
            str(asked.file_names[asked.image[q]]),
            int(asked.label[q]),
            str(answers.raters[r]),
            answers.categories[a],
        )
        for q, r, a in zip(answers.question, answers.rater, answers.answer)
    )


def test_published_answers(published):
    answers = Answers.load(published / "raters.npz")
    assert len(answers) == 924_810 and len(answers.raters) == 85
    assert (np.diff(answers.offsets) == 5).all() and len(answers.questions) == 184_962
    assert len(answers.questions.file_names) == 24_889
    with np.load(published / "raters.npz") as archive:
        ids, info, mine = archive["ids"], archive["info"], archive["tensor"][17]
    row = answers.raters.tolist().index(str(ids[17]))
    given = answers.rater == row
    question, answer = np.nonzero(mine)
    order = np.argsort(answers.question[given])
    np.testing.assert_array_equal(answers.question[given][order], question)
    np.testing.assert_array_equal(answers.answer[given][order], answer)
    assert answers.questions.file_name()[99] == info[99, 0]
    assert answers.questions.label[99] == int(info[99, 1])


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".json", ".tsv"])
def test_tables_are_read(tmp_path, ending):
    path = tmp_path / f"answers{ending}"
    write = {
        ".csv": lambda f: f.to_csv(path, index=False),
        ".tsv": lambda f: f.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda f: f.to_parquet(path),
        ".jsonl": lambda f: f.to_json(path, orient="records", lines=True),
        ".json": lambda f: f.to_json(path, orient="records"),
    }[ending]
    write(frame())
    assert as_rows(Answers.load(path)) == sorted(ROWS)


def test_answers_may_be_numbers_and_labels_wordnet_ids(tmp_path):
    path = tmp_path / "answers.csv"
    table = frame()
    table["answer"] = [2, 1, 0, 0]
    table["label"] = ["n01443537", "n01440764", "n01443537", "n15075141"]
    table["rater"] = [17, 4, 4, 17]
    table.to_csv(path, index=False)
    answers = Answers.load(path)
    assert as_rows(answers) == sorted(
        [
            ("b.jpg", 1, "17", "yes"),
            ("a.jpg", 0, "4", "maybe"),
            ("b.jpg", 1, "4", "no"),
            ("a.jpg", 999, "17", "no"),
        ]
    )


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_saved_answers_come_back(tmp_path, ending):
    rng = np.random.default_rng(0)
    answers = simulate.rate(rng.random(40) < 0.5, simulate.confusions(6, 3, rng), 3, rng)
    answers.save(tmp_path / f"answers{ending}")
    assert as_rows(Answers.load(tmp_path / f"answers{ending}")) == as_rows(answers)
    assert [p.name for p in tmp_path.iterdir()] == [f"answers{ending}"]


def test_column_names_may_be_capitals(tmp_path):
    table = frame().rename(columns=lambda name: f" {name.title()}")
    table.to_csv(tmp_path / "answers.csv", index=False)
    assert as_rows(Answers.load(tmp_path / "answers.csv")) == sorted(ROWS)


def test_other_categories(tmp_path):
    path = tmp_path / "answers.csv"
    frame([("a", 0, "x", "Absent"), ("a", 0, "y", "present")]).to_csv(path, index=False)
    answers = Answers.load(path, ("absent", "present"))
    assert answers.answer.tolist() == [0, 1]
    with pytest.raises(InputError, match=r"row 1 .*'Absent'; expected one of no, maybe, yes"):
        Answers.load(path)


def test_categories_may_be_numbers_and_many(tmp_path):
    scale = ("1", "2", "3", "4", "5")
    rows = [("a", 0, f"r{i}", s) for i, s in enumerate(scale)]
    frame(rows).to_csv(tmp_path / "a.csv", index=False)
    assert Answers.load(tmp_path / "a.csv", scale).answer.tolist() == [0, 1, 2, 3, 4]
    assert sorted(Answers.load(tmp_path / "a.csv", ("5", "4", "3", "2", "1")).answer) == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert Answers.load(tmp_path / "a.csv", scale[::-1]).answer.tolist() == [4, 3, 2, 1, 0]
    many = tuple(f"c{i}" for i in range(300))
    frame([("a", 0, "x", "c299")]).to_csv(tmp_path / "a.csv", index=False)
    assert Answers.load(tmp_path / "a.csv", many).answer.tolist() == [299]


def test_parts_are_joined_by_name(tmp_path):
    frame(ROWS[:2]).to_csv(tmp_path / "1.csv", index=False)
    frame(ROWS[2:]).to_csv(tmp_path / "2.csv", index=False)
    parts = [Answers.load(tmp_path / "1.csv"), Answers.load(tmp_path / "2.csv")]
    assert as_rows(Answers.join(parts)) == sorted(ROWS)
    again = Answers.join([*parts, parts[0]])
    assert as_rows(again) == sorted(ROWS) and again.repeats == 2
    frame([("b.jpg", 7, "ann", "maybe")]).to_csv(tmp_path / "3.csv", index=False)
    with pytest.raises(InputError, match="contradict the same rater's answer .*rater ann, b.jpg"):
        Answers.join([*parts, Answers.load(tmp_path / "3.csv")])


def test_labels_vote_as_a_rater():
    asked = Questions.from_pairs(["a", "a", "b", "c"], np.array([1, 2, 1, 1]))
    answers = Answers(asked, ["x"], [0], [0], [1])
    voting = answers.with_rater("labels", LabelSets.from_lists(["b", "a"], [[5], [2, 4]]))
    assert as_rows(voting) == sorted(
        [
            ("a", 1, "x", "maybe"),
            ("a", 1, "labels", "no"),
            ("a", 2, "labels", "yes"),
            ("b", 1, "labels", "no"),
        ]
    )


BAD_TABLES = [
    ("file_name,label,rater\na,1,x\n", "lacks the column answer; .*found file_name, label, rater"),
    ("file_name,label,rater,answer\n", "has no rows"),
    ("", "is empty"),
    ("file_name,label,rater,answer\na,1,x,yes\na,1,x,no\n", "rater x, a, label 1"),
    ("file_name,label,rater,answer\na,1,x,yes\na,cat,x,no\n", "row 2 has the label 'cat'"),
    ("file_name,label,rater,answer\na,-1,x,yes\n", "row 1 has the negative label -1"),
    ("file_name,label,rater,answer\na,1.5,x,yes\n", "row 1 has the label '1.5'"),
    ("file_name,label,rater,answer\na,5000000000,x,yes\n", "5000000000 is beyond 32 bits"),
    (
        "file_name,label,rater,answer\na,9223372036854775807,x,yes\n",
        "row 1 has the label '9223372036854775807'",
    ),
    (
        "file_name,label,rater,answer\na,99999999999999999999,x,yes\n",
        "row 1 has the label '99999999999999999999'",
    ),
    ("file_name,label,rater,answer,rater\na,1,x,yes,y\n", "several columns named rater"),
    ("file_name,label,rater,answer\na,1,x,5\n", "row 1 has the answer '5'; expected one of no"),
    ("file_name,label,rater,answer\na,1,x,perhaps\n", "row 1 has the answer 'perhaps'"),
    ("file_name,label,rater,answer\na,1,,yes\n", "row 1 has no rater"),
    ("file_name,label,rater,answer\na,1,x,yes\n,1,x,yes\n", "row 2 has no file_name"),
    ("file_name,label,rater,answer\na,,x,yes\n", "row 1 has no label"),
    ("file_name,label,rater,answer\na,1,x,\n", "has no answer: all 1 rows of answer are empty"),
    ("file_name,label,rater,answer\na,1,x,yes\na,1\n", "line 3 has 2 cells where the first has 4"),
]


@pytest.mark.parametrize(("content", "complaint"), BAD_TABLES)
def test_bad_tables_name_file_and_row(tmp_path, content, complaint):
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=complaint) as error:
        Answers.load(path)
    assert str(error.value).count("answers.csv") == 1


def archive_of(**changes):
    tensor = np.zeros((2, 3, 3))
    tensor[0, 0, 2] = tensor[1, 2, 0] = 1
    arrays = dict(
        tensor=tensor,
        info=np.array([["a.jpg", "1"], ["a.jpg", "2"], ["b.jpg", "1"]]),
        ids=np.array([10, 11]),
    )
    return arrays | changes


def twice():
    tensor = archive_of()["tensor"].copy()
    tensor[0, 0, 0] = 1
    return tensor


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (dict(tensor=np.zeros((2, 3, 2))), r"shape \(2, 3, 3\).*found \(2, 3, 2\)"),
        (dict(tensor=twice()), "rater 10 gives two answers to question 1"),
        (dict(tensor=archive_of()["tensor"] / 2), "must hold only 0 and 1"),
        (dict(info=np.array([["a", "x"]] * 3)), "row 1 has the label 'x'"),
        (dict(info=np.array([["a", "1"], ["a", "1"], ["b", "1"]])), "occur more than once"),
        (dict(info=np.zeros((3, 2))), "info must be"),
        (dict(ids=np.array([], int), tensor=np.zeros((0, 3, 3))), "has no raters"),
        (dict(info=np.array([["a", "5000000000"], ["b", "1"], ["c", "1"]])), "beyond 32 bits"),
        (dict(ids=np.array([{}, {}], dtype=object)), "pickled"),
        (dict(tensor=np.full((2, 3, 3), None, dtype=object)), "pickled"),
    ],
)
def test_bad_archives_are_explained(tmp_path, changes, complaint):
    path = tmp_path / "raters.npz"
    np.savez(path, **archive_of(**changes))
    with pytest.raises(InputError, match=complaint) as error:
        Answers.load(path)
    assert str(error.value).count("raters.npz") == 1


def test_column_major_tensors_are_read(tmp_path):
    archive = archive_of()
    np.savez(tmp_path / "c.npz", **archive)
    np.savez(tmp_path / "f.npz", **archive | dict(tensor=np.asfortranarray(archive["tensor"])))
    assert as_rows(Answers.load(tmp_path / "f.npz")) == as_rows(Answers.load(tmp_path / "c.npz"))


def test_text_that_is_no_utf8_is_said(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        "file_name,label,rater,answer\na,1,Zoë,yes\n".encode("latin-1")
    )
    with pytest.raises(
        InputError,
        match="a.csv: is not UTF-8 text: line 2 has the byte 0xeb.* iconv -f WINDOWS-1252",
    ):
        Answers.load(tmp_path / "a.csv")


def test_truncated_and_missing_files(tmp_path):
    path = tmp_path / "raters.npz"
    np.savez_compressed(path, **archive_of())
    assert as_rows(Answers.load(path)) == [("a.jpg", 1, "10", "yes"), ("b.jpg", 1, "11", "no")]
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"raters.npz: is not a \.npz file, or is cut short"):
            Answers.load(path)
    damaged = bytearray(whole)
    damaged[120] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(InputError, match="raters.npz"):
        Answers.load(path)
    with pytest.raises(InputError, match="there is no such file"):
        Answers.load(tmp_path / "elsewhere.npz")
    (tmp_path / "elsewhere.csv").mkdir()
    with pytest.raises(InputError, match="elsewhere.csv"):
        Answers.load(tmp_path / "elsewhere.csv")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (dict(question=[0, 9]), "question must lie in 0 to 2"),
        (dict(rater=[0, -1]), "rater must lie in 0 to 1"),
        (dict(answer=[0, 3]), "answer must lie in 0 to 2"),
        (dict(answer=[0]), "answer must have shape"),
        (dict(answer=[0.0, 1.0]), "integers"),
        (dict(raters=["x", "x"]), "same id"),
        (dict(categories=("yes",)), "distinct categories"),
        (dict(categories=("no", "yes", "No")), "distinct categories"),
        (dict(categories=("no", "", "yes")), "distinct categories"),
    ],
)
def test_the_constructor_refuses(change, complaint):
    good = dict(
        questions=simulate.questions(3), raters=["x", "y"], question=[0, 1], rater=[0, 1],
        answer=[0, 1],
    )  # fmt: skip
    Answers(**good)
    with pytest.raises(InputError, match=complaint):
        Answers(**good | change)


def test_questions_are_found_by_image_and_label():
    ours = Questions.from_pairs(["a", "b", "a"], np.array([1, 1, 3]))
    theirs = Questions.from_pairs(["z", "a", "b", "a", "b"], np.array([1, 3, 1, 2, 70]))
    assert ours.find(theirs).tolist() == [-1, 2, 1, -1, -1]
    assert ours.take(np.array([2, 0])).file_name().tolist() == ["a", "a"]
    with pytest.raises(InputError, match="more than once"):
        Questions.from_pairs(["a", "b", "a"], np.array([1, 1, 1]))


# ---- gold and scores ----------------------------------------------------------------------------


def test_published_gold(published):
    gold = Gold.load(published / "golden.npz")
    assert len(gold) == 1135 and len(gold.questions.file_names) == 155
    assert gold.present.sum() == 248 and set(gold.experts.tolist()) == {5}
    assert gold.with_votes(3).present.sum() == 248
    assert gold.with_votes(2).present.sum() > 248 > gold.with_votes(4).present.sum()


def test_gold_tables(tmp_path):
    truths = tmp_path / "truths.csv"
    truths.write_text("file_name,label,truth\na,1,yes\na,2,No\nb,1,TRUE\n")
    assert Gold.load(truths).present.tolist() == [True, False, True]
    experts = tmp_path / "experts.csv"
    frame(ROWS).to_csv(experts, index=False)
    gold = Gold.load(experts)
    present = dict(zip(zip(gold.questions.file_name(), gold.questions.label), gold.present))
    assert present == {("b.jpg", 7): False, ("a.jpg", 3): False, ("a.jpg", 1): False}
    assert Gold.load(experts, at_least=1).present.sum() == 1
    for path, at_least, complaint in (
        (truths, 2, "holds truths"),
        (experts, 7, "At least 7 votes are required; expected 1 to 2, the number of experts"),
    ):
        with pytest.raises(InputError, match=complaint):
            Gold.load(path, at_least)
    truths.write_text("file_name,label,truth\na,1,perhaps\n")
    with pytest.raises(InputError, match="truths.csv: row 1 has the truth 'perhaps'"):
        Gold.load(truths)
    truths.write_text("file_name,label,truth\n,1,yes\n")
    with pytest.raises(InputError, match="truths.csv: row 1 has no file_name"):
        Gold.load(truths)
    truths.write_text("file_name,label\na,1\n")
    with pytest.raises(InputError, match="expected the columns file_name, label and truth"):
        Gold.load(truths)


def test_scores_have_the_published_layout(tmp_path, published):
    scores = Scores.load(published / "scores.npz")
    scores.save(tmp_path / "scores.npz")
    with np.load(tmp_path / "scores.npz") as ours, np.load(published / "scores.npz") as theirs:
        assert sorted(ours.files) == sorted(theirs.files)
        for name in theirs.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
            assert ours[name].dtype == theirs[name].dtype


def test_scores_that_are_no_numbers(tmp_path):
    np.savez(tmp_path / "s.npz", tensor=np.array(["a"]), info=np.array([["a.jpg", "1"]]))
    with pytest.raises(InputError, match=r"s.npz: tensor must hold numbers"):
        Scores.load(tmp_path / "s.npz")


def test_scores_become_label_sets(tmp_path):
    asked = Questions.from_pairs(["b", "a", "b", "c"], np.array([2, 1, 0, 5]))
    scores = Scores(asked, np.array([0.8, 0.79, 0.9, 0.1]))
    assert scores.label_sets(0.8).to_lists() == [[0, 2], [], []]
    everything = LabelSets.from_lists(["a", "b", "c", "d", "e"], [[1], [2], [5], [7], []])
    labels = scores.label_sets(0.8, unrated=everything)
    assert labels.file_names.tolist() == ["a", "b", "c", "d", "e"]
    assert labels.to_lists() == [[], [0, 2], [], [7], []]
    labels.to_json(tmp_path / "labels.json")
    assert json.loads((tmp_path / "labels.json").read_text())["b"] == [0, 2]
    others = LabelSets.from_lists(["bb", "aa"], [[4], [6, 7]])
    labels = scores.label_sets(0.8, unrated=others)
    assert labels.file_names.tolist() == ["a", "aa", "b", "bb", "c"]
    assert labels.to_lists() == [[], [6, 7], [0, 2], [4], []]
    with pytest.raises(InputError, match="images of the questions"):
        scores.label_sets(0.8, unrated=everything.take(np.array([0, 1])))
    with pytest.raises(InputError, match="threshold"):
        scores.label_sets(1.5)
    with pytest.raises(InputError, match=r"\[0, 1\], found nan at question 2"):
        dataclasses.replace(scores, probability=np.array([0, np.nan, 0, 0]))

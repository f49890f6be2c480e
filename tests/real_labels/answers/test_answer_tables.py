"""Tables of answers as people have them: empty cells, repeats, other names, a column a rater."""

import numpy as np
import pandas as pd
import pytest

from real_labels.answers import Answers, Gold
from real_labels.errors import InputError

ROWS = [
    ("a.jpg", 1, "anna", "yes"),
    ("a.jpg", 1, "ben", "no"),
    ("a.jpg", 2, "anna", "maybe"),
    ("b.jpg", 1, "ben", "yes"),
]
COLUMNS = ["file_name", "label", "rater", "answer"]


def frame(rows=ROWS, columns=COLUMNS):
    return pd.DataFrame(rows, columns=columns)


def as_rows(answers):
    asked = answers.questions
    names = asked.file_names[asked.image[answers.question]]
    return sorted(
        (str(n), int(asked.label[q]), str(answers.raters[r]), answers.categories[a])
        for n, q, r, a in zip(names, answers.question, answers.rater, answers.answer)
    )


def load(tmp_path, table, **options):
    table.to_csv(tmp_path / "a.csv", index=False)
    return Answers.load(tmp_path / "a.csv", **options)


@pytest.mark.parametrize("empty", [None, "", " ", "nan", "NaN", "None", "N/A"])
def test_empty_answers_are_left_out_and_counted(tmp_path, empty):
    answers = load(tmp_path, frame([*ROWS, ("b.jpg", 2, "anna", empty), ("b.jpg", 3, None, empty)]))
    assert as_rows(answers) == sorted(ROWS) and answers.empty == 2
    assert answers.remarks == ["2 empty answers are left out."]
    assert as_rows(Answers.join([answers, answers])) == sorted(ROWS)


def test_exact_repeats_are_left_out_and_contradictions_refused(tmp_path):
    answers = load(tmp_path, frame([*ROWS, ROWS[0], ROWS[0], ROWS[3]]))
    assert as_rows(answers) == sorted(ROWS) and answers.repeats == 3
    assert answers.remarks == ["3 exact repeats of an answer are left out."]
    with pytest.raises(InputError, match="1 answers contradict .*rater anna, a.jpg, label 1"):
        load(tmp_path, frame([*ROWS, ("a.jpg", 1, "anna", "no")]))


def test_after_an_empty_answer_rows_are_still_counted_from_the_first(tmp_path):
    rows = [("a.jpg", 1, "anna", None), ("a.jpg", 1, "ben", "no"), ("a.jpg", "cat", "anna", "no")]
    with pytest.raises(InputError, match="row 3 has the label 'cat'"):
        load(tmp_path, frame(rows))
    with pytest.raises(InputError, match="row 3 has no rater"):
        load(tmp_path, frame([*rows[:2], ("a.jpg", 2, " ", "no")]))


def test_raters_are_text_and_in_one_form(tmp_path):
    ids = ["10124420001034503456", "10124420001034503457", "007", "7", "1E3", "1000"]
    answers = load(tmp_path, frame([("a.jpg", 1, r, "yes") for r in ids]))
    assert answers.raters.tolist() == ids
    spaced = [
        ("a.jpg", 1, "anna", "yes"),
        ("a.jpg", 2, "anna ", " Yes"),
        ("a.jpg", 3, "\tanna", "YES "),
    ]
    answers = load(tmp_path, frame(spaced))
    assert answers.raters.tolist() == ["anna"] and answers.answer.tolist() == [2, 2, 2]
    names = ["0001", "01", "1"]
    answers = load(tmp_path, frame([(n, 1, "x", "yes") for n in names]))
    assert answers.questions.file_names.tolist() == names


def test_other_names_of_the_columns(tmp_path):
    plain = frame(columns=["image", "class_id", "worker", "result"])
    assert as_rows(load(tmp_path, plain)) == sorted(ROWS)
    toloka = frame(columns=["INPUT:image", "INPUT:label", "ASSIGNMENT:worker_id", "OUTPUT:result"])
    with pytest.raises(InputError) as error:
        load(tmp_path, toloka)
    proposed = str(error.value).partition('--columns "')[2].partition('"')[0]
    named = dict(pair.split("=") for pair in proposed.split(","))
    assert as_rows(load(tmp_path, toloka, columns=named)) == sorted(ROWS)
    with pytest.raises(InputError, match="has no column 'who'"):
        load(tmp_path, frame(), columns={"rater": "who"})


def test_a_column_a_rater(tmp_path):
    wide = (
        frame().pivot(index=["file_name", "label"], columns="rater", values="answer").reset_index()
    )
    answers = load(tmp_path, wide)
    assert as_rows(answers) == sorted(ROWS) and answers.empty == 0
    wide["anna"] = ["yes", "perhaps", "no"]
    with pytest.raises(
        InputError, match="lacks the columns rater, answer; .* found file_name, label, anna, ben"
    ):
        load(tmp_path, wide)


def test_gold_of_other_names_and_forms(tmp_path):
    (tmp_path / "g.csv").write_text("image,class,truth\n0001,1, Yes\n01,1,no\n")
    gold = Gold.load(tmp_path / "g.csv")
    assert gold.questions.file_names.tolist() == ["0001", "01"]
    np.testing.assert_array_equal(gold.present, [True, False])

"""Tables of answers: empty cells, repeats, other column names, one column per rater."""

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


def test_zero_and_one_of_three_categories_are_not_no_and_maybe(tmp_path):
    binary = frame([(n, c, r, {"yes": 1, "no": 0, "maybe": 0}[a]) for n, c, r, a in ROWS])
    with pytest.raises(
        InputError, match="has the answers 0, 1, .* no, maybe .* no < maybe < yes.* no,yes"
    ):
        load(tmp_path, binary)
    assert load(tmp_path, binary, categories=("no", "yes")).answer.tolist() == [1, 0, 0, 1]
    full = binary.assign(answer=[2, 1, 0, 2])
    assert load(tmp_path, full).answer.tolist() == [2, 1, 0, 2]
    wide = pd.DataFrame({"file_name": ["a", "b"], "label": [1, 1], "anna": [0, 1], "ben": [1, 1]})
    with pytest.raises(InputError, match="use --categories no,yes"):
        load(tmp_path, wide)


@pytest.mark.parametrize("column", ["truth", "gold", "majority", "n_yes", "batch"])
def test_a_truth_beside_the_raters_does_not_vote(tmp_path, column):
    wide = (
        frame().pivot(index=["file_name", "label"], columns="rater", values="answer").reset_index()
    )
    wide[column] = "yes"
    with pytest.raises(InputError, match=f"by name {column} is not a rater: remove .* or rename"):
        load(tmp_path, wide)


def test_a_number_of_the_row_or_a_person_is_no_file_name(tmp_path):
    table = frame(columns=["image_url", "label", "worker", "answer"])
    table.insert(0, "id", range(len(table)))
    table.insert(0, "name", ["x", "y", "x", "y"])
    assert as_rows(load(tmp_path, table)) == sorted(ROWS)


def test_files_of_answers_are_about_the_same_images_whatever_their_folders(tmp_path):
    plain = load(tmp_path, frame())
    there = load(tmp_path, frame([(f"data/{n}", c, f"{r}2", a) for n, c, r, a in ROWS]))
    together = Answers.join([plain, there])
    assert len(together.questions) == 3 and len(together) == 8
    with pytest.raises(InputError, match="contradict"):
        Answers.join([plain, load(tmp_path, frame([("data/a.jpg", 1, "anna", "no")]))])
    batches = [load(tmp_path, frame([(f"{b}/1.jpg", 1, "anna", "yes")])) for b in ("one", "two")]
    assert len(Answers.join(batches).questions) == 2  # different folders: different images


def test_wordnet_ids_of_other_images_are_remarked(tmp_path):
    answers = load(tmp_path, frame([("a.jpg", "n01443537", "anna", "yes")]))
    assert "numbered as ILSVRC-2012's classes" in answers.remarks[0]
    ours = frame([("ILSVRC2012_val_00000001.JPEG", "n01443537", "anna", "yes")])
    assert load(tmp_path, ours).remarks == []


def test_gold_that_is_there_twice(tmp_path):
    (tmp_path / "g.csv").write_text("file_name,label,truth\na,1,yes\na,1,yes\nb,1,0.0\n")
    assert Gold.load(tmp_path / "g.csv").present.tolist() == [True, False]
    (tmp_path / "g.csv").write_text("file_name,label,truth\na,1,yes\na ,1,no\n")
    with pytest.raises(InputError, match="g.csv: row 2 gives a, label 1 another truth"):
        Gold.load(tmp_path / "g.csv")
    asked = load(tmp_path, frame()).questions
    (tmp_path / "g.csv").write_text("file_name,label,truth\na.jpg,1,yes\nx/a.jpg,1,no\n")
    with pytest.raises(InputError, match="another truth"):
        Gold.load(tmp_path / "g.csv").among(asked, "answers")


def test_gold_and_answers_may_have_other_headers(tmp_path):
    named = {"file_name": "IN:image", "label": "IN:label", "rater": "who", "answer": "what"}
    load(tmp_path, frame(columns=list(named.values())), columns=named)
    (tmp_path / "g.csv").write_text("file_name,label,truth\na.jpg,1,yes\n")
    assert len(Gold.load(tmp_path / "g.csv", columns=named)) == 1
    (tmp_path / "g.csv").write_text("IN:image,IN:label,truth\na.jpg,1,yes\n")
    assert len(Gold.load(tmp_path / "g.csv", columns=named)) == 1
    frame().to_csv(tmp_path / "g.csv", index=False)
    assert len(Gold.load(tmp_path / "g.csv", columns=named)) == 3

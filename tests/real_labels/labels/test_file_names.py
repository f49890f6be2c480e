"""Names match despite different folders, Unicode forms and ILSVRC-2012 suffixes."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_labels import LabelSets
from real_labels.answers import Answers, Gold, Questions, Scores
from real_labels.errors import InputError
from real_labels.labels import Reference, imagenet, match

PLAIN = np.array(["ant/1.jpg", "ant/2.jpg", "bee/1.jpg", "bee/3.jpg"])
ILSVRC = np.array([f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 5)])


@pytest.mark.parametrize(
    "write",
    [
        lambda n: n,
        lambda n: f"/data/val/{n}",
        lambda n: f"val\\{n}".replace("/", "\\"),
        lambda n: n.removesuffix(".jpg").removesuffix(".JPEG") + ".png",
        lambda n: n.removesuffix(".jpg").removesuffix(".JPEG"),
    ],
)
def test_names_are_found_both_ways(write):
    for known in (PLAIN, ILSVRC):
        order = [2, 0, 3]
        written = np.array([write(str(known[i])) for i in order])
        if known is PLAIN and not written[0].endswith("1.jpg"):
            continue  # the stem is the same for ant/1 and bee/1
        assert match(known, written).tolist() == order
        found = match(written, known)
        assert found.tolist() == [1, -1, 0, 2]


def test_ilsvrcs_names_with_the_wordnet_id():
    suffixed = np.array([f"x/ILSVRC2012_val_{i:08d}_n01440764.JPEG" for i in (3, 1)])
    assert match(ILSVRC, suffixed).tolist() == [2, 0]
    assert imagenet.is_validation_name("ILSVRC2012_val_00000003_n01440764.JPEG")
    assert imagenet.file_name_of("ILSVRC2012_val_00000003_n01440764.JPEG") == ILSVRC[2]
    assert not imagenet.is_validation_name("ILSVRC2012_val_00000003_x.JPEG")


def test_other_images_of_the_same_base_name_are_not_taken():
    assert match(PLAIN, np.array(["1.jpg"])).tolist() == [-1]
    assert match(PLAIN, np.array(["cat/1.jpg", "cat/2.jpg"])).tolist() == [-1, -1]
    known = np.array(["ant/1.jpg", "bee/2.jpg"])
    assert match(known, np.array(["ant/1.jpg", "cow/9.jpg"])).tolist() == [0, -1]


@given(st.lists(st.sampled_from(["a", "b", "c/d", "é"]), unique=True, min_size=1), st.data())
def test_a_name_is_found_where_it_stands(names, data):
    known = np.array(names)
    wanted = np.array(data.draw(st.lists(st.sampled_from(names), min_size=1)))
    assert [names[row] for row in match(known, wanted)] == wanted.tolist()


def decomposed(name):
    return unicodedata.normalize("NFD", name)


def test_accents_composed_or_not_are_one_name(tmp_path):
    names = ["Größe_1.jpg", "Größe_2.jpg"]
    labels = LabelSets.from_lists([decomposed(n) for n in names], [[0], [1]])
    assert labels.file_names.tolist() == names
    assert labels.rows(np.array(names)).tolist() == [0, 1]
    asked = Questions.from_pairs([names[0], decomposed(names[0]) + " "], np.array([0, 1]))
    assert asked.file_names.tolist() == names[:1] and asked.image.tolist() == [0, 0]
    answers = Answers(
        asked, [decomposed("Zoë")], [0, 1], [0, 0], [0, 2], ("no", decomposed("né"), "yes")
    )
    assert answers.raters.tolist() == ["Zoë"] and answers.categories[1] == "né"
    with pytest.raises(InputError, match="two raters have the same id"):
        Answers(asked, [decomposed("Zoë"), "Zoë"], [0, 1], [0, 1], [0, 2])


def test_answers_gold_scores_and_votes_of_other_folders(tmp_path):
    there = [f"/data/images/img_{i}.jpg" for i in range(3)]
    here = [f"img_{i}.jpg" for i in range(3)]
    asked = Questions.from_pairs(there, np.array([0, 1, 2]))
    answers = Answers(asked, ["x"], [0, 1, 2], [0, 0, 0], [2, 2, 0])
    gold = Gold(Questions.from_pairs(here[:2], np.array([0, 1])), np.array([True, False]))
    rows, _ = gold.among(asked, "answers")
    assert rows.tolist() == [0, 1]
    voting = answers.with_rater("labels", LabelSets.from_lists(here, [[0], [5], [2]]))
    assert voting.answer.tolist() == [2, 2, 2, 0, 0, 2]
    scores = Scores(asked, np.array([0.9, 0.1, 0.9]))
    everything = LabelSets.from_lists([*here, "img_9.jpg"], [[7], [7], [7], [7]])
    assert scores.label_sets(0.5, everything).to_lists() == [[0], [], [2], [7]]


def test_label_sets_of_other_folders_come_together(tmp_path):
    (tmp_path / "o.json").write_text(json.dumps({f"img_{i}.jpg": i for i in range(3)}))
    (tmp_path / "r.json").write_text(json.dumps({f"x/img_{i}.jpg": [i, 4] for i in range(2)}))
    reference = Reference.load(tmp_path / "r.json", tmp_path / "o.json")
    real = reference.reassessments["real"]
    assert real.labels.to_lists() == [[0, 4], [1, 4], []] and real.num_covered == 2
    twice = {"a/img_0.jpg": [1], "b/img_0.jpg": [2]}
    (tmp_path / "r.json").write_text(json.dumps(twice))
    with pytest.raises(InputError, match=r"r.json: .*img_0.jpg"):
        Reference.load(tmp_path / "r.json", tmp_path / "o.json")


FORMS = [
    {"a.jpg": 3, "b.jpg": 5},
    {"a.jpg": [3.0], "b.jpg": [5.0]},
    {"a.jpg": ["3"], "b.jpg": ["5"]},
    [{"file_name": "a.jpg", "label": 3}, {"file_name": "b.jpg", "label": 5}],
    [{"image": "a.jpg", "class": [3]}, {"image": "b.jpg", "class": ["5"]}],
]


@pytest.mark.parametrize("content", FORMS)
def test_forms_of_labels(tmp_path, content):
    (tmp_path / "l.json").write_text(json.dumps(content))
    labels = LabelSets.from_json(tmp_path / "l.json")
    assert dict(zip(labels.file_names.tolist(), labels.to_lists())) == {"a.jpg": [3], "b.jpg": [5]}


def test_forms_of_ilsvrcs_labels(tmp_path):
    for content in (
        [65, 970],
        ["n01751748", "n09193705"],
        {
            "val/n01751748/ILSVRC2012_val_00000001.JPEG": ["n01751748"],
            "x/ILSVRC2012_val_00000002": 970,
        },
    ):
        if isinstance(content, dict):
            content = {
                name: one if isinstance(one, list) else [one] for name, one in content.items()
            }
        (tmp_path / "l.json").write_text(json.dumps(content))
        reference = Reference.load(original=tmp_path / "l.json")
        assert reference.is_imagenet and reference.original.to_lists() == [[65], [970]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{"file_name": "a.jpg"}], "expected records with a file name and a label"),
        ([{"label": 3}], "expected records with a file name and a label"),
        ([{"file_name": 3, "label": 3}], "record 1 has no file_name"),
        ({"a.jpg": [True]}, "the labels of a.jpg must be a list of class indices"),
        ({"a.jpg": [None]}, "the labels of a.jpg"),
        ({"a.jpg": {"x": 1}}, "the labels of a.jpg"),
        ({"a.jpg": [-1]}, "negative"),
        ({"a.jpg": [10**30]}, "beyond 32 bits"),
    ],
)
def test_bad_forms_of_labels(tmp_path, content, says):
    (tmp_path / "l.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"l.json: .*{says}"):
        LabelSets.from_json(tmp_path / "l.json")


def test_folders_that_tell_images_apart_are_not_left_away():
    known = np.array(["cat/1.jpg", "cat/2.jpg"])
    assert match(known, np.array(["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"])).tolist() == [0, 1, -1]
    assert match(known, np.array(["dog/1.jpg", "dog/3.jpg", "cat/2.jpg"])).tolist() == [-1, -1, 1]


def test_a_stray_image_does_not_hide_the_others():
    known = np.array([f"data/a{i}.jpg" for i in range(6)])
    wanted = np.array([*(f"gold/a{i}.jpg" for i in range(5)), "gold/zz.jpg"])
    assert match(known, wanted).tolist() == [0, 1, 2, 3, 4, -1]
    wanted = np.array([*(f"x/data/a{i}.jpg" for i in range(5)), "zz.jpg"])
    assert match(known, wanted).tolist() == [0, 1, 2, 3, 4, -1]
    mixed = np.array(
        ["x/ILSVRC2012_val_00000002_n01440764.JPEG", str(ILSVRC[2]), "ILSVRC2012_val_00009999.JPEG"]
    )
    assert match(ILSVRC, mixed).tolist() == [1, 2, -1]


def test_only_endings_of_images_are_left_away():
    assert match(np.array(["a.1", "b.2"]), np.array(["a.7", "b.8"])).tolist() == [-1, -1]
    cats = np.array(["cat.0.jpg", "cat.1.jpg", "dog.0.jpg"])
    assert match(cats, np.array(["dog.0", "cat.1"])).tolist() == [2, 1]
    assert match(np.array(["val/ant/1.jpg"]), np.array(["bee/1.jpg"])).tolist() == [-1]


def test_questions_of_one_image_in_two_folders_cannot_be_renamed():
    asked = Questions.from_pairs(["/d/im0.jpg", "im0.jpg", "/d/im1.jpg"], np.array([0, 1, 0]))
    with pytest.raises(InputError, match="im0.jpg and im0.jpg are the same image"):
        asked.named_as(np.array(["im0.jpg", "im1.jpg"]))


def test_pandas_row_numbers_are_no_labels(tmp_path):
    rows = [{"index": i, "file_name": f"a{i}.jpg", "category": i % 2} for i in range(4)]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    assert LabelSets.from_json(tmp_path / "l.json").to_lists() == [[0], [1], [0], [1]]


def test_class_names_in_lines(tmp_path):
    from real_labels.labels import ClassNames

    path = tmp_path / "c.txt"
    for content in ("cat\ndog\n", "\n\ncat\ndog\n\n", "class\ncat\ndog\n", "\ufeffcat \n dog"):
        path.write_text(content)
        assert ClassNames.load(path).names == ("cat", "dog")
    path.write_text("cat\n\ndog\n")
    with pytest.raises(InputError, match="c.txt: line 2 is empty"):
        ClassNames.load(path)

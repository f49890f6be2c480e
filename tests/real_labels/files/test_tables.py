"""Tables: cells stay text; delimiters, encodings and layouts of JSON are detected."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_labels.errors import InputError
from real_labels.files import tables, text

NAMES = [
    "0001",
    "01",
    "1",
    "1E3",
    "1000",
    "10124420001034503456",
    "12:30",
    "2026-11-25",
    "0x1F",
    "007",
    "1.50",
    "NaN?",
]


def columns(path, **options):
    table = tables.read(path, **options)
    return {name: table[name].to_pylist() for name in table.column_names}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_names_stay_as_they_are_written(tmp_path, ending):
    frame = pd.DataFrame({"file_name": NAMES, "n": range(len(NAMES))})
    path = tmp_path / f"t{ending}"
    {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".json": lambda: frame.to_json(path, orient="records"),
        ".parquet": lambda: frame.to_parquet(path),
    }[ending]()
    table = tables.read(path)
    codes, found = tables.names(table["file_name"])
    assert found.tolist() == NAMES and codes.tolist() == list(range(len(NAMES)))
    assert tables.floats(table["n"], "n").tolist() == list(range(len(NAMES)))


def test_numbers_without_quotes_in_json_keep_their_digits(tmp_path):
    (tmp_path / "t.json").write_text(
        '[{"rater": 10124420001034503456, "x": 1E3}, {"rater": 007e0, "x": 1.50}]'.replace(
            "007e0", "7"
        )
    )
    assert columns(tmp_path / "t.json") == {
        "rater": ["10124420001034503456", "7"],
        "x": ["1E3", "1.50"],
    }


def test_numeric_columns_of_parquet_as_names(tmp_path):
    frame = pd.DataFrame({"a": [12, 7], "b": [7.0, np.nan], "c": pd.Categorical(["x", "y"])})
    frame.to_parquet(tmp_path / "t.parquet")
    table = tables.read(tmp_path / "t.parquet")
    assert tables.names(table["a"])[1].tolist() == ["12", "7"]
    codes, names = tables.names(table["b"])
    assert names.tolist() == ["7"] and codes.tolist() == [0, -1]
    assert tables.names(table["c"])[1].tolist() == ["x", "y"]


def test_two_spellings_are_one_name():
    column = pa.chunked_array(
        [pa.array(["Zoe\u0308", "anna ", None, " anna", "Zoë", "\u00a0", "bo b"])]
    )
    codes, names = tables.names(column)
    assert names.tolist() == ["Zoë", "anna", "bo b"]
    assert codes.tolist() == [0, 1, -1, 1, 0, -1, 2]


DELIMITED = [
    ("a;b\nx.jpg;3\n", [["x.jpg"], ["3"]]),
    ("a\tb\nx, y.jpg\t3\n", [["x, y.jpg"], ["3"]]),
    ("a,b\nx.jpg,1;2;3\n", [["x.jpg"], ["1;2;3"]]),
    ("a|b\nx.jpg|3\n", [["x.jpg"], ["3"]]),
    ("a;b\nx.jpg;0,449\ny.jpg;1,5e-3\n", [["x.jpg", "y.jpg"], ["0,449", "1,5e-3"]]),
    ('a;b\nx.jpg;"1,2,3"\n', [["x.jpg"], ["1,2,3"]]),
    ('a,b\n"x;y.jpg",3\n', [["x;y.jpg"], ["3"]]),
    ("a,b\nx.jpg,3\n\n\n", [["x.jpg"], ["3"]]),
    ("a,b\nx.jpg,3\n,\n,\n", [["x.jpg"], ["3"]]),  # empty rows at the end, as Excel writes them
    ("a,b\r\nx.jpg,3\r\n", [["x.jpg"], ["3"]]),
    ('a,b\nx.jpg,"[1 2\n 3]"\n', [["x.jpg"], ["[1 2\n 3]"]]),
    ("\ufeffa,b\nx.jpg,3\n", [["x.jpg"], ["3"]]),
    ("a, b\nx.jpg, 3\n", [["x.jpg"], [" 3"]]),
]


@pytest.mark.parametrize(("content", "expected"), DELIMITED)
def test_delimiters(tmp_path, content, expected):
    (tmp_path / "t.csv").write_text(content, newline="")
    assert columns(tmp_path / "t.csv") == {"a": expected[0], "b": expected[1]}


@pytest.mark.parametrize(
    ("content", "width"),
    [
        ("x.jpg;65;0,449\ny.jpg;70;0,5\n", 3),
        ("x.jpg,65,0.449\ny.jpg,70,0.5\n", 3),
        ("x.jpg,1;2;3\ny.jpg,4;5;6\n", 2),
        ("ILSVRC2012_val_00000001.JPEG;65;0,449\n", 3),
    ],
)
def test_delimiters_without_a_header(tmp_path, content, width):
    (tmp_path / "t.csv").write_text(content)
    found = columns(tmp_path / "t.csv", is_header=lambda cells: False)
    assert list(found) == [f"f{i}" for i in range(width)]
    assert found["f0"][0].endswith((".jpg", ".JPEG"))


def test_decimal_commas_are_numbers_but_no_names():
    column = pa.chunked_array([pa.array(["0,449", None, "1,5e-3", "2"])])
    np.testing.assert_allclose(tables.floats(column, "x"), [0.449, np.nan, 0.0015, 2])
    assert tables.names(column)[1].tolist() == ["0,449", "1,5e-3", "2"]


def test_excels_first_line_names_the_delimiter(tmp_path):
    (tmp_path / "t.csv").write_text("sep=;\na;b\nx.jpg;3\n")
    assert columns(tmp_path / "t.csv") == {"a": ["x.jpg"], "b": ["3"]}
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    with pytest.raises(InputError, match="t.csv: is a zip archive, such as an Excel workbook"):
        tables.read(tmp_path / "t.csv")


def test_a_row_of_another_length_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\nx,1\ny,2,3\nz,4\n")
    with pytest.raises(
        InputError, match="t.csv: line 3 has 3 cells where the first has 2; .* commas"
    ):
        tables.read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".txt"])
def test_unicode_is_read_by_its_mark(tmp_path, encoding, ending):
    content = "a,b\nZoë,1\n" if ending in (".csv", ".txt") else '{"a": "Zoë", "b": "1"}'
    content = f"[{content}]" if ending == ".json" else content
    (tmp_path / f"t{ending}").write_bytes(content.encode(encoding))
    assert columns(tmp_path / f"t{ending}") == {"a": ["Zoë"], "b": ["1"]}


@pytest.mark.parametrize(
    ("content", "encoding", "guess"),
    [
        ("a,b\nZoë,1\n", "latin-1", "WINDOWS-1252"),
        ("файл,b\nx,1\n", "cp1251", "WINDOWS-1251"),
        ("a,b\nx,кот\n", "cp1251", "WINDOWS-1251"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_other_encodings_are_named_with_the_way_out(tmp_path, content, encoding, guess, ending):
    path = tmp_path / f"t{ending}"
    path.write_bytes(content.encode(encoding))
    with pytest.raises(
        InputError,
        match=rf"t{ending}: is not UTF-8 text: line .* iconv -f {guess} -t UTF-8 .*t{ending} > NEW",
    ):
        tables.read(path)


def test_compressed_text(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\nx,1\n"))
    assert columns(tmp_path / "t.csv.gz") == {"a": ["x"], "b": ["1"]}
    whole = gzip.compress(b"a,b\n" + bytes(range(97, 122)) * 50)
    for damaged in (whole[:-9], whole[:12], whole[:20] + b"\xff" + whole[21:]):
        (tmp_path / "t.csv.gz").write_bytes(damaged)
        with pytest.raises(InputError, match="t.csv.gz: "):
            tables.read(tmp_path / "t.csv.gz")


FRAME = pd.DataFrame({"file_name": ["a.jpg", "b.jpg"], "pred": [3, 5]})


@pytest.mark.parametrize("orient", ["records", "index", "columns", "split", "table"])
def test_what_pandas_writes(tmp_path, orient):
    FRAME.to_json(tmp_path / "t.json", orient=orient)
    found = columns(tmp_path / "t.json")
    assert found["file_name"] == ["a.jpg", "b.jpg"] and found["pred"] == ["3", "5"]
    FRAME.set_index("file_name").to_json(tmp_path / "u.json", orient="index")
    assert columns(tmp_path / "u.json") == {"file_name": ["a.jpg", "b.jpg"], "pred": ["3", "5"]}


def test_columns_of_lists_and_lists_of_classes(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"file_name": ["a", "b"], "pred": [3, 5]}))
    assert columns(tmp_path / "t.json") == {"file_name": ["a", "b"], "pred": ["3", "5"]}
    (tmp_path / "t.json").write_text(json.dumps({"file_name": ["a", "b"], "pred": [3]}))
    with pytest.raises(InputError, match="columns of unequal length: file_name 2, pred 1"):
        tables.read(tmp_path / "t.json")
    (tmp_path / "t.json").write_text(json.dumps({"a.jpg": [3, 4], "b.jpg": [5, 6]}))
    assert columns(tmp_path / "t.json") == {
        "file_name": ["a.jpg", "b.jpg"],
        "classes": [["3", "4"], ["5", "6"]],
    }


@pytest.mark.parametrize(
    "content", ["5", '"x"', "[[1], {}]", '{"a": {"b": 1}, "c": 2}', "null", "true"]
)
def test_json_that_is_no_table_is_not_called_damaged(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(
        InputError, match="t.json: holds JSON, but no table: expected a list of records"
    ):
        tables.read(tmp_path / "t.json")


@pytest.mark.parametrize("depth", [3_000, 100_000])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_deep_json_ends_in_one_line(tmp_path, depth, ending):
    path = tmp_path / f"t{ending}"
    path.write_text('{"a": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(InputError, match=f"t{ending}: "):
        tables.read(path)


@given(st.text())
def test_normalising_twice_changes_nothing(name):
    once = text.normalised(name)
    assert text.normalised(once) == once


# Digits of other scripts, which Python reads as numbers and Arrow does not, and other near misses.
NEARLY = ["߀", "１", "٣", "1_000", "--5", "1d5", "0x10", "1 2"]


@pytest.mark.parametrize("cell", NEARLY)
@pytest.mark.parametrize("row", [0, 1, 6, 12])
def test_the_first_text_that_is_no_number_is_named(cell, row):
    cells = [str(number) for number in range(13)]
    cells[row:] = [cell] + ["no number"] * (12 - row)
    with pytest.raises(InputError, match=f"row {row + 1} has the x '{cell}', expected a number"):
        tables.floats(pa.chunked_array([cells[:5], cells[5:]]), "x")


@given(st.text(st.sampled_from("0123456789.eE+-_ ߀１naif"), max_size=6))
def test_numbers_are_the_same_texts_in_both_readers(cell):
    """A text that `is_number` accepts can be read by `floats`."""
    if tables.is_number(cell):
        assert len(tables.floats(pa.chunked_array([[cell]]), "x")) == 1

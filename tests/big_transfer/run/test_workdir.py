"""Damaged files of a workdir: the message says what to do."""

from __future__ import annotations

import pytest

from big_transfer.evaluation.record import Record
from big_transfer.run import workdir


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("{", "is not JSON, or is cut short"),
        ("[" * 100_000, "nested too deeply"),
        ("[1, 2]", "expected an object, found list"),
        ('{"a": 1, "a": 2}', "the key a occurs more than once"),
        ("\x00\x01", "is not JSON"),
    ],
)
def test_damaged_files_say_what_to_do(tmp_path, content, complaint):
    for name, read, repair in (
        (
            "config.json",
            workdir.recorded_config,
            "remove config.json and run the same command again",
        ),
        (
            "results.json",
            workdir.read_results,
            "Remove results.json; the same command then evaluates",
        ),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(workdir.WorkdirError, match=complaint) as error:
            read(tmp_path)
        assert repair in str(error.value) and str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    "record",
    [{}, {"dataset": "x"}, {"original": 3}, {"original": {"top1": None}}, {"label_sets": []}],
)
def test_a_record_that_lacks_a_field_says_what_to_do(record):
    with pytest.raises(workdir.WorkdirError, match="damaged .*Remove results.json"):
        Record.from_json(record)

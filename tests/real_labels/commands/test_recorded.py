"""score, compare and report still write all JSON content that an earlier version wrote."""

from __future__ import annotations

import json

import pytest

from real_labels import cli
from tests import recorded

LABELS = ["--labels", "real.json", "--original", "original.json"]
MODELS = ["good.npz", "fair.npz"]
COMMANDS = {
    "score.json": ["score", *MODELS, *LABELS, "--json", "new/score.json"],
    "compare.json": ["compare", *MODELS, *LABELS, "--json", "new/compare.json"],
    "report.json": [
        "report", *MODELS, *LABELS, "--answers", "answers.csv", "--accuracy-table", "table.csv",
        "--out", "new", "--dataset", "files", "--list-mistakes", "all",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_written_is_still_written(tmp_path, monkeypatch, name):
    folder = recorded.unpack("reports.tar.gz", tmp_path)
    monkeypatch.chdir(folder)
    cli.main(COMMANDS[name])
    before, after = (json.loads((folder / n).read_text()) for n in (name, f"new/{name}"))
    assert recorded.differences(before, after) == []


def test_a_difference_is_noticed():
    before = {"a": [1, {"b": 2}], "c": None}
    assert recorded.differences(before, {"a": [1, {"b": 2, "d": 3}], "c": None, "e": 0}) == []
    assert recorded.differences(before, {"a": [1, {"b": 3}], "c": None}) == ["/a[1]/b: 2 became 3"]
    assert recorded.differences(before, {"a": [1], "c": None})[0].startswith("/a: ")
    assert recorded.differences(before, {"a": [1, {"b": 2}]}) == ["/c is missing"]

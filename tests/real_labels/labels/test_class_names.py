"""Class names: ImageNet's, and read from files."""

from __future__ import annotations

import pytest

from real_labels.errors import InputError
from real_labels.labels import ClassNames


def test_class_names(tmp_path):
    names = ClassNames.of_imagenet()
    assert len(set(names.names)) == 1000
    assert [names[c] for c in (0, 134, 517, 836, 999, 1000)] == [
        "tench", "crane (bird)", "crane (machine)", "sunglass", "toilet tissue", "class 1000",
    ]  # fmt: skip
    assert [names[c] for c in (264, 474, 638, 639)] == [
        "Cardigan, Cardigan Welsh corgi", "cardigan", "maillot", "maillot, tank suit",
    ]  # fmt: skip
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "list.json").write_text('["cat", "dog"]')
    (tmp_path / "object.json").write_text('{"1": "dog", "0": "cat"}')
    for name in ("names.txt", "list.json", "object.json"):
        assert ClassNames.load(tmp_path / name).names == ("cat", "dog")
    (tmp_path / "twice.json").write_text('["mouse", "Mouse", "rat"]')
    assert ClassNames.load(tmp_path / "twice.json").names == ("mouse (0)", "Mouse (1)", "rat")
    for content, says in (
        ("[1, 2]", "expected a list of texts in the order of the class indices"),
        ('{"a": "cat"}', "expected class indices as keys, found 'a'"),
        ('{"0": "cat", "2": "dog"}', "has 2 names, but none for class 1"),
        ('["cat"', "is not JSON, or is cut short"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match=says):
            ClassNames.load(tmp_path / "bad.json")

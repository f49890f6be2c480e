"""Small copies of images, found by file name."""

from __future__ import annotations

import pytest
from PIL import Image

from real_labels.errors import InputError


def test_thumbnails_are_found_by_name(files, tmp_path):
    from real_labels.analysis.page.thumbnails import Thumbnails

    for path in ("a/1.png", "b/1.png", "b/2.JPEG", "c/d/3.webp"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), (200, 30, 30)).save(tmp_path / path)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    images = Thumbnails(tmp_path)
    for name, found in (
        ("a/1.png", "a/1.png"), ("x/b/1.png", "b/1.png"), ("1.png", None), ("2.jpg", "b/2.JPEG"),
        ("train/3", "c/d/3.webp"), ("4.png", None),
    ):  # fmt: skip
        assert images.find(name) == (None if found is None else tmp_path / found), name
    assert images.data_uri("broken.jpg") is None
    assert images.data_uri("a/1.png").startswith("data:image/jpeg;base64,")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        Thumbnails(tmp_path / "empty")

"""Small copies of images, found by file name."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from real_labels.analysis.page.thumbnails import Thumbnails
from real_labels.errors import InputError


def test_thumbnails_are_found_by_name(files, tmp_path):
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


def shown(images, name) -> np.ndarray:
    """The pixels of an image's thumbnail."""
    uri = images.data_uri(name)
    assert uri.startswith("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), np.float64)


def test_odd_images_are_shown_as_they_are(tmp_path):
    """Grey ramps of 16 bits and of floats, a palette, CMYK, transparency, and a rotated image."""
    ramp = np.tile(np.linspace(0, 1, 100), (60, 1))
    Image.fromarray((ramp * 65_535).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray((ramp * 65_535).astype(np.uint16)).save(tmp_path / "deep.tif")
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    colours = np.zeros((60, 100, 3), np.uint8)
    colours[:, :50] = (200, 30, 30)
    colours[:, 50:] = (30, 30, 200)
    Image.fromarray(colours).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(colours).save(tmp_path / "turned.jpg", exif=turned)
    images = Thumbnails(tmp_path)
    for name in ("deep.png", "deep.tif", "float.tif"):
        grey = shown(images, name).mean(axis=2)
        np.testing.assert_allclose(grey.mean(axis=0), 255 * ramp[0], atol=6)
    for name in ("palette.png", "cmyk.jpg", "alpha.png"):
        found = shown(images, name)
        assert found.shape == (60, 100, 3)
        np.testing.assert_allclose(found[:, 10:40].mean(axis=(0, 1)), (200, 30, 30), atol=12)
    upright = shown(images, "turned.jpg")
    assert upright.shape == (100, 60, 3)
    np.testing.assert_allclose(upright[10:40].mean(axis=(0, 1)), (200, 30, 30), atol=12)


def test_the_intact_part_of_a_damaged_image_is_shown(tmp_path, recwarn):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (400, 300, 3), np.uint8)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "header.jpg").write_bytes(whole[:20])
    images = Thumbnails(tmp_path)
    half = shown(images, "half.jpg")
    assert half.shape == (176, 132, 3) and half[:60].std() > 10
    assert images.data_uri("header.jpg") is None
    assert not recwarn.list

import io

import cv2
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from big_transfer.datasets import preprocessing


def photo(height, width, seed=0):
    """A random image, smooth enough for JPEG, with colours and edges."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(
        rng.uniform(0, 255, (9, 9, 3)), (width, height), interpolation=cv2.INTER_CUBIC
    )
    image[height // 3 : height // 2, width // 4 :, 1] += 90
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=95).numpy()


@pytest.mark.parametrize(
    ("size", "new"), [((37, 50), (24, 24)), ((20, 31), (64, 48)), ((64, 64), (32, 32))]
)
def test_resize_is_tensorflows(size, new):
    image = photo(*size)
    expected = tf.image.resize(image, new, method="bilinear", antialias=False).numpy()
    found = preprocessing.resize(image, *new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_decode_is_tensorflows():
    encoded = jpeg(photo(60, 81))
    # The accurate method, because TensorFlow's faster default rounds coarsely.
    expected = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE").numpy().astype(int)
    found = preprocessing.decode(encoded, "photo.jpg")
    assert found.shape == (60, 81, 3)
    assert np.abs(found.astype(int) - expected).max() <= 3
    png = tf.io.encode_png(photo(11, 12)).numpy()
    np.testing.assert_array_equal(preprocessing.decode(png, "photo.JPEG"), photo(11, 12))


def test_grey_images_get_three_channels():
    grey = photo(20, 30)[..., :1]
    assert preprocessing.decode(jpeg(grey), "grey.jpg").shape == (20, 30, 3)


@pytest.mark.parametrize(
    "spoil", [lambda e: b"", lambda e: b"hello" * 30, lambda e: e[: len(e) // 2]]
)
def test_what_is_no_image_is_named(spoil):
    with pytest.raises(ValueError, match="n01440764_1.JPEG: is no image, or cut short"):
        preprocessing.decode(spoil(jpeg(photo(50, 50))), "n01440764_1.JPEG")


def test_scale_is_the_published_formula():
    values = np.array([0, 127.5, 255, 51], np.float32).reshape(2, 2, 1)
    np.testing.assert_allclose(
        preprocessing.scale(values).ravel(), (values.ravel() - 127.5) / 127.5, atol=1e-7
    )


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (64, 64), (100, 1000)])
def test_inception_boxes_are_distributed_as_tensorflows(size):
    rng = np.random.default_rng(0)
    n = 1500
    boxes = np.array([preprocessing.inception_box(*size, rng) for _ in range(n)])
    expected = []
    for i in range(n):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            (*size, 3),
            tf.zeros([0, 0, 4]),
            seed=(0, i),
            min_object_covered=0.0,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.05, 1.0),
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )
        expected.append([*begin.numpy()[:2], *extent.numpy()[:2]])
    expected = np.array(expected)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size).all()
    for measure in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 3] / b[:, 2],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
    ):
        assert scipy.stats.ks_2samp(measure(boxes), measure(expected)).pvalue > 1e-3


def test_an_image_too_long_for_any_box_is_taken_whole():
    box = preprocessing.inception_box(2, 1000, np.random.default_rng(0), area=(0.9, 1.0))
    assert box == (0, 0, 2, 1000)


def test_random_crops_cover_all_places_evenly():
    image = np.zeros((10, 10, 3), np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:10, :10]
    rng = np.random.default_rng(0)
    corners = np.array(
        [preprocessing.resize_random_crop(image, 10, 7, rng)[0, 0, :2] for _ in range(2000)]
    ).astype(int)
    counts = np.bincount(corners[:, 0] * 4 + corners[:, 1], minlength=16)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    with pytest.raises(ValueError, match="does not fit"):
        preprocessing.resize_random_crop(image, 6, 7, rng)


def test_half_of_the_images_are_mirrored():
    image = np.zeros((1, 2, 3), np.float32)
    image[0, 1] = 1
    rng = np.random.default_rng(0)
    flipped = sum(preprocessing.random_flip(image, rng)[0, 0, 0] for _ in range(1000))
    assert scipy.stats.binomtest(int(flipped), 1000).pvalue > 1e-3


@pytest.mark.parametrize("crop", ["inception", "random", "none"])
@pytest.mark.parametrize("flip", [True, False])
def test_a_training_image_is_a_function_of_its_randomness(crop, flip):
    encoded = jpeg(photo(80, 90))

    def make(seed):
        return preprocessing.train_image(
            encoded,
            "a.jpg",
            np.random.default_rng(seed),
            crop=crop,
            size=32,
            resize_to=40,
            flip=flip,
        )

    np.testing.assert_array_equal(make(1), make(1))
    assert make(1).shape == (32, 32, 3)
    assert make(1).min() >= -1
    assert make(1).max() <= 1
    differ = any(not np.array_equal(make(1), make(seed)) for seed in range(2, 10))
    assert differ == (crop != "none" or flip)


@pytest.mark.parametrize(
    "side", [12_000, 20_000]
)  # Pillow warns of the first, and refuses the second
def test_an_image_that_claims_too_many_pixels_is_refused_by_its_header(side):
    """20,000 × 20,000 pixels of one bit: 50 KB, and 1.2 GB when decoded to RGB."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    assert len(file.getvalue()) < 200_000
    with pytest.raises(
        preprocessing.ImageError,
        match=r"bomb\.png: cannot be decoded: more than .* 134,217,728 pixels",
    ):
        preprocessing.decode(file.getvalue(), "bomb.png")

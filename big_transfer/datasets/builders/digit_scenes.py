"""digit_scenes: small scenes of real handwritten digits, with labels as noisy as ImageNet's.

Real scanned digits (the test half of UCI's optical digits, 1,797 of 8×8 pixels, inside scikit-learn's
wheel) are placed in 64×64 scenes, so the dataset needs no download. As in ImageNet, each scene has one
*original* label, which may be wrong; validation scenes also have *ReaL* labels: all digits in the scene.

The scenes imitate these faults of the original labels, from "Are we done with ImageNet?":

* an image may hold several objects, and the label names one of them (section 2, "single label per
  image"); larger objects are named more often, because image searches return salient objects;
* the label may name a look-alike (section 2, "overly restrictive label proposals": the annotator was
  shown one class and said yes) or, less often, something that is not in the image;
* some images hold none of the classes.

`digit_scenes_low` and `digit_scenes_high` have only the digits 0 to 4 and 5 to 9, to pre-train on one half
and transfer to the other (docs/transfer.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float, UInt8

SIZE = 64  # pixels, height and width of a scene
CLASSES = tuple("0123456789")
ALL_DIGITS = tuple(range(10))

# ImageNet: 3,163 of 50,000 validation images have no ReaL label (6.3%), and 7,443 of the other 46,837
# (15.9%) have several. Here 6.3% have none; about 25% of the others have several, to have more such scenes.
COUNT_RATES = (0.063, 0.703, 0.131, 0.066, 0.037)  # P(0 … 4 digits)
# ImageNet's original labels are correct on 90.02% of the images with a ReaL label. Most wrong labels name
# a similar class, so two thirds of the errors here are look-alikes.
LOOK_ALIKE_RATE = 0.066  # of the scenes with a digit
ABSENT_RATE = 0.034  # of the scenes with a digit: the label names a random absent class

# For each digit, the digits it is most often mistaken for, the likeliest first. The look-alike is the first
# of them that is not in the scene.
LOOK_ALIKES = {
    0: (6, 8, 9, 4, 2),
    1: (7, 4, 8, 2, 6),
    2: (7, 3, 8, 1, 0),
    3: (8, 5, 9, 2, 7),
    4: (9, 7, 1, 6, 0),
    5: (9, 3, 6, 8, 2),
    6: (5, 0, 8, 4, 1),
    7: (1, 9, 4, 2, 3),
    8: (3, 1, 9, 6, 5),
    9: (4, 8, 3, 5, 7),
}

NUM_EXAMPLES = {"train": 20_000, "validation": 5_000}
_VALIDATION_SOURCES = 0.3  # share of the source digits used for validation only
_SEED = 20200612  # the paper's date; fixed, so that every machine makes the same dataset
_JPEG_QUALITY = 92
_FILE_NAME = re.compile(r"(\w+)_(train|validation)_(\d{8})\.JPEG", re.ASCII)

_DESCRIPTION = """Scenes of 0 to 4 real handwritten digits with ImageNet-like original labels (one per
image, about 10% of them wrong) and, on validation, ReaL labels (all digits in the scene)."""


@functools.cache
def source_digits(
    split: str, digits: tuple[int, ...] = ALL_DIGITS
) -> tuple[Float[np.ndarray, "n 8 8"], UInt8[np.ndarray, "n"]]:
    """Returns the scanned digits used for a split, ink in [0, 1], and their classes.

    The digits of train and validation are disjoint. Each split has all classes in the same proportions as
    the whole data.
    """
    from sklearn.datasets import load_digits  # the scans lie inside scikit-learn's wheel

    scans: Any = load_digits()
    images, classes = scans.images.astype(np.float32) / 16, scans.target.astype(np.uint8)
    chosen = []
    for c in digits:
        rows = np.random.default_rng((_SEED, c)).permutation(np.flatnonzero(classes == c))
        cut = round(len(rows) * _VALIDATION_SOURCES)
        chosen.append(rows[:cut] if split == "validation" else rows[cut:])
    rows = np.concatenate(chosen)
    return images[rows], classes[rows]


def make_scene(
    split: str, index: int, digits: tuple[int, ...] = ALL_DIGITS
) -> tuple[UInt8[np.ndarray, "64 64 3"], int, list[int]]:
    """Composes one scene.

    Args:
      split: "train" or "validation".
      index: index of the example; the scene depends only on split, index and digits.
      digits: digits that may appear in scenes and as labels.

    Returns:
      RGB image, original label, and the sorted digits in the scene.
    """
    kind = () if digits == ALL_DIGITS else (1 + digits[0],)
    rng = np.random.default_rng((_SEED, ("train", "validation").index(split), index, *kind))
    images, classes = source_digits(split, digits)
    canvas, dark = _background(rng)
    count = rng.choice(len(COUNT_RATES), p=COUNT_RATES)
    areas: dict[int, int] = {}
    free = np.ones((SIZE, SIZE), bool)
    for _ in range(count):
        source = rng.integers(len(images))
        placed = _place_digit(rng, canvas, free, images[source], dark, count)
        if placed:
            label = int(classes[source])
            areas[label] = max(areas.get(label, 0), placed)
    canvas += rng.normal(0, rng.uniform(1, 6), canvas.shape)
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return image, _original_label(rng, areas, digits), sorted(areas)


def _background(rng: np.random.Generator) -> tuple[Float[np.ndarray, "64 64 3"], bool]:
    """A smooth, striped or cloudy background of muted contrast, and whether it is dark."""
    dark = bool(rng.integers(2))
    base = rng.uniform(20, 90, 3) if dark else rng.uniform(165, 235, 3)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    kind = rng.integers(3)
    if kind == 0:
        pattern = along - along.mean()
    elif kind == 1:
        pattern = 0.5 * np.sin(2 * np.pi * rng.uniform(2, 7) * along + rng.uniform(0, 2 * np.pi))
    else:
        clouds = rng.normal(0, 1, (rng.integers(3, 9),) * 2).astype(np.float32)
        pattern = cv2.resize(clouds, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) / 3
    tint = rng.uniform(-1, 1, 3) * 12 + rng.uniform(10, 30)
    return (base + pattern[..., None] * tint).astype(np.float32), dark


def _place_digit(
    rng: np.random.Generator,
    canvas: Float[np.ndarray, "64 64 3"],
    free: np.ndarray,
    ink: Float[np.ndarray, "8 8"],
    dark: bool,
    count: int,
) -> int:
    """Draws a digit that overlaps no other digit; returns its area in pixels, 0 if there is no free place."""
    for attempt in range(40):
        # A single digit may be large; among other digits, and after failed attempts, it must be smaller.
        largest = {1: 44, 2: 30, 3: 26}.get(count, 24) - attempt // 4
        size = int(rng.integers(17, max(largest, 18) + 1))
        top, left = rng.integers(0, SIZE - size + 1, 2)
        region = (slice(top, top + size), slice(left, left + size))
        if free[region].all():
            break
    else:
        return 0
    free[region] = False
    turn = cv2.getRotationMatrix2D((3.5, 3.5), rng.uniform(-14, 14), rng.uniform(0.92, 1.06))
    turn[0, 1] += rng.uniform(-0.15, 0.15)  # slant
    turn = np.vstack([turn, [0, 0, 1]])
    scale = size / 8
    enlarge = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    alpha = cv2.warpAffine(ink, (enlarge @ turn)[:2], (size, size), flags=cv2.INTER_CUBIC)
    alpha = np.clip(alpha, 0, 1)[..., None] * rng.uniform(0.6, 1.0)
    colour = rng.uniform(150, 255, 3) if dark else rng.uniform(0, 95, 3)
    canvas[region] = canvas[region] * (1 - alpha) + colour * alpha
    return size * size


def _original_label(
    rng: np.random.Generator, areas: dict[int, int], digits: tuple[int, ...]
) -> int:
    """Draws the original label of a scene, from its digits and their areas; any digit for an empty scene."""
    if not areas:
        return digits[int(rng.integers(len(digits)))]
    present = sorted(areas)
    weights = np.array([areas[c] for c in present], float)
    label = int(rng.choice(present, p=weights / weights.sum()))
    draw = rng.random()
    absent = [c for c in digits if c not in areas]
    if draw < LOOK_ALIKE_RATE:
        return next((c for c in LOOK_ALIKES[label] if c in absent), absent[0])
    if draw < LOOK_ALIKE_RATE + ABSENT_RATE:
        return int(rng.choice(absent))
    return label


def true_labels(file_names: Sequence[str]) -> list[list[int]]:
    """Returns the labels of the digits in each scene, found by composing the scenes again.

    The true labels of the training scenes are not in the dataset, so that nothing can learn from them. They
    measure rules that look for wrong labels.

    Raises:
      ValueError: if a name is not the file name of a scene.
    """
    labels = []
    for name in file_names:
        parts = _FILE_NAME.fullmatch(name)
        if parts is None or parts[1] not in _BUILDERS or not int(parts[3]):
            example = _file_name("digit_scenes", "train", 0)
            raise ValueError(f"{name} is not the file name of a scene, such as {example}.")
        digits = _BUILDERS[parts[1]].DIGITS
        _, _, present = make_scene(parts[2], int(parts[3]) - 1, digits)
        labels.append([digit - digits[0] for digit in present])
    return labels


def _file_name(dataset: str, split: str, index: int) -> str:
    return f"{dataset}_{split}_{index + 1:08d}.JPEG"


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder, with the features of TFDS's `imagenet2012_real`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    DIGITS: ClassVar = ALL_DIGITS

    def _info(self) -> tfds.core.DatasetInfo:
        names = [CLASSES[digit] for digit in self.DIGITS]
        # Not `dataset_info_from_configs`, which looks for metadata files of a TFDS package.
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg"),
                    "original_label": tfds.features.ClassLabel(names=names),
                    "real_label": tfds.features.Sequence(tfds.features.ClassLabel(names=names)),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "original_label"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
            license="CC BY 4.0 (the scanned digits: UCI, Alpaydin & Kaynak 1998)",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in NUM_EXAMPLES}

    def _generate_examples(self, split: str):
        for i in range(NUM_EXAMPLES[split]):
            image, original, present = make_scene(split, i, self.DIGITS)
            first = self.DIGITS[0]  # labels are numbered from 0
            ok, jpeg = cv2.imencode(
                ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            )
            assert ok
            name = _file_name(self.name, split, i)
            yield (
                name,
                {
                    "image": jpeg.tobytes(),
                    "original_label": original - first,
                    # As in ImageNet, the training labels were not reassessed.
                    "real_label": [c - first for c in present] if split == "validation" else [],
                    "file_name": name,
                },
            )


class DigitScenesLow(DigitScenes):
    """Scenes of the digits 0 to 4."""

    DIGITS: ClassVar = (0, 1, 2, 3, 4)


class DigitScenesHigh(DigitScenes):
    """Scenes of the digits 5 to 9."""

    DIGITS: ClassVar = (5, 6, 7, 8, 9)


_BUILDERS = {builder.name: builder for builder in (DigitScenes, DigitScenesLow, DigitScenesHigh)}

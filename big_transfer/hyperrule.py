"""The BiT-HyperRule: fine-tuning hyperparameters from the dataset's size and the area of its images.

Kolesnikov et al. 2019, section 3.3, and the public code (google-research/big_transfer).
"""

from __future__ import annotations

import dataclasses

RESOLUTIONS = ("public", "paper")
BATCH_SIZE = 512
LEARNING_RATE = 0.003  # for a batch of 512; neither paper nor code scales it
MOMENTUM = 0.9

# (number of training examples below which the schedule applies; the steps at which warm-up ends, at which
# the learning rate falls, and at which training ends).
_SCHEDULES = (
    (20_000, (100, 200, 300, 400, 500)),
    (500_000, (500, 3_000, 6_000, 9_000, 10_000)),
    (None, (500, 6_000, 12_000, 18_000, 20_000)),
)
_MIXUP_FROM = 20_000  # training examples; smaller datasets train without MixUp
_MIXUP_ALPHA = 0.1
_SMALL_AREA = 96 * 96  # pixels
_SMALL = (160, 128)  # resize to, crop
_LARGE = {"public": (512, 480), "paper": (448, 384)}


@dataclasses.dataclass(frozen=True)
class HyperRule:
    """The hyperparameters that the rule gives.

    Attributes:
      total_steps: length of the fine-tuning, in batches of 512.
      warmup_steps: a step t < warmup_steps has the learning rate base · t / warmup_steps.
      decay_steps: at each of these steps (0-based) the learning rate falls to a tenth. The steps are one
        later than the paper's boundaries 200, 300, …, because the public code compares
        `boundary < step`: step 200 still has the full rate, step 201 a tenth.
      mixup_alpha: parameter of MixUp's Beta distribution; 0 for no MixUp.
      resize_to: height and width, in pixels, to which training images are resized before the crop.
      size: height and width, in pixels, of the training crop and of evaluation images.
    """

    total_steps: int
    warmup_steps: int
    decay_steps: tuple[int, ...]
    mixup_alpha: float
    resize_to: int
    size: int


def hyperrule(num_examples: int, image_area: float, resolution: str = "public") -> HyperRule:
    """The hyperparameters for a dataset.

    Args:
      num_examples: size of the training set, at least 1.
      image_area: height · width of a typical image, in pixels, before resizing.
      resolution: applies to images of 96 · 96 pixels or more: "public" (resize to 512, crop to 480, as the
        public code) or "paper" (448, 384).

    Raises:
      ValueError: if `num_examples` or `image_area` is not positive, or the resolution is unknown.
    """
    if num_examples < 1 or image_area <= 0:
        raise ValueError(
            f"the HyperRule needs at least one example and a positive image area, found "
            f"{num_examples} examples of {image_area} pixels."
        )
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"resolution must be one of {', '.join(RESOLUTIONS)}, found {resolution!r}."
        )
    warmup_end, *boundaries, end = next(
        steps for limit, steps in _SCHEDULES if limit is None or num_examples < limit
    )
    resize_to, size = _SMALL if image_area < _SMALL_AREA else _LARGE[resolution]
    return HyperRule(
        total_steps=end,
        warmup_steps=warmup_end,
        decay_steps=tuple(boundary + 1 for boundary in boundaries),
        mixup_alpha=_MIXUP_ALPHA if num_examples >= _MIXUP_FROM else 0.0,
        resize_to=resize_to,
        size=size,
    )

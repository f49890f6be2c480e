"""The BiT-HyperRule: how to fine-tune, from nothing but the dataset's size and its images' area.

Kolesnikov et al. 2019, section 3.3, and the public code (google-research/big_transfer).
"""

from __future__ import annotations

import dataclasses

RESOLUTIONS = ("public", "paper")
BATCH_SIZE = 512
LEARNING_RATE = 0.003  # for that batch; neither paper nor code scales it
MOMENTUM = 0.9

# Training examples below which a schedule holds; steps at which warm-up ends, the rate falls, and
# training ends.
_SCHEDULES = (
    (20_000, (100, 200, 300, 400, 500)),
    (500_000, (500, 3_000, 6_000, 9_000, 10_000)),
    (None, (500, 6_000, 12_000, 18_000, 20_000)),
)
_MIXUP_FROM = 20_000  # training examples
_MIXUP_ALPHA = 0.1
_SMALL_AREA = 96 * 96  # pixels
_SMALL = (160, 128)  # resize to, crop
_LARGE = {"public": (512, 480), "paper": (448, 384)}


@dataclasses.dataclass(frozen=True)
class HyperRule:
    """What the rule says.

    Attributes:
      total_steps: length of the fine-tuning, in batches of 512.
      warmup_steps: step t before this one has the rate base · t / warmup_steps.
      decay_steps: from each of these steps on (0-based), the rate is a tenth of what it was. They lie
        one step behind the paper's boundaries 200, 300, …, because the public code compares with
        `boundary < step`: step 200 still has the full rate, step 201 the tenth.
      mixup_alpha: of the Beta distribution; 0 for no MixUp.
      resize_to: training images are resized to this height and width, in pixels, …
      size: … and cropped to this one; evaluation images are resized to it.
    """

    total_steps: int
    warmup_steps: int
    decay_steps: tuple[int, ...]
    mixup_alpha: float
    resize_to: int
    size: int


def hyperrule(num_examples: int, image_area: float, resolution: str = "public") -> HyperRule:
    """The rule for a dataset.

    Args:
      num_examples: in its training set, at least 1.
      image_area: height · width of its typical image, in pixels, as the dataset has it.
      resolution: of images of 96 · 96 pixels or more: "public" (resize to 512, crop 480: the public
        code) or "paper" (448, 384).

    Raises:
      ValueError: for no examples, no area, or another resolution.
    """
    if num_examples < 1 or image_area <= 0:
        raise ValueError(
            f"the HyperRule needs examples and images of some area, found {num_examples} examples of "
            f"{image_area} pixels."
        )
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"resolution must be one of {', '.join(RESOLUTIONS)}, found {resolution!r}."
        )
    warmup_end, *boundaries, end = next(
        steps for below, steps in _SCHEDULES if below is None or num_examples < below
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

"""The BiT family by name: models, published checkpoints, and the image sizes for evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from big_transfer import hyperrule, resnet

# Model name -> (depth, width factor); Kolesnikov et al. 2019, section 3.2 and appendix.
VARIANTS = {
    "R50x1": (50, 1),
    "R50x3": (50, 3),
    "R101x1": (101, 1),
    "R101x3": (101, 3),
    "R152x2": (152, 2),
    "R152x4": (152, 4),
}
_BUCKET = "https://storage.googleapis.com/bit_models"
UPSTREAM_SIZE = 224  # pixels; the training images of BiT-S and BiT-M
IMAGENET_EXAMPLES = 1_281_167  # ILSVRC-2012, training
IMAGENET_AREA = 500 * 375  # pixels of a typical image

_NAME = re.compile(r"^(?:BiT-[SML]-)?(R\d+x\d+)(?=$|[-_.])")
_DISTILLED = re.compile(r"^R\d+x\d+_(\d+)$")
# Names of published files, by folder of the bucket.
_PUBLISHED = {
    "": re.compile(rf"BiT-[SM]-({'|'.join(VARIANTS)})(-ILSVRC2012)?\.npz"),
    "distill/": re.compile(r"R50x1_(160|224)\.npz"),
    "vtab/": re.compile(r"BiT-M-R\d+x\d-run[012]-[\w-]+\.npz"),
}
# timm's names of the same checkpoints; some contain the image size for evaluation.
_TIMM = re.compile(r"resnetv2_\d+x\d_bit\.goog_(distilled|teacher)_\w*?in1k(?:_(384))?")
_UPSTREAM_1000 = re.compile(r"^BiT-S-R\d+x\d+$")


def variant_of(name: str) -> str | None:
    """The model of the family that a checkpoint's or a model's name contains; None if there is none.

    "BiT-M-R50x1-ILSVRC2012", "R50x1" and "R50x1_224" give "R50x1".
    """
    match = _NAME.match(name)
    return match[1] if match and match[1] in VARIANTS else None


def parse_variant(text: str) -> tuple[int, int]:
    """(depth, width) of a model named like "R50x1" or like a published checkpoint ("BiT-M-R50x1").

    Raises:
      ValueError: for an unknown name; lists the models of the family.
    """
    variant = variant_of(text)
    if variant is None:
        raise ValueError(
            f"there is no BiT model {text!r}; expected one of {', '.join(VARIANTS)}, or a "
            f"checkpoint's name such as BiT-M-R50x1."
        )
    return VARIANTS[variant]


def describe(depth: int | Sequence[int], width: float) -> str:
    """The name of a model: "R50x1" for a model of the family, else its units and width."""
    units = resnet.units_per_stage(depth)
    for name, variant in VARIANTS.items():
        if variant == (resnet.depth_of(units), width):
            return name
    return f"ResNet of ({', '.join(map(str, units))}) units, width {width:g}"


def says_size(name: str) -> bool:
    """Whether a checkpoint's name, without folder and ending, determines its image size for evaluation."""
    return bool(_DISTILLED.match(name) or _TIMM.match(name) or _NAME.match(name))


def address_of(file_name: str) -> str | None:
    """The URL of a published checkpoint; None if no published checkpoint has this file name."""
    for folder, pattern in _PUBLISHED.items():
        if pattern.fullmatch(file_name):
            return f"{_BUCKET}/{folder}{file_name}"
    return None


def evaluation_size(name: str, resolution: str = "public") -> int:
    """The image size, in pixels, at which a checkpoint for ILSVRC-2012 is evaluated.

    Names of distilled checkpoints contain the size (`R50x1_160`). BiT-S as trained upstream (`BiT-S-R50x1`)
    is evaluated at its training size, 224. Checkpoints fine-tuned by the HyperRule
    (`BiT-M-R50x1-ILSVRC2012`), and checkpoints with any other name, are evaluated at the rule's crop size.

    Args:
      name: file name without folder and ending.
      resolution: "public" (480, as in the public code) or "paper" (384), for fine-tuned checkpoints.
    """
    if match := _DISTILLED.match(name):
        return int(match[1])
    if match := _TIMM.match(name):
        return int(match[2] or UPSTREAM_SIZE)
    if _UPSTREAM_1000.match(name):
        return UPSTREAM_SIZE
    return hyperrule.hyperrule(IMAGENET_EXAMPLES, IMAGENET_AREA, resolution).size

"""The BiT family: its members, its published checkpoints and what those were measured at, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from big_transfer import hyperrule, resnet

# Member -> (depth, width factor); Kolesnikov et al. 2019, section 3.2 and appendix.
VARIANTS = {
    "R50x1": (50, 1),
    "R50x3": (50, 3),
    "R101x1": (101, 1),
    "R101x3": (101, 3),
    "R152x2": (152, 2),
    "R152x4": (152, 4),
}
_BUCKET = "https://storage.googleapis.com/bit_models"
UPSTREAM_SIZE = 224  # pixels; what BiT-S and BiT-M were trained at
IMAGENET_EXAMPLES = 1_281_167  # ILSVRC-2012, training

_NAME = re.compile(r"^(?:BiT-[SML]-)?(R\d+x\d+)(?=$|[-_.])")
_DISTILLED = re.compile(r"^R\d+x\d+_(\d+)$")
# Published files, by the folder of the bucket that they are in.
_PUBLISHED = {
    "": re.compile(rf"BiT-[SM]-({'|'.join(VARIANTS)})(-ILSVRC2012)?\.npz"),
    "distill/": re.compile(r"R50x1_(160|224)\.npz"),
    "vtab/": re.compile(r"BiT-M-R\d+x\d-run[012]-[\w-]+\.npz"),
}
# timm's names of the same checkpoints say what they are evaluated at.
_TIMM = re.compile(r"resnetv2_\d+x\d_bit\.goog_(distilled|teacher)_\w*?in1k(?:_(384))?")
_UPSTREAM_1000 = re.compile(r"^BiT-S-R\d+x\d+$")


def variant_of(name: str) -> str | None:
    """The member that a checkpoint's or a model's name speaks of.

    "BiT-M-R50x1-ILSVRC2012", "R50x1" and "R50x1_224" are "R50x1"; another name is None.
    """
    match = _NAME.match(name)
    return match[1] if match and match[1] in VARIANTS else None


def parse_variant(text: str) -> tuple[int, int]:
    """(depth, width) of a member named "R50x1", or as its published checkpoints are.

    Raises:
      ValueError: listing the members.
    """
    variant = variant_of(text)
    if variant is None:
        raise ValueError(
            f"there is no BiT model {text!r}; the family: {', '.join(VARIANTS)}, also as "
            f"BiT-M-R50x1 and so on."
        )
    return VARIANTS[variant]


def describe(depth: int | Sequence[int], width: float) -> str:
    """ "R50x1" for a member of the family, else its units and width."""
    units = resnet.units_per_stage(depth)
    for name, member in VARIANTS.items():
        if member == (resnet.depth_of(units), width):
            return name
    return f"ResNet of ({', '.join(map(str, units))}) units, width {width:g}"


def says_size(name: str) -> bool:
    """Whether a checkpoint's name, without folder and ending, says what it was published at."""
    return bool(_DISTILLED.match(name) or _TIMM.match(name) or _NAME.match(name))


def address_of(file_name: str) -> str | None:
    """Where a published checkpoint is fetched from; None if there is none of that name."""
    for folder, names in _PUBLISHED.items():
        if names.fullmatch(file_name):
            return f"{_BUCKET}/{folder}{file_name}"
    return None


def evaluation_size(name: str, resolution: str = "public") -> int:
    """The image size, in pixels, that a checkpoint for ILSVRC-2012 is evaluated at.

    Distilled ones carry it in their name (`R50x1_160`). BiT-S as trained upstream
    (`BiT-S-R50x1`) saw 224. Those fine-tuned by the HyperRule (`BiT-M-R50x1-ILSVRC2012`), and any
    of another name, are evaluated at its crop size.

    Args:
      name: of the file, without folder and ending.
      resolution: "public" (480, the public code's) or "paper" (384), for the fine-tuned ones.
    """
    if match := _DISTILLED.match(name):
        return int(match[1])
    if match := _TIMM.match(name):
        return int(match[2] or UPSTREAM_SIZE)
    if _UPSTREAM_1000.match(name):
        return UPSTREAM_SIZE
    return hyperrule.hyperrule(IMAGENET_EXAMPLES, 500 * 375, resolution).size

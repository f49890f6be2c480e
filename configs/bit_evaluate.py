r"""Public BiT checkpoints on ILSVRC-2012's validation images, on every label set.

    python main.py --config=configs/bit_evaluate.py:R50x1 --workdir=runs/bit_m_r50x1 --mode=evaluate \
        --config.checkpoint=BiT-M-R50x1-ILSVRC2012.npz --config.eval.dataset=ILSVRC2012_img_val.tar

The argument names the model (R50x1, R50x3, R101x1, R101x3, R152x2, R152x4); without it the model is the
checkpoint's. Several checkpoints, joined by commas (and no argument), give one table with every pair
tested. Also for timm's `.safetensors`, a run's workdir, and checkpoints of your own.

config.eval.dataset is what there is of the 50,000 images:
    imagenet2012_real, imagenet2012   TFDS (README, "Preparing ImageNet")
    ILSVRC2012_img_val.tar            the official tar, read without unpacking
    /path/to/folder                   flat, or class folders
and they are matched by file name. The ReaL labels, if they are not TFDS's own, come from
`python -m real_labels fetch`, or a file: config.eval.label_sets=real=FILE. Further reassessments stand
beside them: config.eval.label_sets=mine=FILE,….

Images are resized to the size the checkpoint was published at: 480 pixels for those fine-tuned by the
HyperRule (public code; 384 as in the paper with --config.eval.size=384), 224 for BiT-S, 160 or 224 for
the distilled. Expect 80.68% on the original labels for BiT-M-R50x1-ILSVRC2012, 85.15% for R152x2. R50x1
takes two to four hours on two CPU cores (docs/benchmarks.md); what was interrupted goes on where it was.
"""

import ml_collections

from big_transfer import config as config_lib
from big_transfer import family


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    config = config_lib.default_config()
    config.num_classes = 1000
    config.loss = "softmax"
    config.example_images = 32

    if arg:  # else the model is the checkpoint's
        config.model.depth, config.model.width = family.parse_variant(arg)

    config.eval.dataset = "imagenet2012_real"
    config.eval.split = "validation"
    config.eval.original_key = "original_label"
    config.eval.real_key = "real_label"
    config.eval.batch_size = 64
    return config

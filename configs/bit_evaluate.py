r"""Public BiT checkpoints on ILSVRC-2012's validation images, on every label set.

    python main.py --config=configs/bit_evaluate.py:R50x1 --workdir=runs/bit_m_r50x1 --mode=evaluate \
        --config.checkpoint=BiT-M-R50x1-ILSVRC2012.npz --config.eval.dataset=ILSVRC2012_img_val.tar

The argument names the model (R50x1, R50x3, R101x1, R101x3, R152x2, R152x4). Without an argument, the model
is read from the checkpoint. Several checkpoints, joined by commas (without an argument), give one table with
a test of every pair. The checkpoint may also be timm's `.safetensors`, a run's workdir, or a checkpoint of
your own.

config.eval.dataset is the 50,000 images, or a part of them, in one of these forms:
    imagenet2012_real, imagenet2012   TFDS (README, "Preparing ImageNet")
    ILSVRC2012_img_val.tar            the official tar, read without unpacking
    /path/to/folder                   flat, or class folders
Images and labels are matched by file name. If the ReaL labels are not read from TFDS, they come from
`python -m real_labels fetch` or from a file: config.eval.label_sets=real=FILE. Add further reassessments with
config.eval.label_sets=mine=FILE,….

Images are resized to the size at which the checkpoint was published: 480 pixels for checkpoints fine-tuned by
the HyperRule (public code; 384 as in the paper with --config.eval.size=384), 224 for BiT-S, 160 or 224 for
the distilled checkpoints. Expect 80.68% on the original labels for BiT-M-R50x1-ILSVRC2012, 85.15% for R152x2.
R50x1 takes two to four hours on two CPU cores (docs/benchmarks.md). An interrupted evaluation continues where
it stopped, with the same command.
"""

import ml_collections

from big_transfer import config as config_lib
from big_transfer import family


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    config = config_lib.default_config()
    config.num_classes = 1000
    config.loss = "softmax"
    config.example_images = 32

    if arg:  # without an argument, the checkpoint decides
        config.model.depth, config.model.width = family.parse_variant(arg)

    config.eval.dataset = "imagenet2012_real"
    config.eval.split = "validation"
    config.eval.original_key = "original_label"
    config.eval.real_key = "real_label"
    config.eval.batch_size = 64
    return config

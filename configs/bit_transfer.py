r"""Fine-tunes BiT on a dataset with the BiT-HyperRule (Kolesnikov et al. 2019, section 3.3).

    python main.py --config=configs/bit_transfer.py:dataset=cifar10,model=R50x1 \
        --workdir=runs/cifar10 --config.checkpoint=BiT-M-R50x1.npz

dataset= is any classification dataset of TFDS (prepared with `python -m big_transfer.datasets.prepare`), or
the path of a folder of class folders, such as dataset=./flowers. The folder may contain train/ and val/ or
test/; otherwise one image in ten is held out. model= is R50x1, R50x3, R101x1, R101x3, R152x2 or R152x4.

The rule depends only on the number of training examples and the area of the images. Fewer than 20,000
examples: 500 steps. Fewer than 500,000: 10,000 steps with MixUp. More: 20,000 steps with MixUp. Images
below 96×96 pixels are cropped to 128 pixels, larger images to 480 as in the public code (resolution=paper:
384). The head starts at zero, there is no weight decay, and batches have 512 images. Fields that are set have
priority over the rule. For few-shot learning, set --config.input.examples_per_class=5; --config.seed chooses
the examples.

If a batch is too large for the device, set --config.input.accumulate_steps=8. To save more memory, set
--config.model.remat=True and a smaller --config.input.size. Real datasets need a GPU or TPU; on
accelerators set --config.model.dtype=bfloat16. Expect, for BiT-M-R50x1, 97.2-97.4% on CIFAR-10 and
86.4-86.6% on CIFAR-100 (paper and public code).

The trained model is written to the workdir in the public layout, as BiT-R50x1-cifar10.npz. Evaluate this file
with --mode=evaluate --config.checkpoint=runs/cifar10/BiT-R50x1-cifar10.npz --workdir=runs/again.

Add `:debug` for a one-minute end-to-end test: a small model, a few steps, random images:

    python main.py --config=configs/bit_transfer.py:dataset=cifar10,model=R50x1,debug --workdir=/tmp/debug
"""

import pathlib
import re

import ml_collections

from big_transfer import config as config_lib
from big_transfer import family, hyperrule
from big_transfer.datasets import image_files

# Training and evaluation splits of the public code. Other datasets: "train", and completion fills the other.
SPLITS = {
    "cifar10": ("train", "test"),
    "cifar100": ("train", "test"),
    "oxford_iiit_pet": ("train", "test"),
    "oxford_flowers102": ("train", "test"),
    "imagenet2012": ("train", "validation"),
}
# Images of digits and letters are not mirrored: a mirrored character is another character or none.
NOT_TO_FLIP = re.compile(r"\w*mnist\w*|svhn_cropped|digit_scenes\w*|omniglot|cmaterdb")


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(
        arg, dataset="cifar10", model="R50x1", resolution=hyperrule.RESOLUTIONS
    )
    dataset, variant = options["dataset"], options["model"]
    base = re.split("[/:]", dataset)[0]  # TFDS name without configuration and version
    path = pathlib.Path(dataset).expanduser().resolve().stem
    name = re.sub(r"\W+", "_", path if image_files.is_path(dataset) else dataset)

    config = config_lib.default_config()
    config.hyperrule = options["resolution"]
    config.reset_head = True
    config.export_npz = f"BiT-{family.variant_of(variant)}-{name}.npz"
    config.loss = "softmax"
    config.mixup_alpha = None  # None: filled by the HyperRule or the dataset, here and below
    config.eval_every_steps = 1000
    config.checkpoint_every_steps = 500

    config.model.depth, config.model.width = family.parse_variant(variant)

    config.input.dataset = dataset
    config.input.split, config.eval.split = SPLITS.get(base, ("train", None))
    config.input.batch_size = hyperrule.BATCH_SIZE
    config.input.crop = "random"
    config.input.flip = NOT_TO_FLIP.fullmatch(base) is None

    config.eval.dataset = dataset
    if base == "imagenet2012":
        config.eval.dataset = "imagenet2012_real"
        config.eval.original_key, config.eval.real_key = "original_label", "real_label"
    config.eval.batch_size = 256

    config.optimizer.base_learning_rate = hyperrule.LEARNING_RATE
    config.optimizer.scale_with_batch = False
    config.optimizer.momentum = hyperrule.MOMENTUM
    config.optimizer.schedule = "steps"
    config.optimizer.warmup_steps = None
    config.optimizer.decay_steps = None
    return config_lib.debug(config) if options["debug"] else config

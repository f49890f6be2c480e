r"""Fine-tunes BiT on a dataset with the BiT-HyperRule (Kolesnikov et al. 2019, section 3.3).

    python main.py --config=configs/bit_transfer.py:dataset=cifar10,model=R50x1 \
        --workdir=runs/cifar10 --config.init_npz=BiT-M-R50x1.npz

dataset= is any classification dataset of TFDS (prepared with `python -m big_transfer.datasets.prepare`), or
a folder of class folders, written with its path: dataset=./flowers (with train/ and val/ or test/ in it,
or without: then one image in ten is held out). model= is R50x1, R50x3, R101x1, R101x3, R152x2 or R152x4.

The rule looks at the number of training examples and the area of the images alone: below 20,000
examples 500 steps, below 500,000 10,000 steps with MixUp, else 20,000; images below 96×96 pixels at 128,
others at 480 as in the public code (resolution=paper: 384). The head starts at zero, there is no weight
decay, batches have 512 images. Any field that is set wins over the rule. Few-shot:
--config.input.examples_per_class=5, chosen by --config.seed.

A batch too large for the device: --config.input.accumulate_steps=8. Less memory still:
--config.model.remat=True, and a smaller --config.input.size. Needs a GPU or TPU for real datasets; on
accelerators say --config.model.dtype=bfloat16. Expect, for BiT-M-R50x1, 97.2-97.4% on CIFAR-10 and
86.4-86.6% on CIFAR-100 (paper and public code).

The trained model is written to the workdir in the public layout, as BiT-R50x1-cifar10.npz, and evaluated by
its name: --mode=evaluate --config.init_npz=runs/cifar10/BiT-R50x1-cifar10.npz --workdir=runs/again.

    python main.py --config=configs/bit_transfer.py:dataset=cifar10,model=R50x1,debug --workdir=/tmp/debug

tries the whole way in a minute on anything: a small model, a few steps, random images.
"""

import pathlib
import re

import ml_collections
from ml_collections import config_dict

from big_transfer import config as config_lib
from big_transfer import family, hyperrule
from big_transfer.datasets import image_files

# The splits to learn from and to evaluate on, as the public code has them; others follow from the dataset.
SPLITS = {
    "cifar10": ("train", "test"),
    "cifar100": ("train", "test"),
    "oxford_iiit_pet": ("train", "test"),
    "oxford_flowers102": ("train", "test"),
    "imagenet2012": ("train", "validation"),
}
# A mirrored digit or letter is another one, or none.
NOT_TO_FLIP = re.compile(r"\w*mnist\w*|svhn_cropped|digit_scenes\w*|omniglot|cmaterdb")
_KEYS = ("dataset", "model", "resolution", "debug")


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = _parse(arg)
    dataset, variant = options["dataset"], options["model"]
    depth, width = family.parse_variant(variant)
    base = re.split("[/:]", dataset)[0]  # of a name for TFDS, without configuration and version
    train_split, eval_split = SPLITS.get(base, ("train", None))
    is_imagenet = base == "imagenet2012"

    config = ml_collections.ConfigDict()
    config.seed = 0
    config.hyperrule = options["resolution"]
    config.total_steps = config_dict.placeholder(int)  # the rule's
    config.total_epochs = config_dict.placeholder(float)
    config.num_classes = config_dict.placeholder(int)  # the dataset's
    config.init_npz = config_dict.placeholder(str)
    config.reset_head = True
    path = pathlib.Path(dataset).expanduser().resolve().stem
    name = re.sub(r"\W+", "_", path if image_files.is_path(dataset) else dataset)
    config.export_npz = f"BiT-{family.variant_of(variant)}-{name}.npz"
    config.loss = "softmax"
    config.mixup_alpha = config_dict.placeholder(float)  # the rule's
    config.sharding = "replicated"
    config.log_every_steps = 50
    config.eval_every_steps = 1000
    config.checkpoint_every_steps = 500
    config.example_images = 24

    config.model = ml_collections.ConfigDict()
    config.model.depth = (depth,)  # a tuple, so that units per stage can be set, too
    config.model.width = float(width)
    config.model.dtype = "float32"
    config.model.remat = False

    config.input = ml_collections.ConfigDict()
    config.input.dataset = dataset
    config.input.split = train_split
    config.input.data_dir = config_dict.placeholder(str)
    config.input.mock = False
    config.input.label_key = config_dict.placeholder(str)  # the dataset's
    config.input.batch_size = hyperrule.BATCH_SIZE
    config.input.accumulate_steps = 1
    config.input.crop = "random"
    config.input.size = config_dict.placeholder(int)  # the rule's
    config.input.resize_to = config_dict.placeholder(int)  # the rule's
    config.input.flip = NOT_TO_FLIP.fullmatch(base) is None

    config.eval = ml_collections.ConfigDict()
    config.eval.dataset = "imagenet2012_real" if is_imagenet else dataset
    config.eval.split = config_dict.placeholder(str)  # the dataset's: test, or validation
    if eval_split is not None:
        config.eval.split = eval_split
    config.eval.original_key = config_dict.placeholder(str)  # the dataset's
    config.eval.real_key = config_dict.placeholder(str)
    if is_imagenet:
        config.eval.original_key, config.eval.real_key = "original_label", "real_label"
    config.eval.batch_size = 256
    config.eval.size = config_dict.placeholder(int)  # the rule's

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.base_learning_rate = hyperrule.LEARNING_RATE
    config.optimizer.scale_with_batch = False
    config.optimizer.momentum = hyperrule.MOMENTUM
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "steps"
    config.optimizer.warmup_steps = config_dict.placeholder(int)  # the rule's
    config.optimizer.decay_steps = config_dict.placeholder(tuple)  # the rule's

    if options["debug"]:
        config.total_steps = 4
        config.log_every_steps = 1
        config.eval_every_steps = 2
        config.checkpoint_every_steps = 2
        config.model.depth = (1, 1, 1, 1)
        config.model.width = 0.5
        config.input.mock = True
        config.input.batch_size = 16
        config.input.size = 32
        config.eval.batch_size = 16
        config.optimizer.warmup_steps = 2
    return config_lib.complete(config)  # the other fields, for the command line


def _parse(arg: str) -> dict:
    """ "dataset=cifar10,model=R50x1,debug" -> its options, with defaults."""
    options = {"dataset": "cifar10", "model": "R50x1", "resolution": "public", "debug": False}
    for part in filter(None, arg.split(",")):
        key, _, value = part.partition("=")
        if key not in _KEYS or bool(value) != (key != "debug"):
            raise ValueError(
                f"the config's argument is dataset=NAME,model=R50x1 and, if wanted, "
                f"resolution=public or paper, and debug; found {part!r}."
            )
        options[key] = value or True
    if options["resolution"] not in hyperrule.RESOLUTIONS:
        raise ValueError(f"resolution must be public or paper, found {options['resolution']!r}.")
    return options

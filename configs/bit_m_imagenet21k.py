r"""BiT-M: R50x1 on ImageNet-21k, as published (Kolesnikov et al. 2019, section 3.2).

    python main.py --config=configs/bit_m_imagenet21k.py --workdir=gs://BUCKET/bit_m_r50x1

Needs ImageNet-21k as ArrayRecord files (`python -m big_transfer.datasets.prepare imagenet21k`; see
`big_transfer/datasets/imagenet21k.py` for the one file to fetch by hand), and 32 or more devices for
its batch of 4,096. The published members: --config.model.depth=152 --config.model.width=4 and so on.

    python main.py --config=configs/bit_m_imagenet21k.py:debug --workdir=/tmp/debug

tries the whole way in a minute on anything: a small model, a few steps, random images.
"""

import ml_collections
from ml_collections import config_dict

from big_transfer import config as config_lib


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    if arg not in ("", "debug"):
        raise ValueError(f"the config's argument must be 'debug' or nothing, found {arg!r}.")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_epochs = 90.0
    config.total_steps = config_dict.placeholder(int)
    config.num_classes = 21_843
    config.init_npz = config_dict.placeholder(str)
    config.loss = "sigmoid"  # multi-label, and better than softmax on noisy single labels, too
    config.sharding = "replicated"  # or "fsdp", for members too large for one device
    config.log_every_steps = 50
    config.eval_every_steps = 10_000
    config.checkpoint_every_steps = 1000

    config.model = ml_collections.ConfigDict()
    config.model.depth = 50
    config.model.width = 1.0
    config.model.dtype = "bfloat16"
    config.model.remat = False

    config.input = ml_collections.ConfigDict()
    config.input.dataset = "imagenet21k"
    config.input.split = "train[51200:]"
    config.input.data_dir = config_dict.placeholder(str)
    config.input.mock = False
    config.input.label_key = "label"
    config.input.max_labels = 1  # the release has each image below one synset
    config.input.batch_size = 4096
    config.input.accumulate_steps = 1
    config.input.crop = "inception"
    config.input.size = 224
    config.input.flip = True
    config.input.num_threads = config_dict.placeholder(int)
    config.input.num_workers = 0  # processes; for hosts whose Python threads do not keep up

    config.eval = ml_collections.ConfigDict()
    config.eval.dataset = "imagenet21k"  # the release has no validation split: images held out here
    config.eval.split = "train[:51200]"
    config.eval.original_key = "label"
    config.eval.real_key = config_dict.placeholder(str)  # nobody reassessed these labels
    config.eval.batch_size = 1024
    config.eval.size = 224

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.base_learning_rate = 0.03  # for a batch of 256: 0.48 at 4,096
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "steps"
    config.optimizer.warmup_steps = 5000
    config.optimizer.decay_epochs = (30, 60, 80)

    if arg == "debug":
        config.total_steps = 4
        config.log_every_steps = 1
        config.eval_every_steps = 2
        config.checkpoint_every_steps = 2
        with config.ignore_type():  # units per stage instead of a number from the family
            config.model.depth = (1, 1, 1, 1)
        config.model.width = 0.5
        config.input.mock = True
        config.input.batch_size = 16
        config.input.size = 64
        config.eval.batch_size = 16
        config.eval.size = 64
        config.optimizer.warmup_steps = 2
    return config_lib.complete(config)  # the other fields, for the command line

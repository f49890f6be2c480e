r"""BiT-M: R50x1 on ImageNet-21k, as published (Kolesnikov et al. 2019, section 3.2).

    python main.py --config=configs/bit_m_imagenet21k.py --workdir=gs://BUCKET/bit_m_r50x1

Needs ImageNet-21k as ArrayRecord files (`python -m big_transfer.datasets.prepare imagenet21k`; see
`big_transfer/datasets/builders/imagenet21k.py` for the one file to fetch by hand), and 32 or more devices
for the batch of 4,096. Choose another published model with --config.model.depth=152 --config.model.width=4.

Add `:debug` for a one-minute end-to-end test: a small model, a few steps, random images:

    python main.py --config=configs/bit_m_imagenet21k.py:debug --workdir=/tmp/debug
"""

import ml_collections

from big_transfer import config as config_lib


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(arg)
    config = config_lib.default_config()
    config.total_epochs = 90.0
    config.num_classes = 21_843
    config.loss = "sigmoid"  # for multi-label data; also better than softmax on noisy single labels
    config.eval_every_steps = 10_000
    config.checkpoint_every_steps = 1000

    config.model.depth = 50
    config.model.width = 1.0
    config.model.dtype = "bfloat16"

    config.input.dataset = "imagenet21k"
    config.input.split = "train[51200:]"
    config.input.label_key = "label"  # the release lists each image under one synset
    config.input.batch_size = 4096
    config.input.crop = "inception"
    config.input.size = 224
    config.input.flip = True

    # The release has no validation split: 51,200 training images are held out.
    config.eval.dataset = "imagenet21k"
    config.eval.split = "train[:51200]"
    config.eval.original_key = "label"
    config.eval.batch_size = 1024
    config.eval.size = 224

    config.optimizer.base_learning_rate = 0.03  # for a batch of 256: 0.48 at 4,096
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "steps"
    config.optimizer.warmup_steps = 5000
    config.optimizer.decay_epochs = (30, 60, 80)
    return config_lib.debug(config) if options["debug"] else config

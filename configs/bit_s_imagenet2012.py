r"""BiT-S: R50x1 on ILSVRC-2012, as published (Kolesnikov et al. 2019, section 3.2).

    python main.py --config=configs/bit_s_imagenet2012.py --workdir=gs://BUCKET/bit_s_r50x1

Needs ImageNet as ArrayRecord files (README, "Preparing ImageNet"), and 32 or more TPU or GPU devices
for the batch of 4,096; on fewer devices, raise input.accumulate_steps. Choose another model of the family
with --config.model.depth=101 --config.model.width=3.

Add `:debug` for a one-minute end-to-end test: a small model, a few steps, random images:

    python main.py --config=configs/bit_s_imagenet2012.py:debug --workdir=/tmp/debug
"""

import ml_collections

from big_transfer import config as config_lib


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(arg)
    config = config_lib.default_config()
    config.total_epochs = 90.0
    config.num_classes = 1000
    config.loss = "softmax"
    config.eval_every_steps = 2000
    config.checkpoint_every_steps = 1000

    config.model.depth = 50
    config.model.width = 1.0
    config.model.dtype = "bfloat16"

    config.input.dataset = "imagenet2012"
    config.input.split = "train"
    config.input.label_key = "label"
    config.input.batch_size = 4096
    config.input.crop = "inception"
    config.input.size = 224
    config.input.flip = True

    config.eval.dataset = "imagenet2012_real"  # the validation images, with both label sets
    config.eval.split = "validation"
    config.eval.original_key = "original_label"
    config.eval.real_key = "real_label"
    config.eval.batch_size = 1024
    config.eval.size = 224

    config.optimizer.base_learning_rate = 0.03  # for a batch of 256: 0.48 at 4,096
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "steps"
    config.optimizer.warmup_steps = 5000
    config.optimizer.decay_epochs = (30, 60, 80)
    return config_lib.debug(config) if options["debug"] else config

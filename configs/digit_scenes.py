r"""A small BiT ResNet on digit_scenes: shows the paper's main result in minutes on a laptop.

    python main.py --config=configs/digit_scenes.py --workdir=runs/digit_scenes

Nothing is downloaded: the dataset is generated on first use (some seconds, 40 MB in TFDS's data folder).
Expect a ReaL top-1 accuracy of 93%, well above the model's accuracy on the original labels (71%) and the
ReaL accuracy of the original labels themselves (90%): the model is better than the labels that it learned
from. Training takes 3 to 6 minutes on two CPU cores (docs/benchmarks.md).

Add `:debug` for an end-to-end test of some seconds, on random images:

    python main.py --config=configs/digit_scenes.py:debug --workdir=/tmp/debug
"""

import ml_collections

from big_transfer import config as config_lib


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(arg)
    config = config_lib.default_config()
    config.total_steps = 1600  # 5 epochs; 15 epochs reach 97% (docs/training.md)
    config.num_classes = 10
    config.loss = "sigmoid"  # learns more from noisy labels than softmax, as the paper found
    config.log_every_steps = 100
    config.eval_every_steps = 800
    config.checkpoint_every_steps = 200
    config.example_images = 32

    config.model.units = (1, 1, 1, 1)
    config.model.width = 0.5

    config.input.dataset = "digit_scenes"
    config.input.split = "train"
    config.input.label_key = "original_label"
    config.input.batch_size = 64
    config.input.crop = "random"
    config.input.size = 64
    config.input.resize_to = 72
    config.input.flip = False  # mirrored digits are not valid digits

    config.eval.dataset = "digit_scenes"
    config.eval.split = "validation"
    config.eval.original_key = "original_label"
    config.eval.real_key = "real_label"
    config.eval.batch_size = 256
    config.eval.size = 64

    config.optimizer.base_learning_rate = 0.15  # for a batch of 256
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    return config_lib.debug(config) if options["debug"] else config

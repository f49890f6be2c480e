r"""A small BiT ResNet on digit_scenes: the paper's headline, in minutes on a laptop.

    python main.py --config=configs/digit_scenes.py --workdir=runs/digit_scenes
"""

import ml_collections
from ml_collections import config_dict


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.total_steps = 1200
    config.total_epochs = config_dict.placeholder(float)
    config.num_classes = 10
    config.init_npz = config_dict.placeholder(str)
    config.loss = "softmax"
    config.log_every_steps = 50
    config.eval_every_steps = 400
    config.checkpoint_every_steps = 200

    config.model = ml_collections.ConfigDict()
    config.model.depth = (1, 1, 1, 1)
    config.model.width = 0.5

    config.input = ml_collections.ConfigDict()
    config.input.dataset = "digit_scenes"
    config.input.split = "train"
    config.input.label_key = "original_label"
    config.input.batch_size = 128
    config.input.crop = "random"
    config.input.size = 64
    config.input.resize_to = 72
    config.input.flip = False

    config.eval = ml_collections.ConfigDict()
    config.eval.dataset = "digit_scenes"
    config.eval.split = "validation"
    config.eval.original_key = "original_label"
    config.eval.real_key = "real_label"
    config.eval.batch_size = 250
    config.eval.size = 64

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.base_learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    return config

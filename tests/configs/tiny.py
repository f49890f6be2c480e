"""The smallest run that uses all features, for tests of the whole program."""

import ml_collections

from configs import digit_scenes


def get_config() -> ml_collections.ConfigDict:
    config = digit_scenes.get_config()
    config.total_steps = 12
    config.log_every_steps = 4
    config.eval_every_steps = 6
    config.checkpoint_every_steps = 3
    config.mixup_alpha = 0.2
    config.example_images = 8
    config.model.units = (1,)
    config.input.batch_size = 16
    config.input.size = 24
    config.input.resize_to = 28
    config.eval.batch_size = 16
    config.eval.size = 24
    config.optimizer.warmup_steps = 2
    return config

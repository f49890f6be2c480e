r"""Training with noisy labels on digit_scenes: choose the loss, the labels and the length of the schedule.

    python main.py --config=configs/noisy_digit_scenes.py:loss=sigmoid,labels=clean,steps=4800 \
        --workdir=runs/noisy

The model is the small BiT ResNet of configs/digit_scenes.py. loss= is sigmoid (default) or softmax; labels=
is all (default) or clean; steps= is 1600 (default), 4800 or 14400 (5, 15 or 46 epochs; about 240 images a
second on one CPU core). labels=clean reads keep.txt, the list of images to keep, made with
--mode=cross_validate and `python -m real_labels clean`; set another file with --config.input.keep. Add label
noise with --config.input.relabel=FILE. The results are in docs/training.md. All other fields are those of
configs/digit_scenes.py, except that the run is evaluated every 1,600 steps and the bias of sigmoid's head
starts at the log-odds of a class's share.

Add `:debug` for a one-minute end-to-end test: a few steps, random images.
"""

import ml_collections

from big_transfer import config as config_lib
from big_transfer import losses
from configs import digit_scenes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(
        arg,
        loss=("sigmoid", "softmax"),
        labels=("all", "clean"),
        steps=("1600", "4800", "14400"),
    )
    config = digit_scenes.get_config()
    config.loss = options["loss"]
    if config.loss == "sigmoid":
        config.model.head_bias = losses.prior_log_odds(config.num_classes)
    config.total_steps = int(options["steps"])
    config.eval_every_steps = 1600
    if options["labels"] == "clean":
        config.input.keep = "keep.txt"
    return config_lib.debug(config) if options["debug"] else config

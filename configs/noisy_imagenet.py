r"""R50x1 from scratch on the noisy labels of ILSVRC-2012 ("Are we done with ImageNet?", section 6).

    python main.py --config=configs/noisy_imagenet.py:loss=sigmoid,labels=clean,epochs=270 --workdir=gs://…

loss= is softmax or sigmoid; labels= is all or clean; epochs= is 90, 270 or 900. The paper changes the loss to
sigmoid, drops the training images whose label a cross-validated model does not predict, and then trains
longer. labels=clean needs fnames_clean.txt of release v1.0 of google-research/reassessed-imagenet. Copy this
file into the folder of the published labels (`python -m real_labels fetch` prints the folder), or set
--config.input.keep=FILE. To make your own list, use --mode=cross_validate and the command
`python -m real_labels clean` (docs/training.md). All other fields are those of configs/bit_s_imagenet2012.py,
except that the learning rate's decay epochs scale with the schedule and every published label set scores the
model (`python -m real_labels fetch --label-sets all`). This config has not been trained yet: a run needs a
TPU slice and days.

Add `:debug` for a one-minute end-to-end test: a small model, a few steps, random images:

    python main.py --config=configs/noisy_imagenet.py:debug --workdir=/tmp/debug
"""

import ml_collections

from big_transfer import config as config_lib
from big_transfer import losses
from configs import bit_s_imagenet2012
from real_labels.labels import published

CLEAN_LIST = "fnames_clean.txt"  # of release v1.0 of google-research/reassessed-imagenet


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = config_lib.parse_argument(
        arg, loss=("sigmoid", "softmax"), labels=("all", "clean"), epochs=("90", "270", "900")
    )
    config = bit_s_imagenet2012.get_config()
    config.loss = options["loss"]
    if config.loss == "sigmoid":
        config.model.head_bias = losses.prior_log_odds(config.num_classes)
    stretch = int(options["epochs"]) / config.total_epochs
    config.optimizer.decay_epochs = tuple(stretch * e for e in config.optimizer.decay_epochs)
    config.total_epochs = float(options["epochs"])
    config.eval.label_sets = "real,shankar,tsipras,northcutt"
    if options["labels"] == "clean":
        config.input.keep = str(published.data_dir() / CLEAN_LIST)
    if options["debug"]:
        config_lib.debug(config)
        config.eval.label_sets = None  # so that random images need no fetched labels
    return config

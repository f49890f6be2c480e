r"""R50x1 on ILSVRC-2012 from scratch, with noisy labels in mind ("Are we done with ImageNet?", section 6).

    python main.py --config=configs/noisy_imagenet.py:loss=sigmoid,labels=clean,epochs=270 --workdir=gs://…

loss= is softmax or sigmoid; labels= is all or clean; epochs= is 90, 270 or 900. The paper changes the loss to
sigmoid, drops the training images whose label a cross-validated model does not predict, and then trains
longer. Clean labels need fnames_clean.txt of release v1.0 of google-research/reassessed-imagenet, put by hand
into the folder of the published labels (`python -m real_labels fetch` says where), or named with
--config.input.keep=FILE; a list of your own comes from --mode=cross_validate and the command
`python -m real_labels clean` (docs/training.md). All else is configs/bit_s_imagenet2012.py; the steps of the
learning rate stretch with the schedule, and every published label set scores it
(`python -m real_labels fetch --label-sets all`). Nothing here was trained: it needs a TPU slice and days.

    python main.py --config=configs/noisy_imagenet.py:debug --workdir=/tmp/debug

tries the whole way in a minute on anything, on random images.
"""

import ml_collections

from configs import bit_s_imagenet2012, noisy_options

EPOCHS = (90, 270, 900)
_BASE = 90  # epochs of the schedule whose decay steps are stretched


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    options = noisy_options.parse(arg, "epochs", EPOCHS)
    config = bit_s_imagenet2012.get_config("debug" if options.debug else "")
    options.set_loss(config)
    if not options.debug:
        config.total_epochs = float(options.length)
        stretch = options.length / _BASE
        config.optimizer.decay_epochs = tuple(epoch * stretch for epoch in (30, 60, 80))
        config.eval.label_sets = "real,shankar,tsipras,northcutt"
    if options.is_clean:
        config.input.keep = noisy_options.published_clean_list()
    return config

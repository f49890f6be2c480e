"""The argument of the configs for training under label noise."""

import dataclasses
import math

import ml_collections

from real_labels.labels import published

CLEAN_LIST = "fnames_clean.txt"  # of release v1.0 of google-research/reassessed-imagenet


@dataclasses.dataclass(frozen=True)
class Options:
    """What the argument says.

    Attributes:
      loss: softmax or sigmoid.
      is_clean: whether only the images of a list are learned from.
      length: of the schedule.
      debug: whether a few steps on random images are enough.
    """

    loss: str
    is_clean: bool
    length: int
    debug: bool

    def set_loss(self, config: ml_collections.ConfigDict) -> None:
        """Sets the loss; for sigmoid the head begins at the log-odds of a class's share of the labels."""
        config.loss = self.loss
        if self.loss == "sigmoid":
            config.model.head_bias = -math.log(config.num_classes - 1)


def parse(arg: str, unit: str, lengths: tuple[int, ...]) -> Options:
    """ "loss=sigmoid,labels=clean,epochs=90" -> its options; the shortest schedule is the default.

    Raises:
      ValueError: saying what may be there.
    """
    found = {"loss": "sigmoid", "labels": "all", unit: str(lengths[0])}
    debug = False
    allowed = {
        "loss": ("softmax", "sigmoid"),
        "labels": ("all", "clean"),
        unit: tuple(map(str, lengths)),
    }
    given = list(filter(None, arg.split(",")))
    keys = [part.partition("=")[0] for part in given]
    for part in given:
        key, _, value = part.partition("=")
        if keys.count(key) > 1:
            raise ValueError(f"the config's argument says {key} twice; found {arg!r}.")
        if part == "debug":
            debug = True
        elif value in allowed.get(key, ()):
            found[key] = value
        else:
            said = ", ".join(f"{name}={'|'.join(values)}" for name, values in allowed.items())
            raise ValueError(f"the config's argument is {said}, and debug; found {part!r}.")
    return Options(found["loss"], found["labels"] == "clean", int(found[unit]), debug)


def published_clean_list() -> str:
    """Where ILSVRC-2012's published list of clean training images is looked for."""
    return str(published.data_dir() / CLEAN_LIST)

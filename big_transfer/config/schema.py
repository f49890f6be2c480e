"""The fields of a config: each with its type, its usable values and its default.

A config file takes them all from `default_config` and sets those in which its experiment differs. The program
works with frozen objects of the classes below. One class for each state of a config:

  Config             checked, as the experiment and the command line wrote it. None in an *open* field
                     leaves the value to the dataset, the checkpoint or the HyperRule.
  EvaluationConfig   complete for an evaluation: the open fields of the model and of `eval` have values.
  TrainingConfig     complete for training and the evaluation that ends it: all open fields have values.

A complete class declares the fields again that must have a value there. The rest follows from the types:
among the fields that can be None only in Config, those with a default are open, and those without one are
needed for training alone.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp

from big_transfer import resnet
from big_transfer.config.rules import (
    BelowOne,
    BestMetric,
    Count,
    Depth,
    Epochs,
    Finite,
    LabelSetNames,
    NotNegative,
    Positive,
    Seed,
    Steps,
    Text,
    TwoOrMore,
    Units,
    Width,
)

Crop = Literal["inception", "random", "none"]
Schedule = Literal["steps", "cosine"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """`config.model`: the network."""

    depth: Depth | None = None  # of the family
    units: Units | None = None  # of each stage, in place of a depth
    width: Width | None = None  # factor of the channels
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    remat: bool = False  # compute activations again in the backward pass: less memory, more time
    # Of a new head, in each class. For sigmoid: the log-odds of a class's share of the labels.
    head_bias: Finite = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompleteModel(Model):
    """The network of a checkpoint or a training run; either `depth` or `units` has a value."""

    width: Width = dataclasses.field()

    @property
    def depth_or_units(self) -> int | tuple[int, ...]:
        """The depth of a member of the family, else the units of each stage."""
        stages = self.depth if self.units is None else self.units
        assert stages is not None  # see `checking`
        return stages

    def make(self, num_classes: int) -> resnet.ResNetV2:
        """The network for a number of classes."""
        return resnet.ResNetV2(
            depth=self.depth_or_units,
            width=self.width,
            num_classes=num_classes,
            dtype=jnp.dtype(self.dtype),
            remat=self.remat,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """`config.input`: the training images, and how images are read."""

    dataset: Text | None  # a name for TFDS, or the path of a folder or tar of images
    split: Text | None
    data_dir: Text | None = None  # of TFDS; its default if None
    mock: bool = False  # random images in place of the dataset's, to try a config
    label_key: Text | None = None  # the feature to learn
    examples_per_class: Positive | None = None  # few-shot: this number, chosen by the seed
    keep: Text | None = None  # file with the names of the images to learn from
    keep_sha256: Text | None = None  # of that file; filled in
    relabel: Text | None = None  # JSON of other labels for some images, by file name
    relabel_sha256: Text | None = None  # of that file; filled in
    max_labels: Positive = 1  # of one image
    batch_size: Positive | None  # of all devices together
    accumulate_steps: Positive = 1  # micro-batches of a step
    crop: Crop | None
    size: Positive | None = None  # pixels; images are squares
    resize_to: Positive | None = None  # pixels before a random crop
    flip: bool | None  # mirror half of the images
    num_threads: Positive | None = None  # that decode images; one a core if None
    num_workers: Count = 0  # processes; for hosts whose Python threads are too slow


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingInput(Input):
    """The training images of a run."""

    dataset: Text
    split: Text
    label_key: Text = dataclasses.field()
    batch_size: Positive
    crop: Crop
    size: Positive = dataclasses.field()
    flip: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval:
    """`config.eval`: the images to evaluate on, and their label sets."""

    dataset: Text  # a name for TFDS, or the path of a folder or tar of images
    split: Text | None = None
    original_key: Text | None = None  # the feature with the original labels
    # Reassessments: "real,mine=labels.json,tags=feature:tags"; files are matched by file name.
    label_sets: LabelSetNames | None = None
    # Old spellings of the entry real: a feature (or the published labels), and a file.
    real_key: Text | None = None
    real_labels: Text | None = None
    batch_size: Positive
    size: Positive | None = None  # pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompleteEval(Eval):
    """The images of an evaluation."""

    split: Text = dataclasses.field()
    original_key: Text = dataclasses.field()
    size: Positive = dataclasses.field()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """`config.optimizer`: SGD and its learning rate."""

    base_learning_rate: NotNegative | None
    scale_with_batch: bool = True  # base_learning_rate is for a batch of 256
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 0.0
    clip_norm: NotNegative | None = None
    schedule: Schedule | None
    warmup_steps: Count | None = 0
    decay_epochs: Epochs = ()
    decay_steps: Steps | None = ()  # besides those of decay_epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptimizer(Optimizer):
    """SGD of a run."""

    base_learning_rate: NotNegative
    schedule: Schedule
    warmup_steps: Count = dataclasses.field()
    decay_steps: Steps = dataclasses.field()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A checked config whose open fields may be None."""

    seed: Seed = 0  # of every random draw
    total_steps: Positive | None = None  # has priority over total_epochs
    total_epochs: NotNegative | None = None
    hyperrule: Literal["public", "paper"] | None = None  # fills open fields
    folds: TwoOrMore | None = None  # of cross-validation
    fold: Count | None = None  # the one that training leaves out
    num_classes: TwoOrMore | None = None
    checkpoint: Text | None = None  # file or workdir to start from, or those to evaluate: a,b
    reset_head: bool = False  # start from a head of zeros, whatever head the checkpoint has
    export_npz: Text | None = None  # name, in the workdir, for the trained model in public layout
    loss: Literal["softmax", "sigmoid"]
    mixup_alpha: NotNegative | None = 0.0  # 0: no MixUp
    sharding: Literal["replicated", "fsdp"] = "replicated"
    log_every_steps: Positive = 50
    eval_every_steps: Positive | None
    checkpoint_every_steps: Positive | None
    checkpoint_keep: Positive = 3  # the newest checkpoints
    checkpoint_best: BestMetric | None = None  # and the best by this number
    example_images: Count = 24  # in examples.png; 0: no picture
    model: Model
    input: Input
    eval: Eval
    optimizer: Optimizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Config):
    """A config that is complete for an evaluation."""

    num_classes: TwoOrMore = dataclasses.field()
    model: CompleteModel
    eval: CompleteEval

    def make_model(self) -> resnet.ResNetV2:
        """The model that the config describes."""
        return self.model.make(self.num_classes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(EvaluationConfig):
    """A config that is complete for training."""

    mixup_alpha: NotNegative = dataclasses.field()
    eval_every_steps: Positive
    checkpoint_every_steps: Positive
    input: TrainingInput
    optimizer: TrainingOptimizer

"""The fields of a config, each with its type, its valid values and its default.

A config file starts from `default_config` and sets the fields in which the experiment differs. The program
works with frozen objects of the classes below. Each state of a config has its own class:

  Config             checked, with the values of the config file and the command line. None in an *open*
                     field leaves the value to the dataset, the checkpoint or the HyperRule.
  EvaluationConfig   complete for an evaluation: the open fields of the model and of `eval` have values.
  TrainingConfig     complete for training and the evaluation at its end: all open fields have values.

A complete class declares again the fields that must have a value in this class. `checking.all_fields` derives
the kind of each field from these types: a field that may be None only in Config is open if it has a default,
and is needed only for training if it has no default.
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
    FileName,
    Finite,
    LabelSetNames,
    NotNegative,
    Positive,
    Seed,
    Steps,
    Text,
    TracedSteps,
    TwoOrMore,
    Units,
    Width,
)

Crop = Literal["inception", "random", "none"]
Schedule = Literal["steps", "cosine"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """`config.model`: the network."""

    depth: Depth | None = None  # of a model of the family
    units: Units | None = None  # units of each stage, instead of a depth
    width: Width | None = None  # factor for the number of channels
    dtype: Literal["float32", "bfloat16"] = "float32"  # of activations; parameters are float32
    remat: bool = False  # compute activations again in the backward pass: less memory, more time
    # Initial bias of a new head, for every class. For sigmoid: the log-odds of a class's share of the labels.
    head_bias: Finite = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompleteModel(Model):
    """The network of a checkpoint or a training run; either `depth` or `units` has a value."""

    width: Width = dataclasses.field()

    @property
    def depth_or_units(self) -> int | tuple[int, ...]:
        """The depth (of a model of the family) or, if it is None, the units of each stage."""
        stages = self.depth if self.units is None else self.units
        assert stages is not None  # `checking.completed` makes sure of this
        return stages

    def make(self, num_classes: int) -> resnet.ResNetV2:
        """The network with a head for this number of classes."""
        return resnet.ResNetV2(
            depth=self.depth_or_units,
            width=self.width,
            num_classes=num_classes,
            dtype=jnp.dtype(self.dtype),
            remat=self.remat,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """`config.input`: the training images, and how to read images."""

    dataset: Text | None  # TFDS name, or path of a folder or tar of images
    split: Text | None
    data_dir: Text | None = None  # data folder of TFDS; None: TFDS's default
    mock: bool = False  # replace the dataset's images by random images, to test a config
    label_key: Text | None = None  # feature with the labels to learn
    examples_per_class: Positive | None = None  # few-shot; the seed chooses the examples
    keep: Text | None = None  # file that lists the file names of the training images to use
    keep_sha256: Text | None = None  # hash of the file `keep`; filled in
    relabel: Text | None = None  # JSON that maps file names to new labels, for some images
    relabel_sha256: Text | None = None  # hash of the file `relabel`; filled in
    max_labels: Positive = 1  # largest number of labels of one image
    batch_size: Positive | None  # global, over all devices
    accumulate_steps: Positive = 1  # micro-batches per step
    crop: Crop | None
    size: Positive | None = None  # height and width in pixels
    resize_to: Positive | None = None  # height and width in pixels before a random crop
    flip: bool | None  # mirror half of the images
    num_threads: Positive | None = None  # threads that decode images; None: one per core
    num_workers: Count = 0  # worker processes, for hosts whose Python threads are too slow


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

    dataset: Text  # TFDS name, or path of a folder or tar of images
    split: Text | None = None
    original_key: Text | None = None  # feature with the original labels
    # Reassessments, such as "real,mine=labels.json,tags=feature:tags"; label files are matched by file name.
    label_sets: LabelSetNames | None = None
    # Earlier fields for the entry `real`: a feature (or the published labels), and a file.
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
    scale_with_batch: bool = True  # base_learning_rate is for a batch of 256 and scales linearly
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 0.0
    clip_norm: NotNegative | None = None
    schedule: Schedule | None
    warmup_steps: Count | None = 0
    decay_epochs: Epochs = ()
    decay_steps: Steps | None = ()  # in addition to the steps of decay_epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptimizer(Optimizer):
    """SGD and the learning rate of a run."""

    base_learning_rate: NotNegative
    schedule: Schedule
    warmup_steps: Count = dataclasses.field()
    decay_steps: Steps = dataclasses.field()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A checked config whose open fields may be None."""

    seed: Seed = 0  # for all random numbers
    total_steps: Positive | None = None  # has priority over total_epochs
    total_epochs: NotNegative | None = None
    # Fills open fields by the HyperRule, at the resolution of the public code or of the paper.
    hyperrule: Literal["public", "paper"] | None = None
    folds: TwoOrMore | None = None  # number of folds for cross-validation
    fold: Count | None = None  # the fold that training leaves out
    num_classes: TwoOrMore | None = None
    checkpoint: Text | None = None  # file or workdir to start from; to evaluate, also several: a,b
    reset_head: bool = False  # replace the checkpoint's head by zeros
    export_npz: FileName | None = (
        None  # file name, in the workdir, for the model in the public layout
    )
    loss: Literal["softmax", "sigmoid"]
    mixup_alpha: NotNegative | None = 0.0  # 0: no MixUp
    sharding: Literal["replicated", "fsdp"] = "replicated"
    log_every_steps: Positive = 50
    eval_every_steps: Positive | None
    checkpoint_every_steps: Positive | None
    checkpoint_keep: Positive = 3  # number of newest checkpoints to keep
    checkpoint_best: BestMetric | None = None  # also keep the best checkpoint by this accuracy
    profile: TracedSteps | None = (
        None  # training steps to trace into the workdir; changes no result
    )
    example_images: Count = 24  # number of images in examples.png; 0: no picture
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
